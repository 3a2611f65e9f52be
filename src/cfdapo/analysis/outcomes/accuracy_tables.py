"""Accuracy by mode: at the last step (Table 1) and as area under its curve (Table 2)."""

from collections.abc import Mapping

import pandas as pd

from cfdapo.analysis.records.curves import MODE_LABELS, areas, final_accuracy, named_modes
from cfdapo.analysis.rendering.table import Cell, Footnotes, Table
from cfdapo.analysis.rendering.task_names import accuracy_title
from cfdapo.analysis.rendering.wording import counted, paper_note, problems_of, rows_of, seeds_of


def table1_accuracy(
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = MODE_LABELS,
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
    return _by_mode(
        name="table1_accuracy",
        title=f"{accuracy_title(task)} (%) at step {last}",
        values=final_accuracy(curves),
        curves=curves,
        labels=labels,
        modes=named_modes(curves["mode"], modes),
        task=task,
    )


def table2_auc(
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = MODE_LABELS,
) -> Table:
    """Table 2: area under the accuracy curve divided by its span of steps (%).

    Arguments and errors as `table1_accuracy`; with one evaluated step all cells are dashes.
    """
    steps = curves["step"]
    try:
        values, reason = areas(curves), ""
    except ValueError as error:
        values, reason = final_accuracy(curves).iloc[:0], str(error)
    return _by_mode(
        name="table2_auc",
        title=(
            f"{accuracy_title(task)} (%) as area under its curve (AUC) at step {steps.max()}, "
            f"from step {steps.min()} and divided by the span"
        ),
        values=values,
        curves=curves,
        labels=labels,
        modes=named_modes(curves["mode"], modes),
        task=task,
        reason=reason,
    )


def _by_mode(
    name: str,
    title: str,
    values: pd.DataFrame,
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    modes: Mapping[str, str],
    task: str | None,
    reason: str = "",
) -> Table:
    """A row a model, a column a mode; `values` has `model`, `mode`, `seed`, `value` (%)."""
    models = rows_of(labels, list(curves["model"].unique()))
    cells = values.groupby(["model", "mode"])["value"].agg(["mean", "std", "count"])
    keys = pd.MultiIndex.from_product([list(models), list(modes)], names=cells.index.names)
    summary = cells.reindex(keys)
    footnotes = Footnotes()
    return Table(
        name=name,
        title=f"{title}. {spread(curves)} Best in bold.",
        columns=["Model", *modes.values()],
        rows=[
            [Cell(label), *mode_cells(summary.loc[model], cells["count"].max(), footnotes, reason)]
            for model, label in models.items()
        ],
        data=_mode_data(summary, models, curves),
        notes=[*footnotes.notes(), *paper_note(name, models, task)],
    )


def mode_cells(
    summary: pd.DataFrame, most_seeds: float, footnotes: Footnotes, reason: str = ""
) -> list[Cell]:
    """One model's cells; `summary` has a row a mode with `mean`, `std` and `count` of seeds.

    The best is bold; a mode without a mean is a dash for `reason`, or for want of runs.
    """
    # As displayed: two equal numbers of which one is bold would puzzle a reader.
    best = summary["mean"].round(1).max()
    compared = summary["mean"].count() > 1
    cells = []
    for mean, std, count in summary[["mean", "std", "count"]].itertuples(index=False):
        if pd.isna(mean):
            cells.append(footnotes.dash(reason or "no runs"))
            continue
        few = f"{counted(int(count), 'seed')} instead of {most_seeds:.0f}"
        mark = footnotes.mark(few) if count < most_seeds else ""
        cells.append(Cell(_mean_std(mean, std), compared and round(mean, 1) == best, mark))
    return cells


def _mode_data(
    summary: pd.DataFrame, models: Mapping[str, str], curves: pd.DataFrame
) -> pd.DataFrame:
    data = summary.dropna(subset="mean").reset_index().rename(columns={"count": "seeds"})
    return data.assign(
        label=data["model"].map(models),
        seeds=data["seeds"].astype(int),
        unit="%",
        step=curves["step"].max(),
        problems=curves["problems"].max(),
    )[["label", "model", "mode", "mean", "std", "seeds", "unit", "step", "problems"]]


def _mean_std(mean: float, std: float) -> str:
    """What one seed lacks, the spread, is left out."""
    return f"{mean:.1f}" if pd.isna(std) else f"{mean:.1f} ± {std:.1f}"


def spread(curves: pd.DataFrame) -> str:
    """What a title says of the seeds and problems behind means and deviations."""
    seeds, problems = seeds_of(curves), problems_of(curves)
    if seeds == "1 seed":
        return f"One seed, so no spread; {problems}."
    return f"Mean ± std over {seeds}; {problems}."
