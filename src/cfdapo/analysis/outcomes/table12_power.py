"""What the seeds of a study can detect, and how many a difference needs (Table 12)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfdapo.analysis.outcomes.comparisons import read_comparisons
from cfdapo.analysis.outcomes.problem_level import ProblemTest
from cfdapo.analysis.outcomes.significance import PRIMARY
from cfdapo.analysis.paper.numbers import paper_number, paper_rows
from cfdapo.analysis.records.curves import final_accuracy
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table
from cfdapo.analysis.rendering.wording import problems_of, rows_of, score_title, seeds_of
from cfdapo.analysis.statistics.paired import undefined
from cfdapo.analysis.statistics.power import (
    ProblemShare,
    detectable_effect,
    deviation_interval,
    implied_deviation,
    pairs_needed,
    pooled_deviation,
)

# The paper's number of seeds.
PAPER_SEEDS = 3
_NO_PAIRS = "no seed has both CF and DAPO runs"
_POOLED = "problems are counted model by model"
_PRINTED = "the paper prints no answers by problem"
_NO_PROBLEMS = "not tested on problems"


@dataclass(frozen=True)
class _Row:
    """A standard deviation of paired differences, where it is from, and the test set's part."""

    label: str
    source: str
    pairs: int
    deviation: float | None
    freedom: int
    reason: str
    test_set: ProblemShare | None
    no_test_set: str


