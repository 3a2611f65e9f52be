"""How drops are distributed: Figure 5."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from cfdapo.analysis.credit.drop_distribution import NO_EFFECT
from cfdapo.analysis.credit.sample_panels import patches_of, sample_panels, stack_shares
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import Sample, split_samples
from cfdapo.vocabulary import SPAN_LABELS

KINDS = ("arithmetic", "calculation", "sentence")


def drop_histogram(measured: MeasuredCredit, labels: Mapping[str, str]) -> Figure:
    """Figure 5: share of spans by drop, stacked by known label, else by kind; a panel a sample.

    Args:
        measured: model -> (spans, completions), as `records.measured_credit` reads them.
        labels: model -> display name; its order is the order of columns.
    """
    samples = split_samples(measured, labels)
    edges = _symlog_edges(np.concatenate([s.spans["drop"].to_numpy(float) for s in samples]))
    classes = _classes(samples)

    def draw(panel: Axes, sample: Sample) -> None:
        spans = sample.spans
        stack_shares(panel, spans["drop"].astype(float), _class_of(spans), classes, edges)

    figure = sample_panels(
        samples,
        labels,
        draw,
        ("Drop (nats)", "Spans (%)"),
        patches_of(classes),
        f"logarithmic below −{NO_EFFECT:g}, linear around 0",
    )
    for panel in figure.axes:
        # After all are drawn, since they share the axis: seaborn would bin in its scale.
        panel.set_xscale("symlog", linthresh=NO_EFFECT, linscale=0.5)
        panel.xaxis.set_major_locator(FixedLocator(_symlog_ticks(edges)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
        panel.set_xlim(edges[0], edges[-1])
    return figure


def _class_of(spans: pd.DataFrame) -> pd.Series:
    """A span's label where it is known, else its kind."""
    return spans["label"].where(spans["label"].notna(), spans["kind"])


def _classes(samples: Sequence[Sample]) -> list[str]:
    """Classes that there are: known labels, then kinds, those of code at the end."""
    found = {name for sample in samples for name in _class_of(sample.spans)}
    known = [name for name in (*SPAN_LABELS, *KINDS) if name in found]
    return known + sorted(found - set(known))


def _symlog_edges(drops: np.ndarray) -> np.ndarray:
    """Edges that are linear within `NO_EFFECT` and a quarter of a decade apart beyond."""
    low = min(drops.min(initial=0.0), -10 * NO_EFFECT)
    high = max(drops.max(initial=0.0), 10 * NO_EFFECT)

    def beyond(limit: float) -> np.ndarray:
        steps = math.ceil(4 * math.log10(limit / NO_EFFECT) - 1e-9)
        return NO_EFFECT * 10 ** (np.arange(1, steps + 1) / 4)

    middle = np.linspace(-NO_EFFECT, NO_EFFECT, 5)
    return np.concatenate([-beyond(-low)[::-1], middle, beyond(high)])


def _symlog_ticks(edges: np.ndarray) -> list[float]:
    decades = [10.0**power for power in range(-2, 4)]
    ticks = [-d for d in decades[::-1]] + [0.0] + decades
    # Around 0 the labels of ±0.01 would touch that of 0.
    return [t for t in ticks if edges[0] <= t <= edges[-1] and abs(t) != NO_EFFECT]


def make(results: Results) -> Figure:
    """Figure 5 of a study."""
    return drop_histogram(results.credit(), results.labels)
