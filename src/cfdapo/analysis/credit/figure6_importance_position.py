"""Importance over the position in the reasoning: Figure 6."""

import math
from collections.abc import Mapping

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfdapo.analysis.credit.sample_panels import sample_panels
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import Sample, split_samples
from cfdapo.analysis.statistics.clustered import mean

_TENTHS = 10
# Of spans on the last line that holds any, and of others.
_COLOURS = {True: "#D55E00", False: "#0072B2"}


def importance_by_position(measured: MeasuredCredit, labels: Mapping[str, str]) -> Figure:
    """Figure 6: importance of spans over their position, with means by tenths of the reasoning.

    Args: as `drop_histogram`. Bars are 95 % intervals of the mean between problems.
    """
    samples = split_samples(measured, labels)
    # Of the points of a row of panels; an interval of few problems may reach beyond.
    reach = pd.concat([sample.spans.assign(source=sample.source) for sample in samples])
    limits = reach.groupby("source")["importance"].agg(["min", "max"])

    def draw(panel: Axes, sample: Sample) -> None:
        if sample.spans.empty:
            return
        spans = sample.spans.assign(last_line=sample.spans["last_line"].astype(bool))
        seaborn.scatterplot(
            spans,
            x="position",
            y="importance",
            hue="last_line",
            style="last_line",
            palette=_COLOURS,
            markers={True: "o", False: "s"},
            s=4,
            linewidth=0,
            alpha=0.25,
            rasterized=True,
            legend=False,
            ax=panel,
        )
        _means(panel, spans, "#000000", "-", "o", "mean of all spans")
        before = spans[~spans["last_line"]]
        _means(panel, before, _COLOURS[False], "--", "s", "mean without the last line")
        panel.set_xlim(0, 1)
        low, high = limits.loc[sample.source]
        margin = max(0.05 * (high - low), 0.1)
        panel.set_ylim(low - margin, high + margin)

    return sample_panels(
        samples,
        labels,
        draw,
        ("Position in the reasoning", "Importance (nats)"),
        None,
        "points: spans, orange on the last line; bars: 95 % interval of the mean between\n"
        "problems, which may be wider than the panel where they are few",
    )


def _means(
    panel: Axes, spans: pd.DataFrame, colour: str, line: str, marker: str, label: str
) -> None:
    """Mean importance by tenths of the position, with intervals between problems."""

    def between_problems(values: pd.Series) -> tuple[float, float]:
        found = mean(values.to_numpy(float), spans.loc[values.index, "problem"])
        if found.low is None or found.high is None:
            return math.nan, math.nan
        return found.low, found.high

    tenths = (spans["position"] * _TENTHS).astype(int).clip(0, _TENTHS - 1)
    seaborn.lineplot(
        x=(tenths + 0.5) / _TENTHS,
        y=spans["importance"].astype(float),
        errorbar=between_problems,
        err_style="bars",
        err_kws={"elinewidth": 0.8},
        color=colour,
        linestyle=line,
        marker=marker,
        markersize=3,
        markeredgewidth=0,
        linewidth=1.2,
        label=label,
        legend=False,
        ax=panel,
    )


def make(results: Results) -> Figure:
    """Figure 6 of a study."""
    return importance_by_position(results.credit(), results.labels)
