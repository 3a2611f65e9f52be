"""The task of MBPP+'s programming problems."""

from cfdapo.problems import mbpp
from cfdapo.problems.code_task import CodeTask
from cfdapo.problems.task import Row
from cfdapo.settings import DataSettings


def _load(split: str, data: DataSettings) -> list[Row]:
    rows = mbpp.load(split, path=data.path, seed=data.seed)
    return rows[: data.problems(split)]


TASK = CodeTask(
    "mbpp",
    "{question}\n\nPlease write the function and put it in a ```python block.",
    _load,
    lambda row: f"```python\n{row['solution'].strip()}\n```",
    # Which parts of a real program its result depends on is not known.
    lambda row, text, is_reference: [],
)
