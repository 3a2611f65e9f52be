"""Tasks whose solutions are code, and whose "answer" holds the tests that it is run on."""

from collections.abc import Sequence

from cfdapo.problems import code_tests
from cfdapo.problems.code_places import extract_code
from cfdapo.problems.task import Row, Task


class CodeTask(Task):
    """A kind of problem that code solves; see `Task` for what each method gives."""

    def grade_many(self, completions: Sequence[str], golds: Sequence[str]) -> list[bool]:
        return code_tests.grade_many(completions, golds)

    def extract(self, completion: str, gold: str | None = None) -> str | None:
        return extract_code(completion, gold and self.gold_to_show(gold))

    def entry_point(self, row: Row) -> str | None:
        return self.gold_to_show(row["answer"])

    def gold_to_show(self, gold: str) -> str:
        return code_tests.CodeTests.from_gold(gold).function
