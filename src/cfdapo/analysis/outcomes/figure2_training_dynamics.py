"""Training reward and token weights over training steps: Figure 2."""

from collections.abc import Mapping, Sequence

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import (
    MOST_BANDS,
    THEME,
    draw_modes,
    panels_of,
    share_legend,
    spread_note,
    whole_steps,
)
from cfdapo.vocabulary import PAPER_MODES, named_modes

# A training reward jumps from step to step; the mean over this share of the run is drawn.
SMOOTHING = 0.05


def reward_and_weights(
    history: pd.DataFrame, labels: Mapping[str, str], modes: Mapping[str, str] = PAPER_MODES
) -> Figure:
    """Figure 2: training reward, and mean and std of the token weights, over steps.

    Args:
        history: long table of `cfdapo.analysis.records.runs.collect_history` with `reward`,
            `weight_mean` and `weight_std`.
        labels: model -> column title; its order is the order of columns.
        modes: as for `training_curves`.
    """
    modes = named_modes(history["mode"], modes)
    models = panels_of(history, labels)
    window = max(1, round(SMOOTHING * history["step"].nunique()))
    rows = {
        "reward": "Training reward",
        "weight_mean": "Mean token weight",
        "weight_std": "Std of token weights",
    }
    smooth = _running_means(history, list(rows), window)
    with matplotlib.rc_context(THEME):
        least = 3.6 if len(modes) <= MOST_BANDS else 5.4  # the legend is as wide
        figure = Figure(figsize=(max(2.4 * len(models), least), 5.4), layout="constrained")
        panels = figure.subplots(len(rows), len(models), squeeze=False, sharex="col", sharey="row")
        for column, (model, label) in enumerate(models.items()):
            for row, quantity in enumerate(rows):
                of_model = smooth[smooth["model"] == model]
                every = max(10, of_model["step"].nunique() // 10)
                marks = {"markersize": 4, "markevery": every}
                draw_modes(panels[row, column], of_model, "step", quantity, modes, **marks)
                whole_steps(panels[row, column])
            panels[0, column].set_title(label)
            panels[-1, column].set_xlabel("Training step")
        for row, heading in enumerate(rows.values()):
            panels[row, 0].set_ylabel(heading)
        average = f"; running mean of {window} steps" if window > 1 else ""
        share_legend(figure, list(modes.values()), spread_note(history) + average)
    return figure


def _running_means(frame: pd.DataFrame, quantities: Sequence[str], window: int) -> pd.DataFrame:
    ordered = frame.sort_values("step", kind="stable").reset_index(drop=True)
    groups = ordered.groupby(["model", "mode", "seed"], sort=False)[list(quantities)]
    means = groups.transform(
        lambda values: values.rolling(window, min_periods=-(-window // 2)).mean()
    )
    return ordered.assign(**{quantity: means[quantity] for quantity in quantities})


def make(results: Results) -> Figure:
    """Figure 2 of a study."""
    history = results.runs.history(["reward", "weight_mean", "weight_std"])
    return reward_and_weights(history, results.labels, results.modes)
