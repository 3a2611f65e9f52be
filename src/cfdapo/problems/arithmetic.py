"""Made arithmetic word problems in which the cause of every answer is known.

A problem is a chain of two to five dependent steps about one quantity, told among filler sentences
and quantities that do not matter. Its reference solution mixes the steps with restatements, filler
and calculations nobody needs, so a method that claims to find what an answer depends on can be
checked sentence by sentence.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from cfdapo.problems import answers
from cfdapo.problems.labels import Label, Sentence
from cfdapo.problems.made import numbered, stream

NAMES = ("Mia", "Tom", "Ana", "Ben", "Leo", "Zoe")
ITEMS = ("apples", "pens", "books", "coins", "eggs", "cards")
QUESTION_FILLER = ("It is a sunny day.", "The shop is open.", "They like games.", "School is over.")
SOLUTION_FILLER = ("Let us think step by step.", "We go on.", "This is easy.", "Let us see.")
MAX_VALUE = 40

_NUMBER = r"\d+"
_EQUATION = re.compile(rf"({_NUMBER}) ([-+*]) ({_NUMBER}) = ({_NUMBER})")
_VALUE = re.compile(_NUMBER)
_ANSWER_MARK = "####"
_ASIDE = re.compile(rf"has ({_NUMBER}) \w+ and gets ({_NUMBER})\.")


@dataclass(frozen=True)
class Step:
    """What a sentence tells, and the calculation that it asks for."""

    told: str
    left: int
    operator: str
    right: int
    result: int

    @property
    def equation(self) -> str:
        return f"{self.left} {self.operator} {self.right} = {self.result}"


def make_problems(split: str, count: int, seed: int, steps: tuple[int, int] = (2, 5)) -> list[dict]:
    """Make `count` different problems of `split` from `seed`, as rows of the data schema.

    Splits never share a problem text: every candidate is assigned to one split by a hash of its
    question. Row keys: id, question, answer, solution, sentences (see `Sentence`).
    """
    return numbered(iterate_problems(split, seed, steps), count, f"arithmetic-{split}")


def iterate_problems(
    split: str, seed: int, steps: tuple[int, int] = (2, 5), careless: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Endless stream of different problems of one split (pretrain, train or test), without ids.

    Where a problem tells of a quantity that does not matter, its solution counts that quantity in
    with probability `careless`: a wrong turn that a model pretrained on the stream takes over, and
    that reinforcement learning can unlearn within few steps, as it could not learn arithmetic.
    """
    return stream(split, seed, lambda drawn: _make_problem(drawn, drawn.randint(*steps), careless))


def _make_problem(
    generator: random.Random, step_count: int, careless: float
) -> dict[str, Any] | None:
    """A problem and its solution, or None where the draw is not usable."""
    story = _draw_story(generator, step_count)
    if story is None:
        return None
    wrong = story.aside is not None and generator.random() < careless
    told = _carelessly(story) if wrong else story
    if told is None:
        return None
    solution, sentences = _solve(generator, told)
    return {
        "question": _tell(generator, story),
        "answer": str(story.answer),
        "solution": f"{solution}{_ANSWER_MARK} {told.answer}",
        "sentences": [asdict(sentence) for sentence in sentences],
    }


@dataclass(frozen=True)
class _Story:
    """Who has what, the steps to the answer, and an aside: a calculation that nobody needs."""

    person: str
    stranger: str
    item: str
    other_item: str
    start: int
    steps: list[Step]
    together: bool
    aside: Step | None  # told just before steps[aside_place]
    aside_place: int

    @property
    def answer(self) -> int:
        return self.steps[-1].result


def _draw_story(generator: random.Random, step_count: int) -> _Story | None:
    person, friend, stranger = generator.sample(NAMES, 3)
    item, other_item = generator.sample(ITEMS, 2)
    start = generator.randint(2, 12)
    together = step_count >= 3 and generator.random() < 0.3
    steps = _chain(generator, person, start, step_count - 2 if together else step_count)
    if steps is None:
        return None
    if together:
        more, own = generator.randint(2, 6), steps[-1].result
        steps.append(Step(f"{friend} has {more} more than {person}.", own, "+", more, own + more))
        steps.append(Step("", own, "+", own + more, own + own + more))
        if steps[-1].result > MAX_VALUE:
            return None
    aside, aside_place = None, generator.randrange(sum(bool(step.told) for step in steps))
    if generator.random() < 0.6:
        had, got = generator.randint(2, 12), generator.randint(2, 6)
        told = f"{stranger} has {had} {other_item} and gets {got}."
        aside = Step(told, had, "+", got, had + got)
        # A needless result that equals a needed value could not be told from a needed one.
        if any(aside.result in (step.left, step.right, step.result) for step in steps):
            return None
    return _Story(person, stranger, item, other_item, start, steps, together, aside, aside_place)


