"""The paper against itself: Table 16."""

from collections.abc import Sequence

import pandas as pd

from cfdapo.analysis.paper.consistency import Check, check_paper
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed

DATA_COLUMNS = [
    *("claim", "printed", "source", "low", "high", "unit", "found", "consistent", "remark"),
]


def table16_inconsistencies(checks: Sequence[Check] | None = None) -> Table:
    """Table 16, not in the paper: its numbers recomputed from others of its numbers.

    Args:
        checks: of `cfdapo.analysis.paper.consistency.check_paper`, which is the default.
    """
    checks = check_paper() if checks is None else checks
    # What contradicts goes first; the order is else the paper's.
    ordered = sorted(checks, key=lambda check: check.consistent)
    wrong = sum(not check.consistent for check in checks)
    footnotes = Footnotes()
    return Table(
        name="table16_inconsistencies",
        title=(
            f"The paper's numbers recomputed from others that it prints: {wrong} of {len(checks)} "
            "do not fit together, however they were rounded."
        ),
        columns=["Printed where", "Printed", "Recomputed from", "Recomputed", "Verdict"],
        rows=[_cells(check, footnotes) for check in ordered],
        data=pd.DataFrame([_numbers(check) for check in ordered], columns=DATA_COLUMNS),
        notes=[
            *footnotes.notes(),
            Note(
                "Recomputed: the range that is left when every printed number may be anything that "
                "rounds to it. Contradicts: no number in it rounds to the printed one. A p-value "
                "depends on how far two modes' seeds go together, which is not printed: the range "
                "is over all correlations, and over standard deviations of a sample or of a "
                "population."
            ),
        ],
    )


def _cells(check: Check, footnotes: Footnotes) -> list[Cell]:
    verdict = "consistent" if check.consistent else "contradicts"
    unit = f" {check.unit}" if check.unit not in ("", "p") else ""
    return [
        Cell(check.claim),
        Cell(check.printed + (unit if _is_number(check.printed) else "")),
        Cell(check.source),
        Cell(_range(check) + (unit if check.computed else "")),
        Cell(verdict, bold=not check.consistent, mark=footnotes.mark(check.remark)),
    ]


def _is_number(text: str) -> bool:
    return text.replace("−", "").replace(".", "").isdigit()


def _range(check: Check) -> str:
    if check.computed is None:
        return check.found
    low, high = (signed(round(end, 3), "g") for end in (check.computed.low, check.computed.high))
    return low if low == high else f"{low} to {high}"


def _numbers(check: Check) -> tuple:
    ends = (check.computed.low, check.computed.high) if check.computed else (None, None)
    head = (check.claim, check.printed, check.source)
    return (*head, *ends, check.unit, check.found, check.consistent, check.remark)


def make(results: Results) -> Table:
    """Table 16, which is the same for every study."""
    return table16_inconsistencies()
