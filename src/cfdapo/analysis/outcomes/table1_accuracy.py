"""Accuracy at the last step, by mode: Table 1."""

from collections.abc import Mapping

import pandas as pd

from cfdapo.analysis.outcomes.accuracy_by_mode import accuracy_table
from cfdapo.analysis.records.curves import final_accuracy
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Table
from cfdapo.analysis.rendering.wording import score_title
from cfdapo.vocabulary import PAPER_MODES, named_modes


def table1_accuracy(
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = PAPER_MODES,
) -> Table:
    """Table 1: test accuracy (%) at the last step, mean ± sample std over seeds.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        labels: model key -> display name; its order is the order of rows.
        task: the study's task, for the title; the paper's values are given for gsm8k or None.
        modes: mode -> display name, of a study's variants too; its order is that of columns.

    Raises:
        UserError: `labels` names a model without runs.
    """
    last = curves["step"].max()
    return accuracy_table(
        name="table1_accuracy",
        title=f"{score_title(task)} (%) at step {last}",
        values=final_accuracy(curves),
        curves=curves,
        labels=labels,
        modes=named_modes(curves["mode"], modes),
        task=task,
    )


def make(results: Results) -> Table:
    """Table 1 of a study."""
    return table1_accuracy(results.curves(), results.labels, results.task, results.modes)
