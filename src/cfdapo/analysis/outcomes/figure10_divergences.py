"""The divergences of a study as curves: h, its slope, and what a token costs (Figure 10)."""

from collections.abc import Mapping, Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfdapo.analysis.records.divergences import DivergencePoint, read_divergences
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import THEME, draw_modes, share_legend
from cfdapo.files import UserError

# Where the reference is in the last panel.
_REFERENCE = 0.5


def divergence_curves(
    points: Sequence[DivergencePoint], labels: Mapping[str, str], modes: Mapping[str, str]
) -> Figure:
    """Figure 10: h and h' over p, each in parts of its own range, and coefficient * D(p, 0.5).

    Args:
        points: the divergences, tabulated.
        labels: model -> title of its row; models whose divergences are the same share a row.
        modes: mode -> display name.

    Raises:
        UserError: no mode has a penalty.
    """
    if not points:
        raise UserError("no mode of the study has a penalty, so there is nothing to draw")
    frame = pd.DataFrame(map(vars, points)).assign(seed=0)
    rows = _rows(frame, labels)
    names = {mode: modes.get(mode, mode) for mode in frame["mode"].unique()}
    with matplotlib.rc_context(THEME):
        figure = Figure(figsize=(7.2, 2.3 * len(rows) + 0.9), layout="constrained")
        panels = figure.subplots(len(rows), 3, squeeze=False)
        for line, (title, own) in zip(panels, rows.items(), strict=True):
            _draw(line, own, names)
            if len(rows) > 1:
                line[0].set_title(title, loc="left")
        note = "a divergence of log p, as l2_log, has no h of p"
        share_legend(figure, list(names.values()), note)
    return figure


def _rows(frame: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Title -> the points of one model, or of all where they are the same."""
    by_model = {
        labels.get(model, model): rows for model, rows in frame.groupby("model", sort=False)
    }
    values = [rows.drop(columns="model").to_csv(index=False) for rows in by_model.values()]
    first = next(iter(by_model.values()))
    return by_model if len(set(values)) > 1 else {"": first}


def _draw(panels: Sequence[Axes], own: pd.DataFrame, names: Mapping[str, str]) -> None:
    first, second, third = panels
    known = own.dropna(subset=["h"])
    scaled = known.assign(
        h=known.groupby("mode")["h"].transform(_in_parts),
        slope=known.groupby("mode")["slope"].transform(_in_parts),
    )
    for panel, column, axis in ((first, "h", "h(p)"), (second, "slope", "h′(p)")):
        draw_modes(panel, scaled, "p", column, names, markevery=20)
        panel.set(xlabel="p", ylabel=f"{axis}, of its range")
    cost = own.assign(cost=own["coefficient"] * own["from_middle"])
    draw_modes(third, cost[cost["p"] != _REFERENCE], "p", "cost", names, markevery=20)
    third.set(xlabel="p", ylabel=f"coefficient · D(p, {_REFERENCE})", yscale="log")


def _in_parts(values: pd.Series) -> pd.Series:
    """From 0 to 1: the divergences' own scales differ by orders of magnitude."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low if high > low else 1.0)


def make(results: Results) -> Figure:
    """Figure 10 of a study."""
    points = read_divergences(results.folder / "statistics" / "divergences.csv")
    return divergence_curves(points, results.labels, results.modes)
