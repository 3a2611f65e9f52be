"""What credit costs: overhead of the runs (Table 8), cost and exactness of the estimators (11)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfdapo.analysis.costs.overhead import (
    COST_COLUMNS,
    ESTIMATOR_COLUMNS,
    measure_costs,
    measure_estimators,
)
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.task_names import on_task
from cfdapo.analysis.rendering.wording import counted, digits, paper_note, rows_of, seeds_of
from cfdapo.files import UserError

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


_NO_PROFILE = "no side-by-side profile"


_REFERENCE = "the reference that the others are compared with"


_NO_SPANS = "no spans were measured"


_NO_RANKS = "a rank correlation needs two spans or more, and drops that differ"


def table8_overhead(
    runs: Sequence[Mapping[str, Any]],
    history: pd.DataFrame,
    profiles: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 8: what counterfactual credit costs, from the runs and from a side-by-side profile.

    Args:
        runs, history, profiles: as for `cfdapo.analysis.costs.overhead.measure_costs`.
        labels, task: as for `table1_accuracy`.

    Raises:
        UserError: as `measure_costs`; or runs of different numbers of steps, or `labels` names a
            model without runs.
    """
    costs = measure_costs(runs, history, profiles)
    timed = [run for run in runs if run["mode"] in ("vanilla", "counterfactual")]
    models = rows_of(labels, list(dict.fromkeys(run["model"] for run in timed)))
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
                row.append(Cell(signed(value, "+.1f") if quantity == "overhead" else digits(value)))
        rows.append(row)
    seeds = seeds_of(pd.DataFrame(timed, columns=["model", "mode", "seed"]))
    return Table(
        name="table8_overhead",
        title=f"Cost of counterfactual credit at step {steps}; means over {seeds}.",
        columns=["Model", *(heading for heading, *_ in columns)],
        rows=rows,
        data=costs.assign(label=costs["model"].map(models))[["label", *COST_COLUMNS]],
        notes=[
            *footnotes.notes(),
            *_cost_notes(timed, profiles),
            *paper_note("table8_overhead", models, task),
        ],
    )


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
                    f"{counted(repeats, 'repeat')} of {counted(completions, 'completion')}"
                    for repeats, completions in sizes
                )
                + ")."
            )
        )
    return notes


def table11_estimator_cost(
    profiles: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 11, not in the paper: cost and exactness of the methods that measure drops.

    Args:
        profiles: as for `cfdapo.analysis.costs.overhead.measure_estimators`.
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
    return Table(
        name="table11_estimator_cost",
        title=(
            f"Cost of measuring the drops of one rollout batch{on_task(task)}, no group skipped, "
            "and their distance from serial's (ΔD, nats), by method."
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
        *(Cell(digits(row.seconds)), Cell(digits(row.speed_up))),
        Cell(digits(row.share_of_vanilla_step)),
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
            f"{models[model]}, {counted(profile['completions'], 'completion')} with "
            f"{profile['spans_per_completion']:.2f} spans each"
            + (f", measured by {models.get(proxy, proxy)}" if proxy else "")
            + f", median of {counted(profile['repeats'], 'repeat')}"
        )
    if not batches:
        return []
    return [
        Note(f"The batches: {'; '.join(batches)}."),
        Note("Tokens are the positions that the passes computed; serial and prefix are exact."),
    ]
