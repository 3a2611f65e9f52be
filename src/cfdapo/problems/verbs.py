"""Made problems with several decisions each: what a verb does to a number, which is often mistaken.

In `arithmetic` a solution holds at most one wrong turn, always of the same kind, so that nearly
every token of a wrong solution was right and one lesson mends them all: whom to blame hardly
matters. Here each step is told by one of twelve verbs, half of which add and half of which take
away, and the corpus mistakes each of them as often as it likes, some mostly. A completion that
fails by one verb is right in the others, which a reward for the whole cannot tell; and each verb
has to be learnt by itself.
"""

import random
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cfdapo.problems.arithmetic import ITEMS, MAX_VALUE, NAMES, Step
from cfdapo.problems.labels import Label, Sentence
from cfdapo.problems.made import numbered, stream

STEPS = (2, 3)
STARTS = (10, 20)
AMOUNTS = range(2, 10)
ADDING = ("buys", "finds", "gets", "wins", "picks", "makes")
TAKING = ("sells", "loses", "eats", "drops", "gives", "breaks")
_OPPOSITE = {"+": "-", "-": "+"}


def mistaken(verb: str, careless: float) -> float:
    """How often a corpus takes a verb for its opposite: from 0 to twice `careless`, by its place.

    The mean over verbs is `careless`, so from 1/4 up some verbs are mistaken more often than not.
    """
    verbs = ADDING if verb in ADDING else TAKING
    return min(1.0, 2 * careless * verbs.index(verb) / (len(verbs) - 1))


def make_problems(split: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Make `count` different problems of `split` from `seed`, as rows of the data schema.

    Row keys are those of `arithmetic.make_problems`, and splits never share a problem either.
    """
    return numbered(iterate_problems(split, seed), count, f"verbs-{split}")


def iterate_problems(split: str, seed: int, careless: float = 0.0) -> Iterator[dict[str, Any]]:
    """Endless stream of different problems of one split (pretrain, train or test), without ids.

    A solution takes each verb for its opposite as often as `mistaken` says.
    """
    return stream(split, seed, lambda drawn: _make_problem(drawn, careless))


def _make_problem(generator: random.Random, careless: float) -> dict[str, Any] | None:
    """A problem and its solution, or None where the draw is not usable."""
    person, item = generator.choice(NAMES), generator.choice(ITEMS)
    start = generator.randint(*STARTS)
    count = generator.randint(*STEPS)
    # Each verb and amount is told once, so that what a calculation has read is known from it.
    verbs = generator.sample(ADDING + TAKING, count)
    amounts = generator.sample(AMOUNTS, count)
    wrong = [generator.random() < mistaken(verb, careless) for verb in verbs]
    right_steps = _steps(person, start, verbs, amounts, [False] * count)
    steps = _steps(person, start, verbs, amounts, wrong)
    if not (_usable(start, right_steps) and _usable(start, steps)):
        return None
    solution, sentences = _write(generator, person, item, start, steps)
    told = [f"{person} has {start} {item}.", *(step.told for step in right_steps)]
    return {
        "question": " ".join([*told, f"How many {item} does {person} have?"]),
        "answer": str(right_steps[-1].result),
        "solution": f"{solution}#### {steps[-1].result}",
        "sentences": [asdict(sentence) for sentence in sentences],
    }


def _steps(
    person: str, start: int, verbs: list[str], amounts: list[int], wrong: list[bool]
) -> list[Step]:
    steps, value = [], start
    for verb, amount, mistake in zip(verbs, amounts, wrong, strict=True):
        operator = "+" if verb in ADDING else "-"
        operator = _OPPOSITE[operator] if mistake else operator
        result = value + amount if operator == "+" else value - amount
        steps.append(Step(f"{person} {verb} {amount}.", value, operator, amount, result))
        value = result
    return steps


def _usable(start: int, steps: list[Step]) -> bool:
    """Whether numbers are small, and no two equal, so that one can tell what led to what."""
    values = [start, *(step.result for step in steps)]
    return len(set(values)) == len(values) and all(1 < value <= MAX_VALUE for value in values)


def _write(
    generator: random.Random, person: str, item: str, start: int, steps: list[Step]
) -> tuple[str, list[Sentence]]:
    """A solution, a sentence a line, and what each of its sentences is."""
    lines: list[tuple[str, Label, Step | None]] = []
    if generator.random() < 0.3:
        lines.append((f"{person} has {start} {item}.", "restatement", None))
    for step in steps:
        # What is told first, so that a tiny model decides by the verb that it has just written.
        spoken = step.told.removesuffix(".")
        lines.append((f"{spoken}, so {step.equation}.", "causal", step))
    if generator.random() < 0.3:
        lines.append((f"{person} has {steps[-1].result} {item}.", "restatement", None))
    solution, sentences = "", []
    for text, label, told in lines:
        later = len(steps) - 1 - steps.index(told) if told else 0
        end = len(solution) + len(text)
        result = told.result if told else None
        sentences.append(Sentence(len(solution), end, label, result, later))
        solution += text + "\n"
    return solution, sentences
