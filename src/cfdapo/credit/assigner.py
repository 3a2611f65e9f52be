"""The whole chain for a batch of completions: text, spans, tokens, drops, weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cfdapo.credit.alignment import completion_text, to_tokens
from cfdapo.credit.cache import DropCache
from cfdapo.credit.code_spans import find_code_answer, find_code_spans
from cfdapo.credit.crosscheck import crosscheck
from cfdapo.credit.importance import (
    METHODS,
    DropRequest,
    Measurement,
    choose_way,
    measure_drops_batch,
    placeholder_id,
)
from cfdapo.credit.interventions import INTERVENTIONS, SINKS, longest_request, make_plan
from cfdapo.credit.own_finders import finder, own_answer, own_spans
from cfdapo.credit.proxy import Proxy
from cfdapo.credit.rules import get_rule, rule_names
from cfdapo.credit.scoring import PRECISIONS, dtype_of, measuring
from cfdapo.credit.spans import (
    SELECTIONS,
    Span,
    find_answer,
    find_spans,
    find_stated_letter,
    find_stated_text,
    select_spans,
)
from cfdapo.credit.weights import rescale_to_mean_one, rounding, token_weights
from cfdapo.own_code import EXAMPLE, is_own
from cfdapo.settings import CreditSettings, ModeCredit, part_of

# What finds spans before an answer, and what finds the answer.
SPANS: dict[str, Callable[..., list[Span]]] = {"arithmetic": find_spans, "code": find_code_spans}
ANSWERS: dict[str, Callable[..., Span | None]] = {
    "number": find_answer,
    "choice": find_stated_letter,
    "latex": find_stated_text,
    "exact": find_stated_text,
    "returns": partial(find_code_answer, sink="returns"),
    "function": partial(find_code_answer, sink="function"),
}

# Those that are to know the function that code is to define.
CODE_ANSWERS = ("returns", "function")

# What the fields that are names may be.
CHOICES = {
    "mode": tuple(rule_names()),
    "method": METHODS,
    "intervention": INTERVENTIONS,
    "sink": SINKS,
    "select": SELECTIONS,
    "spans": tuple(SPANS),
    "answer": tuple(ANSWERS),
    "precision": PRECISIONS,
}
# Those that may also be code of one's own.
OWN = ("mode", "spans", "answer")


@dataclass(frozen=True)
class CreditConfig(ModeCredit):
    """How a completion's tokens are weighted.

    mode: the rule, a module of `cfdapo.credit.rules`; the paper's are counterfactual, vanilla,
        random and inverted (Section 3.4), and the settings below are theirs unless the rule says
        that it uses them. One of one's own by its path, as mypackage.rules:MyRule.
    options: settings of the rule's own, by name.
    max_spans: most spans a completion, K_max.
    w_min, w_max: range of a span's weight (equation 7).
    w_answer: weight of the final answer's tokens.
    rescale_to_mean_one: divide every completion's weights by their mean.
    method: prefix or serial, both exact, or gradient, a first-order estimate.
    intervention: pad (the paper's), delete, attention or truncate.
    sink: answer (the paper's) or rest.
    token_budget: most tokens in one forward pass of the measurement.
    select: all (the paper's), or of the spans found only the select_k that are longest or hold
        most arithmetic; the others count as text outside spans.
    every: credit is given in every n-th step, from the first on; in between all weights are 1.
    cache: how many (prompt, completion) pairs keep their drops for later steps, 0 for none.
    proxy: name of the model that measures in the policy's place; it comes loaded, as a `Proxy`.
    spans: arithmetic (the paper's patterns) or code (from its syntax tree); also a function of
        one's own, by its path, as mypackage.spans:find, or, without a study, itself:
        `spans(text, max_spans, answer)`, whose spans are ranges before the answer.
    answer: number (the stated answer), choice (the stated letter), latex or exact (whatever is
        stated), or in code returns (the expression of the entry point's last return) or function
        (all of it); also a function of one's own in the same ways,
        `answer(text)`, which gives the answer's range, or None where none is stated (see
        `credit.own_finders`).
    precision: float32, in which drops are computed whatever the weights are, or policy, as the
        model itself computes.

    Raises ValueError for an unknown name (`CHOICES`), and where
    select_k or every is below 1, or cache below 0; UserError where a path names nothing of its
    kind.
    """

    # A name, or a function of one's own.
    spans: Any = "arithmetic"
    answer: Any = "number"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if name in OWN and self._is_own(name):
                continue
            if getattr(self, name) not in known:
                value = repr(getattr(self, name))
                more = f", or a path as {EXAMPLE}" if name in OWN else ""
                raise ValueError(f"unknown {name} {value}; allowed: {', '.join(known)}{more}")
        for name, least in (("select_k", 1), ("every", 1), ("cache", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)} and must be at least {least}")

    def _is_own(self, name: str) -> bool:
        """Whether that setting is code of one's own, which is then there and of its kind."""
        value = getattr(self, name)
        if not is_own(value):
            return name != "mode" and callable(value)
        get_rule(value) if name == "mode" else finder(value)
        return True

    @property
    def measures_drops(self) -> bool:
        """Whether the mode measures drops."""
        return get_rule(self.mode).measures_drops


def config_of(credit: CreditSettings, mode: str) -> CreditConfig:
    """The configuration of a mode with the settings that a study's modes share."""
    return CreditConfig(**{**vars(part_of(CreditSettings, credit)), "mode": mode})


@dataclass(frozen=True)
class Credit:
    """What one completion's tokens are worth.

    `weights`: float32, shape (length,). `spans` are character ranges of `text`, `tokens` their
    slices of the completion and `drops` their drops (equation 3; nan where none was measured).
    `sink` is the answer in `text`, if one is stated, and `answer` its tokens, if there are spans.
    `noise`: whether there are drops, and none is beyond the rounding of what measured it.
    """

    weights: Tensor
    text: str = ""
    spans: list[Span] = field(default_factory=list)
    tokens: list[slice] = field(default_factory=list)
    answer: slice | None = None
    sink: Span | None = None
    drops: Tensor = field(default_factory=lambda: torch.empty(0))
    noise: bool = False


@dataclass(frozen=True)
class Assignment:
    """The credits of a batch, in its order, and what they took.

    `requests`: what there is to measure of each, None where that is nothing. `passes`: forward
    passes. `hits`: completions whose drops the cache held. `tokens`: positions that the passes
    computed.
    """

    credits: list[Credit]
    requests: list[DropRequest | None]
    passes: int = 0
    hits: int = 0
    tokens: int = 0


class CreditAssigner:
    """Assigns credit to the tokens of completions by one `CreditConfig`.

    `proxy` measures in the policy's place. Raises ValueError where the configuration names one,
    its mode measures, and none is given. `crosschecked` says whether a completion was measured
    twice (see `credit.crosscheck`), which the first one is.
    """

    def __init__(self, tokenizer: Any, config: CreditConfig, proxy: Proxy | None = None):
        if config.proxy and config.measures_drops and proxy is None:
            raise ValueError(f"the proxy {config.proxy!r} is to measure drops, but none is given")
        self.tokenizer = tokenizer
        self.config = config
        self.proxy = proxy if config.measures_drops else None
        self.cache = DropCache(config.cache)
        self.crosschecked = config.method == "serial"

    def settle(self, model: nn.Module, prompt: int, completion: int, group: int = 1) -> None:
        """Choose how to measure before there is anything to measure, and warn of what it costs.

        `prompt` and `completion` are the most tokens of either, `group` is the number of
        completions of one prompt. Raises ValueError where credit cannot be exact with this model.
        """
        config = self.config
        if not config.measures_drops:
            return
        model, tokenizer = self._measuring(model)
        request = longest_request(prompt, completion, config.max_spans)
        plan = make_plan(request, placeholder_id(tokenizer), config.intervention, config.sink)
        with measuring(model, config.precision):
            choose_way(model, [plan] * group, config.method, config.intervention)

    def assign(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        active: Sequence[bool] | None = None,
        generator: torch.Generator | None = None,
        step: int = 0,
        proxy_prompts: Sequence[Sequence[int]] | None = None,
        functions: Sequence[str | None] | None = None,
    ) -> Assignment:
        """Credit for each completion (token ids without padding) after its prompt.

        `active` marks the completions whose advantage is not zero; the others get weight 1, and no
        pass is spent on them. `generator` draws the weights of mode random. `step` counts the
        optimizer steps before this batch. `proxy_prompts`, needed with a proxy, are the prompts in
        its own tokens; ValueError where they are missing. `functions` names the function that each
        prompt asks for, where it asks for code.
        """
        if self.config.mode == "vanilla" or step % self.config.every:
            return Assignment([_uniform(ids) for ids in completions], [None] * len(completions))
        active = [True] * len(completions) if active is None else active
        read = prompts if self.proxy is None else proxy_prompts
        if read is None:
            raise ValueError("a proxy needs proxy_prompts, the prompts in its own tokens")
        located = [
            self.locate(ids, prompt, function) if wanted else (_uniform(ids), None)
            for ids, prompt, wanted, function in zip(
                completions, read, active, functions or [None] * len(read), strict=True
            )
        ]
        requests = [request for _, request in located]
        drops, costs = self._measure(model, prompts, completions, requests)
        weighted = [
            self._weigh(credit, measured, generator)
            for (credit, _), measured in zip(located, drops, strict=True)
        ]
        if self.config.measures_drops:
            dtype = dtype_of(self._measuring(model)[0])
            weighted = [replace(own, noise=self._is_noise(own, dtype)) for own in weighted]
        return Assignment(weighted, requests, **costs)

    def locate(
        self, completion: Sequence[int], prompt: Sequence[int], function: str | None = None
    ) -> tuple[Credit, DropRequest | None]:
        """The completion's spans and answer, weights still 1, and what to measure, if anything.

        `prompt` is in the tokens of whichever model measures; `function` as in `assign`.
        """
        text = completion_text(completion, self.tokenizer)
        spans, answer = self._find(text, function)
        credit = replace(_uniform(completion), text=text, sink=answer)
        if answer is None or not spans:
            return credit, None
        # Spans and answer together, so that no token belongs to two of them.
        own = to_tokens([*spans, answer], completion, self.tokenizer)
        ids, placed = completion, own
        if self.proxy:
            ids, placed = self.proxy.place(credit.text, [*spans, answer])
        # A span needs tokens both where it is measured and where it is weighted.
        *kept, sink = (_size(one) and _size(two) for one, two in zip(own, placed, strict=True))
        chosen = [index for index, keep in enumerate(kept) if keep]
        if not chosen or not sink:
            return credit, None
        located = replace(
            credit,
            spans=[spans[index] for index in chosen],
            tokens=[own[index] for index in chosen],
            answer=own[-1],
        )
        return located, DropRequest(prompt, ids, [placed[index] for index in chosen], placed[-1])

    def _find(self, text: str, function: str | None) -> tuple[list[Span], Span | None]:
        """The spans to measure, and the answer."""
        config = self.config
        answer = find_sink(text, config.answer, function)
        if callable(config.spans) or is_own(config.spans):
            find = finder(config.spans)
            spans = own_spans(find, text, config.max_spans, answer) if answer else []
            return select_spans(text, spans, config.select, config.select_k), answer
        named = {"function": function} if config.spans == "code" else {}
        spans = SPANS[config.spans](text, config.max_spans, answer, **named)
        return select_spans(text, spans, config.select, config.select_k), answer

    def _measure(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        requests: list[DropRequest | None],
    ) -> tuple[list[Tensor], dict[str, int]]:
        """Drops of every request, nan where none is measured, and `Assignment`'s costs."""
        drops = [torch.full((len(r.spans) if r else 0,), torch.nan) for r in requests]
        if not self.config.measures_drops:
            return drops, {}
        missing: list[tuple[int, DropRequest]] = []
        hits = 0
        for index, request in enumerate(requests):
            if request is None:
                continue
            known = self.cache.get(prompts[index], completions[index])
            if known is None:
                missing.append((index, request))
            else:
                drops[index], hits = known, hits + 1
        measured = self._run(model, [request for _, request in missing])
        for (index, _), result in zip(missing, measured.drops, strict=True):
            drops[index] = result
            self.cache.put(prompts[index], completions[index], result)
        return drops, {"passes": measured.passes, "hits": hits, "tokens": measured.tokens}

    def _run(self, model: nn.Module, requests: list[DropRequest]) -> Measurement:
        """Drops by the policy, or by the proxy where there is one."""
        config = self.config
        model, tokenizer = self._measuring(model)
        if requests and not self.crosschecked:
            self._crosscheck(model, requests[0], placeholder_id(tokenizer))
        return measure_drops_batch(
            model,
            requests,
            placeholder_id(tokenizer),
            method=config.method,
            intervention=config.intervention,
            sink=config.sink,
            token_budget=config.token_budget,
            precision=config.precision,
        )

    def _measuring(self, model: nn.Module) -> tuple[nn.Module, Any]:
        """What measures, and its tokenizer: the policy or the proxy in its place."""
        if self.proxy:
            return self.proxy.model, self.proxy.tokenizer
        return model, self.tokenizer

    def _crosscheck(self, model: nn.Module, request: DropRequest, placeholder: int) -> None:
        config = self.config
        plan = make_plan(request, placeholder, config.intervention, config.sink)
        with measuring(model, config.precision):
            way = choose_way(model, [plan], config.method, config.intervention)
            found = crosscheck(model, plan, way, config.method, placeholder, config.token_budget)
        print(f"credit: {found}", flush=True)
        self.crosschecked = True

    def _weigh(self, credit: Credit, drops: Tensor, generator: torch.Generator | None) -> Credit:
        config = self.config
        weights = token_weights(
            drops,
            credit.tokens,
            credit.answer,
            len(credit.weights),
            config.mode,
            config.w_min,
            config.w_max,
            config.w_answer,
            generator,
        )
        if config.rescale_to_mean_one:
            weights = rescale_to_mean_one(weights)
        return replace(credit, weights=weights, drops=drops)

    def _is_noise(self, credit: Credit, dtype: torch.dtype) -> bool:
        """Whether all drops are within rounding, though equation 6 spreads them over the range."""
        answer, drops = credit.answer, credit.drops.tolist()
        if answer is None or not drops:
            return False
        begins = [
            answer.start if self.config.sink == "answer" else span.stop for span in credit.tokens
        ]
        return all(
            abs(drop) <= rounding(dtype, answer.stop - begin)
            for drop, begin in zip(drops, begins, strict=True)
        )


def find_sink(text: str, answer: Any, function: str | None = None) -> Span | None:
    """What `ANSWERS[answer]` finds in a text; `function` is the one that code is to define.

    `answer` may also be a function of one's own, or its path.
    """
    if callable(answer) or is_own(answer):
        return own_answer(finder(answer), text)
    find = ANSWERS[answer]
    return find(text, function=function) if answer in CODE_ANSWERS else find(text)


def _uniform(completion: Sequence[int]) -> Credit:
    return Credit(torch.ones(len(completion)))


def _size(where: slice) -> int:
    return where.stop - where.start
