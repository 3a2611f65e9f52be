"""The task of made arithmetic word problems of verbs that are often mistaken."""

from typing import Any

from cfdapo.problems import answers, arithmetic, verbs
from cfdapo.problems.labels import Sentence
from cfdapo.problems.made import loader
from cfdapo.problems.task import Task


def _label(row: dict[str, Any], text: str, is_reference: bool) -> list[Sentence]:
    if is_reference:
        return [Sentence(**sentence) for sentence in row["sentences"]]
    return arithmetic.label_sentences(text, answers.extract_answer(text))


# The made models only ever see this format, so the question alone is the prompt.
TASK = Task(
    "verbs",
    "{question}",
    loader(verbs.make_problems),
    lambda row: row["solution"],
    _label,
    lambda settings: verbs.iterate_problems("pretrain", settings.seed, careless=settings.careless),
    arithmetic.judge_lines,
)
