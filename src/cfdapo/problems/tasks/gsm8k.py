"""The task of GSM8K's word problems."""

from cfdapo.problems import gsm8k, value_flow
from cfdapo.problems.labels import Sentence
from cfdapo.problems.task import Row, Task
from cfdapo.settings import DataSettings


def _load(split: str, data: DataSettings) -> list[Row]:
    rows = gsm8k.load(split, path=data.path, revision=data.revision)
    return rows[: data.problems(split)]


def _label(row: Row, text: str, is_reference: bool) -> list[Sentence]:
    # Only the data set's own solutions carry the marks that say which value comes from where.
    return value_flow.label_solution(row["solution"], row["question"]) if is_reference else []


TASK = Task(
    "gsm8k",
    "{question}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
    _load,
    lambda row: gsm8k.strip_marks(row["solution"]),
    _label,
)
