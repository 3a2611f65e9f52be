"""A training step's time with every way of measuring credit: Figure 4."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfdapo.analysis.costs.overhead import measure_estimators
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import (
    PANELS_A_ROW,
    TEXT,
    panel_size,
    share_legend,
)
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
    across = min(max(len(models), 1), PANELS_A_ROW)
    down = -(-max(len(models), 1) // across)
    with matplotlib.rc_context(TEXT):
        figure = Figure(figsize=panel_size(across, down, PAPER_MODES), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).flatten()
        if not models:
            panels[0].text(0.5, 0.5, "no profile was measured", ha="center", va="center")
            panels[0].set_axis_off()
            return figure
        for panel, (model, label) in zip(panels, models.items(), strict=False):
            credit = estimators[estimators["model"] == model].set_index("method")["seconds"]
            _draw_bars(panel, profiles[model]["seconds"], credit.to_dict())
            panel.set_title(label)
        for panel in panels[len(models) :]:
            panel.remove()
        for panel in panels[: len(models) : across]:
            panel.set_ylabel("Seconds a step")
        note = "one batch of rollouts, no group skipped; above: more than without credit"
        share_legend(figure, [name for name, *_ in _PHASES.values()], note)
    return figure


def _draw_bars(panel: Axes, seconds: Mapping[str, float], credit: Mapping[str, float]) -> None:
    """A bar without credit, then one a method from the dearest to the cheapest."""
    methods = sorted(credit, key=lambda method: -credit[method])
    names = ["none", *methods]
    base = seconds["generation"] + seconds["update"]
    heights = {
        "generation": [seconds["generation"]] * len(names),
        "update": [seconds["update"]] * len(names),
        "credit": [0.0, *(credit[method] for method in methods)],
    }
    bottom = [0.0] * len(names)
    for phase, (name, colour, hatch) in _PHASES.items():
        panel.bar(
            names,
            heights[phase],
            0.65,
            bottom,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
            label=name,
        )
        bottom = [low + high for low, high in zip(bottom, heights[phase], strict=True)]
    for index, method in enumerate(methods, 1):
        text = f"+{100 * credit[method] / base:.0f} %"
        panel.annotate(
            text, (index, bottom[index]), (0, 2), textcoords="offset points", ha="center"
        )
    panel.margins(y=0.12)
    panel.grid(visible=False, axis="x")


def make(results: Results) -> Figure:
    """Figure 4 of a study."""
    return overhead_bars(results.profiles(), results.labels)
