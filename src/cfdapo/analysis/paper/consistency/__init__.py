"""The paper against itself: its numbers recomputed from others that it prints (Table 16).

A check contradicts only if no numbers that round to the printed ones fit together.
"""

from collections.abc import Callable, Iterator

from cfdapo.analysis.paper.consistency import accuracy, costs, credit
from cfdapo.analysis.paper.consistency.check import Check
from cfdapo.analysis.paper.rounding import Paper

__all__ = ["Check", "check_paper"]

_GROUPS: tuple[Callable[[Paper], Iterator[Check]], ...] = (
    *(accuracy.differences, accuracy.p_values, accuracy.ordering, accuracy.gains),
    *(credit.distribution, credit.content, credit.spans, credit.correctness),
    *(credit.gradient, credit.example, accuracy.code, costs.costs, costs.step_time),
)


def check_paper(paper: Paper | None = None) -> list[Check]:
    """All recomputations, in the order of the paper's tables; of its own numbers by default."""
    paper = paper or Paper()
    return [check for group in _GROUPS for check in group(paper)]
