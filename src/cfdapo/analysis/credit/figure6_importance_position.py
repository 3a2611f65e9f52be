"""Importance over the position in the reasoning: Figure 6."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfdapo.analysis.credit.sample_panels import sample_panels
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import Sample, split_samples

_POSITION_BINS = 10


def importance_by_position(measured: MeasuredCredit, labels: Mapping[str, str]) -> Figure:
    """Figure 6: importance of spans over their position, with means by tenths of the reasoning.

    Args: as `drop_histogram`. Bars are 95 % intervals of the mean between problems.
    """
    samples = split_samples(measured, labels)

    def draw(panel: Axes, sample: Sample) -> None:
        spans = sample.spans
        last = spans["last_line"].astype(bool)
        for part, colour, marker in ((spans[last], "#D55E00", "o"), (spans[~last], "#0072B2", "s")):
            panel.plot(
                *(part["position"], part["importance"]),
                *(marker,),
                color=colour,
                markersize=2,
                markeredgewidth=0,
                alpha=0.25,
                rasterized=True,
            )
        _means(panel, spans, "#000000", "-", "o", "mean of all spans")
        _means(panel, spans[~last], "#0072B2", "--", "s", "mean without the last line")
        panel.set_xlim(0, 1)

    return sample_panels(
        samples,
        labels,
        draw,
        ("Position in the reasoning", "Importance (nats)"),
        None,
        "points: spans, orange on the last line; bars: 95 % interval of the mean between problems",
    )


def _means(
    panel: Axes, spans: pd.DataFrame, colour: str, line: str, marker: str, label: str
) -> None:
    """Mean importance by tenths of the position, with intervals between problems."""
    bins = np.clip((spans["position"] * _POSITION_BINS).astype(int), 0, _POSITION_BINS - 1)
    rows = []
    for number, part in spans.groupby(bins):
        values = part["importance"].to_numpy(float)
        influence = pd.Series(values - values.mean()).groupby(part["problem"].to_numpy()).sum()
        problems = len(influence)
        spread = np.sqrt(problems / (problems - 1) * (influence**2).sum()) if problems > 1 else 0
        rows.append(((number + 0.5) / _POSITION_BINS, values.mean(), 1.96 * spread / len(values)))
    if rows:
        panel.errorbar(
            *zip(*rows, strict=True),
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=3,
            linewidth=1.2,
            elinewidth=0.8,
            label=label,
        )


def make(results: Results) -> Figure:
    """Figure 6 of a study."""
    return importance_by_position(results.credit(), results.labels)
