"""Area under the curve of accuracy, by mode: Table 2."""

from collections.abc import Mapping

import pandas as pd

from cfdapo.analysis.outcomes.accuracy_by_mode import accuracy_table
from cfdapo.analysis.records.curves import areas, final_accuracy
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Table
from cfdapo.analysis.rendering.wording import score_title
from cfdapo.vocabulary import PAPER_MODES, named_modes


def table2_auc(
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = PAPER_MODES,
) -> Table:
    """Table 2: area under the accuracy curve divided by its span of steps (%).

    Arguments and errors as `table1_accuracy`; with one evaluated step all cells are dashes.
    """
    steps = curves["step"]
    try:
        values, reason = areas(curves), ""
    except ValueError as error:
        values, reason = final_accuracy(curves).iloc[:0], str(error)
    return accuracy_table(
        name="table2_auc",
        title=(
            f"{score_title(task)} (%) as area under its curve (AUC) at step {steps.max()}, "
            f"from step {steps.min()} and divided by the span"
        ),
        values=values,
        curves=curves,
        labels=labels,
        modes=named_modes(curves["mode"], modes),
        task=task,
        reason=reason,
    )


def make(results: Results) -> Table:
    """Table 2 of a study."""
    return table2_auc(results.curves(), results.labels, results.task, results.modes)
