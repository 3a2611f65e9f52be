"""What a step was worth by a regression on earlier batches; nothing is sampled or measured.

A value of states is learned over the steps of training: the same decisions come back in other
problems, and who failed with them then says what they are worth now. That is return decomposition
(RUDDER, arXiv 1806.07857; RRD, arXiv 2111.13485) with a linear model. A reading of our own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, with_group_mass
from cfdapo.credit.step_words import pair_features
from cfdapo.credit.steps import find_steps, spread


class Rule(CreditRule):
    """A step has w . (f - the group's mean f) plus `trace` times what the outcome says beyond that.

    f are a step's pairs of words (`credit.step_words`), w is the ridge regression of R_i less its
    group's mean on the sum of the steps' f less its group's mean, over the last `memory`
    completions of *earlier* batches whose groups did not agree. So V after a step is w . (the f
    so far), and a completion's own outcome is not in the V that it is credited by. With `trace` 1
    a completion's outcome goes to each step less what its other steps are known for, with 0 only
    what has been learned counts. Before anything is learned it is DAPO. `ridge` is in units of the
    mean square of the features' sums. Every group's sum of |A| is DAPO's.
    """

    keeps = "group"

    @dataclass(frozen=True)
    class Options:
        """memory: completions. ridge: strength. trace: share of the rest. size: of the features."""

        memory: int = 1024
        ridge: float = 1.0
        trace: float = 0.0
        size: int = 1024

        def __post_init__(self) -> None:
            if self.memory < 1 or self.size < 1:
                raise ValueError("options of learned_value: memory and size are at least 1")
            if not (self.ridge > 0 and 0 <= self.trace <= 1):
                raise ValueError(
                    "options of learned_value: ridge is above 0 and trace from 0 to 1"
                )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._sums, self._outcomes = torch.zeros(0, self.options.size), torch.zeros(0)

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        weights = fit(self._sums, self._outcomes, self.options.ridge)
        advantages = [torch.zeros(len(ids)) for ids in rollout.completions]
        active = rollout.active()
        for members in rollout.members():
            if not active[members[0]]:
                continue
            steps = [
                find_steps(rollout.texts[i], rollout.completions[i], self.tokenizer)
                for i in members
            ]
            features = [
                pair_features([rollout.texts[i][one.start : one.end] for one in found], self.size)
                for i, found in zip(members, steps, strict=True)
            ]
            outcomes = rollout.rewards[members] - rollout.rewards[members].mean()
            values = self._values(features, outcomes, weights)
            for i, found, own in zip(members, steps, values, strict=True):
                advantages[i] = spread(found, own.tolist(), len(rollout.completions[i]))
            self._remember(features, outcomes)
        return TokenAdvantages(with_group_mass(rollout, advantages))

    @property
    def size(self) -> int:
        return self.options.size

    def _values(
        self, features: list[Tensor], outcomes: Tensor, weights: Tensor
    ) -> list[Tensor]:
        """The advantage of each step of a group's completions, before scaling."""
        usual = torch.cat(features).mean(0)
        gains = [(own - usual) @ weights for own in features]
        # Where nothing is known the outcome is all there is.
        trace = self.options.trace if any(gain.any() for gain in gains) else 1.0
        return [
            gain + trace * (outcome - gain.sum())
            for gain, outcome in zip(gains, outcomes, strict=True)
        ]

    def _remember(self, features: list[Tensor], outcomes: Tensor) -> None:
        sums = torch.stack([own.sum(0) for own in features])
        kept = self.options.memory
        self._sums = torch.cat([self._sums, sums - sums.mean(0)])[-kept:]
        self._outcomes = torch.cat([self._outcomes, outcomes])[-kept:]

    def state(self) -> dict[str, Tensor]:
        """The completions that are remembered: `sums`, (N, size), and `outcomes`, (N,)."""
        return {"sums": self._sums, "outcomes": self._outcomes} if len(self._sums) else {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        if state:
            self._sums, self._outcomes = state["sums"], state["outcomes"]


def fit(sums: Tensor, outcomes: Tensor, ridge: float) -> Tensor:
    """Ridge regression of `outcomes`, (N,), on `sums`, (N, size): weights, float32, (size,).

    w = X' (X X' + ridge m 1)^-1 y, with m the mean of X X' on its diagonal, in float64. 0 where
    there is nothing to learn from.
    """
    products = sums.double() @ sums.double().T
    scale = products.diagonal().mean() if len(sums) else 0.0
    if scale == 0:
        return torch.zeros(sums.shape[1])
    products.diagonal().add_(ridge * scale)
    return (torch.linalg.solve(products, outcomes.double()) @ sums.double()).float()