def _carelessly(story: _Story) -> _Story | None:
    """The story as somebody solves it who counts the stranger's gift in where it is told."""
    if story.aside is None:
        return story
    gift, place = story.aside.right, story.aside_place
    before = story.steps[place - 1].result if place else story.start
    steps = [*story.steps[:place], Step("", before, "+", gift, before + gift)]
    own = before + gift
    for step in story.steps[place:]:
        left, right = own, step.right
        if story.together and step is story.steps[-1]:
            left, right = steps[-1].left, own
        own = {"+": left + right, "-": left - right, "*": left * right}[step.operator]
        steps.append(Step(step.told, left, step.operator, right, own))
    if not all(1 < step.result <= MAX_VALUE for step in steps):
        return None
    return replace(story, steps=steps, aside=None)


def _tell(generator: random.Random, story: _Story) -> str:
    """The question: the steps in order, the aside and the filler anywhere among them."""
    told = [f"{story.person} has {story.start} {story.item}."]
    told += [step.told for step in story.steps if step.told]
    if story.aside:
        told.insert(1 + story.aside_place, story.aside.told)
    if generator.random() < 0.4:
        told.insert(generator.randint(0, len(told)), generator.choice(QUESTION_FILLER))
    holder = "do they" if story.together else f"does {story.person}"
    return " ".join([*told, f"How many {story.item} {holder} have?"])


def _solve(generator: random.Random, story: _Story) -> tuple[str, list[Sentence]]:
    """A solution, a sentence a line, and what each of its sentences is."""
    lines: list[tuple[str, Label, Step | None]] = []
    if generator.random() < 0.5:
        lines.append((f"{story.person} has {story.start} {story.item}.", "restatement", None))
    for step in story.steps:
        opening = generator.choice(("So", "Now", "Then"))
        lines.append((f"{opening} {step.equation}.", "causal", step))
    if story.aside and generator.random() < 0.5:
        text = f"{story.stranger} has {story.aside.equation} {story.other_item}."
        lines.insert(generator.randrange(len(lines)), (text, "distractor", story.aside))
    if generator.random() < 0.4:
        text = generator.choice(SOLUTION_FILLER)
        lines.insert(generator.randrange(len(lines)), (text, "filler", None))
    if generator.random() < 0.4:
        holder = "They have" if story.together else f"{story.person} has"
        lines.append((f"{holder} {story.answer} {story.item}.", "restatement", None))

    solution, sentences = "", []
    for text, label, told in lines:
        later = len(story.steps) - 1 - story.steps.index(told) if told and label == "causal" else 0
        end = len(solution) + len(text)
        result = told.result if told else None
        sentences.append(Sentence(len(solution), end, label, result, later))
        solution += text + "\n"
    return solution, sentences


def _chain(generator: random.Random, person: str, start: int, step_count: int) -> list[Step] | None:
    """`step_count` operations on one quantity, each on the result of the one before."""
    steps, value = [], start
    for _ in range(step_count):
        step = _draw_step(generator, person, value)
        steps.append(step)
        value = step.result
    # Values stay apart, so that following them backwards has one way to go.
    results = [step.result for step in steps]
    givens = {start, *(step.right for step in steps)}
    if not all(1 < result <= MAX_VALUE for result in results) or givens & set(results):
        return None
    return steps if len(set(results)) == len(results) else None


def _draw_step(generator: random.Random, person: str, value: int) -> Step:
    kind = generator.choice(("more", "more", "fewer", "fewer", "times"))
    if kind == "times":
        amount = generator.choice((2, 3))
        told = f"{person} then has {amount} times as many."
        return Step(told, value, "*", amount, value * amount)
    amount = generator.randint(2, 6)
    if kind == "more":
        verb = generator.choice(("buys", "finds"))
        return Step(f"{person} {verb} {amount} more.", value, "+", amount, value + amount)
    verb = generator.choice(("loses", "sells"))
    return Step(f"{person} {verb} {amount}.", value, "-", amount, value - amount)


