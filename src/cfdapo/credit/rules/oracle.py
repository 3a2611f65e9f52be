"""What is known of made problems: right lines have the praise, the first wrong one the blame."""

from typing import Any

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, with_group_mass
from cfdapo.credit.steps import Step, find_steps, spread
from cfdapo.problems.arithmetic import judge_lines


class Rule(CreditRule):
    """Right calculations have the advantage of the group's best, the first wrong line the worst's.

    Lines behind it and lines that decide nothing have 0, right ones before it the praise. For made
    arithmetic problems only, whose own solutions say which results are right. Every group's sum of
    |A| is DAPO's.
    """

    keeps = "group"
    columns = ("question", "sentences")

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        advantages: list[Any] = [None] * len(rollout.completions)
        for members in rollout.members():
            own = rollout.advantages[members]
            praise, blame = float(own.max()), float(own.min())
            for i in members:
                steps = find_steps(rollout.texts[i], rollout.completions[i], self.tokenizer)
                values = self._values(rollout, i, steps, praise, blame)
                advantages[i] = spread(steps, values, len(rollout.completions[i]))
        return TokenAdvantages(with_group_mass(rollout, advantages))

    def _values(
        self, rollout: Rollout, index: int, steps: list[Step], praise: float, blame: float
    ) -> list[float]:
        lines = [rollout.texts[index][step.start : step.end] for step in steps]
        verdicts = judge_lines(rollout.rows[index], lines)
        return [0.0 if verdict is None else praise if verdict else blame for verdict in verdicts]
