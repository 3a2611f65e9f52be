"""What critical spans are about: Table 5."""

from collections.abc import Mapping

import pandas as pd

from cfdapo.analysis.content import Enrichment, measure_enrichment
from cfdapo.analysis.distribution import split_quarters
from cfdapo.analysis.rendering import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.reported import reported
from cfdapo.analysis.samples import Records, split_samples
from cfdapo.analysis.tables.credit_rows import heading, in_nats, p_value, percent
from cfdapo.analysis.tables.shared import counted, on_task

DATA_COLUMNS = [
    *("model", "label", "source", "pattern", "critical_spans", "low_spans"),
    *("critical_share", "low_share", "enrichment", "low", "high", "p", "reason"),
]
_FEW = "fewer than four spans with drop < 0"


def table5_content(records: Records, labels: Mapping[str, str], task: str | None = None) -> Table:
    """Table 5: content patterns in critical and in low-importance spans, with their enrichment.

    Args, raises: as `table4_drop_distribution`.
    """
    footnotes = Footnotes()
    rows, data, classes = [], [], []
    for sample in split_samples(records, labels):
        critical, low = split_quarters(sample.spans)
        sizes = len(critical), len(low)
        name = heading(sample, labels)
        classes.append(f"{name}: {_class_limits(critical, low)}")
        for found in measure_enrichment(critical, low):
            rows.append([Cell(name), *_cells(found, footnotes)])
            data.append(
                (sample.model, labels[sample.model], sample.source, *_numbers(found, *sizes))
            )
    return Table(
        name="table5_content",
        title=f"Content patterns in critical and in low-importance spans{on_task(task)}.",
        columns=[
            *("Completions", "Pattern", "Critical", "Low", "Enrichment", "95 % interval", "p"),
            "Paper: critical, low, enrichment",
        ],
        rows=rows,
        data=pd.DataFrame(data, columns=DATA_COLUMNS),
        notes=[*footnotes.notes(), *_notes(classes)],
    )


def _numbers(found: Enrichment, critical: int, low: int) -> tuple:
    ratio = found.ratio
    numbers = (found.critical, found.low, ratio.value, ratio.low, ratio.high, ratio.p)
    return (found.pattern, critical, low, *numbers, ratio.reason)


def _cells(found: Enrichment, footnotes: Footnotes) -> list[Cell]:
    ratio = found.ratio
    critical, low, enriched = (
        reported("table5_content", found.pattern, column).value
        for column in ("Critical", "Low", "Enrich.")
    )
    paper = Cell(f"{critical:.1f} %, {low:.1f} %, {enriched:g}×")
    cells = [Cell(found.pattern)]
    for share in (found.critical, found.low):
        shown = percent(share, _FEW)
        cells.append(Cell(shown.text) if shown.text else footnotes.dash(shown.reason))
    if ratio.value is None:
        return [*cells, *(footnotes.dash(ratio.reason) for _ in range(3)), paper]
    cells.append(Cell(f"{ratio.value:.2f}×"))
    if ratio.low is None or ratio.high is None or ratio.p is None:
        return [*cells, footnotes.dash(ratio.reason), footnotes.dash(ratio.reason), paper]
    interval = f"[{signed(ratio.low, '.2f')}, {signed(ratio.high, '.2f')}]"
    return [*cells, Cell(interval), Cell(p_value(ratio.p)), paper]


def _class_limits(critical: pd.DataFrame, low: pd.DataFrame) -> str:
    """How many spans each class has, and the drops that part them."""
    if critical.empty:
        return "no classes"
    return (
        f"{counted(len(critical), 'span')} each, drops up to {in_nats(critical['drop'].max())} and "
        f"from {in_nats(low['drop'].min())}, {_on_last_line(critical)} and {_on_last_line(low)} of "
        "them on the last line with spans"
    )


def _on_last_line(spans: pd.DataFrame) -> str:
    return percent(float(spans["last_line"].astype(float).mean())).text


def _notes(classes: list[str]) -> list[Note]:
    return [
        Note(
            "Critical and low: of the spans with drop < 0, the quarter with the lowest and the "
            "quarter with the highest drops, within each set of completions. The paper takes "
            "drops < −500 and in [−50, 0); no score of the answer's tokens alone reaches −500. "
            f"{'; '.join(classes)}."
        ),
        Note(
            "A pattern is looked for in the whole line that the span begins in, since a span is "
            "often an expression without the words around it."
        ),
        Note(
            "Interval and p: Katz's, of the logarithm of the ratio, with the standard error "
            "between problems, since the spans of one problem are alike. Nothing is added to "
            "empty cells; where a class has no span with the pattern, the interval is undefined. "
            "The p-values are not corrected for the number of patterns."
        ),
    ]
