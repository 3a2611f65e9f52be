"""The records of the truth, `credit/{model}.steps.jsonl` and its rules: schema and reader.

They are of completions that were sampled from the policy, in groups that hold right and wrong ones:
others teach nothing under any rule. The value of a place in a completion is the chance of a right
answer from there on, by K continuations of the policy; behind the last step it is the reward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfdapo import integrity
from cfdapo.files import UserError

# A row a step, which is a line of the completion, in the order of completions and of their lines.
STEP_COLUMNS = {
    "completion": "id of the completion, as in credit/{model}.completions.jsonl",
    "problem": "id of the problem",
    "step": "number of the step in its completion, from 0",
    "token_start": "first token",
    "token_end": "token behind the last",
    "correct": "whether the completion's answer is right",
    "first_wrong": "whether it is the first wrong line of its completion; null where nobody knows",
    "value_before": "value before the step",
    "value_after": "value after it",
    "advantage": "value after less value before, the truth that rules are held against",
    "error": "standard error of the advantage",
    "halves": "the advantage by the first and by the second half of the continuations",
    "rules": "rule -> {sum, mean, mass}: of its token advantages on the step, mass that of |A|",
}

# A row a (group, rule). Cost is that of the group's batch, over the batch's groups.
RULE_COLUMNS = {
    "group": "number of the problem in the measurement",
    "problem": "id of the problem",
    "completions": "completions of the group",
    "right": "how many of them are right",
    "rule": "name of the rule",
    "mass": "sum of |A| over the tokens of both groups",
    "variance": "|g - h|^2 / 2 of the policy gradients g and h of two groups of this problem",
    "signal": "g . h",
    "square": "|h|^2",
    "ascent": "h . t, t being g by the true advantages; null where the first group has no truth",
    "passes": "forward passes",
    "generations": "continuations that the rule sampled",
    "seconds": "what the rule took",
}


@dataclass(frozen=True)
class Truth:
    """One model's steps and rules, rows of `STEP_COLUMNS` and `RULE_COLUMNS`, and K."""

    steps: Sequence[Mapping[str, Any]]
    rules: Sequence[Mapping[str, Any]]
    continuations: int

    @property
    def names(self) -> list[str]:
        """The rules, in the order in which they were measured."""
        return list(dict.fromkeys(row["rule"] for row in self.rules))


def read_truth(folder: Path, model: str) -> Truth:
    """The finished records of one model in a study's folder `credit`.

    Raises:
        UserError: they were not measured, or are not whole; see `integrity.read_truth`.
    """
    steps, rules = (folder / f"{model}.{name}.jsonl" for name in ("steps", "rules"))
    if not steps.is_file():
        raise UserError(
            f"{steps}: missing; the truth is measured where the study sets measurement.truth"
        )
    rows, of_rules, settings = integrity.read_truth(steps, rules, STEP_COLUMNS, RULE_COLUMNS)
    return Truth(rows, of_rules, settings["measurement"]["truth"]["continuations"])
