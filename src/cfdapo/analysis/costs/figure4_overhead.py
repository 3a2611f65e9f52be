"""A training step's time with every way of measuring credit: Figure 4."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from cfdapo.analysis.costs.overhead import measure_estimators
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import THEME, axes_as_named, model_panels, share_legend
from cfdapo.vocabulary import PAPER_MODES

# Phases of a step from the bottom of a bar; hatches tell them apart without the colour.
_PHASES = {
    "generation": ("Generation", "#0072B2", ""),
    "update": ("Update", "#9AC6E3", "///"),
    "credit": ("Credit", "#D55E00", "..."),
}


def overhead_bars(profiles: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> Figure:
    """Figure 4: seconds of one step by phase, without credit and with each method's.

    Args:
        profiles: model -> contents of `overhead/{model}.json`: one rollout batch, no group skipped.
        labels: model -> panel title; its order is the order of panels. Models without a profile
            are left out; with none there is one panel that says so.

    Raises:
        UserError: a profile lacks a field.
    """
    models = {model: label for model, label in labels.items() if model in profiles}
    estimators = measure_estimators({model: profiles[model] for model in models})
    with matplotlib.rc_context(THEME | {"hatch.linewidth": 1}):
        if not models:
            figure, panels = model_panels({"": ""}, PAPER_MODES, "")
            panels[""].text(0.5, 0.5, "no profile was measured", ha="center", va="center")
            panels[""].set_axis_off()
            return figure
        figure, panels = model_panels(models, PAPER_MODES, "Seconds a step")
        for model, panel in panels.items():
            credit = estimators[estimators["model"] == model].set_index("method")["seconds"]
            with axes_as_named(panel):
                _draw_bars(panel, profiles[model]["seconds"], credit.to_dict())
        note = "one batch of rollouts, no group skipped; above: more than without credit"
        share_legend(figure, [name for name, *_ in _PHASES.values()], note)
    return figure


def _draw_bars(panel: Axes, seconds: Mapping[str, float], credit: Mapping[str, float]) -> None:
    """A bar without credit, then one a method from the dearest to the cheapest."""
    names = ["none", *sorted(credit, key=lambda method: -credit[method])]
    phases = {phase: dict.fromkeys(names, seconds[phase]) for phase in ("generation", "update")}
    phases["credit"] = {"none": 0.0, **credit}
    frame = pd.DataFrame(
        [(name, phase, phases[phase][name]) for phase in _PHASES for name in names],
        columns=["method", "phase", "seconds"],
    )
    seaborn.histplot(
        frame,
        x="method",
        weights="seconds",
        hue="phase",
        # The last is at the bottom, and drawn first.
        hue_order=list(_PHASES)[::-1],
        palette={phase: colour for phase, (_, colour, _) in _PHASES.items()},
        multiple="stack",
        discrete=True,
        shrink=0.65,
        alpha=1,
        edgecolor="white",
        linewidth=0.5,
        legend=False,
        ax=panel,
    )
    for bars, (name, _, hatch) in zip(panel.containers, _PHASES.values(), strict=True):
        bars.set_label(name)
        for bar in bars:
            bar.set_hatch(hatch)
    base = seconds["generation"] + seconds["update"]
    more = ["", *(f"+{100 * credit[name] / base:.0f} %" for name in names[1:])]
    last = panel.containers[-1]
    assert isinstance(last, BarContainer)  # seaborn's histograms are bars
    panel.bar_label(last, more, padding=1)
    panel.margins(y=0.12)
    panel.grid(visible=False, axis="x")


def make(results: Results) -> Figure:
    """Figure 4 of a study."""
    return overhead_bars(results.profiles(), results.labels)
