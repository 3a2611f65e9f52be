"""What a completion has worked out after each of its steps, so that siblings can be compared."""

import re
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cfdapo.credit.expressions import Side, find_equations
from cfdapo.credit.program_shape import program_shape
from cfdapo.credit.steps import Step, find_steps
from cfdapo.problems.answers import extract_answer
from cfdapo.problems.clauses import whole_value
from cfdapo.problems.code_blocks import parse_code, source_of
from cfdapo.problems.code_places import find_code
from cfdapo.problems.numerals import fold

if TYPE_CHECKING:
    from cfdapo.credit.rule import Rollout

# The state before the first step, which all completions share.
START: Hashable = ("start",)
# What sets a number apart beside an equals sign: \boxed{7}, \mathbf{7}.
_EQUALS = r"(?:[=＝≈≅]|\\(?:approx|equiv|simeq)(?![A-Za-z])|\b(?:is|equals|to)\b)[\s$*_]*+"
_DRESS = re.compile(
    rf"(?P<before>{_EQUALS})?+"
    r"(?P<command>\\(?:boxed|fbox|underline|(?:text|math)(?:bf|rm|it)?|bm|boldsymbol)\s?+\{)"
    r"(?P<content>(?:[^{}\n]|\{[^{}\n]*\}){0,80}+)\}"
    rf"(?P<after>[\s$*_]*+(?=[=＝≈≅]))?+"
)


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

    A calculation is an equation that `credit.expressions` finds. Its result is the last of its
    sides that is a number alone, be it with a unit: the 7 of "3 + 4 = 7 apples", of "7 = 3 + 4" and
    of "3 + 4 = 7 = 14 / 2". A fraction counts as a number where no side is a plain one, and where
    none is a number alone ("x = 3 + 4") the equation has no result: operands are not guessed at.
    Results are spelled as the grader spells answers, so that 0.5 and 1/2 are one. What is said in
    words alone is not seen. `function` is for programs only.
    """
    text = _DRESS.sub(_undressed, text)
    results = deque((sides[-1].end, _result(text, sides)) for sides in find_equations(text))
    states: list[Hashable] = []
    known: frozenset[str] = frozenset()
    for step in steps:
        while results and results[0][0] <= step.end:
            _, value = results.popleft()
            # Steps that work nothing out share one set.
            known = known if value is None or value in known else known | {value}
        states.append(known)
    return states


def program_states(text: str, steps: Sequence[Step], function: str | None = None) -> list[Hashable]:
    """The program up to the end of each step, whatever its own names are, (steps,).

    The program is what is graded: the code that defines `function`. Names that it does not bind
    itself, as those of builtins, are part of it (`credit.program_shape`).

    Equal states are programs of the same statements, so that equal values which were computed in
    different ways count as different states. A step at which the code so far does not parse (it
    ends in the head of a loop, say) has the state of the step before it, or () at the beginning.
    """
    lines = find_code(text, function).lines
    states: list[Hashable] = []
    for step in steps:
        so_far = [line for line in lines if line[0] < step.end]
        tree = parse_code(source_of(text, so_far)) if so_far else None
        shape = program_shape(tree, function) if tree is not None else None
        states.append(shape if shape is not None else states[-1] if states else ())
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


def _undressed(found: re.Match[str]) -> str:
    """A number beside an equals sign without its dress, in as many characters."""
    sign = found["before"] is not None or found["after"] is not None
    if not sign or not any(character.isdigit() for character in found["content"]):
        return found[0]
    space = " " * len(found["command"])
    return f"{found['before'] or ''}{space}{found['content']} {found['after'] or ''}"


def _result(text: str, sides: Sequence[Side]) -> str | None:
    """The value of the last side that is a number alone, if one is."""
    spelled = [text[side.start : side.end] for side in sides]
    plain = [
        one
        for one, side in zip(spelled, sides, strict=True)
        if not side.computes and any(character.isnumeric() for character in one)
    ]
    if plain:
        return extract_answer(plain[-1])
    values = (number for number in reversed(range(len(sides))) if _is_value(number, spelled))
    last = next(values, None)
    return None if last is None else extract_answer(spelled[last])


def _is_value(number: int, sides: Sequence[str]) -> bool:
    """Whether a side with an operation is a number all the same: a fraction, or 10m.

    Not the 5t of "d = 5t", where no other side says what it is the value of.
    """
    side = sides[number]
    value = whole_value(fold(side))
    if value is None or value.value is None or "²" in side or "³" in side:
        return False
    others = "".join([*sides[:number], *sides[number + 1 :]])
    return not re.search(r"[0-9][A-Za-z]", side) or any(map(str.isnumeric, others))
