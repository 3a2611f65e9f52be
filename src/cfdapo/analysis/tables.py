"""The tables of a study: accuracy (1), AUC (2), significance (3), overhead (8), estimators (11)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfdapo.analysis.curves import MODE_LABELS, areas, final_accuracy
from cfdapo.analysis.overhead import (
    COST_COLUMNS,
    ESTIMATOR_COLUMNS,
    measure_costs,
    measure_estimators,
)
from cfdapo.analysis.rendering import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.reported import Reported, reported, reported_columns, reported_rows
from cfdapo.analysis.significance import Comparison
from cfdapo.files import UserError

SIGNIFICANT = 0.05
# How a study's tasks are called in titles.
TASK_LABELS = {"gsm8k": "GSM8K", "mbpp": "MBPP+", "arithmetic": "Arithmetic"}
# The task of the paper's Tables 1, 2, 3 and 8.
PAPER_TASK = "gsm8k"


def table1_accuracy(
    curves: pd.DataFrame, labels: Mapping[str, str], task: str | None = None
) -> Table:
    """Table 1: test accuracy (%) at the last step, mean ± sample std over seeds.

    Args:
        curves: long table of `cfdapo.analysis.curves.collect`.
        labels: model key -> display name; its order is the order of rows.
        task: the study's task, for the title; the paper's values are given for gsm8k or None.

    Raises:
        UserError: `labels` names a model without runs.
    """
    last = curves["step"].max()
    return _by_mode(
        name="table1_accuracy",
        title=f"{_accuracy(task)} (%) at step {last}",
        values=final_accuracy(curves),
        curves=curves,
        labels=labels,
        task=task,
    )


def table2_auc(curves: pd.DataFrame, labels: Mapping[str, str], task: str | None = None) -> Table:
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
            f"{_accuracy(task)} (%) as area under its curve (AUC) at step {steps.max()}, "
            f"from step {steps.min()} and divided by the span"
        ),
        values=values,
        curves=curves,
        labels=labels,
        task=task,
        reason=reason,
    )


def _accuracy(task: str | None) -> str:
    return f"{TASK_LABELS.get(task, task)} test accuracy" if task else "Test accuracy"


def _by_mode(
    name: str,
    title: str,
    values: pd.DataFrame,
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None,
    reason: str = "",
) -> Table:
    """A row a model, a column a mode; `values` has `model`, `mode`, `seed`, `value` (%)."""
    models = _rows_of(labels, list(curves["model"].unique()))
    modes = [mode for mode in MODE_LABELS if mode in set(curves["mode"])]
    cells = values.groupby(["model", "mode"])["value"].agg(["mean", "std", "count"])
    summary = cells.reindex(pd.MultiIndex.from_product([models, modes], names=cells.index.names))
    footnotes = Footnotes()
    return Table(
        name=name,
        title=f"{title}. {_spread(curves)} Best in bold.",
        columns=["Model", *(MODE_LABELS[mode] for mode in modes)],
        rows=[
            [Cell(label), *_mode_cells(summary.loc[model], cells["count"].max(), footnotes, reason)]
            for model, label in models.items()
        ],
        data=_mode_data(summary, models, curves),
        notes=[*footnotes.notes(), *_paper_note(name, models, task)],
    )


def _mode_cells(
    summary: pd.DataFrame, most_seeds: float, footnotes: Footnotes, reason: str
) -> list[Cell]:
    """One model's cells; `summary` has a row a mode with `mean`, `std` and `count` of seeds."""
    # As displayed: two equal numbers of which one is bold would puzzle a reader.
    best = summary["mean"].round(1).max()
    compared = summary["mean"].count() > 1
    cells = []
    for mean, std, count in summary[["mean", "std", "count"]].itertuples(index=False):
        if pd.isna(mean):
            cells.append(footnotes.dash(reason or "no runs"))
            continue
        few = f"{_count(int(count), 'seed')} instead of {most_seeds:.0f}"
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


def _rows_of(labels: Mapping[str, str], present: Sequence[str]) -> dict[str, str]:
    """Model -> display name, in the order of `labels`, then models that have no label."""
    absent = [model for model in labels if model not in present]
    if absent:
        raise UserError(f"no runs of {', '.join(absent)}; there are runs of {', '.join(present)}")
    return {**labels, **{model: model for model in present if model not in labels}}


