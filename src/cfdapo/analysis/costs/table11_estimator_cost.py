"""What each way of measuring drops costs, and how exact it is: Table 11."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cfdapo.analysis.costs.overhead import ESTIMATOR_COLUMNS, NO_PROFILE, measure_estimators
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import counted, digits, on_task

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
            rows.append([Cell(label), *(footnotes.dash(NO_PROFILE) for _ in range(8))])
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
    once = any(profile["repeats"] == 1 for profile in profiles.values())
    few = [Note("Times of one repeat tell the size, and no more.")] if once else []
    return [
        Note(f"The batches: {'; '.join(batches)}."),
        *few,
        Note("Tokens are the positions that the passes computed; serial and prefix are exact."),
    ]


def make(results: Results) -> Table:
    """Table 11 of a study."""
    return table11_estimator_cost(results.profiles(), results.labels, results.task)
