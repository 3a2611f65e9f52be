"""What each step was worth, by continuing from its end many times (VinePPO, arXiv 2410.01679)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, with_group_mass
from cfdapo.credit.step_values import StepValues
from cfdapo.credit.steps import find_steps, spread


class Rule(CreditRule):
    """A step's advantage is V(after it) - V(before it), by `continuations` samples of the policy.

    Before its first step a completion is worth its group's mean reward, after its last one its own
    reward, so a completion's steps add up to R_i minus that mean. Equal prefixes are continued
    once. Unless `raw`, every group's sum of |A| is DAPO's. `budget` bounds the continuations of a
    batch: fewer are drawn from each prefix, at least one. Nothing is sampled in groups whose
    rewards agree, and their advantages are 0.
    """

    keeps = "group"
    generates = True
    reads_rewards = True

    @dataclass(frozen=True)
    class Options:
        """continuations: K, of each prefix. budget: most of a batch. raw: in units of reward."""

        continuations: int = 8
        budget: int = 100_000
        raw: bool = False

        def __post_init__(self) -> None:
            if self.continuations < 1 or self.budget < 1:
                raise ValueError("options of monte_carlo: continuations and budget are at least 1")

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        active = rollout.active()
        steps = [
            find_steps(text, ids, self.tokenizer) if taught else []
            for text, ids, taught in zip(rollout.texts, rollout.completions, active, strict=True)
        ]
        values = StepValues(
            rollout, steps, self.tokenizer, self.options.continuations, self.options.budget
        )
        advantages = [
            spread(found, _differences(values.of(index)), len(rollout.completions[index]))
            for index, found in enumerate(steps)
        ]
        return TokenAdvantages(
            advantages if self.options.raw else with_group_mass(rollout, advantages),
            generations=values.generations,
        )


def _differences(values: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(values)]
