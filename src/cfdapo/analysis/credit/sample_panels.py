"""What figures of measured credit share: a panel a sample, stacked shares, one legend."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cfdapo.analysis.records.samples import Sample
from cfdapo.analysis.rendering.figures import TEXT
from cfdapo.vocabulary import SOURCES

# Colours of Okabe and Ito that also differ in lightness, and hatches for print in grey.
_FILLS = (
    ("#D55E00", ""),
    ("#56B4E9", "////"),
    ("#F0E442", "...."),
    ("#0072B2", "xxxx"),
    ("#BBBBBB", "----"),
)


def patches_of(names: Sequence[str]) -> list[Patch]:
    return [
        Patch(facecolor=colour, hatch=hatch, edgecolor="#333333", linewidth=0.4, label=name)
        for name, (colour, hatch) in zip(names, _fills(len(names)), strict=True)
    ]


def _fills(count: int) -> list[tuple[str, str]]:
    """A fill for each class; labels and kinds together are more than the colours, so they recur."""
    return [(_FILLS[i % 5][0], _FILLS[(i + i // 5) % 5][1]) for i in range(count)]


def stack_shares(
    panel: Axes, parts: Mapping[str, np.ndarray], edges: np.ndarray, total: int
) -> None:
    """Stacked bars of each part's share of `total` in %, between `edges`."""
    bottom = np.zeros(len(edges) - 1)
    for values, (colour, hatch) in zip(parts.values(), _fills(len(parts)), strict=True):
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        height = 100 * counts / max(total, 1)
        # Bars of no height, which are most, would only take time.
        some = counts > 0
        panel.bar(
            edges[:-1][some],
            height[some],
            np.diff(edges)[some],
            bottom[some],
            align="edge",
            facecolor=colour,
            hatch=hatch,
            edgecolor="#333333",
            linewidth=0.4,
        )
        bottom += height


def sample_panels(
    samples: Sequence[Sample],
    labels: Mapping[str, str],
    draw: Callable[[Axes, Sample], None],
    axes: tuple[str, str],
    handles: list[Patch] | None,
    note: str,
) -> Figure:
    """A column a model, a row a source; one legend below, `note` its title."""
    models = [m for m in labels if any(s.model == m for s in samples)]
    sources = [source for source in SOURCES if any(s.source == source for s in samples)]
    by_place = {(s.source, s.model): s for s in samples}
    with matplotlib.rc_context(TEXT | {"hatch.linewidth": 0.4}):
        size = (max(2.4 * len(models), 4.0), 1.9 * len(sources) + 0.7)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(
            len(sources), len(models), squeeze=False, sharex=True, sharey="row"
        )
        for row, source in enumerate(sources):
            for column, model in enumerate(models):
                panel, sample = panels[row, column], by_place.get((source, model))
                panel.set_title(f"{labels[model]}, {source}")
                panel.yaxis.set_major_locator(MaxNLocator(nbins=5))
                if sample is None or sample.spans.empty:
                    panel.text(0.5, 0.5, "no spans", transform=panel.transAxes, ha="center")
                if sample is not None:
                    draw(panel, sample)
            panels[row, 0].set_ylabel(axes[1])
        for panel in panels[-1]:
            panel.set_xlabel(axes[0])
        if handles is None:
            found = panels[0, 0].get_legend_handles_labels()
        else:
            found = (handles, [handle.get_label() for handle in handles])
        figure.legend(
            *found,
            loc="outside lower center",
            ncols=len(found[0]) if figure.get_figwidth() > 5 else 2,
            frameon=False,
            title=note,
            title_fontsize=7,
        )
    return figure
