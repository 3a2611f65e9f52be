"""The paper's own values as notes below a study's tables."""

from collections.abc import Mapping

from cfdapo.analysis.paper.numbers import PaperNumber, paper_columns, paper_number, paper_rows
from cfdapo.analysis.rendering.table import Note, signed
from cfdapo.vocabulary import PAPER_TASK

# The paper's Tables 1, 2, 3 and 8 were measured so.
_PAPER_SETUP = {
    "table1_accuracy": "step 500, 3 seeds, 1319 problems",
    "table2_auc": "500 steps, 3 seeds, 1319 problems",
    "table3_significance": "step 500, 3 seeds",
    "table8_overhead": "500 steps on one L40S GPU",
}
_PAPER_FORMATS = {"%": ".1f", "points": "+.2f", "p": ".3f", "min": ".0f", "+%": "+.0f"}


def paper_note(name: str, models: Mapping[str, str], task: str | None) -> list[Note]:
    """The paper's own values, if every model of the study is one of its models."""
    if task not in (None, PAPER_TASK):
        return []
    if not set(models.values()) <= set(paper_rows(name)):
        return []
    rows = []
    for label in models.values():
        entries = [paper_number(name, label, column) for column in paper_columns(name, label)]
        rows.append(f"{label} {', '.join(as_printed(entry) for entry in entries)}")
    return [Note(f"The paper ({_PAPER_SETUP[name]}): {'; '.join(rows)}.")]


def as_printed(entry: PaperNumber) -> str:
    """A number of the paper under its heading, with its spread and what is odd about it."""
    style = _PAPER_FORMATS.get(entry.unit, "g")
    spread = "" if entry.std is None else f" ± {format(entry.std, style)}"
    note = f" [sic: {entry.note}]" if entry.note else ""
    return f"{entry.column} {signed(entry.value, style)}{spread}{note}"
