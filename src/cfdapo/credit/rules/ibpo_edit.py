"""Credit where a completion differs from its nearest sibling of the other outcome.

A reading of IBPO (arXiv 2605.16302) of our own: the alternative decision is the one that the most
similar sibling with the other outcome made. Nothing is sampled or measured.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cfdapo.credit.edits import distance, unchanged
from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, weighted


class Rule(CreditRule):
    """w_t is 1 off the alignment with that sibling and `same` on it, scaled to the mean 1.

    "Nearest" is by Levenshtein distance of tokens, among siblings with a reward on the other side
    of the group's mean; the first of several. A completion equal to all of it, or without such a
    sibling, has weight 1 everywhere.
    """

    keeps = "completion"

    @dataclass(frozen=True)
    class Options:
        """same: kappa, the weight of tokens that both have."""

        same: float = 0.1

        def __post_init__(self) -> None:
            if not 0 <= self.same <= 1:
                raise ValueError("options of ibpo_edit: same is from 0 to 1")

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        weights = [torch.ones(len(ids)) for ids in rollout.completions]
        for members in rollout.members():
            signs = [float(rollout.advantages[i]) for i in members]
            for i, sign in zip(members, signs, strict=True):
                others = [j for j, s in zip(members, signs, strict=True) if s * sign < 0]
                if others:
                    weights[i] = self._weights(rollout.completions, i, others)
        return weighted(rollout, weights)

    def _weights(self, completions: list[list[int]], own: int, others: list[int]) -> Tensor:
        nearest = min(others, key=lambda j: distance(completions[own], completions[j]))
        kept = torch.tensor(unchanged(completions[own], completions[nearest]))
        weights = torch.where(kept, self.options.same, 1.0)
        total = weights.sum()
        return weights * (len(weights) / total) if total > 0 else torch.ones(len(weights))
