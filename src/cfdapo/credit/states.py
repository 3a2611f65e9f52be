"""What a completion has worked out after each of its steps, so that siblings can be compared."""

import ast
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cfdapo.credit.expressions import find_expressions
from cfdapo.credit.steps import Step, find_steps
from cfdapo.problems.answers import extract_answer
from cfdapo.problems.code_blocks import parse_code, source_of
from cfdapo.problems.code_places import find_code

if TYPE_CHECKING:
    from cfdapo.credit.rule import Rollout

# The state before the first step, which all completions share.
START: Hashable = ("start",)
# As `credit.expressions` has it.
_EQUALS = re.compile(r"[=＝≈≅]|\\(?:approx|equiv|simeq)(?![A-Za-z])|\bis\b|\bequals\b")


def steps_and_states(
    rollout: "Rollout", tokenizer: Any, of_code: bool
) -> tuple[list[list[Step]], list[list[Hashable]]]:
    """The steps of each completion of a batch, and its states: `START`, then one behind each step.

    `of_code` takes the states of programs (`program_states`), else those of calculations.
    """
    find = program_states if of_code else calculation_states
    steps = [
        find_steps(text, ids, tokenizer)
        for text, ids in zip(rollout.texts, rollout.completions, strict=True)
    ]
    states = [
        [START, *find(text, found, row.get("function"))]
        for text, found, row in zip(rollout.texts, steps, rollout.rows, strict=True)
    ]
    return steps, states


def calculation_states(
    text: str, steps: Sequence[Step], function: str | None = None
) -> list[Hashable]:
    """The set of results of all calculations up to the end of each step, (steps,).

    A calculation is an expression that `credit.expressions` finds with an equals sign; its result
    is the last number behind the last one, spelled as the grader spells answers, so that 0.5 and
    1/2 are one. What is said in words alone is not seen.
    `function` is for programs only.
    """
    results = [(end, _result(text[start:end])) for start, end, _ in find_expressions(text)]
    return [
        frozenset(value for end, value in results if end <= step.end and value is not None)
        for step in steps
    ]


def program_states(text: str, steps: Sequence[Step], function: str | None = None) -> list[Hashable]:
    """The program up to the end of each step, whatever its variables are called, (steps,).

    The program is what is graded: the code that defines `function`.

    Equal states are programs of the same statements, so that equal values which were computed in
    different ways count as different states. A step at which the code so far does not parse (it
    ends in the head of a loop, say) has the state of the step before it, or () at the beginning.
    """
    lines = find_code(text, function).lines
    states: list[Hashable] = []
    for step in steps:
        so_far = [line for line in lines if line[0] < step.end]
        tree = parse_code(source_of(text, so_far)) if so_far else None
        states.append(_shape(tree) if tree is not None else states[-1] if states else ())
    return states


class Siblings:
    """One group's states, by completion, in their order, and its rewards.

    `shrink` pulls values towards the siblings' mean reward as that many more visits would.
    """

    def __init__(
        self,
        states: Mapping[int, Sequence[Hashable]],
        rewards: Sequence[float],
        shrink: float = 0.0,
    ):
        self.states, self.rewards, self.shrink = states, rewards, shrink

    def value(self, completion: int, number: int) -> float | None:
        """V of the completion's state `number`, the mean reward of the siblings that pass it.

        None where none does.
        """
        state = self.states[completion][number]
        passed = [self.rewards[i] for i in self._others(completion) if state in self.states[i]]
        if not passed:
            return None
        mean = self.mean(completion)
        return (sum(passed) + self.shrink * mean) / (len(passed) + self.shrink)

    def mean(self, completion: int) -> float:
        """Mean reward of the completion's siblings."""
        others = self._others(completion)
        return sum(self.rewards[i] for i in others) / len(others)

    def _others(self, completion: int) -> list[int]:
        return [i for i in self.states if i != completion]


def _result(expression: str) -> str | None:
    *_, last = _EQUALS.split(expression)
    return extract_answer(last) if last != expression else None


class _Numbered(ast.NodeTransformer):
    """Calls names in the order in which they come up."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def _number(self, name: str) -> str:
        return self.names.setdefault(name, f"v{len(self.names)}")

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._number(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._number(node.arg)
        return node


def _shape(tree: ast.AST) -> str:
    return ast.dump(_Numbered().visit(tree))
