"""One interface to every kind of problem: its prompt, its data and its grader."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cfdapo.files import UserError
from cfdapo.problems import (
    answers,
    arithmetic,
    code_tests,
    gsm8k,
    mbpp,
    programs,
    slicing,
    value_flow,
)
from cfdapo.problems.arithmetic import Sentence

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A kind of problem.

    `template` is the user's message, the only one in training and evaluation. `load` maps a split
    ("train" or "test") and the study's data settings to rows (id, question, answer, solution).
    `reference` maps a row to its own solution, as a completion could read. `label` maps a row, a
    completion and whether that is the reference to the sentences whose part in the answer is known.
    `corpus` maps a made model's pretraining settings to an endless stream of rows, where problems
    can be made.
    """

    name: str
    template: str
    load: Callable[[str, dict[str, Any]], list[Row]]
    reference: Callable[[Row], str]
    label: Callable[[Row, str, bool], list[Sentence]]
    corpus: Callable[[dict[str, Any]], Iterator[Row]] | None = None
    # Code, whose "answer" holds the tests that it is run on.
    is_code: bool = False

    def prompt(self, row: Row) -> str:
        """The user's message for one problem."""
        return self.template.format(question=row["question"])

    def grade(self, completion: str, gold: str) -> bool:
        """Whether a completion's final answer equals the gold answer, or its code passes."""
        return self.grade_many([completion], [gold])[0]

    def grade_many(self, completions: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """`grade` for many; code runs on all cores at once."""
        if self.is_code:
            return code_tests.grade_many(completions, golds)
        pairs = zip(completions, golds, strict=True)
        return [answers.is_correct(completion, gold) for completion, gold in pairs]

    def extract(self, completion: str) -> str | None:
        """What is graded in a completion: its final answer, normalised, or its code."""
        if self.is_code:
            return code_tests.extract_code(completion)
        return answers.extract_answer(completion)

    def gold_to_show(self, gold: str) -> str:
        """The gold answer as records keep it: of tests, which are long, the function's name."""
        return code_tests.CodeTests.from_gold(gold).function if self.is_code else gold


def _load_made(make: Callable[[str, int, int], list[Row]]) -> Callable[..., list[Row]]:
    """`load` of problems that `make` makes from a split, how many, and a seed."""

    def load(split: str, data: dict[str, Any]) -> list[Row]:
        count = data[f"{split}_problems"]
        if count is None:
            raise UserError(f"data.{split}_problems: made problems never end; say how many to make")
        return make(split, count, data["seed"])

    return load


def _label_arithmetic(row: Row, text: str, is_reference: bool) -> list[Sentence]:
    if is_reference:
        return [Sentence(**sentence) for sentence in row["sentences"]]
    return arithmetic.label_sentences(text, answers.extract_answer(text))


def _label_gsm8k(row: Row, text: str, is_reference: bool) -> list[Sentence]:
    # Only the data set's own solutions carry the marks that say which value comes from where.
    return value_flow.label_solution(row["solution"], row["question"]) if is_reference else []


def _label_programs(row: Row, text: str, is_reference: bool) -> list[Sentence]:
    return slicing.label_program(text, programs.FUNCTION)


def _load_gsm8k(split: str, data: dict[str, Any]) -> list[Row]:
    rows = gsm8k.load(split, path=data["path"], revision=data["revision"])
    return rows[: data[f"{split}_problems"]]


def _load_mbpp(split: str, data: dict[str, Any]) -> list[Row]:
    rows = mbpp.load(split, path=data["path"], seed=data["seed"])
    return rows[: data[f"{split}_problems"]]


TASKS = {
    # The made models only ever see this format, so the question alone is the prompt.
    "arithmetic": Task(
        "arithmetic",
        "{question}",
        _load_made(arithmetic.make_problems),
        lambda row: row["solution"],
        _label_arithmetic,
        lambda settings: arithmetic.iterate_problems(
            "pretrain", settings["seed"], careless=settings["careless"]
        ),
    ),
    # The completion is the code, without a fence around it.
    "programs": Task(
        "programs",
        "{question}",
        _load_made(programs.make_problems),
        lambda row: row["solution"],
        _label_programs,
        lambda settings: programs.iterate_problems(
            "pretrain", settings["seed"], careless=settings["careless"]
        ),
        is_code=True,
    ),
    "gsm8k": Task(
        "gsm8k",
        "{question}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
        _load_gsm8k,
        lambda row: gsm8k.strip_marks(row["solution"]),
        _label_gsm8k,
    ),
    "mbpp": Task(
        "mbpp",
        "{question}\n\nPlease write the function and put it in a ```python block.",
        _load_mbpp,
        lambda row: f"```python\n{row['solution'].strip()}\n```",
        # Which parts of a real program its result depends on is not known.
        lambda row, text, is_reference: [],
        is_code=True,
    ),
}


def get_task(name: str) -> Task:
    """The task of that name; raises `UserError` naming the known ones."""
    if name not in TASKS:
        raise UserError(f"data.task: {name!r} is not one of {', '.join(TASKS)}")
    return TASKS[name]
