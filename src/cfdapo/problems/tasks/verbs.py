"""The task of made arithmetic word problems of verbs that are often mistaken."""

from cfdapo.problems import arithmetic, verbs
from cfdapo.problems.made import loader
from cfdapo.problems.task import Task

# The made models only ever see this format, so the question alone is the prompt.
TASK = Task(
    "verbs",
    "{question}",
    loader(verbs.make_problems),
    lambda row: row["solution"],
    arithmetic.label,
    lambda settings: verbs.iterate_problems("pretrain", settings.seed, careless=settings.careless),
    arithmetic.judge_lines,
)
