"""Made problems with several decisions each: before every step somebody else is given something.

In `arithmetic` a solution holds at most one wrong turn, so that nearly every token of a wrong
solution was right, and whom to blame hardly matters. Here each step is told behind an aside, and a
careless solver counts each of the gifts in or not, one apart from the others. A completion that
fails for one of them is right in the others, which a reward for the whole cannot tell.
"""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cfdapo.problems.arithmetic import ITEMS, MAX_VALUE, NAMES, Step
from cfdapo.problems.labels import Label, Sentence
from cfdapo.problems.made import numbered, stream

STEPS = (2, 3)
STARTS = (6, 14)
AMOUNTS = range(2, 10)


def make_problems(split: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Make `count` different problems of `split` from `seed`, as rows of the data schema.

    Row keys are those of `arithmetic.make_problems`, and splits never share a problem either.
    """
    return numbered(iterate_problems(split, seed), count, f"asides-{split}")


def iterate_problems(split: str, seed: int, careless: float = 0.0) -> Iterator[dict[str, Any]]:
    """Endless stream of different problems of one split (pretrain, train or test), without ids.

    A solution counts each stranger's gift in with probability `careless`.
    """
    return stream(split, seed, lambda drawn: _make_problem(drawn, drawn.randint(*STEPS), careless))


@dataclass(frozen=True)
class _Story:
    """Who has what, the steps to the answer, and before each step an aside that does not matter."""

    person: str
    item: str
    start: int
    steps: list[Step]
    asides: list[Step]
    owners: list[str]
    others: list[str]  # what the owners of the asides have


def _make_problem(
    generator: random.Random, step_count: int, careless: float
) -> dict[str, Any] | None:
    """A problem and its solution, or None where the draw is not usable."""
    story = _draw_story(generator, step_count)
    if story is None:
        return None
    counted = [generator.random() < careless for _ in story.asides]
    steps = _solve(story, counted)
    if steps is None:
        return None
    solution, sentences = _write(generator, story, steps, counted)
    return {
        "question": _tell(story),
        "answer": str(story.steps[-1].result),
        "solution": f"{solution}#### {steps[-1].result}",
        "sentences": [asdict(sentence) for sentence in sentences],
    }


def _draw_story(generator: random.Random, step_count: int) -> _Story | None:
    person, *owners = generator.sample(NAMES, 1 + step_count)
    item, *others = generator.sample(ITEMS, 1 + step_count)
    start = generator.randint(*STARTS)
    # Each amount is told once, so that what a calculation has read can be known from it.
    amounts = generator.sample(AMOUNTS, 2 * step_count)
    steps, value = [], start
    for amount in amounts[:step_count]:
        steps.append(_draw_step(generator, person, value, amount))
        value = steps[-1].result
    asides = []
    for owner, other, got in zip(owners, others, amounts[step_count:], strict=True):
        had = generator.randint(*STARTS)
        asides.append(Step(f"{owner} has {had} {other} and gets {got}.", had, "+", got, had + got))
    # A needless result that equals a needed value could not be told from a needed one.
    needed = {start, *(step.result for step in steps)}
    distinct = len(needed) == 1 + step_count and not needed & {one.result for one in asides}
    fit = all(1 < step.result <= MAX_VALUE for step in steps)
    return _Story(person, item, start, steps, asides, owners, others) if distinct and fit else None


def _draw_step(generator: random.Random, person: str, value: int, amount: int) -> Step:
    if generator.random() < 0.5:
        verb = generator.choice(("buys", "finds"))
        return Step(f"{person} {verb} {amount} more.", value, "+", amount, value + amount)
    verb = generator.choice(("loses", "sells"))
    return Step(f"{person} {verb} {amount}.", value, "-", amount, value - amount)


def _solve(story: _Story, counted: list[bool]) -> list[Step] | None:
    """The calculations of a solver who counts in the asides that are `counted`."""
    steps, own = [], story.start
    for step, aside, wrong in zip(story.steps, story.asides, counted, strict=True):
        if wrong:
            steps.append(Step("", own, "+", aside.right, own + aside.right))
            own += aside.right
        result = own + step.right if step.operator == "+" else own - step.right
        steps.append(Step(step.told, own, step.operator, step.right, result))
        own = steps[-1].result
    return steps if all(1 < step.result <= MAX_VALUE for step in steps) else None


def _tell(story: _Story) -> str:
    """The question: each step behind its aside."""
    told = [f"{story.person} has {story.start} {story.item}."]
    for aside, step in zip(story.asides, story.steps, strict=True):
        told += [aside.told, step.told]
    return " ".join([*told, f"How many {story.item} does {story.person} have?"])


def _write(
    generator: random.Random, story: _Story, steps: list[Step], counted: list[bool]
) -> tuple[str, list[Sentence]]:
    """A solution, a sentence a line, and what each of its sentences is."""
    lines: list[tuple[str, Label, Step | None]] = []
    if generator.random() < 0.3:
        lines.append((f"{story.person} has {story.start} {story.item}.", "restatement", None))
    for step in steps:
        opening = generator.choice(("So", "Now", "Then"))
        lines.append((f"{opening} {step.equation}.", "causal", step))
    left = [number for number, wrong in enumerate(counted) if not wrong]
    if left and generator.random() < 0.3:
        number = generator.choice(left)
        aside = story.asides[number]
        text = f"{story.owners[number]} has {aside.equation} {story.others[number]}."
        lines.insert(generator.randrange(len(lines)), (text, "distractor", aside))
    if generator.random() < 0.3:
        lines.append((f"{story.person} has {steps[-1].result} {story.item}.", "restatement", None))
    return _placed(lines, steps)


def _placed(
    lines: list[tuple[str, Label, Step | None]], steps: list[Step]
) -> tuple[str, list[Sentence]]:
    solution, sentences = "", []
    for text, label, step in lines:
        later = len(steps) - 1 - steps.index(step) if step and label == "causal" else 0
        end = len(solution) + len(text)
        result = step.result if step else None
        sentences.append(Sentence(len(solution), end, label, result, later))
        solution += text + "\n"
    return solution, sentences