def _mean_std(mean: float, std: float) -> str:
    """What one seed lacks, the spread, is left out."""
    return f"{mean:.1f}" if pd.isna(std) else f"{mean:.1f} ± {std:.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _seeds(curves: pd.DataFrame) -> str:
    counts = curves.groupby(["model", "mode"])["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return _count(high, "seed") if low == high else f"{low} to {high} seeds"


def _spread(curves: pd.DataFrame) -> str:
    seeds, problems = _seeds(curves), _problems(curves)
    if seeds == "1 seed":
        return f"One seed, so no spread; {problems}."
    return f"Mean ± std over {seeds}; {problems}."


def _problems(curves: pd.DataFrame) -> str:
    return _count(int(curves["problems"].max()), "problem")


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
    models = _rows_of(labels, list(curves["model"].unique()))
    step = curves["step"].max()
    shown = {(c.model, c.metric): c for c in comparisons if c.baseline == "vanilla"}
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
            f"{_accuracy(task)} of CF against DAPO at step {step} and in AUC, in percentage "
            f"points: paired t-test across {_seeds(curves)}; {_problems(curves)}. "
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
            *_paper_note("table3_significance", models, task),
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


# Heading, quantity and variant of the columns that the runs themselves fill.
_RUN_COLUMNS = (
    ("DAPO (min)", "time", "vanilla"),
    ("CF (min)", "time", "counterfactual"),
    ("Overhead (%)", "overhead", "runs"),
    ("Spans/completion", "spans_per_completion", "counterfactual"),
    ("Credit (s/step)", "credit", "counterfactual"),
)
_NO_RUNS = {
    "vanilla": "no DAPO runs",
    "counterfactual": "no CF runs",
    "runs": "needs both DAPO and CF runs",
}


def table8_overhead(
    runs: Sequence[Mapping[str, Any]],
    history: pd.DataFrame,
    profiles: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 8: what counterfactual credit costs, from the runs and from a side-by-side profile.

    Args:
        runs, history, profiles: as for `cfdapo.analysis.overhead.measure_costs`.
        labels, task: as for `table1_accuracy`.

    Raises:
        UserError: as `measure_costs`; or runs of different numbers of steps, or `labels` names a
            model without runs.
    """
    costs = measure_costs(runs, history, profiles)
    timed = [run for run in runs if run["mode"] in ("vanilla", "counterfactual")]
    models = _rows_of(labels, list(dict.fromkeys(run["model"] for run in timed)))
    steps = _same_steps(timed)
    methods = sorted({m for p in profiles.values() for m in p["ratio"]["credit_over_vanilla_step"]})
    columns = [
        *_RUN_COLUMNS,
        *((f"Side by side, {method} (%)", "overhead", method) for method in methods),
    ]
    values = costs.set_index(["model", "quantity", "variant"])["value"]
    footnotes = Footnotes()
    rows = []
    for model, label in models.items():
        row = [Cell(label)]
        for _, quantity, variant in columns:
            value = values.get((model, quantity, variant))
            if value is None or pd.isna(value):
                row.append(footnotes.dash(_NO_RUNS.get(variant, _NO_PROFILE)))
            else:
                row.append(
                    Cell(signed(value, "+.1f") if quantity == "overhead" else _digits(value))
                )
        rows.append(row)
    seeds = _seeds(pd.DataFrame(timed, columns=["model", "mode", "seed"]))
    return Table(
        name="table8_overhead",
        title=f"Cost of counterfactual credit at step {steps}; means over {seeds}.",
        columns=["Model", *(heading for heading, *_ in columns)],
        rows=rows,
        data=costs.assign(label=costs["model"].map(models))[["label", *COST_COLUMNS]],
        notes=[
            *footnotes.notes(),
            *_cost_notes(timed, profiles),
            *_paper_note("table8_overhead", models, task),
        ],
    )


def _digits(value: float) -> str:
    """Three digits or more: studies last from seconds to hours."""
    places = next((n for n, limit in enumerate((100, 10, 1)) if value >= limit), 3)
    return f"{value:.{places}f}"


def _same_steps(runs: Sequence[Mapping[str, Any]]) -> int:
    steps = {f"{run['model']}/{run['mode']}/seed{run['seed']}": run["steps"] for run in runs}
    if len(set(steps.values())) > 1:
        lengths = ", ".join(f"{name} has {number}" for name, number in steps.items())
        raise UserError(f"run times of different numbers of steps cannot be compared: {lengths}")
    return next(iter(steps.values()))


def _cost_notes(
    runs: Sequence[Mapping[str, Any]], profiles: Mapping[str, Mapping[str, Any]]
) -> list[Note]:
    notes = [
        Note(
            "Minutes, overhead, spans and credit time come from the training runs, which may "
            "have shared their machine with other jobs at the same time."
        )
    ]
    if any(run.get("hardware") != runs[0].get("hardware") for run in runs):
        notes.append(Note("The runs were not all made on the same hardware."))
    if profiles:
        sizes = sorted({(p["repeats"], p["completions"]) for p in profiles.values()})
        notes.append(
            Note(
                "Side by side: credit time over the time of a vanilla step, both measured in one "
                "job on a batch of which no group is skipped, so the most a step can cost ("
                + "; ".join(
                    f"{_count(repeats, 'repeat')} of {_count(completions, 'completion')}"
                    for repeats, completions in sizes
                )
                + ")."
            )
        )
    return notes


_NO_PROFILE = "no side-by-side profile"
_REFERENCE = "the reference that the others are compared with"
_NO_SPANS = "no spans were measured"
_NO_RANKS = "a rank correlation needs two spans or more, and drops that differ"


def table11_estimator_cost(
    profiles: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 11, not in the paper: cost and exactness of the methods that measure drops.

    Args:
        profiles: as for `cfdapo.analysis.overhead.measure_estimators`.
        labels: model key -> display name; its order is the order of rows. A model without a
            profile has a row of dashes.
        task: the study's task, for the title.

    Raises:
        UserError: as `measure_estimators`.
    """
    models = dict(labels) | {m: m for m in profiles if m not in labels}
    estimators = measure_estimators({m: profiles[m] for m in models if m in profiles})
    footnotes = Footnotes()
    rows = []
    for model, label in models.items():
        measured = estimators[estimators["model"] == model]
        rows += [_estimator_cells(label, row, footnotes) for row in measured.itertuples()]
        if measured.empty:
            rows.append([Cell(label), *(footnotes.dash(_NO_PROFILE) for _ in range(8))])
    setting = f"{TASK_LABELS.get(task, task)} " if task else ""
    return Table(
        name="table11_estimator_cost",
        title=(
            f"Cost of measuring the drops of one {setting}rollout batch, no group skipped, and "
            "their distance from serial's (ΔD, nats), by method."
        ),
        columns=[
            *("Model", "Method", "Passes", "Tokens", "Seconds", "Speed-up over serial"),
            *("Share of a vanilla step (%)", "Max |ΔD|", "Spearman"),
        ],
        rows=rows,
        data=estimators.assign(label=estimators["model"].map(models))[
            ["label", *ESTIMATOR_COLUMNS]
        ],
        notes=[*footnotes.notes(), *_batch_notes(profiles, models)],
    )


def _estimator_cells(label: str, row: Any, footnotes: Footnotes) -> list[Cell]:
    """A method's row; serial is not compared with itself."""

    def compared(value: float, style: str, reason: str) -> Cell:
        if row.method == "serial":
            return footnotes.dash(_REFERENCE)
        return footnotes.dash(reason) if pd.isna(value) else Cell(signed(value, style))

    return [
        *(Cell(label), Cell(row.method), Cell(f"{row.passes}"), Cell(f"{row.tokens}")),
        *(Cell(_digits(row.seconds)), Cell(_digits(row.speed_up))),
        Cell(_digits(row.share_of_vanilla_step)),
        compared(row.max_difference, ".1e", _NO_SPANS),
        compared(row.spearman, ".3f", _NO_RANKS),
    ]


def _batch_notes(
    profiles: Mapping[str, Mapping[str, Any]], models: Mapping[str, str]
) -> list[Note]:
    """What was measured: every model's batch, and by which model where it is not the policy."""
    batches = []
    for model, profile in profiles.items():
        proxy = profile["proxy"]
        batches.append(
            f"{models[model]}, {_count(profile['completions'], 'completion')} with "
            f"{profile['spans_per_completion']:.2f} spans each"
            + (f", measured by {models.get(proxy, proxy)}" if proxy else "")
            + f", median of {_count(profile['repeats'], 'repeat')}"
        )
    if not batches:
        return []
    return [
        Note(f"The batches: {'; '.join(batches)}."),
        Note("Tokens are the positions that the passes computed; serial and prefix are exact."),
    ]


# The paper's Tables 1, 2, 3 and 8 were measured so.
_PAPER_SETUP = {
    "table1_accuracy": "step 500, 3 seeds, 1319 problems",
    "table2_auc": "500 steps, 3 seeds, 1319 problems",
    "table3_significance": "step 500, 3 seeds",
    "table8_overhead": "500 steps on one L40S GPU",
}
_PAPER_FORMATS = {"%": ".1f", "points": "+.2f", "p": ".3f", "min": ".0f", "+%": "+.0f"}


def _paper_note(name: str, models: Mapping[str, str], task: str | None) -> list[Note]:
    """The paper's own values, if every model of the study is one of its models."""
    if task not in (None, PAPER_TASK):
        return []
    if not set(models.values()) <= set(reported_rows(name)):
        return []
    rows = []
    for label in models.values():
        entries = [reported(name, label, column) for column in reported_columns(name, label)]
        rows.append(f"{label} {', '.join(_as_printed(entry) for entry in entries)}")
    return [Note(f"The paper ({_PAPER_SETUP[name]}): {'; '.join(rows)}.")]


def _as_printed(entry: Reported) -> str:
    style = _PAPER_FORMATS.get(entry.unit, "g")
    spread = "" if entry.std is None else f" ± {format(entry.std, style)}"
    note = f" [sic: {entry.note}]" if entry.note else ""
    return f"{entry.column} {signed(entry.value, style)}{spread}{note}"
