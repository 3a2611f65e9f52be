"""What a step was worth by the siblings that passed the same state; nothing is sampled or measured.

A reading of IBPO (arXiv 2605.16302), whose own estimator is not known to us: trajectories of one
prompt are compared, and where they differ stands for the decision that was made. GiGPO (arXiv
2505.10978) groups the states of agents in this way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, with_group_mass
from cfdapo.credit.states import Siblings, steps_and_states
from cfdapo.credit.steps import Step, spread

FORMS = ("return", "difference")


class Rule(CreditRule):
    """The value V of a state is the mean reward of the *other* completions that pass it.

    The state after a step is what the completion has worked out so far (`credit.states`; of
    programs where `config.spans` is "code"); the start is shared by all. Form "return": a step has
    R_i - V(the state before it), and 0 where no sibling shares that state. Form "difference": it
    has V(after) - V(before); a state that no sibling shares has the value of the one before it,
    and the last one R_i, so that a completion's steps add up to R_i minus its siblings' mean.
    `shrink` pulls V towards the siblings' mean as that many more visits would. Every group's sum
    of |A| is DAPO's.
    """

    keeps = "group"
    reads_rewards = True

    @dataclass(frozen=True)
    class Options:
        """form: return or difference. shrink: visits that the siblings' mean counts for."""

        form: str = "return"
        shrink: float = 0.0

        def __post_init__(self) -> None:
            if self.form not in FORMS:
                raise ValueError(
                    f"options of sibling_value: form is {self.form!r}; allowed: {', '.join(FORMS)}"
                )
            if self.shrink < 0:
                raise ValueError("options of sibling_value: shrink is at least 0")

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        steps, states = steps_and_states(rollout, self.tokenizer, self.config.spans == "code")
        rewards = rollout.rewards.tolist()
        values = [[0.0] * len(found) for found in steps]
        for members in rollout.members():
            siblings = Siblings({i: states[i] for i in members}, rewards, self.options.shrink)
            for i in members:
                values[i] = self._step_values(siblings, i, len(steps[i]))
        advantages = [_spread(*one) for one in zip(steps, values, rollout.completions, strict=True)]
        return TokenAdvantages(with_group_mass(rollout, advantages))

    def _step_values(self, siblings: Siblings, completion: int, steps: int) -> list[float]:
        visited = [siblings.value(completion, number) for number in range(steps)]
        reward = siblings.rewards[completion]
        if self.options.form == "return":
            return [0.0 if value is None else reward - value for value in visited]
        known, last = [], 0.0
        for value in visited:
            last = last if value is None else value
            known.append(last)
        return [after - before for before, after in pairwise([*known, reward])]


def _spread(steps: Sequence[Step], values: Sequence[float], completion: Sequence[int]) -> Tensor:
    return spread(steps, values, len(completion))
