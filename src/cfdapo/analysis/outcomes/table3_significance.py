"""Counterfactual credit against DAPO, as the paper tests it: Table 3."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cfdapo.analysis.outcomes.comparison_rows import (
    HOLM,
    SIGN_FLIP,
    by_key,
    numbers_of,
    p_cell,
    tests_counted,
)
from cfdapo.analysis.outcomes.comparisons import read_comparisons
from cfdapo.analysis.outcomes.problem_level import ProblemTest
from cfdapo.analysis.outcomes.significance import METRICS, PRIMARY, Comparison
from cfdapo.analysis.paper.notes import paper_note
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import p_text, problems_of, rows_of, score_title, seeds_of
from cfdapo.analysis.statistics.estimates import SIGNIFICANT
from cfdapo.files import UserError


def table3_significance(
    comparisons: Sequence[Comparison],
    problem_tests: Sequence[ProblemTest],
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 3: counterfactual against vanilla, paired t-test across seeds; corrected beside it.

    Args:
        comparisons: rows of `significance.compare`; only vanilla's are shown.
        problem_tests: rows of `cfdapo.analysis.outcomes.problem_level.compare_on_problems`.
        curves: the curves they were made from, for the step, seeds and problems in the title.
        labels, task: as for `table1_accuracy`.

    Raises:
        UserError: `labels` names a model without runs, or a model's comparisons are missing.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    step = curves["step"].max()
    shown = {(c.model, c.metric): c for c in comparisons if c.pair == PRIMARY}
    on_problems = by_key(problem_tests)
    footnotes = Footnotes()
    with_vanilla = set(curves.loc[curves["mode"] == "vanilla", "model"])
    rows = []
    for model, label in models.items():
        row = [Cell(label)]
        of_model = [shown.get((model, metric)) for metric in METRICS]
        if None in of_model and model in with_vanilla:
            raise UserError(f"the comparisons lack {model} against vanilla: test again")
        for comparison in of_model:
            row += _test_cells(comparison, footnotes)
        for comparison in of_model:
            row.append(p_cell(comparison, "p_holm", footnotes))
        for metric in METRICS:
            row.append(p_cell(on_problems.get((model, *PRIMARY, metric)), "p_runs", footnotes))
        rows.append(row)
    of_models = [c for c in shown.values() if c.model in models]
    return Table(
        name="table3_significance",
        title=(
            f"{score_title(task)} of CF against DAPO at step {step} and in AUC, in percentage "
            f"points: paired t-test across {seeds_of(curves)}; {problems_of(curves)}. "
            f"* p < {SIGNIFICANT}."
        ),
        columns=[
            *("Model", f"Δ@{step}", f"p@{step}", "ΔAUC", "p AUC", f"Holm p@{step}", "Holm p AUC"),
            *(f"p@{step} (problems)", "p AUC (problems)"),
        ],
        rows=rows,
        data=numbers_of(of_models, on_problems, models),
        notes=[
            *footnotes.notes(),
            Note(
                "A test over n seeds has n - 1 degrees of freedom; it asks whether other seeds "
                "would show the difference too. "
                + HOLM.format(family=f"{tests_counted(of_models)} of this table")
            ),
            Note(SIGN_FLIP),
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
    return [difference, Cell(p_text(comparison.p), mark=footnotes.mark(comparison.reason))]


def make(results: Results) -> Table:
    """Table 3 of a study."""
    return table3_significance(
        *read_comparisons(results.folder, results.runs.evaluation_sums()),
        results.curves(),
        results.labels,
        results.task,
    )
