"""What the tables share: words for counts and p-values, the paper's own values as notes."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cfdapo.analysis.paper.numbers import Reported, reported, reported_columns, reported_rows
from cfdapo.analysis.rendering.table import Note, signed
from cfdapo.files import UserError

SIGNIFICANT = 0.05
# The task of the paper's Tables 1, 2, 3 and 8.
PAPER_TASK = "gsm8k"


def rows_of(labels: Mapping[str, str], present: Sequence[str]) -> dict[str, str]:
    """Model -> display name, in the order of `labels`, then models that have no label."""
    absent = [model for model in labels if model not in present]
    if absent:
        raise UserError(f"no runs of {', '.join(absent)}; there are runs of {', '.join(present)}")
    return {**labels, **{model: model for model in present if model not in labels}}


def counted(number: int, noun: str) -> str:
    """As in "1 seed" and "3 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seeds_of(curves: pd.DataFrame) -> str:
    """How many seeds the runs have, by their columns `model`, `mode` and `seed`."""
    counts = curves.groupby(["model", "mode"])["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return counted(high, "seed") if low == high else f"{low} to {high} seeds"


def problems_of(curves: pd.DataFrame) -> str:
    """How many problems the runs were graded on."""
    return counted(int(curves["problems"].max()), "problem")


def digits(value: float) -> str:
    """Three digits or more: studies last from seconds to hours."""
    places = next((n for n, limit in enumerate((100, 10, 1)) if value >= limit), 3)
    return f"{value:.{places}f}"


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
    if not set(models.values()) <= set(reported_rows(name)):
        return []
    rows = []
    for label in models.values():
        entries = [reported(name, label, column) for column in reported_columns(name, label)]
        rows.append(f"{label} {', '.join(as_printed(entry) for entry in entries)}")
    return [Note(f"The paper ({_PAPER_SETUP[name]}): {'; '.join(rows)}.")]


def as_printed(entry: Reported) -> str:
    """A number of the paper under its heading, with its spread and what is odd about it."""
    style = _PAPER_FORMATS.get(entry.unit, "g")
    spread = "" if entry.std is None else f" ± {format(entry.std, style)}"
    note = f" [sic: {entry.note}]" if entry.note else ""
    return f"{entry.column} {signed(entry.value, style)}{spread}{note}"


def p_text(p: float) -> str:
    """A p-value with three digits, starred where it is significant."""
    star = "*" if p < SIGNIFICANT else ""
    return ("<0.001" if p < 0.001 else f"{p:.3f}") + star
