"""Made programming problems: one function each, told step by step, on two numbers or on a list.

A problem may define a value t that nothing uses, and a step whose condition never holds. A solution
may write these down, as a dead assignment and an unused branch, and passes all the same. In other
problems t is used, so its line alone does not say what it is for. Which lines of a program its
result depends on is `slicing.label_program`'s to say.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cfdapo.problems.code_tests import CodeTests
from cfdapo.problems.made import numbered, stream

FUNCTION = "f"
_CALLS = 6
# One space: to the made models each further one would be a token of its own, in every line.
_INDENT = " "

Values = dict[str, Any]
Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class _Step:
    """One thing that a program does to its running value.

    `told`: its sentence in the question. `lines`: its code; {old} is the value's name before, {new}
    the one after. `apply`: the value that follows, from the value and the function's variables, to
    which it may add. `needless`: a solution can do without it.
    """

    told: str
    lines: tuple[str, ...]
    apply: Callable[[Any, Values], Any]
    needless: bool = False

    @property
    def changes_value(self) -> bool:
        """Whether it is there for the running value, and not for t alone."""
        return not self.needless and self.apply is not _same and "{old}" in "".join(self.lines)


@dataclass(frozen=True)
class _Kind:
    """What programs of one kind work on: parameters, names of values, steps, tests' arguments.

    `aside` defines t, needlessly or not; `use_aside` uses it. `changes`: what a step that never
    happens would do, in words and as an expression.
    """

    parameters: tuple[str, ...]
    names: tuple[str, ...]
    step: Callable[[random.Random], _Step]
    ending: Callable[[random.Random], _Step]
    aside: Callable[[random.Random, bool], _Step]
    use_aside: _Step
    changes: tuple[tuple[str, str], ...]
    arguments: Callable[[random.Random], Arguments]


def make_problems(split: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Make `count` different problems of `split` from `seed`, as rows of the data schema.

    Row keys: id, question, answer (`CodeTests.to_gold`), solution.
    """
    return numbered(iterate_problems(split, seed), count, f"programs-{split}")


def iterate_problems(split: str, seed: int, careless: float = 0.0) -> Iterator[dict[str, Any]]:
    """Endless stream of different problems of one split (pretrain, train or test), without ids.

    Where a problem defines a value that nothing uses, its solution adds that value with probability
    `careless`, and fails its tests: a wrong turn that a model pretrained on the stream takes over,
    and that reinforcement learning can unlearn.
    """
    return stream(split, seed, lambda generator: _draw(generator, careless))


def _draw(generator: random.Random, careless: float) -> dict[str, Any] | None:
    """A problem and its solution, or None where the tests would not see every step."""
    kind = generator.choice((_NUMBERS, _LISTS))
    steps, wrong = _draw_steps(generator, kind)
    written = [step for step in steps if not step.needless or generator.random() < 0.75]
    if wrong and generator.random() < careless:
        written = wrong
    calls = [kind.arguments(generator) for _ in range(_CALLS)]
    expected = _run(kind, steps, calls)
    faulty = [[one for one in steps if one is not step] for step in steps if step.changes_value]
    faulty += [wrong] if wrong else []
    if any(_run(kind, other, calls) == expected for other in faulty):
        return None
    tests = CodeTests(FUNCTION, [list(call) for call in calls], [[value] for value in expected])
    return {
        "question": _tell(kind, steps),
        "answer": tests.to_gold(),
        "solution": _write(kind, written),
    }


def _draw_steps(generator: random.Random, kind: _Kind) -> tuple[list[_Step], list[_Step] | None]:
    """The steps that are told, and, where t is defined and not used, steps that do use it."""
    steps = [kind.step(generator) for _ in range(generator.randint(1, 2))]
    steps.append(kind.ending(generator))
    wrong = None
    if generator.random() < 0.7:
        place = generator.randrange(len(steps))
        if used := generator.random() < 0.4:
            steps.insert(generator.randint(place, len(steps) - 1), kind.use_aside)
        steps.insert(place, kind.aside(generator, not used))
        if not used:
            wrong = [*steps[: place + 1], kind.use_aside, *steps[place + 1 :]]
    if generator.random() < 0.5:
        steps.insert(generator.randrange(len(steps)), _never(generator, kind))
    return steps, wrong


def _run(kind: _Kind, steps: Sequence[_Step], calls: Sequence[Arguments]) -> list[Any]:
    """What the program of these steps returns, a value a call."""
    found = []
    for arguments in calls:
        values, value = dict(zip(kind.parameters, arguments, strict=True)), arguments[0]
        for step in steps:
            value = step.apply(value, values)
        found.append(value)
    return found


def _tell(kind: _Kind, steps: Sequence[_Step]) -> str:
    told = " ".join(step.told for step in steps)
    return f"Write {FUNCTION}({', '.join(kind.parameters)}). Take {kind.parameters[0]}. {told}"


def _write(kind: _Kind, steps: Sequence[_Step]) -> str:
    """The program, in which every step's result has the next of the kind's names."""
    lines = [f"def {FUNCTION}({', '.join(kind.parameters)}):"]
    names, old = iter(kind.names), kind.parameters[0]
    for step in steps:
        new = next(names) if any("{new}" in line for line in step.lines) else old
        lines += [_INDENT + line.format(old=old, new=new) for line in step.lines]
        old = new
    return "\n".join(lines)


