"""Tables with a row a quantity and a column a sample, the paper's own number beside."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from cfdapo.analysis.credit.span_statistics import Contrast
from cfdapo.analysis.records.samples import Sample
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import p_value
from cfdapo.analysis.statistics.estimates import Estimate


@dataclass(frozen=True)
class Number:
    """One quantity of one sample: the text that readers see, and the numbers behind it.

    Without a text it is a dash, and `reason` says why; with both, the text gets the footnote.
    `more` are further numbers for programs, by the column of the CSV that holds them.
    """

    text: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""
    more: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A quantity, what the paper reports for it (a dash if nothing), and a number a sample."""

    quantity: str
    paper: str
    numbers: Sequence[Number] = field(default_factory=list)
    remark: str = ""


NOT_REPORTED = "the paper reports none"
# `low` and `high` end the 95 % interval of `value`; `p` is clustered where there are other tests.
DATA_COLUMNS = ["model", "label", "source", "quantity", "value", "low", "high", "p"]


def wide_table(
    name: str,
    title: str,
    rows: Sequence[Row],
    samples: Sequence[Sample],
    labels: Mapping[str, str],
    notes: Sequence[Note],
) -> Table:
    """The table of `rows`, whose numbers are in the order of `samples`."""
    footnotes = Footnotes()
    shown = []
    for row in rows:
        paper = Cell(row.paper, mark=footnotes.mark(row.remark)) if row.paper else None
        shown.append(
            [
                Cell(row.quantity),
                paper or footnotes.dash(NOT_REPORTED),
                *(_cell(number, footnotes) for number in row.numbers),
            ]
        )
    return Table(
        name=name,
        title=title,
        columns=["", "Paper", *(heading(sample, labels) for sample in samples)],
        rows=shown,
        data=_data(rows, samples, labels),
        notes=[*footnotes.notes(), *notes],
    )


def heading(sample: Sample, labels: Mapping[str, str]) -> str:
    """A sample's column: the model and where its completions are from."""
    return f"{labels[sample.model]}, {sample.source}"


def _cell(number: Number, footnotes: Footnotes) -> Cell:
    if not number.text:
        return footnotes.dash(number.reason)
    return Cell(number.text, mark=footnotes.mark(number.reason))


def _data(
    rows: Sequence[Row], samples: Sequence[Sample], labels: Mapping[str, str]
) -> pd.DataFrame:
    tidy = [
        {
            "model": sample.model,
            "label": labels[sample.model],
            "source": sample.source,
            "quantity": row.quantity,
            "value": number.value,
            "low": number.low,
            "high": number.high,
            "p": number.p,
            **number.more,
        }
        for row in rows
        for sample, number in zip(samples, row.numbers, strict=True)
    ]
    more = dict.fromkeys(key for row in tidy for key in row if key not in DATA_COLUMNS)
    return pd.DataFrame(tidy, columns=[*DATA_COLUMNS, *more])


def number(value: float | None, style: str, reason: str = "") -> Number:
    """A number in a `format` style, or a dash where it is None or nan."""
    if value is None or math.isnan(value):
        return Number(reason=reason)
    return Number(signed(value, style), float(value))


def count(value: int, total: int | None = None) -> Number:
    """A count, with its share of `total` in %."""
    share = f" ({100 * value / total:.1f} %)" if total else ""
    return Number(f"{value:,}{share}", value)


def nats(value: float | None, reason: str = "") -> Number:
    """A drop: digits enough to see it, and no row of zeros."""
    if value is None or math.isnan(value):
        return Number(reason=reason)
    return Number(in_nats(value), float(value))


def in_nats(value: float) -> str:
    """A number of nats as text; what rounds to nothing says on which side of 0 it lies."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.0005:
        return "−<0.001" if value < 0 else "<0.001"
    return signed(value, ".0f" if size >= 100 else ".1f" if size >= 10 else ".3f")


def percent(share: float | None, reason: str = "") -> Number:
    """A share in [0, 1] as percent; `value` is in percent too."""
    if share is None or math.isnan(share):
        return Number(reason=reason)
    return Number(f"{100 * share:.1f} %", 100 * share)


def estimate(found: Estimate, style: str) -> Number:
    """An estimate with its interval and p, as "−0.31 [−0.40, −0.22], p 0.012"."""
    if found.value is None:
        return Number(reason=found.reason)
    text = signed(found.value, style)
    if found.low is not None and found.high is not None:
        text += f" [{signed(found.low, style)}, {signed(found.high, style)}]"
    if found.p is not None:
        text += f", p {p_value(found.p)}"
    return Number(text, found.value, found.low, found.high, found.p, found.reason)


def difference(contrast: Contrast) -> Number:
    """The difference of two means in nats, with its interval between clusters."""
    found = contrast.difference
    if found.value is None:
        return Number(reason=found.reason)
    text = in_nats(found.value)
    if found.low is not None and found.high is not None:
        text += f" [{in_nats(found.low)}, {in_nats(found.high)}]"
    return Number(text, found.value, found.low, found.high, None, found.reason)


def tests(contrast: Contrast) -> Number:
    """Its p-values by Welch's test, Mann-Whitney's and between clusters; `p` is the last."""
    values = (contrast.welch, contrast.mann_whitney, contrast.difference.p)
    if all(p is None for p in values):
        return Number(reason=contrast.difference.reason)
    text = " / ".join("–" if p is None else p_value(p) for p in values)
    return Number(
        text,
        p=contrast.difference.p,
        reason=contrast.difference.reason,
        more={"p_welch": contrast.welch, "p_mann_whitney": contrast.mann_whitney},
    )
