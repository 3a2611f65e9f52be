"""What credit costs in whole runs and side by side: Table 8."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfdapo.analysis.costs.overhead import COST_COLUMNS, NO_PROFILE, measure_costs
from cfdapo.analysis.paper.notes import paper_note
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.runs import name_of
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import (
    TOO_FEW_STEPS,
    counted,
    digits,
    rows_of,
    seeds_of,
)
from cfdapo.files import UserError
from cfdapo.vocabulary import CONTROL, TREATMENT

# Heading, quantity and variant of the columns that the runs themselves fill.
_RUN_COLUMNS = (
    ("DAPO (min)", "time", "vanilla"),
    ("CF (min)", "time", "counterfactual"),
    ("Overhead (%)", "overhead", "runs"),
    ("Spans/completion", "spans_per_completion", "counterfactual"),
    ("Credit (s/step)", "credit", "counterfactual"),
)
_ONE_REPEAT = "one repeat of one step: it tells the size, and no more"
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
        runs, history, profiles: as for `cfdapo.analysis.costs.overhead.measure_costs`.
        labels, task: as for `table1_accuracy`.

    Raises:
        UserError: as `measure_costs`; or runs of different numbers of steps, or `labels` names a
            model without runs.
    """
    costs = measure_costs(runs, history, profiles)
    timed = [run for run in runs if run["mode"] in (CONTROL, TREATMENT)]
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
            if value is not None and pd.isna(value) and variant == "runs":
                row.append(footnotes.dash(f"{steps} steps: {TOO_FEW_STEPS}"))
            elif value is None or pd.isna(value):
                row.append(footnotes.dash(_NO_RUNS.get(variant, NO_PROFILE)))
            elif profiles.get(model, {}).get("repeats") == 1 and variant in methods:
                row.append(Cell(signed(value, "+.1f"), mark=footnotes.mark(_ONE_REPEAT)))
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
    steps = {name_of(run): run["steps"] for run in runs}
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


def make(results: Results) -> Table:
    """Table 8 of a study."""
    timed = results.runs.of_modes((CONTROL, TREATMENT))
    history = timed.history(["spans_per_completion", "seconds_credit"])
    descriptions = timed.descriptions()
    # Of an unfinished study, a model may have other modes' runs alone.
    there = {run["model"] for run in descriptions} if results.runs.missing else set(results.labels)
    labels = {model: label for model, label in results.labels.items() if model in there}
    return table8_overhead(descriptions, history, results.profiles(), labels, results.task)
