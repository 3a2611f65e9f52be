"""The task of made arithmetic word problems."""

from cfdapo.problems import arithmetic
from cfdapo.problems.made import loader
from cfdapo.problems.task import Task

# The made models only ever see this format, so the question alone is the prompt.
TASK = Task(
    "arithmetic",
    "{question}",
    loader(arithmetic.make_problems),
    lambda row: row["solution"],
    arithmetic.label,
    lambda settings: arithmetic.iterate_problems(
        "pretrain", settings.seed, careless=settings.careless
    ),
    arithmetic.judge_lines,
)
