"""The task of one's own questions, in JSONL files or a data set of the hub."""

from collections.abc import Sequence

from cfdapo.problems import own_data
from cfdapo.problems.own_answers import Gold, extract, is_correct
from cfdapo.problems.task import Task


class OwnTask(Task):
    """Questions whose rows say how their answers are compared."""

    def grade_many(self, completions: Sequence[str], golds: Sequence[str]) -> list[bool]:
        pairs = zip(completions, map(Gold.from_text, golds), strict=True)
        return [is_correct(completion, gold) for completion, gold in pairs]

    def extract(self, completion: str, gold: str | None = None) -> str | None:
        return extract(completion, Gold.from_text(gold).kind if gold else "number")

    def gold_to_show(self, gold: str) -> str:
        return Gold.from_text(gold).answer


TASK = OwnTask(
    "jsonl",
    # A row's question is the whole message; the study's own prompt has made it.
    "{question}",
    own_data.load,
    lambda row: row["solution"],
    # What the answer owes to which sentence, nobody has said.
    lambda row, text, is_reference: [],
    describe=own_data.describe,
)
