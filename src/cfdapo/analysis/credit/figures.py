"""Figures of measured credit: drops by class, importance against position, token weights."""

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from cfdapo.analysis.credit.drop_distribution import NO_EFFECT
from cfdapo.analysis.credit.token_weights import BANDS, collect_tokens
from cfdapo.analysis.outcomes.figures import TEXT
from cfdapo.analysis.records.measured_credit import LABELS
from cfdapo.analysis.records.samples import SOURCES, Records, Sample, split_samples

KINDS = ("arithmetic", "calculation", "sentence")
# Colours of Okabe and Ito that also differ in lightness, and hatches for print in grey.
_FILLS = (
    ("#D55E00", ""),
    ("#56B4E9", "////"),
    ("#F0E442", "...."),
    ("#0072B2", "xxxx"),
    ("#BBBBBB", "----"),
)
_BAND_NAMES = {
    "high": "high (> 0.8)",
    "medium": "medium",
    "low": "low (≤ 0.5)",
    "outside": "outside spans",
    "answer": "answer",
}
_POSITION_BINS = 10


def drop_histogram(records: Records, labels: Mapping[str, str]) -> Figure:
    """Figure 5: share of spans by drop, stacked by known label, else by kind; a panel a sample.

    Args:
        records: model -> (spans, completions), as `records.measured_credit` reads them.
        labels: model -> display name; its order is the order of columns.
    """
    samples = split_samples(records, labels)
    edges = _symlog_edges(np.concatenate([s.spans["drop"].to_numpy(float) for s in samples]))
    classes = _classes(samples)

    def draw(panel: Axes, sample: Sample) -> None:
        known = _class_of(sample.spans)
        parts = {n: sample.spans.loc[known == n, "drop"].to_numpy(float) for n in classes}
        _stack(panel, parts, edges, len(sample.spans))
        panel.set_xscale("symlog", linthresh=NO_EFFECT, linscale=0.5)
        panel.xaxis.set_major_locator(FixedLocator(_symlog_ticks(edges)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
        panel.set_xlim(edges[0], edges[-1])

    return _grid(
        samples,
        labels,
        draw,
        ("Drop (nats)", "Spans (%)"),
        _handles(classes),
        f"logarithmic below −{NO_EFFECT:g}, linear around 0",
    )


def importance_by_position(records: Records, labels: Mapping[str, str]) -> Figure:
    """Figure 6: importance of spans over their position, with means by tenths of the reasoning.

    Args: as `drop_histogram`. Bars are 95 % intervals of the mean between problems.
    """
    samples = split_samples(records, labels)

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

    return _grid(
        samples,
        labels,
        draw,
        ("Position in the reasoning", "Importance (nats)"),
        None,
        "points: spans, orange on the last line; bars: 95 % interval of the mean between problems",
    )


def weight_histogram(records: Records, labels: Mapping[str, str]) -> Figure:
    """Figure 7: share of tokens by their weight, stacked by band of importance.

    Args: as `drop_histogram`.
    """
    samples = split_samples(records, labels)
    tokens = {id(sample): collect_tokens(sample) for sample in samples}
    highest = max(frame["weight"].max() for frame in tokens.values())
    edges = np.linspace(0, max(1.0, math.ceil(highest * 4) / 4), 33)

    def draw(panel: Axes, sample: Sample) -> None:
        frame = tokens[id(sample)]
        parts = {n: frame.loc[frame["band"] == n, "weight"].to_numpy() for n in BANDS}
        _stack(panel, parts, edges, len(frame))
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

    return _grid(
        samples,
        labels,
        draw,
        ("Token weight", "Tokens (%)"),
        _handles([_BAND_NAMES[band] for band in BANDS]),
        "normalized importance of the token's span",
    )


def _class_of(spans: pd.DataFrame) -> pd.Series:
    """A span's label where it is known, else its kind."""
    return spans["label"].where(spans["label"].notna(), spans["kind"])


def _classes(samples: Sequence[Sample]) -> list[str]:
    """Classes that there are: known labels, then kinds, those of code at the end."""
    found = {name for sample in samples for name in _class_of(sample.spans)}
    known = [name for name in (*LABELS, *KINDS) if name in found]
    return known + sorted(found - set(known))


def _handles(names: Sequence[str]) -> list[Patch]:
    return [
        Patch(facecolor=colour, hatch=hatch, edgecolor="#333333", linewidth=0.4, label=name)
        for name, (colour, hatch) in zip(names, _fills(len(names)), strict=True)
    ]


def _fills(count: int) -> list[tuple[str, str]]:
    """A fill for each class; labels and kinds together are more than the colours, so they recur."""
    return [(_FILLS[i % 5][0], _FILLS[(i + i // 5) % 5][1]) for i in range(count)]


def _stack(panel: Axes, parts: Mapping[str, np.ndarray], edges: np.ndarray, total: int) -> None:
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


def _grid(
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
