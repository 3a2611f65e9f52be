"""Every comparison of two modes in full: Table 3b."""

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
from cfdapo.analysis.outcomes.significance import ALL_MODELS, METRICS, PRIMARY, Comparison
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import counted, problems_of, rows_of, score_title, seeds_of
from cfdapo.analysis.statistics.estimates import RUN_RESAMPLES, SIGNIFICANT
from cfdapo.vocabulary import PAPER_MODES, named_modes

_TWO_SEEDS = "a corrected effect size needs three seeds"
_OVER_MODELS = "made for one model at a time"
_NOT_TESTED = "not tested on problems"


def table3b_comparisons(
    comparisons: Sequence[Comparison],
    problem_tests: Sequence[ProblemTest],
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = PAPER_MODES,
) -> Table:
    """Table 3b, not in the paper: every comparison with effect size, intervals and all tests.

    Arguments as `table3_significance`, and `modes`: mode -> display name. AUC is shown for the
    paper's own comparison; the CSV has it for all.

    Raises:
        UserError: `labels` names a model without runs.
    """
    models = rows_of(labels, list(curves["model"].unique())) | {ALL_MODELS: "All models"}
    names = named_modes(curves["mode"], modes)
    step = int(curves["step"].max())
    on_problems = by_key(problem_tests)
    pairs = list(dict.fromkeys(c.pair for c in comparisons))
    found = {(*c.pair, c.metric, c.model): c for c in comparisons}
    footnotes = Footnotes()
    rows = []
    for pair in pairs:
        for metric in METRICS if pair == PRIMARY else METRICS[:1]:
            for model, label in models.items():
                comparison = found.get((*pair, metric, model))
                if comparison is None:
                    continue
                heading = f"{names.get(pair[0], pair[0])} − {names.get(pair[1], pair[1])}"
                quantity = f"@{step}" if metric == "accuracy" else "AUC"
                test = on_problems.get((model, *pair, metric))
                row = [Cell(heading), Cell(quantity), Cell(label)]
                rows.append(row + _full_cells(comparison, test, footnotes))
    others = [c for c in comparisons if c.family == "others"]
    return Table(
        name="table3b_comparisons",
        title=(
            f"{score_title(task)}, one mode minus another at step {step} and in AUC, in "
            f"percentage points; {seeds_of(curves)}, {problems_of(curves)}. * p < {SIGNIFICANT}."
        ),
        columns=[
            *("Comparison", "Metric", "Model", "Δ [95 %]", "IQM Δ [95 %]", "p", "Holm p", "g_z"),
            *("p (problems)", "95 % (seeds, problems)", "p (seeds, problems)"),
        ],
        rows=rows,
        data=numbers_of(comparisons, on_problems, models),
        notes=[*footnotes.notes(), *_explanations(comparisons, others)],
    )


def _explanations(comparisons: Sequence[Comparison], others: Sequence[Comparison]) -> list[Note]:
    primary = [c for c in comparisons if c.family == "primary"]
    families = (
        f"{tests_counted(primary)} of CF against DAPO, and for the {tests_counted(others)} of all "
        "others"
    )
    fewest = min((c.seeds for c in [*primary, *others]), default=0)
    notes = [
        Note(
            "p: paired t-test across seeds; over all models, of the mean of their differences, by "
            "strata with Satterthwaite's degrees of freedom, which repeats the models' data and is "
            "not counted in Holm's families. " + HOLM.format(family=f"{families}, AUC included")
        ),
        Note(
            f"Δ [95 %]: bootstrap of {RUN_RESAMPLES:,} draws of the pairs of runs of a seed, "
            "within each model. IQM: mean of the middle half of all pairs' differences; of fewer "
            "than four it is the mean. g_z: Cohen's d_z (mean over standard deviation of the "
            "differences) with Hedges' correction; the CSV has both."
        ),
        Note(SIGN_FLIP),
        Note(
            "(seeds, problems): both taken as drawn at random. The interval is a bootstrap of Δ "
            "that draws both anew; the test has them as crossed random effects."
        ),
    ]
    if 1 < fewest < 6:
        notes.append(
            Note(
                f"A bootstrap of {counted(fewest, 'seed')} has no more than their {fewest} "
                "values: its intervals are too narrow; believe the t-tests before them."
            )
        )
    return notes


def _full_cells(
    comparison: Comparison, test: ProblemTest | None, footnotes: Footnotes
) -> list[Cell]:
    c = comparison
    return [
        _estimate(c.difference, c.low, c.high, c.reason, footnotes),
        _estimate(c.iqm, c.iqm_low, c.iqm_high, c.reason, footnotes),
        p_cell(c, "p", footnotes),
        *_of_a_model(c, test, footnotes),
    ]


def _of_a_model(c: Comparison, test: ProblemTest | None, footnotes: Footnotes) -> list[Cell]:
    """Holm's p, the effect size and the tests on problems, which one model has at a time."""
    if c.model == ALL_MODELS:
        return [footnotes.dash(_OVER_MODELS) for _ in range(5)]
    cells = [p_cell(c, "p_holm", footnotes)]
    if c.g_z is None:
        cells.append(footnotes.dash(c.reason or _TWO_SEEDS))
    else:
        cells.append(Cell(signed(c.g_z, "+.2f")))
    cells.append(p_cell(test, "p_runs", footnotes, _NOT_TESTED))
    if test is None or test.low is None or test.high is None:
        cells.append(footnotes.dash(test.reason if test else _NOT_TESTED))
    else:
        cells.append(Cell(_interval(test.low, test.high)))
    return [*cells, p_cell(test, "p_crossed", footnotes, _NOT_TESTED)]


def _estimate(
    value: float | None,
    low: float | None,
    high: float | None,
    reason: str,
    footnotes: Footnotes,
) -> Cell:
    """A value with its interval, where it has one."""
    if value is None:
        return footnotes.dash(reason)
    if low is None or high is None:
        return Cell(signed(value, "+.2f"), mark=footnotes.mark(reason))
    return Cell(f"{signed(value, '+.2f')} {_interval(low, high)}", mark=footnotes.mark(reason))


def _interval(low: float, high: float) -> str:
    return f"[{signed(low, '+.2f')}, {signed(high, '+.2f')}]"


def make(results: Results) -> Table:
    """Table 3b of a study."""
    tests = read_comparisons(results.folder, results.runs.evaluation_sums())
    curves = results.curves()
    return table3b_comparisons(*tests, curves, results.labels, results.task, results.modes)