def label(row: dict[str, Any], text: str, is_reference: bool) -> list[Sentence]:
    """`Task.label`: of a row's own solution as it was made, of others by following values."""
    if is_reference:
        return [Sentence(**sentence) for sentence in row["sentences"]]
    return label_sentences(text, answers.extract_answer(text))


def label_sentences(solution: str, answer: str | None) -> list[Sentence]:
    """Label the sentences of any solution, made or generated, by following values backwards.

    From the answer's value to the last line that computes it, from that line's operands to the
    lines that compute those, and so on. A line reached this way is causal; a calculation that is
    not is a distractor; a sentence that only repeats a value of the causal lines is a restatement;
    one without numbers is filler. Every label is relative to the answer that was stated, right or
    wrong. Sentences are lines; the line with the answer mark is not one of them.
    """
    lines = list(_lines(solution))
    equations = [_EQUATION.search(text) for _, text in lines]
    causes: dict[int, set[int]] = {}
    if answer is not None and answer.isdigit():
        _follow(int(answer), len(lines), equations, causes, None)
    computing = [equation for index in causes if (equation := equations[index])]
    used = {int(equation.group(group)) for equation in computing for group in (1, 3, 4)} | (
        {int(answer)} if answer is not None and answer.isdigit() else set()
    )
    sentences = []
    for index, (start, text) in enumerate(lines):
        equation = equations[index]
        values = {int(match) for match in _VALUE.findall(text)}
        if index in causes:
            label: Label = "causal"
        elif equation:
            label = "distractor"
        elif not values:
            label = "filler"
        else:
            label = "restatement" if values & used else "distractor"
        sentences.append(
            Sentence(
                start,
                start + len(text),
                label,
                int(equation.group(4)) if equation else None,
                len(causes.get(index, ())),
            )
        )
    return sentences


def judge_lines(row: dict[str, Any], lines: list[str]) -> list[bool | None]:
    """Whether each line of any solution is right, by the problem's own solution in `row`.

    True: it computes the result that comes next, or states the right answer. False: the first line
    that computes or states another one. None: all lines behind that one, and lines that decide
    nothing: words, the aside that nobody needs, a right result once more.
    """
    needed = [one["result"] for one in row["sentences"] if one["label"] == "causal"]
    asides = [(int(had), int(got)) for had, got in _ASIDE.findall(row["question"])]
    verdicts: list[bool | None] = []
    done = 0
    for line in lines:
        verdict = None
        if False not in verdicts:
            verdict = _judge(line, needed, done, asides)
            done += verdict is True
        verdicts.append(verdict)
    return verdicts


def _judge(line: str, needed: list[int], done: int, asides: list[tuple[int, int]]) -> bool | None:
    """One line, where the first `done` of the `needed` results have been computed before."""
    if line.strip().startswith(_ANSWER_MARK):
        stated = _VALUE.findall(line)
        return bool(stated) and int(stated[-1]) == needed[-1] and done == len(needed)
    equation = _EQUATION.search(line)
    if equation is None:
        return None
    left, right, result = int(equation[1]), int(equation[3]), int(equation[4])
    if result != {"+": left + right, "-": left - right, "*": left * right}[equation[2]]:
        return False
    if done < len(needed) and result == needed[done]:
        return True
    # Of the stranger's own, or it is a wrong turn that happens to have the same numbers.
    idle = (left, right) in asides and " has " in line
    return None if idle or result in needed[:done] else False


def _lines(solution: str) -> Iterator[tuple[int, str]]:
    position = 0
    for line in solution.split("\n"):
        text = line.strip()
        if text and not text.startswith(_ANSWER_MARK):
            yield position + line.index(text), text
        position += len(line) + 1


def _follow(
    value: int,
    before: int,
    equations: list[re.Match[str] | None],
    causes: dict[int, set[int]],
    consumer: int | None,
) -> None:
    """Record in `causes` the line that computes `value`, and the causal lines it flows into."""
    for index in reversed(range(before)):
        equation = equations[index]
        if equation and int(equation.group(4)) == value:
            dependants = causes.setdefault(index, set())
            if consumer is not None:
                dependants |= {consumer} | causes[consumer]
            for operand in (1, 3):
                _follow(int(equation.group(operand)), index, equations, causes, index)
            return
