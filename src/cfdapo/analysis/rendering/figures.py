"""What all figures share: their look, a panel a model, a line a mode, the files they are in."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cfdapo.files import atomic_write

PANELS_A_ROW = 3
# The bands of more modes than these cover each other and every line.
MOST_BANDS = 5


# Strokes and gaps in widths of the line, as seaborn takes them; "" is a line without gaps.
Dashes = tuple[float, ...] | Literal[""]


@dataclass(frozen=True)
class Style:
    """How a mode is drawn; line and marker tell modes apart without the colour."""

    colour: str
    line: Dashes
    marker: str


# Okabe and Ito's colours, near to the paper's (CF red, vanilla blue, inverted purple); the grey is
# dark enough to differ from the purple where that looks grey.
STYLES = {
    "counterfactual": Style("#D55E00", "", "o"),
    "vanilla": Style("#0072B2", (3.7, 1.6), "s"),
    "random": Style("#555555", (1, 1.65), "^"),
    "inverted": Style("#CC79A7", (6.4, 1.6, 1, 1.6), "D"),
}
# A study's variants, in its order; the colours are Okabe and Ito's others, without the yellow,
# which white paper swallows. The lengths have no common divisor, so 210 variants differ.
_VARIANT_COLOURS = ("#009E73", "#56B4E9", "#E69F00", "#000000", "#8C510A")
_VARIANT_LINES: tuple[Dashes, ...] = (
    *((6, 1.5), (1, 1), (3, 1, 1, 1), (8, 2, 2, 2), (3, 1, 1, 1, 1, 1), (2, 2)),
)
_VARIANT_MARKERS = ("v", "P", "X", "*", "<", ">", "p")
# Of every figure.
THEME = {
    **seaborn.axes_style("ticks"),
    # Part of matplotlib, so that figures are the same whatever fonts a machine has.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.4,
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
    panel: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    modes: Mapping[str, str],
    **marks: Any,
) -> None:
    """A line a mode: mean of `y` over seeds at every `x`, with a band of ±1 std if modes are few.

    `frame` has these two columns and `mode`; `modes` are display names in the order of legends.
    """
    styles = {mode: style for mode, style in styles_of(modes).items() if mode in modes}
    # Seaborn draws no line of a mode without any value, such as weights where none are given.
    frame = frame.dropna(subset=[y])
    present = [mode for mode in modes if mode in set(frame["mode"])]
    if not present:
        return
    with axes_as_named(panel):
        seaborn.lineplot(
            frame,
            x=x,
            y=y,
            hue="mode",
            style="mode",
            hue_order=present,
            style_order=present,
            palette={mode: styles[mode].colour for mode in present},
            dashes={mode: styles[mode].line for mode in present},
            markers={mode: styles[mode].marker for mode in present},
            errorbar="sd" if len(modes) <= MOST_BANDS else None,
            err_kws={"alpha": 0.15, "linewidth": 0},
            linewidth=1.4,
            markeredgewidth=0,
            legend=False,
            ax=panel,
            **marks,
        )
    for line, mode in zip(panel.get_lines(), present, strict=True):
        line.set_label(modes[mode])


@contextmanager
def axes_as_named(panel: Axes) -> Iterator[None]:
    """Whatever is drawn, axes keep their names; seaborn gives those without one a column's."""
    names = {"xlabel": panel.get_xlabel(), "ylabel": panel.get_ylabel()}
    yield
    panel.set(**names)


def whole_steps(panel: Axes) -> None:
    """Few ticks, at whole training steps."""
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


def share_legend(figure: Figure, order: Sequence[str], note: str) -> None:
    """One legend below all panels, entries in this order, under a note."""
    entries: dict[str, Any] = {}
    for panel in figure.axes:
        handles, names = panel.get_legend_handles_labels()
        entries.update(zip(names, handles, strict=True))
    names = [name for name in order if name in entries]
    longest = max(map(len, names), default=0)
    # An entry needs about 1.25 inches, one with a variant's longer name 1.7, with a sentence more.
    entry = 1.25 if longest <= 10 else 1.7 if longest <= 16 else 0.8 + 0.07 * longest
    figure.legend(
        [entries[name] for name in names],
        names,
        loc="outside lower center",
        ncols=max(2, min(len(names), int(figure.get_figwidth() / entry))),
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
        with matplotlib.rc_context(THEME):
            figure.savefig(stream, format=suffix, dpi=200, metadata=fields)
        paths.append(Path(f"{stem}.{suffix}"))
        atomic_write(paths[-1], stream.getvalue())
    return paths
