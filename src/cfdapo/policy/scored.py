"""Completions of any model, from anywhere, with their drops and weights: credit without a study."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.rule import CreditRule, Prompt, Rollout
from cfdapo.credit.rules import get_rule
from cfdapo.files import UserError
from cfdapo.own_code import EXAMPLE, is_own
from cfdapo.policy.generation import encode_either, encode_prompts
from cfdapo.policy.models import end_tokens
from cfdapo.policy.records import Completion, Recorder, Row
from cfdapo.problems.task import Task
from cfdapo.settings import ChatVariables
from cfdapo.vocabulary import PAPER_MODES

# Rules whose weights are of one completion; the others compare those of a group, or sample more.
ALONE = (
    *PAPER_MODES,
    *("shuffled", "budgeted_inverse", "entropy", "oar_gradient", "oar_perturbation"),
)


@dataclass(frozen=True)
class Asked:
    """What is to be scored; `function` is the one that the prompt asks for, where it is of code."""

    name: str
    prompt: Prompt
    completion: str
    function: str | None = None


@dataclass(frozen=True)
class Scored:
    """A completion with its weights, and its measured spans.

    `completion` is a row of `COMPLETION_COLUMNS`, `spans` are rows of `SPAN_COLUMNS` (see
    `analysis.records.measured_credit`); weights are those of the mode, and `correct` is None.
    `notes` say what a reader must know of the numbers.
    """

    completion: Row
    spans: list[Row]
    notes: list[str]


class _AnyTask(Task):
    """Problems of which nothing is known but the question."""

    def entry_point(self, row: Row) -> str | None:
        return row["function"]


def _nothing(*_: Any) -> Any:
    return []


_ANY = _AnyTask("any", "{question}", load=_nothing, reference=_nothing, label=_nothing)


class CompletionScorer:
    """Scores completions by a loaded model and one `CreditConfig`.

    Drops are always measured, by the configuration's settings; weights are those of its mode, as
    if the completion were the only one of its batch and its advantage 1. `chat` holds variables of
    the chat template; `raw` takes prompts that are text as they are, without the template. With
    `ended` a completion ends with the token that ends a text, as a finished one does in training.
    `policy` names the model. `seed` is of modes that draw.

    Raises UserError for a mode that needs a group of completions, or more samples.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        credit: CreditConfig,
        *,
        policy: str = "untrained",
        chat: ChatVariables | None = None,
        raw: bool = False,
        ended: bool = True,
        temperature: float = 1.0,
        seed: int = 0,
    ):
        self.model, self.tokenizer, self.credit = model, tokenizer, credit
        self.chat, self.raw, self.ended = chat or {}, raw, ended
        self.temperature, self.seed = temperature, seed
        self.rule = None if credit.mode == "counterfactual" else _alone(credit, tokenizer)
        self.recorder = Recorder(
            model, tokenizer, _ANY, credit, policy=policy, temperature=temperature
        )

    def score(self, asked: Sequence[Asked]) -> list[Scored]:
        """Each completion with its drops and weights.

        Raises UserError, before anything is measured, for a completion without a token, one that
        is too long for the model, and where credit cannot be exact with this model.
        """
        prompts = self._encode([one.prompt for one in asked])
        prepared = [self._prepare(*one) for one in zip(asked, prompts, strict=True)]
        if prepared:
            most = (max(len(of(one)) for one in prepared) for of in (_prompt, _ids))
            self.recorder.settle(*most)
        # One by one: what is measured of a completion does not depend on what it is scored with.
        return [self._score(one, before) for one, before in zip(prepared, asked, strict=True)]

    def _prepare(self, asked: Asked, prompt: list[int]) -> Completion:
        ids = list(self.tokenizer(asked.completion, add_special_tokens=False)["input_ids"])
        if not asked.completion.strip() or not ids:
            raise UserError(f"{asked.name}: the completion is empty")
        if self.ended:
            ids.append(end_tokens(self.model, self.tokenizer)[0])
        if not prompt:
            raise UserError(f"{asked.name}: the prompt is empty")
        self._require_room(asked, len(prompt) + len(ids))
        row = {
            "id": asked.name,
            "question": _as_text(asked.prompt),
            "answer": "",
            "function": asked.function,
        }
        return Completion(asked.name, "sampled", row, prompt, ids, correct=None)

    def _encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of prompts; those that are text become a user's message where there are chats.

        All conversations at once, as the first of them is rendered for every day of a year.
        """
        chats = not self.raw and bool(self.tokenizer.chat_template)
        asked = [
            [{"role": "user", "content": one}] if isinstance(one, str) and chats else one
            for one in prompts
        ]
        conversations = [one for one in asked if not isinstance(one, str)]
        encoded = iter(
            encode_prompts(self.tokenizer, conversations, self.chat) if conversations else []
        )
        return [
            encode_either(self.tokenizer, one, self.chat) if isinstance(one, str) else next(encoded)
            for one in asked
        ]

    def _require_room(self, asked: Asked, tokens: int) -> None:
        config = self.model.config.get_text_config()
        most = getattr(config, "max_position_embeddings", None)
        if most and tokens > most:
            raise UserError(
                f"{asked.name}: prompt and completion have {tokens} tokens; the model reads {most}"
            )

    def _score(self, one: Completion, asked: Asked) -> Scored:
        spans, (completion,) = self.recorder.record([one])
        if self.rule:
            completion["weights"] = self._weights(self.rule, one, completion["text"])
            for span in spans:
                span["weight"] = weight_of(completion, span)
        _require_finite(one.name, completion, spans)
        if answer := completion["answer"]:
            completion["extracted"] = completion["text"][answer["start"] : answer["end"]]
        return Scored(completion, spans, self._notes(asked, completion, spans))

    def _weights(self, rule: CreditRule, one: Completion, text: str) -> list[float]:
        given = rule(
            Rollout(
                policy=self.model,
                prompts=[one.prompt],
                completions=[one.ids],
                texts=[text],
                groups=[0],
                rewards=torch.ones(1),
                advantages=torch.ones(1),
                rows=[one.problem],
                step=0,
                generator=torch.Generator().manual_seed(self.seed),
                temperature=self.temperature,
                sample=_refuse,
                grade=_refuse,
                encode=lambda prompt: encode_either(self.tokenizer, prompt, self.chat),
            )
        )
        # The advantage is 1, so that a token's is its weight.
        return [float(str(value)) for value in given.advantages[0].float().numpy()]

    def _notes(self, asked: Asked, completion: Row, spans: Sequence[Row]) -> list[str]:
        credit, notes = self.credit, []
        if completion["text"] != asked.completion:
            notes.append(
                "the tokenizer spells the completion otherwise; places are those of its text"
            )
        flat = all(weight == 1 for weight in completion["weights"])
        so = "every weight is 1" if flat else "no drop is measured"
        if completion["answer"] is None:
            notes.append(f"no answer is found (answer: {_named(credit.answer)}), so {so}")
        elif not spans:
            notes.append(
                f"no span with a token of its own is found before the answer (spans: "
                f"{_named(credit.spans)}), so {so}"
            )
        if completion["noise"]:
            notes.append("no drop is beyond rounding, so weights that come of drops say nothing")
        return notes


def weight_of(completion: Row, part: Row) -> float:
    """Mean weight of the tokens of a span, or of the answer; nan where it has none."""
    own = completion["weights"][part["token_start"] : part["token_end"]]
    if len(set(own)) == 1:
        return own[0]
    return sum(own) / len(own) if own else math.nan


def _alone(credit: CreditConfig, tokenizer: Any) -> CreditRule:
    """The mode's rule, if one completion is enough for it."""
    kind = get_rule(credit.mode)
    needs = kind.reads_rewards or kind.generates or kind.learns or bool(kind.columns)
    if needs or not (is_own(credit.mode) or credit.mode in ALONE):
        raise UserError(
            f"mode {credit.mode} needs a group of graded completions, or problems with causes, and "
            f"one completion has neither; allowed: {', '.join(ALONE)}, or a path as {EXAMPLE}"
        )
    try:
        return kind(tokenizer, credit)
    except ValueError as error:
        raise UserError(str(error)) from error


def _require_finite(name: str, completion: Row, spans: Sequence[Row]) -> None:
    numbers = [*completion["weights"], *(span["drop"] for span in spans)]
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{name}: drops or weights are no finite numbers; the model overflows")


def _refuse(*_: Any) -> Any:
    raise UserError("a rule that samples or grades needs a trainer, which scoring has not")


def _prompt(one: Completion) -> list[int]:
    return one.prompt


def _ids(one: Completion) -> list[int]:
    return one.ids


def _named(finder: Any) -> str:
    return finder if isinstance(finder, str) else getattr(finder, "__name__", "a function")


def _as_text(prompt: Prompt | Sequence[Mapping[str, Any]]) -> str:
    """A prompt as a reader sees it: of a conversation, what was said to the model."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(str(message.get("content", "")) for message in prompt)
