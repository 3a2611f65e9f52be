"""How token weights are distributed: Figure 7."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfdapo.analysis.credit.sample_panels import patches_of, sample_panels, stack_shares
from cfdapo.analysis.credit.token_weights import BANDS, collect_tokens
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import Sample, split_samples

_BAND_NAMES = {
    "high": "high (> 0.8)",
    "medium": "medium",
    "low": "low (≤ 0.5)",
    "outside": "outside spans",
    "answer": "answer",
}


def weight_histogram(measured: MeasuredCredit, labels: Mapping[str, str]) -> Figure:
    """Figure 7: share of tokens by their weight, stacked by band of importance.

    Args: as `drop_histogram`.
    """
    samples = split_samples(measured, labels)
    tokens = {id(sample): collect_tokens(sample) for sample in samples}
    highest = max(frame["weight"].max() for frame in tokens.values())
    edges = np.linspace(0, max(1.0, math.ceil(highest * 4) / 4), 33)

    def draw(panel: Axes, sample: Sample) -> None:
        frame = tokens[id(sample)]
        stack_shares(panel, frame["weight"], frame["band"], BANDS, edges)
        mean = frame["weight"].mean()
        panel.axvline(mean, color="#000000", linestyle=":", linewidth=1)
        # As high as the panel, whatever the bars of its neighbours.
        panel.text(
            *(mean + 0.05, 0.98, f"mean {mean:.2f}"),
            transform=panel.get_xaxis_transform(),
            va="top",
            fontsize=7,
        )
        panel.set_xlim(edges[0], edges[-1] + 0.1)

    return sample_panels(
        samples,
        labels,
        draw,
        ("Token weight", "Tokens (%)"),
        patches_of([_BAND_NAMES[band] for band in BANDS]),
        "normalized importance of the token's span",
    )


def make(results: Results) -> Figure:
    """Figure 7 of a study."""
    return weight_histogram(results.credit(), results.labels)
