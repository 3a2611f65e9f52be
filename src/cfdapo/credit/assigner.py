"""The whole chain for a batch of completions: text, spans, tokens, drops, weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cfdapo.credit.alignment import completion_text, to_tokens
from cfdapo.credit.importance import TOKEN_BUDGET, DropRequest, measure_drops_batch, placeholder_id
from cfdapo.credit.spans import Span, find_answer, find_spans
from cfdapo.credit.weights import rescale_to_mean_one, token_weights


@dataclass(frozen=True)
class CreditConfig:
    """How a completion's tokens are weighted.

    mode: counterfactual, vanilla, random or inverted (Section 3.4).
    max_spans: most spans a completion, K_max.
    w_min, w_max: range of a span's weight (equation 7).
    w_answer: weight of the final answer's tokens.
    rescale_to_mean_one: divide every completion's weights by their mean.
    method: prefix or serial, both exact, or gradient, a first-order estimate.
    intervention: pad (the paper's), delete, attention or truncate.
    sink: answer (the paper's) or rest.
    token_budget: most tokens in one forward pass of the measurement.
    """

    mode: str = "counterfactual"
    max_spans: int = 10
    w_min: float = 0.5
    w_max: float = 4.0
    w_answer: float = 1.5
    rescale_to_mean_one: bool = False
    method: str = "prefix"
    intervention: str = "pad"
    sink: str = "answer"
    token_budget: int = TOKEN_BUDGET

    @property
    def measures_drops(self) -> bool:
        """Whether the mode needs forward passes."""
        return self.mode in ("counterfactual", "inverted")


@dataclass(frozen=True)
class Credit:
    """What one completion's tokens are worth.

    `weights`: float32, shape (length,). `spans` are character ranges of `text`, `tokens` their
    slices of the completion and `drops` their drops (equation 3; nan where none was measured).
    """

    weights: Tensor
    text: str = ""
    spans: list[Span] = field(default_factory=list)
    tokens: list[slice] = field(default_factory=list)
    answer: slice | None = None
    drops: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True)
class Assignment:
    """The credits of a batch, in its order, and the forward passes they took."""

    credits: list[Credit]
    passes: int = 0


class CreditAssigner:
    """Assigns credit to the tokens of completions by one `CreditConfig`."""

    def __init__(self, tokenizer: Any, config: CreditConfig):
        self.tokenizer = tokenizer
        self.config = config

    def assign(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        active: Sequence[bool] | None = None,
        generator: torch.Generator | None = None,
    ) -> Assignment:
        """Credit for each completion (token ids without padding) after its prompt.

        `active` marks the completions whose advantage is not zero; the others get weight 1, and no
        pass is spent on them. `generator` draws the weights of mode random.
        """
        config = self.config
        if active is None:
            active = [True] * len(completions)
        if config.mode == "vanilla":
            return Assignment([Credit(torch.ones(len(ids))) for ids in completions])
        located = [
            self._locate(ids) if wanted else Credit(torch.ones(len(ids)))
            for ids, wanted in zip(completions, active, strict=True)
        ]
        drops, passes = self._measure(model, prompts, completions, located)
        weighted = [
            self._weigh(credit, measured, generator)
            for credit, measured in zip(located, drops, strict=True)
        ]
        return Assignment(weighted, passes)

    def _locate(self, completion: Sequence[int]) -> Credit:
        """The completion's spans and answer, in characters and in tokens; weights still 1."""
        credit = Credit(torch.ones(len(completion)), completion_text(completion, self.tokenizer))
        answer = find_answer(credit.text)
        spans = find_spans(credit.text, self.config.max_spans)
        if answer is None or not spans:
            return credit
        # Spans and answer together, so that no token belongs to two of them.
        *tokens, answer_tokens = to_tokens([*spans, answer], completion, self.tokenizer)
        kept = [(span, where) for span, where in zip(spans, tokens, strict=True) if _size(where)]
        if not kept or not _size(answer_tokens):
            return credit
        return Credit(
            credit.weights,
            credit.text,
            [span for span, _ in kept],
            [where for _, where in kept],
            answer_tokens,
        )

    def _measure(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        located: list[Credit],
    ) -> tuple[list[Tensor], int]:
        unknown = [torch.full((len(credit.tokens),), torch.nan) for credit in located]
        chosen = [index for index, credit in enumerate(located) if credit.tokens]
        if not self.config.measures_drops or not chosen:
            return unknown, 0
        requests = [
            DropRequest(
                prompts[index], completions[index], located[index].tokens, located[index].answer
            )
            for index in chosen
        ]
        measured = measure_drops_batch(
            model,
            requests,
            placeholder_id(self.tokenizer),
            method=self.config.method,
            intervention=self.config.intervention,
            sink=self.config.sink,
            token_budget=self.config.token_budget,
        )
        for index, drops in zip(chosen, measured.drops, strict=True):
            unknown[index] = drops
        return unknown, measured.passes

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
        return Credit(weights, credit.text, credit.spans, credit.tokens, credit.answer, drops)


def _size(where: slice) -> int:
    return where.stop - where.start
