"""How drops are distributed: Table 4."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cfdapo.analysis.credit.drop_distribution import (
    NO_EFFECT,
    PAPER_CLASSES,
    count_classes,
    importance_held,
    moments,
)
from cfdapo.analysis.credit.quantity_rows import (
    Number,
    Row,
    count,
    nats,
    number,
    percent,
    wide_table,
)
from cfdapo.analysis.paper.numbers import paper_number
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import split_samples
from cfdapo.analysis.rendering.table import Note, Table, signed
from cfdapo.analysis.rendering.wording import on_task

NO_SPANS = "no spans were measured"
EQUAL_DROPS = "all drops are equal"
# Lower and upper ends of the paper's classes, as its Table 4 prints them.
_RANGES = {
    "Critical": "< −500",
    "Important": "[−500, −200)",
    "Moderate": "[−200, −50)",
    "Low": "[−50, 0)",
    "Distractor": "≥ 0",
}
_QUANTILES = (1, 5, 10, 25, 50, 75, 90, 99)
_HELD = (10, 25, 50)


def table4_drop_distribution(
    measured: MeasuredCredit, labels: Mapping[str, str], task: str | None = None
) -> Table:
    """Table 4: the distribution of drops by the paper's thresholds, and by ones that fit.

    Args:
        measured: model -> (spans, completions), as `records.measured_credit` reads them.
        labels: model -> display name; its order is the order of columns.
        task: the study's task, for the title.

    Raises:
        UserError: as `cfdapo.analysis.records.samples.split_samples`.
    """
    samples = split_samples(measured, labels)
    return wide_table(
        name="table4_drop_distribution",
        title=f"Distribution of drops in nats{on_task(task)}, by fixed thresholds and by shares.",
        rows=list(_distribution_rows([s.spans["drop"].to_numpy(float) for s in samples])),
        samples=samples,
        labels=labels,
        notes=[
            Note(
                "A drop is the answer's log-probability with the span masked, minus without "
                "(equation 3). Sampled: completions of the policy. Gold: the data set's solutions."
            ),
            Note(
                "Importance held: share of the sum of −drop over the spans with drop < 0. Evenly "
                "spread importance would give the top 10 % of spans 10 %."
            ),
        ],
    )


def _distribution_rows(samples: Sequence[np.ndarray]) -> Iterator[Row]:
    """Rows from drops in nats, an array of shape (n,) a sample."""
    spans = f"{paper_number('section4.3', 'sample', 'spans').value:,.0f}"
    yield Row("Spans", spans, [count(len(drops)) for drops in samples])
    found = [moments(drops) for drops in samples]
    for key in ("mean", "median", "minimum", "maximum"):
        yield Row(f"{key.capitalize()} drop", "", [nats(m.get(key), NO_SPANS) for m in found])
    yield from _shape_rows(found)
    classes = [count_classes(drops) for drops in samples]
    for name in PAPER_CLASSES:
        paper = (
            paper_number("table4_drop_distribution", name, column) for column in ("Count", "%")
        )
        number_, share = (entry.value for entry in paper)
        yield Row(
            f"{name}: drop {_RANGES[name]}",
            f"{number_:,.0f} ({share:g} %)",
            [count(c[name], sum(c.values())) for c in classes],
        )
    clear = [int((drops > NO_EFFECT).sum()) for drops in samples]
    none = [int((np.abs(drops) <= NO_EFFECT).sum()) for drops in samples]
    sizes = [len(drops) for drops in samples]
    yield Row(f"Clear distractor: drop > {NO_EFFECT}", "", list(map(count, clear, sizes)))
    yield Row(f"No effect: |drop| ≤ {NO_EFFECT}", "", list(map(count, none, sizes)))
    yield from _threshold_rows(samples)
    for part in _QUANTILES:
        yield Row(f"Quantile {part} % of drops", "", [_quantile(d, part) for d in samples])
    for part in _HELD:
        held = [importance_held(drops, part / 100) if len(drops) else None for drops in samples]
        yield Row(
            f"Importance held by the top {part} % of spans",
            "",
            [percent(share, "no drop is below 0") for share in held],
        )


def _shape_rows(found: Sequence[Mapping[str, float]]) -> Iterator[Row]:
    def values(key: str) -> list[Number]:
        return [number(m.get(key), ".2f", EQUAL_DROPS if m else NO_SPANS) for m in found]

    def paper(key: str) -> str:
        return signed(paper_number("section4.3", "drops", key).value, ".2f")

    unsaid = "the paper does not say whether its kurtosis is the excess"
    yield Row("Skewness", paper("skewness"), values("skewness"))
    yield Row("Kurtosis (normal: 3)", paper("kurtosis"), values("kurtosis"), unsaid)
    yield Row("Excess kurtosis (normal: 0)", paper("kurtosis"), values("excess kurtosis"), unsaid)


def _threshold_rows(samples: Sequence[np.ndarray]) -> Iterator[Row]:
    """The drops below which the paper's shares of the spans lie, beside its own thresholds."""
    below = 0.0
    for name, upper in zip(PAPER_CLASSES, [*PAPER_CLASSES.values()][1:], strict=False):
        below += paper_number("table4_drop_distribution", name, "%").value
        yield Row(
            f"Drop below which {below:.1f} % of spans lie (the paper's upper end of {name})",
            signed(upper, ".0f"),
            [_quantile(drops, below) for drops in samples],
        )


def _quantile(drops: np.ndarray, part: float) -> Number:
    return nats(float(np.quantile(drops, part / 100)) if len(drops) else None, NO_SPANS)


def make(results: Results) -> Table:
    """Table 4 of a study."""
    return table4_drop_distribution(results.credit(), results.labels, results.task)
