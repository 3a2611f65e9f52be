"""One mode against another: the paper's tests (Table 3), and all comparisons in full (Table 3b)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cfdapo.analysis.outcomes.problem_level import ProblemTest
from cfdapo.analysis.outcomes.significance import ALL_MODELS, METRICS, PRIMARY, Comparison
from cfdapo.analysis.records.curves import MODE_LABELS, named_modes
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.task_names import accuracy_title
from cfdapo.analysis.rendering.wording import (
    SIGNIFICANT,
    counted,
    p_text,
    paper_note,
    problems_of,
    rows_of,
    seeds_of,
)
from cfdapo.files import UserError

_TWO_SEEDS = "a corrected effect size needs three seeds"
_OVER_MODELS = "made for one model at a time"
_NOT_TESTED = "not tested on problems"
_HOLM = "Holm: adjusted for the {family}."
_SIGN_FLIP = (
    "p (problems): these trained runs, on problems like these; an exact sign-flip test of the "
    "problems' differences summed over seeds. It says nothing about other seeds, so it does not "
    "say which mode is better: two seeds of one mode may differ as well."
)


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
    on_problems = _by_key(problem_tests)
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
            row.append(_p_cell(comparison, "p_holm", footnotes))
        for metric in METRICS:
            row.append(_p_cell(on_problems.get((model, *PRIMARY, metric)), "p_runs", footnotes))
        rows.append(row)
    of_models = [c for c in shown.values() if c.model in models]
    return Table(
        name="table3_significance",
        title=(
            f"{accuracy_title(task)} of CF against DAPO at step {step} and in AUC, in percentage "
            f"points: paired t-test across {seeds_of(curves)}; {problems_of(curves)}. "
            f"* p < {SIGNIFICANT}."
        ),
        columns=[
            *("Model", f"Δ@{step}", f"p@{step}", "ΔAUC", "p AUC", f"Holm p@{step}", "Holm p AUC"),
            *(f"p@{step} (problems)", "p AUC (problems)"),
        ],
        rows=rows,
        data=_data(of_models, on_problems, models),
        notes=[
            *footnotes.notes(),
            Note(
                "A test over n seeds has n - 1 degrees of freedom; it asks whether other seeds "
                "would show the difference too. "
                + _HOLM.format(family=f"{_tested(of_models)} of this table")
            ),
            Note(_SIGN_FLIP),
            *paper_note("table3_significance", models, task),
        ],
    )


def table3b_comparisons(
    comparisons: Sequence[Comparison],
    problem_tests: Sequence[ProblemTest],
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = MODE_LABELS,
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
    on_problems = _by_key(problem_tests)
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
            f"{accuracy_title(task)}, one mode minus another at step {step} and in AUC, in "
            f"percentage points; {seeds_of(curves)}, {problems_of(curves)}. * p < {SIGNIFICANT}."
        ),
        columns=[
            *("Comparison", "Metric", "Model", "Δ [95 %]", "IQM Δ [95 %]", "p", "Holm p", "g_z"),
            *("p (problems)", "95 % (seeds, problems)", "p (seeds, problems)"),
        ],
        rows=rows,
        data=_data(comparisons, on_problems, models),
        notes=[*footnotes.notes(), *_explanations(comparisons, others)],
    )


def _explanations(comparisons: Sequence[Comparison], others: Sequence[Comparison]) -> list[Note]:
    primary = [c for c in comparisons if c.family == "primary"]
    families = f"{_tested(primary)} of CF against DAPO, and for the {_tested(others)} of all others"
    fewest = min((c.seeds for c in [*primary, *others]), default=0)
    notes = [
        Note(
            "p: paired t-test across seeds; over all models, of the mean of their differences, by "
            "strata with Satterthwaite's degrees of freedom, which repeats the models' data and is "
            "not counted in Holm's families. " + _HOLM.format(family=f"{families}, AUC included")
        ),
        Note(
            "Δ [95 %]: bootstrap of 10,000 draws of the pairs of runs of a seed, within each "
            "model. IQM: mean of the middle half of all pairs' differences; of fewer than four it "
            "is the mean. g_z: Cohen's d_z (mean over standard deviation of the differences) with "
            "Hedges' correction; the CSV has both."
        ),
        Note(_SIGN_FLIP),
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


def _tested(comparisons: Sequence[Comparison]) -> str:
    tests = sum(c.p is not None and c.model != ALL_MODELS for c in comparisons)
    return counted(tests, "test")


def _by_key(tests: Sequence[ProblemTest]) -> dict[tuple[str, str, str, str], ProblemTest]:
    return {(t.model, t.treatment, t.baseline, t.metric): t for t in tests}


def _test_cells(comparison: Comparison | None, footnotes: Footnotes) -> list[Cell]:
    if comparison is None or comparison.difference is None:
        reason = comparison.reason if comparison else "no DAPO runs"
        return [footnotes.dash(reason)] * 2
    difference = Cell(signed(comparison.difference, "+.2f"))
    if comparison.p is None:
        return [difference, footnotes.dash(comparison.reason)]
    return [difference, Cell(p_text(comparison.p), mark=footnotes.mark(comparison.reason))]


def _p_cell(
    test: Comparison | ProblemTest | None, name: str, footnotes: Footnotes, absent: str = ""
) -> Cell:
    value = getattr(test, name, None)
    if value is not None:
        return Cell(p_text(value))
    return footnotes.dash((test.reason if test else "") or absent or "no DAPO runs")


def _full_cells(
    comparison: Comparison, test: ProblemTest | None, footnotes: Footnotes
) -> list[Cell]:
    c = comparison
    return [
        _estimate(c.difference, c.low, c.high, c.reason, footnotes),
        _estimate(c.iqm, c.iqm_low, c.iqm_high, c.reason, footnotes),
        _p_cell(c, "p", footnotes),
        *_of_a_model(c, test, footnotes),
    ]


def _of_a_model(c: Comparison, test: ProblemTest | None, footnotes: Footnotes) -> list[Cell]:
    """Holm's p, the effect size and the tests on problems, which one model has at a time."""
    if c.model == ALL_MODELS:
        return [footnotes.dash(_OVER_MODELS) for _ in range(5)]
    cells = [_p_cell(c, "p_holm", footnotes)]
    if c.g_z is None:
        cells.append(footnotes.dash(c.reason or _TWO_SEEDS))
    else:
        cells.append(Cell(signed(c.g_z, "+.2f")))
    cells.append(_p_cell(test, "p_runs", footnotes, _NOT_TESTED))
    if test is None or test.low is None or test.high is None:
        cells.append(footnotes.dash(test.reason if test else _NOT_TESTED))
    else:
        cells.append(Cell(_interval(test.low, test.high)))
    return [*cells, _p_cell(test, "p_crossed", footnotes, _NOT_TESTED)]


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
    return Cell(f"{signed(value, '+.2f')} {_interval(low, high)}")


def _interval(low: float, high: float) -> str:
    return f"[{signed(low, '+.2f')}, {signed(high, '+.2f')}]"


def _data(
    comparisons: Sequence[Comparison],
    on_problems: Mapping[tuple[str, str, str, str], ProblemTest],
    models: Mapping[str, str],
) -> pd.DataFrame:
    """Every field of both kinds of test; the problem level's are called `problems_…`."""
    shared = ("model", "treatment", "baseline", "metric", "seeds")
    own = [name for name in ProblemTest.__dataclass_fields__ if name not in shared]
    rows = []
    for c in comparisons:
        if c.model not in models:
            continue
        test = on_problems.get((c.model, *c.pair, c.metric))
        more = {_problem_name(name): getattr(test, name, None) for name in own}
        rows.append({"label": models[c.model], **vars(c), **more})
    columns = ["label", *Comparison.__dataclass_fields__, *map(_problem_name, own)]
    return pd.DataFrame(rows, columns=columns)


def _problem_name(field: str) -> str:
    return field if field == "problems" else f"problems_{field}"
