"""Counterfactual credit against vanilla: paired tests across seeds (Table 3)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cfdapo.analysis.rendering import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.significance import CONTROL, TREATMENT, Comparison
from cfdapo.analysis.tables.shared import (
    SIGNIFICANT,
    accuracy_title,
    paper_note,
    problems_of,
    rows_of,
    seeds_of,
)
from cfdapo.files import UserError

# The comparison that the paper tests.
PRIMARY = (TREATMENT, CONTROL)


def table3_significance(
    comparisons: Sequence[Comparison],
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 3: counterfactual against vanilla, paired t-test across seeds.

    Args:
        comparisons: rows of `cfdapo.analysis.significance.compare`; only vanilla's are shown.
        curves: the curves they were made from, for the step, seeds and problems in the title.
        labels, task: as for `table1_accuracy`.

    Raises:
        UserError: `labels` names a model without runs, or `comparisons` lack a model's.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    step = curves["step"].max()
    shown = {(c.model, c.metric): c for c in comparisons if (c.treatment, c.baseline) == PRIMARY}
    footnotes = Footnotes()
    with_vanilla = set(curves.loc[curves["mode"] == "vanilla", "model"])
    rows = []
    for model, label in models.items():
        row = [Cell(label)]
        for metric in ("accuracy", "auc"):
            comparison = shown.get((model, metric))
            if comparison is None and model in with_vanilla:
                raise UserError(f"the comparisons lack {model} against vanilla: test again")
            row += _test_cells(comparison, footnotes)
        rows.append(row)
    data = pd.DataFrame(
        [{"label": models[c.model], **vars(c)} for c in shown.values() if c.model in models],
        columns=["label", *Comparison.__dataclass_fields__],
    )
    return Table(
        name="table3_significance",
        title=(
            f"{accuracy_title(task)} of CF against DAPO at step {step} and in AUC, in percentage "
            f"points: paired t-test across {seeds_of(curves)}; {problems_of(curves)}. "
            f"* p < {SIGNIFICANT}."
        ),
        columns=["Model", f"Δ@{step}", f"p@{step}", "ΔAUC", "p AUC"],
        rows=rows,
        data=data,
        notes=[
            *footnotes.notes(),
            Note(
                "A test over n seeds has n - 1 degrees of freedom. The p-values are not corrected "
                "for the number of tests in this table."
            ),
            *paper_note("table3_significance", models, task),
        ],
    )


def _test_cells(comparison: Comparison | None, footnotes: Footnotes) -> list[Cell]:
    if comparison is None or comparison.difference is None:
        reason = comparison.reason if comparison else "no DAPO runs"
        return [footnotes.dash(reason)] * 2
    difference = Cell(signed(comparison.difference, "+.2f"))
    if comparison.p is None:
        return [difference, footnotes.dash(comparison.reason)]
    star = "*" if comparison.p < SIGNIFICANT else ""
    p = "<0.001" if comparison.p < 0.001 else f"{comparison.p:.3f}"
    return [difference, Cell(p + star, mark=footnotes.mark(comparison.reason))]
