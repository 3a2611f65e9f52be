"""A policy's completions and the worth of their spans, as rows that `analysis.credit` reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from cfdapo.credit.alignment import completion_text, to_tokens, token_offsets
from cfdapo.credit.assigner import Credit, CreditAssigner, CreditConfig
from cfdapo.credit.combinations import (
    Combination,
    crosscheck_combinations,
    measure_combinations,
    settle_combinations,
)
from cfdapo.credit.entropy import token_entropies
from cfdapo.credit.importance import placeholder_id
from cfdapo.credit.interventions import DropRequest, longest_request
from cfdapo.credit.padding import padded_drops
from cfdapo.credit.proxy import Proxy
from cfdapo.credit.spans import Span
from cfdapo.credit.weights import normalized_importance
from cfdapo.files import UserError
from cfdapo.problems.labels import Sentence
from cfdapo.problems.task import Task

Row = dict[str, Any]


@dataclass(frozen=True)
class Completion:
    """What is to be measured: token ids of a prompt and a completion, and where they come from.

    `problem` is its row of the data, and `correct` the grader's verdict, which costs a run of the
    sandbox where it is code; None where there is no grader. `proxy_prompt` is the prompt in the
    proxy's tokens, where there is one. `group` and `advantage` are None for the data set's own
    solutions.
    """

    name: str
    source: str
    problem: Row
    prompt: list[int]
    ids: list[int]
    correct: bool | None
    proxy_prompt: list[int] | None = None
    group: int | None = None
    advantage: float | None = None


class Recorder:
    """Measures completions of one policy by `credit` (mode counterfactual) and writes them down.

    `combinations` are measured beside the credit's own drops, all exactly (method "prefix"), where
    the task knows labels of the completion's spans.
    `padding` lists the numbers of pads of `padded_drops`. `temperature` is that of the entropies.
    `policy` names the model's state.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        task: Task,
        credit: CreditConfig,
        *,
        policy: str,
        temperature: float,
        combinations: Sequence[Combination] = (),
        padding: Sequence[int] = (),
        proxy: Proxy | None = None,
    ):
        # Every drop is this policy's own, so nothing is to be skipped or remembered.
        self.credit = replace(credit, mode="counterfactual", every=1, cache=0)
        self.assigner = CreditAssigner(tokenizer, self.credit, proxy)
        self.model, self.tokenizer, self.task = model, tokenizer, task
        self.policy, self.temperature = policy, temperature
        self.combinations, self.padding = list(combinations), list(padding)
        # What measures: the policy, or the proxy in its place.
        self.measuring = (proxy.model, proxy.tokenizer) if proxy else (model, tokenizer)
        self.crosschecked = False

    def settle(self, prompt: int, completion: int) -> None:
        """Refuse, before anything is sampled, what cannot be measured exactly with this model.

        `prompt` and `completion` are the most tokens of either. Raises `UserError`.
        """
        model, tokenizer = self.measuring
        request = longest_request(prompt, completion, self.credit.max_spans)
        try:
            self.assigner.settle(self.model, prompt, completion)
            settle_combinations(
                model,
                request,
                placeholder_id(tokenizer),
                self.combinations,
                self.credit.precision,
            )
        except ValueError as error:
            raise UserError(f"credit, measurement.combinations: {error}") from error

    def record(self, batch: Sequence[Completion]) -> tuple[list[Row], list[Row]]:
        """(spans, completions) of a batch: `SPAN_COLUMNS` and `COMPLETION_COLUMNS`."""
        reads = [one.prompt if one.proxy_prompt is None else one.proxy_prompt for one in batch]
        functions = [self.task.entry_point(one.problem) for one in batch]
        assigned = self.assigner.assign(
            self.model,
            [one.prompt for one in batch],
            [one.ids for one in batch],
            proxy_prompts=reads,
            functions=functions,
        )
        credits, requests = assigned.credits, assigned.requests
        sentences = [
            self.task.label(one.problem, credit.text, one.source == "gold")
            for one, credit in zip(batch, credits, strict=True)
        ]
        # Interventions and sinks are compared by what is known of the spans, and cost most here.
        found = [n for n, request in enumerate(requests) if request and sentences[n]]
        by_combination = self._combinations([request for n in found if (request := requests[n])])
        others = dict(zip(found, by_combination, strict=True))
        padded = [self._padded(request) if request else {} for request in requests]
        spans: list[Row] = []
        for number, (one, credit) in enumerate(zip(batch, credits, strict=True)):
            if requests[number]:
                measured = others.get(number, {}), padded[number]
                spans += self._spans(one, credit, sentences[number], *measured)
        completions = [
            self._completion(one, credit) for one, credit in zip(batch, credits, strict=True)
        ]
        return spans, completions

    def grade(self, problems: Sequence[Row], completions: Sequence[Sequence[int]]) -> list[bool]:
        """Whether each completion, token ids, is right for its problem: the reward of training."""
        texts = [completion_text(ids, self.tokenizer) for ids in completions]
        return self.task.grade_many(texts, [problem["answer"] for problem in problems])

    def _combinations(self, requests: list[DropRequest]) -> list[dict[Combination, Tensor]]:
        model, tokenizer = self.measuring
        credit = self.credit
        how = placeholder_id(tokenizer), self.combinations, credit.token_budget, credit.precision
        if requests and self.combinations and not self.crosschecked:
            found = crosscheck_combinations(model, requests[0], *how)
            print(f"combinations: {found}", flush=True)
            self.crosschecked = True
        return measure_combinations(model, requests, *how)

    def _padded(self, request: DropRequest) -> dict[int, Tensor]:
        model, tokenizer = self.measuring
        if not self.padding:
            return {}
        return padded_drops(model, request, placeholder_id(tokenizer), self.padding)

    def _completion(self, one: Completion, credit: Credit) -> Row:
        return {
            "completion": one.name,
            "source": one.source,
            "policy": self.policy,
            "problem": one.problem["id"],
            "question": one.problem["question"],
            "gold": self.task.gold_to_show(one.problem["answer"]),
            "text": credit.text,
            "tokens": [list(pair) for pair in token_offsets(one.ids, self.tokenizer)],
            "weights": _numbers(credit.weights),
            "answer": self._answer(one, credit),
            "extracted": self.task.extract(credit.text, one.problem["answer"]),
            "correct": one.correct,
            "group": one.group,
            "advantage": one.advantage,
            "noise": credit.noise,
        }

    def _answer(self, one: Completion, credit: Credit) -> Row | None:
        answer = credit.sink
        if answer is None:
            return None
        (tokens,) = (
            [credit.answer] if credit.answer else to_tokens([answer], one.ids, self.tokenizer)
        )
        return {
            "start": answer.start,
            "end": answer.end,
            "token_start": tokens.start,
            "token_end": tokens.stop,
        }

    def _spans(
        self,
        one: Completion,
        credit: Credit,
        sentences: Sequence[Sentence],
        others: dict[Combination, Tensor],
        padded: dict[int, Tensor],
    ) -> list[Row]:
        assert credit.answer is not None  # or nothing could be measured
        text = credit.text
        entropies = token_entropies(self.model, one.prompt, one.ids, self.temperature)
        normalized = _numbers(normalized_importance(credit.drops))
        drops = _numbers(credit.drops)
        last_line = _line_start(text, credit.spans[-1].start)
        width = self.credit.w_max - self.credit.w_min
        rows = []
        for number, (span, tokens) in enumerate(zip(credit.spans, credit.tokens, strict=True)):
            sentence = _sentence_of(span, sentences)
            line = _line_start(text, span.start)
            rows.append(
                {
                    "completion": one.name,
                    "source": one.source,
                    "span": number,
                    "kind": span.kind,
                    "text": text[span.start : span.end],
                    "line": text[line:].partition("\n")[0].strip(),
                    "start": span.start,
                    "end": span.end,
                    "token_start": tokens.start,
                    "token_end": tokens.stop,
                    "position": (tokens.start + tokens.stop) / 2 / credit.answer.start,
                    "last_line": line == last_line,
                    "drop": drops[number],
                    "importance": -drops[number],
                    "normalized": normalized[number],
                    "weight": self.credit.w_min + normalized[number] * width,
                    "drops": _of(others, number, "/".join),
                    "padded_drops": _of(padded, number, str),
                    "entropy": float(entropies[tokens].mean()),
                    "correct": one.correct,
                    "label": sentence.label if sentence else None,
                    "dependants": sentence.dependants if sentence else None,
                }
            )
        return rows


def _numbers(values: Tensor) -> list[float]:
    """Shortest decimals that are the same float32."""
    return [float(str(value)) for value in values.float().numpy()]


def _of(drops: dict[Any, Tensor], number: int, name: Callable[[Any], str]) -> dict[str, float]:
    return {name(key): float(str(values[number].numpy())) for key, values in drops.items()}


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _sentence_of(span: Span, sentences: Sequence[Sentence]) -> Sentence | None:
    """The labelled sentence that the span begins in, or, where it begins before one, ends in."""
    for sentence in sentences:
        if sentence.start < span.end and span.start < sentence.end:
            return sentence
    return None