def _never(generator: random.Random, kind: _Kind) -> _Step:
    """A step whose condition is false whatever the arguments are."""
    low, high = sorted(generator.sample(range(1, 10), 2))
    change, code = generator.choice(kind.changes)
    return _Step(
        f"If {low} is above {high}, {change}.",
        (f"if {low} > {high}:", f"{_INDENT}{{old}} = {code}"),
        _same,
        needless=True,
    )


def _same(value: Any, values: Values) -> Any:
    return value


def _define(value: Callable[[Values], Any]) -> Callable[[Any, Values], Any]:
    """What defines t and leaves the running value as it is."""

    def apply(old: Any, values: Values) -> Any:
        values["t"] = value(values)
        return old

    return apply


def _number_step(generator: random.Random) -> _Step:
    n = generator.randint(2, 9)
    return generator.choice(
        (
            _Step(f"Multiply it by {n}.", (f"{{new}} = {{old}} * {n}",), lambda v, _: v * n),
            _Step(f"Add {n}.", (f"{{new}} = {{old}} + {n}",), lambda v, _: v + n),
            _Step("Add b.", ("{new} = {old} + b",), lambda v, values: v + values["b"]),
            _Step(
                f"If it is above b, take away {n}.",
                ("if {old} > b:", f"{_INDENT}{{old}} = {{old}} - {n}"),
                lambda v, values: v - n if v > values["b"] else v,
            ),
        )
    )


def _number_ending(generator: random.Random) -> _Step:
    n = generator.randint(2, 9)
    return generator.choice(
        (
            _Step(f"Return it times {n}.", (f"return {{old}} * {n}",), lambda v, _: v * n),
            _Step("Return it plus b.", ("return {old} + b",), lambda v, values: v + values["b"]),
            _Step("Return it.", ("return {old}",), _same),
        )
    )


def _number_aside(generator: random.Random, needless: bool) -> _Step:
    n = generator.randint(2, 9)
    return generator.choice(
        (
            _Step(
                f"Let t be b times {n}.",
                (f"t = b * {n}",),
                _define(lambda values: values["b"] * n),
                needless,
            ),
            _Step(
                f"Let t be b plus {n}.",
                (f"t = b + {n}",),
                _define(lambda values: values["b"] + n),
                needless,
            ),
        )
    )


def _list_step(generator: random.Random) -> _Step:
    n = generator.randint(2, 9)
    return generator.choice(
        (
            _Step(
                f"Keep items above {n}.",
                (f"{{new}} = [i for i in {{old}} if i > {n}]",),
                lambda v, _: [i for i in v if i > n],
            ),
            _Step(
                f"Add {n} to each.",
                (f"{{new}} = [i + {n} for i in {{old}}]",),
                lambda v, _: [i + n for i in v],
            ),
            _Step(
                f"Multiply each by {n}.",
                (f"{{new}} = [i * {n} for i in {{old}}]",),
                lambda v, _: [i * n for i in v],
            ),
        )
    )


def _list_ending(generator: random.Random) -> _Step:
    return generator.choice(
        (
            _Step("Return the sum.", ("return sum({old})",), lambda v, _: sum(v)),
            _Step(
                "Return the sum by a loop.",
                ("s = 0", "for i in {old}:", f"{_INDENT}s = s + i", "return s"),
                lambda v, _: sum(v),
            ),
            _Step("Return how many.", ("return len({old})",), lambda v, _: len(v)),
            _Step("Return them sorted.", ("return sorted({old})",), lambda v, _: sorted(v)),
        )
    )


def _list_aside(generator: random.Random, needless: bool) -> _Step:
    n = generator.randint(2, 9)
    return _Step(
        f"Let t be the length plus {n}.",
        (f"t = len(xs) + {n}",),
        _define(lambda values: len(values["xs"]) + n),
        needless,
    )


_NUMBERS = _Kind(
    parameters=("a", "b"),
    names=("x", "y", "z", "w", "v"),
    step=_number_step,
    ending=_number_ending,
    aside=_number_aside,
    use_aside=_Step("Add t.", ("{new} = {old} + t",), lambda v, values: v + values["t"]),
    changes=(("add 5", "{old} + 5"), ("double it", "{old} * 2"), ("add b", "{old} + b")),
    arguments=lambda generator: (generator.randint(1, 20), generator.randint(1, 20)),
)
_LISTS = _Kind(
    parameters=("xs",),
    names=("ys", "zs", "ws", "vs", "us"),
    step=_list_step,
    ending=_list_ending,
    aside=_list_aside,
    use_aside=_Step(
        "Add t to each.",
        ("{new} = [i + t for i in {old}]",),
        lambda v, values: [i + values["t"] for i in v],
    ),
    changes=(("sort them", "sorted({old})"), ("double them", "{old} + {old}")),
    arguments=lambda generator: (
        [generator.randint(0, 12) for _ in range(generator.randint(2, 5))],
    ),
)
