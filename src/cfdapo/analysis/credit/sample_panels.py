"""What figures of measured credit share: a panel a sample, stacked shares, one legend."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cfdapo.analysis.records.samples import Sample
from cfdapo.analysis.rendering.figures import THEME
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
    panel: Axes, values: pd.Series, parts: pd.Series, order: Sequence[str], edges: np.ndarray
) -> None:
    """Stacked bars of each part's share of all values in %, between `edges`.

    `parts` says of each value, shape (n,), which part it is in; `order` goes from the bottom up.
    """
    if values.empty:
        return
    fills = dict(zip(order, _fills(len(order)), strict=True))
    seaborn.histplot(
        x=values.clip(edges[0], edges[-1]),
        hue=parts.astype(str),
        # The last is at the bottom, and drawn first.
        hue_order=order[::-1],
        palette={part: colour for part, (colour, _) in fills.items()},
        bins=edges,
        multiple="stack",
        stat="percent",
        alpha=1,
        edgecolor="#333333",
        linewidth=0.4,
        legend=False,
        ax=panel,
    )
    present = [part for part in order if part in set(parts)]
    for bars, part in zip(panel.containers, present, strict=True):
        for bar in bars:
            bar.set_hatch(fills[part][1])


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
    with matplotlib.rc_context(THEME):
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
        # After drawing, which names its own columns.
        for (row, column), panel in np.ndenumerate(panels):
            panel.set_xlabel(axes[0] if row == len(sources) - 1 else "")
            panel.set_ylabel(axes[1] if column == 0 else "")
        if handles is None:
            found = panels[0, 0].get_legend_handles_labels()
        else:
            found = (handles, [handle.get_label() for handle in handles])
        legend = figure.legend(
            *found,
            loc="outside lower center",
            ncols=len(found[0]) if figure.get_figwidth() > 5 else 2,
            frameon=False,
            title=note,
            title_fontsize=7,
        )
        legend.get_title().set_multialignment("center")
    return figure
