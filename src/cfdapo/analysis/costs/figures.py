"""Figures of what credit costs: accuracy over training time, and a step's time by method."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfdapo.analysis.costs.overhead import measure_estimators
from cfdapo.analysis.outcomes.figures import (
    PANELS_A_ROW,
    TEXT,
    draw_line,
    model_panels,
    panel_size,
    panels_of,
    share_legend,
    spread_note,
    styles_of,
)
from cfdapo.analysis.records.curves import MODE_LABELS, named_modes
from cfdapo.analysis.rendering.task_names import accuracy_axis

# Phases of a step from the bottom of a bar; hatches tell them apart without the colour.
_PHASES = {
    "generation": ("Generation", "#0072B2", ""),
    "update": ("Update", "#9AC6E3", "///"),
    "credit": ("Credit", "#D55E00", "..."),
}


def accuracy_over_time(
    timed: pd.DataFrame,
    labels: Mapping[str, str],
    modes: Mapping[str, str] = MODE_LABELS,
    task: str | None = None,
) -> Figure:
    """Figure 3: accuracy (%) over training time (min), a panel a model, a point a checkpoint.

    Args:
        timed: curves with `minutes` (`training_minutes` of `outcomes.sample_efficiency`); time and
            accuracy are means over seeds, and ±1 sample std of the accuracy is shaded.
        labels, modes, task: as for `cfdapo.analysis.outcomes.figures.training_curves`.
    """
    models, modes = panels_of(timed, labels), named_modes(timed["mode"], modes)
    with matplotlib.rc_context(TEXT):
        figure, panels = model_panels(models, modes, accuracy_axis(task))
        for model, panel in panels.items():
            _draw_times(panel, timed[timed["model"] == model], modes)
            panel.set_xlabel("Training time (min)")
            panel.set_xlim(left=0)
        note = f"{spread_note(timed)}; time without evaluation"
        share_legend(figure, list(modes.values()), note)
    return figure


def _draw_times(panel: Axes, frame: pd.DataFrame, modes: Mapping[str, str]) -> None:
    styles = styles_of(modes)
    for mode in (mode for mode in modes if mode in set(frame["mode"])):
        rows = frame[frame["mode"] == mode].groupby("step")
        minutes, accuracy = rows["minutes"].mean(), rows["accuracy"].agg(["mean", "std"])
        draw_line(panel, minutes, accuracy, styles[mode], modes[mode], len(modes), markersize=4)


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
        figure = Figure(figsize=panel_size(across, down, MODE_LABELS), layout="constrained")
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
