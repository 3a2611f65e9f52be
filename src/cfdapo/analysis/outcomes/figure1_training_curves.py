"""Accuracy over training steps: Figure 1."""

from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import (
    THEME,
    draw_modes,
    model_panels,
    panels_of,
    share_legend,
    spread_note,
    whole_steps,
)
from cfdapo.analysis.rendering.wording import score_axis
from cfdapo.vocabulary import PAPER_MODES, named_modes


def training_curves(
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    modes: Mapping[str, str] = PAPER_MODES,
    task: str | None = None,
) -> Figure:
    """Figure 1: accuracy (%) over steps, a panel a model, ±1 sample std over seeds shaded.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        labels: model -> panel title; its order is the order of panels.
        modes: mode -> name in the legend, of a study's variants too; its order is the legend's.
        task: the study's task, which decides what the accuracy is called.
    """
    modes = named_modes(curves["mode"], modes)
    models = panels_of(curves, labels)
    with matplotlib.rc_context(THEME):
        figure, panels = model_panels(models, modes, score_axis(task))
        for model, panel in panels.items():
            of_model = curves[curves["model"] == model]
            every = max(1, of_model["step"].nunique() // 10)
            draw_modes(panel, of_model, "step", "accuracy", modes, markersize=4, markevery=every)
            panel.set_xlabel("Training step")
            whole_steps(panel)
        share_legend(figure, list(modes.values()), spread_note(curves))
    return figure


def make(results: Results) -> Figure:
    """Figure 1 of a study."""
    return training_curves(results.curves(), results.labels, results.modes, results.task)
