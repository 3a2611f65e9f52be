"""Which lines of a GSM8K solution its answer comes from, by the calculator marks."""

from cfdapo.problems.arithmetic import Sentence


def label_solution(solution: str, question: str) -> list[Sentence]:
    return []