def table12_power(
    curves: pd.DataFrame,
    problem_tests: Sequence[ProblemTest],
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 12, not in the paper: what CF against DAPO can show, from measured variances.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        problem_tests: rows of `cfdapo.analysis.outcomes.problem_level.compare_on_problems`.
        labels, task: as for `table1_accuracy`.

    Raises:
        UserError: `labels` names a model without runs.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    gains = [
        paper_number("section1", "gain over DAPO", end).value for end in ("minimum", "maximum")
    ]
    rows = [*_measured(curves, problem_tests, models), *_printed()]
    own = max((row.pairs for row in rows if row.source == "measured"), default=PAPER_SEEDS)
    counts = [PAPER_SEEDS, *([own] if own not in (0, 1, PAPER_SEEDS) else [])]
    footnotes = Footnotes()
    return Table(
        name="table12_power",
        title=(
            f"{score_title(task)} of CF against DAPO at step {curves['step'].max()}: the "
            "difference in points that a paired t-test over seeds (two-sided, 0.05) detects with "
            f"80 % power, and the seeds that the paper's {gains[0]} and {gains[1]} points need; "
            f"{seeds_of(curves)}, {problems_of(curves)}."
        ),
        columns=[
            *("Model", "Pairs", "SD of Δ [95 %]"),
            *(f"Detectable, {n} seeds [95 %]" for n in counts),
            *(f"Seeds for {gain} [95 %]" for gain in gains),
            *("SD by few problems", "SE by which problems", "Detectable, ∞ seeds"),
        ],
        rows=[_cells(row, counts, gains, footnotes) for row in rows],
        data=pd.DataFrame([record for row in rows for record in _records(row, counts, gains)]),
        notes=[*footnotes.notes(), *_notes()],
    )


def _measured(
    curves: pd.DataFrame, tests: Sequence[ProblemTest], models: Mapping[str, str]
) -> list[_Row]:
    last = final_accuracy(curves)
    on_problems = {
        t.model: t for t in tests if (t.treatment, t.baseline, t.metric) == (*PRIMARY, "accuracy")
    }
    rows, strata = [], []
    for model, label in models.items():
        wide = last[last["model"] == model].pivot(index="seed", columns="mode", values="value")
        values = wide.reindex(columns=list(PRIMARY)).dropna()
        differences = (values[PRIMARY[0]] - values[PRIMARY[1]]).tolist()
        reason = undefined(differences) if differences else _NO_PAIRS
        deviation = None if reason else float(np.std(differences, ddof=1))
        if not reason:
            strata.append(differences)
        rows.append(
            _Row(
                *(label, "measured", len(differences), deviation, len(differences) - 1, reason),
                *_test_set(on_problems.get(model)),
            )
        )
    if len(strata) > 1:
        deviation, freedom = pooled_deviation(strata)
        pairs = sum(map(len, strata))
        rows.append(_Row("All, pooled", "pooled", pairs, deviation, freedom, "", None, _POOLED))
    return rows


def _test_set(test: ProblemTest | None) -> tuple[ProblemShare | None, str]:
    if test is None or test.problem_variance is None or test.residual_variance is None:
        return None, (test.reason if test else "") or _NO_PROBLEMS
    return ProblemShare.of(test.problems, test.problem_variance, test.residual_variance), ""


def _printed() -> list[_Row]:
    """The paper's own standard deviations, from the differences and p that Table 3 prints."""
    table, rows = "table3_significance", []
    for label in paper_rows(table):
        difference, p = (paper_number(table, label, column).value for column in ("Δ@500", "p@500"))
        deviation = implied_deviation(difference, p, PAPER_SEEDS)
        name = f"{label} (paper)"
        freedom = PAPER_SEEDS - 1
        rows.append(_Row(name, "printed", PAPER_SEEDS, deviation, freedom, "", None, _PRINTED))
    return rows


def _cells(
    row: _Row, counts: Sequence[int], gains: Sequence[float], footnotes: Footnotes
) -> list[Cell]:
    cells = [Cell(row.label), Cell(str(row.pairs))]
    if row.deviation is None:
        cells += [footnotes.dash(row.reason) for _ in range(1 + len(counts) + len(gains))]
    else:
        low, high = deviation_interval(row.deviation, row.freedom)
        cells.append(Cell(f"{row.deviation:.2f} [{low:.2f}, {high:.2f}]"))
        for count in counts:
            effect = detectable_effect(count)
            cells.append(
                Cell(f"{effect * row.deviation:.1f} [{effect * low:.1f}, {effect * high:.1f}]")
            )
        for gain in gains:
            middle, fewest, most = (_needed(gain, sd) for sd in (row.deviation, low, high))
            cells.append(Cell(f"{middle} [{fewest}, {most}]"))
    if row.test_set is None:
        return cells + [footnotes.dash(row.no_test_set) for _ in range(3)]
    part = row.test_set
    return [
        *cells,
        Cell(f"{part.within_seed:.2f}"),
        Cell(f"{part.between_problems:.2f}"),
        Cell(f"{part.limit:.1f}"),
    ]


def _needed(gain: float, deviation: float) -> str:
    seeds = pairs_needed(gain / deviation)
    return "> 10⁶" if seeds is None else str(seeds)


def _records(row: _Row, counts: Sequence[int], gains: Sequence[float]) -> list[dict]:
    """The row as tidy numbers: quantity, its argument, value and interval."""
    shared = {"label": row.label, "source": row.source, "pairs": row.pairs}
    found = []

    def add(quantity: str, of: float | None, unit: str, *values: float | None) -> None:
        value, low, high = [*values, None, None][:3]
        more = {"quantity": quantity, "of": of, "value": value, "low": low, "high": high}
        found.append({**shared, **more, "unit": unit})

    if row.deviation is not None:
        deviations = (row.deviation, *deviation_interval(row.deviation, row.freedom))
        add("standard deviation", None, "points", *deviations)
        for count in counts:
            effect = detectable_effect(count)
            add("detectable by seeds", count, "points", *(effect * sd for sd in deviations))
        for gain in gains:
            add("seeds for points", gain, "seeds", *(pairs_needed(gain / sd) for sd in deviations))
    if row.test_set is not None:
        part = row.test_set
        add("standard deviation by few problems", part.problems, "points", part.within_seed)
        add("standard error by which problems", part.problems, "points", part.between_problems)
        add("detectable by endless seeds", part.problems, "points", part.limit)
    return found


def _notes() -> list[Note]:
    return [
        Note(
            "SD of Δ: standard deviation over seeds of the paired difference, with its interval by "
            "chi-square; a few seeds know it badly, and the intervals to its right are the same "
            "interval carried on. Power is exact, by the noncentral t-distribution."
        ),
        Note(
            "SD by few problems: the part of SD of Δ that is due to the test set's size (residual "
            "variance of problems within seeds, over their number). SE by which problems: what the "
            "choice of problems adds to Δ in every seed alike. No number of seeds removes it, and "
            "the last column is the difference that it alone leaves undetected; 0.00 is an "
            "estimate that came out at or below 0. Both shrink with the root of the number of "
            "problems."
        ),
        Note(
            "(paper): from the differences and p-values that its Table 3 prints for 3 seeds, as "
            "|Δ| √3 / t."
        ),
    ]


def make(results: Results) -> Table:
    """Table 12 of a study."""
    _, on_problems = read_comparisons(results.folder, results.runs.evaluation_sums())
    return table12_power(results.curves(), on_problems, results.labels, results.task)
