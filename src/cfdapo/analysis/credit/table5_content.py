"""What critical spans are about: Table 5."""

from collections.abc import Mapping

import pandas as pd

from cfdapo.analysis.credit.content import Enrichment, measure_enrichment
from cfdapo.analysis.credit.drop_distribution import split_quarters
from cfdapo.analysis.credit.quantity_rows import heading, in_nats, percent
from cfdapo.analysis.paper.numbers import paper_number
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import split_samples
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import counted, on_task, p_value
from cfdapo.analysis.statistics.estimates import Estimate

DATA_COLUMNS = [
    *("model", "label", "source", "pattern", "critical_spans", "low_spans"),
    *("critical_share", "low_share", "enrichment", "low", "high", "p", "reason"),
    *("earlier_enrichment", "earlier_low", "earlier_high", "earlier_reason"),
]
_FEW = "fewer than four spans with drop < 0"


def table5_content(
    measured: MeasuredCredit, labels: Mapping[str, str], task: str | None = None
) -> Table:
    """Table 5: content patterns in critical and in low-importance spans, with their enrichment.

    Args, raises: as `table4_drop_distribution`.
    """
    footnotes = Footnotes()
    rows, data, classes = [], [], []
    for sample in split_samples(measured, labels):
        critical, low = split_quarters(sample.spans)
        earlier = split_quarters(sample.spans[~sample.spans["last_line"].astype(bool)])
        sizes = len(critical), len(low)
        name = heading(sample, labels)
        classes.append(f"{name}: {_class_limits(critical, low)}")
        both = zip(measure_enrichment(critical, low), measure_enrichment(*earlier), strict=True)
        for found, without in both:
            rows.append([Cell(name), *_cells(found, without.ratio, footnotes)])
            identity = (sample.model, labels[sample.model], sample.source)
            data.append((*identity, *_numbers(found, *sizes), *_bounds(without.ratio)))
    return Table(
        name="table5_content",
        title=f"Content patterns in critical and in low-importance spans{on_task(task)}.",
        columns=[
            *("Completions", "Pattern", "Critical", "Low", "Enrichment", "95 % interval", "p"),
            *("Enrichment without the last line", "Paper: critical, low, enrichment"),
        ],
        rows=rows,
        data=pd.DataFrame(data, columns=DATA_COLUMNS),
        notes=[*footnotes.notes(), *_notes(classes)],
    )


def _numbers(found: Enrichment, critical: int, low: int) -> tuple:
    ratio = found.ratio
    numbers = (found.critical, found.low, ratio.value, ratio.low, ratio.high, ratio.p)
    return (found.pattern, critical, low, *numbers, ratio.reason)


def _bounds(ratio: Estimate) -> tuple:
    return (ratio.value, ratio.low, ratio.high, ratio.reason)


def _cells(found: Enrichment, without: Estimate, footnotes: Footnotes) -> list[Cell]:
    ratio = found.ratio
    critical, low, enriched = (
        paper_number("table5_content", found.pattern, column).value
        for column in ("Critical", "Low", "Enrich.")
    )
    paper = Cell(f"{critical:.1f} %, {low:.1f} %, {enriched:g}×")
    cells = [Cell(found.pattern)]
    for share in (found.critical, found.low):
        shown = percent(share, _FEW)
        cells.append(Cell(shown.text) if shown.text else footnotes.dash(shown.reason))
    last = [_with_interval(without, footnotes), paper]
    if ratio.value is None:
        return [*cells, *(footnotes.dash(ratio.reason) for _ in range(3)), *last]
    cells.append(Cell(f"{ratio.value:.2f}×"))
    if ratio.low is None or ratio.high is None or ratio.p is None:
        return [*cells, footnotes.dash(ratio.reason), footnotes.dash(ratio.reason), *last]
    interval = f"[{signed(ratio.low, '.2f')}, {signed(ratio.high, '.2f')}]"
    return [*cells, Cell(interval), Cell(p_value(ratio.p)), *last]


def _with_interval(ratio: Estimate, footnotes: Footnotes) -> Cell:
    if ratio.value is None:
        return footnotes.dash(ratio.reason)
    if ratio.low is None or ratio.high is None:
        return Cell(f"{ratio.value:.2f}×", mark=footnotes.mark(ratio.reason))
    return Cell(f"{ratio.value:.2f}× [{ratio.low:.2f}, {ratio.high:.2f}]")


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
            "Without the last line: quarters of the spans before the last line that holds any. "
            "That line mostly states the answer's value, and masking it lowers the answer for this "
            "reason, whatever else it says."
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


def make(results: Results) -> Table:
    """Table 5 of a study."""
    return table5_content(results.credit(), results.labels, results.task)
