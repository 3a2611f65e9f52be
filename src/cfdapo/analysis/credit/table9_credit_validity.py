"""Which credit finds causes: Table 9, not in the paper."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from cfdapo.analysis.credit.quantity_rows import heading
from cfdapo.analysis.credit.validity import (
    BASELINES,
    OWN,
    VALIDITY_COLUMNS,
    Ranked,
    measure_validity,
    same_scores,
)
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import Sample, split_samples
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import counted, on_task
from cfdapo.analysis.statistics.estimates import RANKING_RESAMPLES
from cfdapo.vocabulary import PAPERS_COMBINATION

SCORE_LABELS = {
    PAPERS_COMBINATION: f"{PAPERS_COMBINATION} (the paper's)",
    OWN: "the study's own drop",
    "length": "length in tokens",
    "later": "position, later first",
    "earlier": "position, earlier first",
    "entropy": "entropy, high first",
    "low entropy": "entropy, low first",
    "arithmetic": "calculations before sentences",
    "random": "random, one draw",
}
# Heading, metric and scope of every column.
_COLUMNS = (
    ("AUROC in a completion", "within_auroc", "all"),
    ("… less the best baseline's", "difference", "all"),
    ("… without the last line", "within_auroc", "without last line"),
    ("… calculations only", "within_auroc", "calculations"),
    ("AUROC, pooled", "auroc", "all"),
    ("Average precision", "average_precision", "all"),
    ("τ with dependants", "tau", "all"),
    ("Last line's share", "last_line_share", "all"),
)
_SIGNED = ("difference", "tau")
_UNDEFINED = {
    "within_auroc": "no completion has causal spans and others, of known labels, there",
    "difference": "no completion has causal spans and others, of known labels, there",
    "auroc": "needs causal spans and others, of known labels",
    "average_precision": "needs causal spans and others, of known labels",
    "tau": "no completion has causal spans of which one has more dependants than another",
    "last_line_share": "no span has positive importance",
}
_IS_BASELINE = "a baseline itself"
_NO_AMOUNT = "an order, not an amount of which a line could have a share"


def table9_credit_validity(
    measured: MeasuredCredit, labels: Mapping[str, str], task: str | None = None
) -> Table:
    """Table 9, not in the paper: how well importance finds the spans known to be causal.

    Args:
        measured: model -> (spans, completions), as `records.measured_credit` reads them.
        labels: model -> display name; its order is the order of rows.
        task: the study's task, for the title.

    Raises:
        UserError: as `cfdapo.analysis.records.samples.split_samples`.
    """
    samples = split_samples(measured, labels)
    found = measure_validity(samples)
    footnotes = Footnotes()
    rows: list[list[Cell]] = []
    for sample in samples:
        of_sample = found[(found["model"] == sample.model) & (found["source"] == sample.source)]
        rows += _rows(heading(sample, labels), of_sample, footnotes)
    data = found.assign(label=found["model"].map(labels))[["label", *VALIDITY_COLUMNS]]
    return Table(
        name="table9_credit_validity",
        title=(
            f"How well importance finds causal spans{on_task(task)}, by intervention and sink, and "
            "how well baselines do that measure nothing. Best AUROC in bold."
        ),
        columns=["Completions", "Importance by", *(heading for heading, *_ in _COLUMNS)],
        rows=rows,
        data=data,
        notes=[*footnotes.notes(), *_notes(found), *_sample_notes(samples, labels, found)],
    )


def _rows(name: str, found: pd.DataFrame, footnotes: Footnotes) -> Iterator[list[Cell]]:
    """A row a score; `found` has the rows of `measure_validity` for one sample."""
    cells = found.set_index(["score", "metric", "scope"])
    within = found[(found["metric"] == "within_auroc") & (found["scope"] == "all")]
    best = within["value"].round(3).max()
    for score in found["score"].unique():
        row = [Cell(name), Cell(SCORE_LABELS.get(score, score))]
        for _, metric, scope in _COLUMNS:
            key = (score, metric, scope)
            value = cells.loc[key] if key in cells.index else None
            if value is None or pd.isna(value["value"]):
                row.append(footnotes.dash(_reason(score, metric, value is None)))
                continue
            bold = (metric, scope) == ("within_auroc", "all") and round(value["value"], 3) == best
            row.append(Cell(_text(value, "+.3f" if metric in _SIGNED else ".3f"), bold))
        yield row


def _reason(score: str, metric: str, absent: bool) -> str:
    """Why a cell is a dash; baselines lack some metrics altogether."""
    baseline = score in BASELINES
    if absent and baseline and metric == "difference":
        return _IS_BASELINE
    if absent and baseline and metric == "last_line_share":
        return _NO_AMOUNT
    return _UNDEFINED[metric]


def _text(row: pd.Series, style: str) -> str:
    text = signed(row["value"], style)
    if pd.isna(row["low"]):
        return text
    return f"{text} [{signed(row['low'], style)}, {signed(row['high'], style)}]"


def _notes(found: pd.DataFrame) -> Iterator[Note]:
    if found.empty:
        yield Note("No spans were measured.")
        return
    yield Note(
        "Importance is −drop (equation 4) by intervention/sink: what becomes of the span, and "
        "whether the answer's tokens or all the rest up to the answer's end are scored. Causal: "
        "the label causal against restatement, filler and distractor, each relative to the answer "
        "that was stated; spans without a label are left out."
    )
    yield Note(
        "AUROC: the chance that a causal span ranks above one that is not, a tie being 1/2; below "
        "0.5, importance points the wrong way. In a completion: the mean over the completions that "
        "have both, as equation 6 normalises in a completion; pooled: all pairs. Without the last "
        "line: its spans are left out. Calculations only: causal ones against those that the "
        "answer does not come from. Average precision by steps, equal scores together; a random "
        "order's is the share of causal spans."
    )
    yield Note(
        "τ: Kendall's, among a completion's causal spans, between importance and the number of "
        "later causal spans that need the result; pairs of equal dependants are left out and tied "
        "importance counts 0 (Somers' D); mean over completions. Last line's share: positive "
        "importance on the last line that holds a span over all positive importance, mean over "
        "the completions that have any, also where labels are unknown; negative importance counts "
        "as none."
    )
    yield Note(
        f"Brackets: 95 % percentile intervals of {RANKING_RESAMPLES} bootstrap samples of "
        "problems, as completions of one problem are not independent; the same samples for every "
        "row. The best baseline is the one with the highest AUROC on the data, which favours it."
    )


def _sample_notes(
    samples: Sequence[Sample], labels: Mapping[str, str], found: pd.DataFrame
) -> Iterator[Note]:
    """What entered, by sample; which combinations are one measurement."""
    counts: list[str] = []
    same: dict[tuple[str, ...], list[str]] = {}
    for sample in samples:
        if sample.spans.empty:
            continue
        spans = Ranked.of(sample)
        known, causal = int(spans.known.sum()), int(spans.causal.sum())
        counts.append(
            f"{heading(sample, labels)}: {counted(known, 'span')} with a label, of which {causal} "
            f"are causal, and {len(spans.frame) - known} without, "
            f"{100 * spans.last_line.mean():.0f} % on the last line, in "
            f"{counted(len(spans.cluster), 'completion')} of {counted(spans.clusters, 'problem')}"
            + _best_baseline(sample, found)
        )
        for group in same_scores(spans):
            same.setdefault(group, []).append(heading(sample, labels))
    if counts:
        yield Note(f"{'; '.join(counts)}.")
    for group, names in same.items():
        where = "" if len(names) == len(counts) else f" ({'; '.join(names)})"
        yield Note(f"{' and '.join(group)} have equal drops in every span{where}.")


def _best_baseline(sample: Sample, found: pd.DataFrame) -> str:
    rows = found[(found["metric"] == "difference") & (found["scope"] == "all")]
    rows = rows[(rows["model"] == sample.model) & (rows["source"] == sample.source)]
    if rows.empty:
        return ""
    best = rows["baseline"].iloc[0]
    return f" (best baseline: {SCORE_LABELS.get(best, best)})"


def make(results: Results) -> Table:
    """Table 9 of a study."""
    return table9_credit_validity(results.credit(), results.labels, results.task)
