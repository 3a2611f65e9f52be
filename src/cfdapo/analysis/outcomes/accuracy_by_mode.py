"""Accuracy by mode, as Tables 1 and 2 show it: a row a model, a column a mode."""

from collections.abc import Mapping

import pandas as pd

from cfdapo.analysis.paper.notes import paper_note
from cfdapo.analysis.rendering.table import Cell, Footnotes, Table
from cfdapo.analysis.rendering.wording import counted, problems_of, rows_of, seeds_of


def accuracy_table(
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
    best = " Best in bold." if cells["count"].max() > 1 else " It takes more to name the best mode."
    return Table(
        name=name,
        title=f"{title}. {spread(curves)}{best}",
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
    # Of one seed each, which is best is chance as far as anybody can tell.
    compared = summary["mean"].count() > 1 and most_seeds > 1
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
