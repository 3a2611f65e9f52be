"""What all figures share: their look, a panel a model, a line a mode, the files they are in."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cfdapo.files import atomic_write

PANELS_A_ROW = 3
# The bands of more modes than these cover each other and every line.
MOST_BANDS = 5
# A training reward jumps from step to step; the mean over this share of the run is drawn.
SMOOTHING = 0.05


@dataclass(frozen=True)
class Style:
    """How a mode is drawn; line and marker tell modes apart without the colour."""

    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


# Okabe and Ito's colours, near to the paper's (CF red, vanilla blue, inverted purple); the grey is
# dark enough to differ from the purple where that looks grey.
STYLES = {
    "counterfactual": Style("#D55E00", "-", "o"),
    "vanilla": Style("#0072B2", "--", "s"),
    "random": Style("#555555", ":", "^"),
    "inverted": Style("#CC79A7", "-.", "D"),
}
# A study's variants, in its order; the colours are Okabe and Ito's others, without the yellow,
# which white paper swallows. The lengths have no common divisor, so 210 variants differ.
_VARIANT_COLOURS = ("#009E73", "#56B4E9", "#E69F00", "#000000", "#8C510A")
_VARIANT_LINES = (
    *((0, (6, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (8, 2, 2, 2)), (0, (3, 1, 1, 1, 1, 1))),
    (0, (2, 2)),
)
_VARIANT_MARKERS = ("v", "P", "X", "*", "<", ">", "p")
# Of every figure.
TEXT = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    # TrueType, so that publishers can embed and readers can search the text.
    "pdf.fonttype": 42,
}


def styles_of(modes: Iterable[str]) -> dict[str, Style]:
    """Mode -> how it is drawn: the weightings as ever, variants by their order among themselves."""
    variants = [mode for mode in modes if mode not in STYLES]
    return STYLES | {
        mode: Style(
            _VARIANT_COLOURS[number % len(_VARIANT_COLOURS)],
            _VARIANT_LINES[number % len(_VARIANT_LINES)],
            _VARIANT_MARKERS[number % len(_VARIANT_MARKERS)],
        )
        for number, mode in enumerate(variants)
    }


def model_panels(
    models: Mapping[str, str], modes: Mapping[str, str], height: str
) -> tuple[Figure, dict[str, Axes]]:
    """An empty figure with a panel a model, at most `PANELS_A_ROW` a row, by the model's key.

    `models`: key -> the panel's title. `height`: what stands beside the first panel of every row.
    """
    across = min(len(models), PANELS_A_ROW)
    down = -(-len(models) // across)
    figure = Figure(figsize=panel_size(across, down, modes), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for panel, label in zip(panels, models.values(), strict=False):
        panel.set_title(label)
    for panel in panels[len(models) :]:
        panel.remove()
    for panel in panels[: len(models) : across]:
        panel.set_ylabel(height)
    return figure, dict(zip(models, panels, strict=False))


def panel_size(across: int, down: int, modes: Mapping[str, str]) -> tuple[float, float]:
    """Inches of a figure of panels; many modes need taller panels and more legend."""
    many = len(modes) > MOST_BANDS
    return max((3.0 if many else 2.4) * across, 3.6), (2.9 if many else 2.1) * down + 0.6


def panels_of(frame: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, str]:
    """Model -> title of its panel, in the order of `labels`, then models without a label."""
    present = list(frame["model"].unique())
    ordered = [model for model in labels if model in present]
    return {
        model: labels.get(model, model)
        for model in [*ordered, *(model for model in present if model not in labels)]
    }


def draw_modes(
    panel: Axes, frame: pd.DataFrame, quantity: str, modes: Mapping[str, str], every: int = 1
) -> None:
    """A line a mode: mean over seeds, with a band where at least two seeds give a spread."""
    styles = styles_of(modes)
    for mode in (mode for mode in modes if mode in set(frame["mode"])):
        summary = frame[frame["mode"] == mode].groupby("step")[quantity].agg(["mean", "std"])
        steps = summary.index.to_numpy()
        marks = {"markersize": 3, "markevery": max(every, len(steps) // 10)}
        draw_line(panel, steps, summary, styles[mode], modes[mode], len(modes), **marks)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=True))


def spread_note(frame: pd.DataFrame) -> str:
    """What a legend says about lines and bands of runs, by `model`, `mode` and `seed`."""
    seeds = frame.groupby(["model", "mode"])["seed"].nunique()
    if seeds.max() == 1:
        return "one seed: no spread shown"
    if frame["mode"].nunique() > MOST_BANDS:
        return "lines: mean over seeds; their spread is in the tables"
    note = "lines: mean over seeds, bands: ±1 std"
    return note if seeds.min() > 1 else f"{note}; no band: one seed"


def draw_line(
    panel: Axes, x: Any, spread: pd.DataFrame, style: Style, label: str, lines: int, **marks: Any
) -> None:
    """A mode's line, `spread["mean"]` over `x`, and its band, ±`std`, where `lines` are few."""
    mean, std = spread["mean"], spread["std"]
    look = {"color": style.colour, "linestyle": style.line, "marker": style.marker}
    panel.plot(x, mean, linewidth=1.4, label=label, **look, **marks)
    if lines <= MOST_BANDS:
        panel.fill_between(x, mean - std, mean + std, color=style.colour, alpha=0.15, linewidth=0)


def share_legend(figure: Figure, order: Sequence[str], note: str) -> None:
    """One legend below all panels, entries in this order, under a note."""
    entries = {}
    for panel in figure.axes:
        handles, names = panel.get_legend_handles_labels()
        entries.update(zip(names, handles, strict=True))
    names = [name for name in order if name in entries]
    short = max(map(len, names), default=0) <= 10
    figure.legend(
        [entries[name] for name in names],
        names,
        loc="outside lower center",
        # An entry needs about 1.25 inches, one with a variant's longer name 1.7.
        ncols=max(2, min(len(names), int(figure.get_figwidth() / (1.25 if short else 1.7)))),
        frameon=False,
        handlelength=4,
        title=note,
        title_fontsize=7,
    )


def save(figure: Figure, stem: str | Path) -> list[Path]:
    """Write `{stem}.pdf` and `{stem}.png` (200 dpi); the same data give the same bytes."""
    # No dates and no version in the files.
    metadata = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "png": {"Software": None},
    }
    paths = []
    for suffix, fields in metadata.items():
        stream = io.BytesIO()
        with matplotlib.rc_context(TEXT):
            figure.savefig(stream, format=suffix, dpi=200, metadata=fields)
        paths.append(Path(f"{stem}.{suffix}"))
        atomic_write(paths[-1], stream.getvalue())
    return paths
