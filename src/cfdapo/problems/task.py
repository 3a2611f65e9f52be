"""One interface to every kind of problem: its prompt, its data and its grader."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cfdapo.files import UserError
from cfdapo.problems import answers, arithmetic, code_tests, gsm8k, mbpp

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A kind of problem.

    `template` is the user's message, the only one in training and evaluation. `load` maps a split
    ("train" or "test") and the study's data settings to rows (id, question, answer, solution).
    `corpus` maps a made model's pretraining settings to an endless stream of rows, where problems
    can be made.
    """

    name: str
    template: str
    load: Callable[[str, dict[str, Any]], list[Row]]
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


def _load_arithmetic(split: str, data: dict[str, Any]) -> list[Row]:
    count = data[f"{split}_problems"]
    if count is None:
        raise UserError(f"data.{split}_problems: made problems never end; say how many to make")
    return arithmetic.make_problems(split, count, data["seed"])


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
        _load_arithmetic,
        lambda settings: arithmetic.iterate_problems(
            "pretrain", settings["seed"], careless=settings["careless"]
        ),
    ),
    "gsm8k": Task(
        "gsm8k",
        "{question}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
        _load_gsm8k,
    ),
    "mbpp": Task(
        "mbpp",
        "{question}\n\nPlease write the function and put it in a ```python block.",
        _load_mbpp,
        is_code=True,
    ),
}


def get_task(name: str) -> Task:
    """The task of that name; raises `UserError` naming the known ones."""
    if name not in TASKS:
        raise UserError(f"data.task: {name!r} is not one of {', '.join(TASKS)}")
    return TASKS[name]
