"""OAR's family of rules (arXiv 2601.07408): weights by how much the stated answer hangs on a token.

Its authors' published code was read for the facts below, and none of it is used.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cfdapo.credit.alignment import to_tokens
from cfdapo.credit.assigner import find_sink
from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, TokenIds, weighted
from cfdapo.credit.scoring import Scorer, measuring


class Reshaping(CreditRule):
    """Tokens before the answer weigh by their sensitivity s_t; those of the answer and behind 1.

    r is log(1 + s), scaled to [0, 1] within the completion, and tau its `quantile`. Below tau the
    weight is max(r / tau, `floor`), from tau on 1 + `beta` (r - tau) / (1 - tau); then, with
    `keep_sum`, all are scaled to the mean 1. A completion that states no answer has weight 1. Right
    and wrong answers are treated alike. Nothing is measured in groups whose rewards agree.
    """

    keeps = "completion"

    @dataclass(frozen=True)
    class Options:
        """quantile, floor, beta, keep_sum: see the rule; the value of beta is our choice."""

        quantile: float = 0.25
        floor: float = 0.1
        beta: float = 1.0
        keep_sum: bool = True

        def __post_init__(self) -> None:
            if not (0 <= self.quantile < 1 and 0 <= self.floor <= 1 and self.beta >= 0):
                raise ValueError(
                    "options of oar_*: quantile is from 0 and below 1, floor from 0 to 1, beta "
                    "at least 0"
                )

    @abstractmethod
    def sensitivities(
        self, scorer: Scorer, prompt: TokenIds, ids: TokenIds, answer: slice
    ) -> Tensor:
        """s of every token before the answer, at least 0, float32 on the CPU, (answer.start,)."""

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        scorer = Scorer(rollout.policy)
        weights = [torch.ones(len(ids)) for ids in rollout.completions]
        without = 0
        with measuring(rollout.policy, self.config.precision):
            for index, taught in enumerate(rollout.active()):
                answer = self._answer(rollout, index) if taught else None
                without += taught and answer is None
                if answer is None or not answer.start:
                    continue
                found = self.sensitivities(
                    scorer, rollout.prompts[index], rollout.completions[index], answer
                )
                weights[index][: answer.start] = reshaped(found, self.options)
        costs = {"passes": scorer.passes, "tokens": scorer.tokens}
        read = sum(rollout.active())
        return weighted(rollout, weights, read=read, without_answer=without, **costs)

    def _answer(self, rollout: Rollout, index: int) -> slice | None:
        """The tokens of the answer that the completion states, if any."""
        function = rollout.rows[index].get("function")
        stated = find_sink(rollout.texts[index], self.config.answer, function)
        if stated is None:
            return None
        (tokens,) = to_tokens([stated], rollout.completions[index], self.tokenizer)
        return tokens if tokens.stop > tokens.start else None


def reshaped(sensitivities: Tensor, options: Reshaping.Options) -> Tensor:
    """Weights by `Reshaping`'s formula, float32, of one completion's sensitivities, (tokens,)."""
    logs = torch.log1p(sensitivities.double())
    low, high = logs.min(), logs.max()
    share = (logs - low) / (high - low) if high > low else torch.zeros_like(logs)
    tau = torch.quantile(share, options.quantile)
    falling = (share / tau).clamp(min=options.floor) if tau > 0 else share
    rising = 1 + options.beta * (share - tau) / (1 - tau) if tau < 1 else torch.ones_like(share)
    weights = torch.where(share < tau, falling, rising)
    if options.keep_sum:
        weights = weights * (len(weights) / weights.sum())
    return weights.float()


def answers_inputs(
    scorer: Scorer, prompt: Sequence[int], ids: Sequence[int], answer: slice
) -> tuple[Tensor, Tensor, Tensor]:
    """What is read to predict the answer, (1, N), where it is predicted and what, (answer,)."""
    read = torch.tensor([[*prompt, *ids[: answer.stop]]], device=scorer.device)
    keep = torch.arange(len(prompt) + answer.start - 1, read.shape[1] - 1, device=scorer.device)
    return read[:, :-1], keep, read[0, keep + 1]
