"""The task of made programming problems."""

from cfdapo.problems import programs, slicing
from cfdapo.problems.code_task import CodeTask
from cfdapo.problems.made import loader

# The completion is the code, without a fence around it.
TASK = CodeTask(
    "programs",
    "{question}",
    loader(programs.make_problems),
    lambda row: row["solution"],
    lambda row, text, is_reference: slicing.label_program(text, programs.FUNCTION),
    lambda settings: programs.iterate_problems(
        "pretrain", settings.seed, careless=settings.careless
    ),
)
