"""What a step was worth by a regression on earlier batches; nothing is sampled or measured.

The same decisions come back in other problems, and how those ended who took them says what they are
worth. That is return decomposition (RUDDER, arXiv 1806.07857; RRD, arXiv 2111.13485) with a linear
model of what steps say. A rule of our own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, with_group_mass
from cfdapo.credit.step_words import pair_features
from cfdapo.credit.steps import find_steps, spread


class Rule(CreditRule):
    """A step has g = w . (f - the group's mean f), plus `trace` times what the outcome adds to it.

    f are a step's pairs of words (`credit.step_words`). w is the ridge regression of R_i less its
    group's mean on the sum of the steps' f less its group's mean, over the last `memory`
    completions of *earlier* batches whose groups did not agree: a completion's outcome is not in
    the w that it is credited by. So V after a step is the sum of g so far, and g is the difference
    of V. What the outcome adds is R_i less its group's mean and all of the completion's g; with
    `trace` 1 a step has the outcome less what the *other* steps are known for, with 0 only what is
    known counts. A group of whose steps nothing is known has DAPO's advantages. `ridge` is in units
    of the mean square of the summed features. Every group's sum of |A| is DAPO's.
    """

    keeps = "group"
    learns = True

    @dataclass(frozen=True)
    class Options:
        """memory: completions. ridge: strength. trace: share of the rest. size: of the features."""

        memory: int = 1024
        ridge: float = 1.0
        trace: float = 0.5
        size: int = 1024

        def __post_init__(self) -> None:
            if self.memory < 1 or self.size < 1:
                raise ValueError("options of learned_value: memory and size are at least 1")
            if not (self.ridge > 0 and 0 <= self.trace <= 1):
                raise ValueError("options of learned_value: ridge is above 0, trace from 0 to 1")

    _sums: Tensor
    _outcomes: Tensor

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.load_state({})

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
            lines = [
                [rollout.texts[i][one.start : one.end] for one in found]
                for i, found in zip(members, steps, strict=True)
            ]
            features = [pair_features(own, self.options.size) for own in lines]
            outcomes = rollout.rewards[members] - rollout.rewards[members].mean()
            values = credited(features, outcomes, weights, self.options.trace)
            for i, found, own in zip(members, steps, values, strict=True):
                advantages[i] = spread(found, own.tolist(), len(rollout.completions[i]))
            self._remember(features, outcomes)
        return TokenAdvantages(with_group_mass(rollout, advantages))

    def _remember(self, features: list[Tensor], outcomes: Tensor) -> None:
        sums = torch.stack([own.sum(0) for own in features])
        kept = self.options.memory
        self._sums = torch.cat([self._sums, sums - sums.mean(0)])[-kept:]
        self._outcomes = torch.cat([self._outcomes, outcomes])[-kept:]

    def state(self) -> dict[str, Tensor]:
        """The completions that are remembered: `sums`, (N, size), and `outcomes`, (N,)."""
        return {"sums": self._sums, "outcomes": self._outcomes} if len(self._sums) else {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Remember those of `state` and nothing else."""
        self._sums = state.get("sums", torch.zeros(0, self.options.size))
        self._outcomes = state.get("outcomes", torch.zeros(0))


def fit(sums: Tensor, outcomes: Tensor, ridge: float) -> Tensor:
    """Ridge regression of `outcomes`, (N,), on `sums`, (N, size): weights, float32, (size,).

    w = X' (X X' + ridge m 1)^-1 y, with m the mean of X X' on its diagonal, in float64. 0 where
    there is nothing to learn from.
    """
    if not sums.any():
        return torch.zeros(sums.shape[1])
    products = sums.double() @ sums.double().T
    products.diagonal().add_(ridge * products.diagonal().mean())
    return (torch.linalg.solve(products, outcomes.double()) @ sums.double()).float()


def credited(
    features: list[Tensor], outcomes: Tensor, weights: Tensor, trace: float
) -> list[Tensor]:
    """The value of each step of a group's completions, before scaling, (steps,) each.

    `features` are (steps, size) a completion, `outcomes` their rewards less the group's mean.
    """
    usual = torch.cat(features).mean(0)
    gains = [(own - usual) @ weights for own in features]
    share = trace if any(gain.any() for gain in gains) else 1.0
    return [
        gain + share * (outcome - gain.sum()) for gain, outcome in zip(gains, outcomes, strict=True)
    ]
