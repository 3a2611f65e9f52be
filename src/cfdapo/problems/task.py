"""One interface to every kind of problem: its prompt, its data and its grader.

It imports no kind of problem, but only the grader of numbers, so that what a study computes depends
on the code of its own task alone; `provenance.source_files` adds that.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cfdapo.files import UserError
from cfdapo.problems import answers
from cfdapo.problems.labels import Sentence
from cfdapo.settings import DataSettings, PretrainingSettings
from cfdapo.vocabulary import TASKS

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A kind of problem, whose answers are numbers; `code_task.CodeTask` is one of code.

    `template` is the user's message, the only one in training and evaluation. `load` maps a split
    ("train" or "test") and the study's data settings to rows (id, question, answer, solution).
    `reference` maps a row to its own solution, as a completion could read. `label` maps a row, a
    completion and whether that is the reference to the sentences whose part in the answer is known.
    `corpus` maps a made model's pretraining settings to an endless stream of rows, where problems
    can be made. `judge` maps a row and the lines of any completion to whether each is right, wrong
    (the first that is) or neither (None), where that is known of every completion. `describe` says
    what a data set of the user's own came from, for its manifest.
    """

    name: str
    template: str
    load: Callable[[str, DataSettings], list[Row]]
    reference: Callable[[Row], str]
    label: Callable[[Row, str, bool], list[Sentence]]
    corpus: Callable[[PretrainingSettings], Iterator[Row]] | None = None
    judge: Callable[[Row, list[str]], list[bool | None]] | None = None
    describe: Callable[[DataSettings], dict[str, Any]] | None = None

    def prompt(self, row: Row) -> str:
        """The user's message for one problem."""
        return self.template.format(question=row["question"])

    def grade(self, completion: str, gold: str) -> bool:
        """Whether a completion's final answer equals the gold answer, or its code passes."""
        return self.grade_many([completion], [gold])[0]

    def grade_many(self, completions: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """`grade` for many; code runs on all cores at once."""
        pairs = zip(completions, golds, strict=True)
        return [answers.is_correct(completion, gold) for completion, gold in pairs]

    def extract(self, completion: str, gold: str | None = None) -> str | None:
        """What is graded in a completion: its final answer, normalised, or its code.

        Which code that is depends on the function that `gold` names.
        """
        return answers.extract_answer(completion)

    def entry_point(self, row: Row) -> str | None:
        """The name of the function that a problem asks for; None where it asks for no code."""
        return None

    def gold_to_show(self, gold: str) -> str:
        """The gold answer as records keep it: of tests, which are long, the function's name."""
        return gold


def get_task(name: str) -> Task:
    """The task of that name; raises `UserError` naming the known ones."""
    if name not in TASKS:
        raise UserError(f"data.task: {name!r} is not one of {', '.join(TASKS)}")
    return importlib.import_module(f"cfdapo.problems.tasks.{name}").TASK
