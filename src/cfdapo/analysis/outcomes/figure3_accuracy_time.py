"""Accuracy over training time: Figure 3."""

from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from cfdapo.analysis.outcomes.sample_efficiency import training_minutes
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import (
    THEME,
    draw_modes,
    model_panels,
    panels_of,
    share_legend,
    spread_note,
)
from cfdapo.analysis.rendering.wording import score_axis
from cfdapo.vocabulary import PAPER_MODES, named_modes


def accuracy_over_time(
    timed: pd.DataFrame,
    labels: Mapping[str, str],
    modes: Mapping[str, str] = PAPER_MODES,
    task: str | None = None,
) -> Figure:
    """Figure 3: accuracy (%) over training time (min), a panel a model, a point a checkpoint.

    Args:
        timed: curves with `minutes` (`training_minutes` of `outcomes.sample_efficiency`); time and
            accuracy are means over seeds, and ±1 sample std of the accuracy is shaded.
        labels, modes, task: as for `cfdapo.analysis.outcomes.figure1_training_curves`.
    """
    models, modes = panels_of(timed, labels), named_modes(timed["mode"], modes)
    with matplotlib.rc_context(THEME):
        figure, panels = model_panels(models, modes, score_axis(task))
        for model, panel in panels.items():
            of_model = timed[timed["model"] == model]
            # Seeds reach a checkpoint at different times; its point is at the mean.
            minutes = of_model.groupby(["mode", "step"])["minutes"].transform("mean")
            of_model = of_model.assign(minutes=minutes)
            draw_modes(panel, of_model, "minutes", "accuracy", modes, markersize=5)
            panel.set_xlabel("Training time (min)")
            panel.set_xlim(left=0)
        note = f"{spread_note(timed)}; time without evaluation"
        share_legend(figure, list(modes.values()), note)
    return figure


def make(results: Results) -> Figure:
    """Figure 3 of a study."""
    timed = training_minutes(results.curves(), results.runs.history(["seconds_step"]))
    return accuracy_over_time(timed, results.labels, results.modes, results.task)
