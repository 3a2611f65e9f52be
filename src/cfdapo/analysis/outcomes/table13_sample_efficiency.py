"""When a mode reaches the accuracy that DAPO ends with (Table 13; the paper's Section 4.2)."""

from collections.abc import Iterable, Mapping

import pandas as pd

from cfdapo.analysis.outcomes.sample_efficiency import Reached, sample_efficiency
from cfdapo.analysis.paper.numbers import paper_number, paper_rows
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table
from cfdapo.analysis.rendering.wording import digits, problems_of, rows_of, score_title, seeds_of
from cfdapo.vocabulary import PAPER_MODES, PAPER_TASK, named_modes

_NO_TARGET = "no DAPO runs, so nothing to reach"
_NEVER = "never"
_NEVER_TIME = "never reached"
_NOT_REPORTED = "the paper gives CF's step only"


def table13_sample_efficiency(
    curves: pd.DataFrame,
    history: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = PAPER_MODES,
) -> Table:
    """Table 13: the first evaluated step, and the training time, at DAPO's final accuracy.

    Args:
        curves, history: as for `cfdapo.analysis.outcomes.sample_efficiency.sample_efficiency`.
        labels, task: as for `table1_accuracy`.
        modes: mode -> display name.

    Raises:
        UserError: `labels` names a model without runs, or a run lacks its history.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    names = named_modes(curves["mode"], modes)
    found = {(r.model, r.mode): r for r in sample_efficiency(curves, history)}
    papers = task in (None, PAPER_TASK) and set(models.values()) <= set(paper_rows("section4.2"))
    footnotes = Footnotes()
    rows = []
    for model, label in models.items():
        with_target = any(key[0] == model for key in found)
        for mode, name in names.items():
            reached = found.get((model, mode))
            row = [Cell(label), Cell(name)]
            if reached is None:
                reason = "no runs" if with_target else _NO_TARGET
                row += [footnotes.dash(reason) for _ in range(5)]
            else:
                row += _cells(reached, footnotes)
            if papers:
                row.append(_paper_cell(label, mode, footnotes))
            rows.append(row)
    return Table(
        name="table13_sample_efficiency",
        title=(
            f"{score_title(task)}: the first evaluated step, and the training time until then, "
            f"at which a mode reaches DAPO's mean at step {curves['step'].max()}; "
            f"{seeds_of(curves)}, {problems_of(curves)}."
        ),
        columns=[
            *("Model", "Mode", "To reach (%)", "Final (%)", "Step", "Minutes", "Seeds, each alone"),
            *(["Paper's step"] if papers else []),
        ],
        rows=rows,
        data=_data(found.values(), models),
        notes=[*footnotes.notes(), *_notes(curves)],
    )


def _cells(reached: Reached, footnotes: Footnotes) -> list[Cell]:
    cells = [Cell(f"{reached.target:.1f}"), Cell(f"{reached.final:.1f}")]
    if reached.step is None or reached.minutes is None:
        cells += [Cell(_NEVER), footnotes.dash(_NEVER_TIME)]
    else:
        minutes = "0" if reached.minutes == 0 else digits(reached.minutes)
        cells += [Cell(str(reached.step)), Cell(minutes)]
    steps = sorted(step for step in reached.seed_steps.values() if step is not None)
    there = f"{len(steps)} of {len(reached.seed_steps)}"
    return [*cells, Cell(f"{there}: {', '.join(map(str, steps))}" if steps else there)]


def _paper_cell(label: str, mode: str, footnotes: Footnotes) -> Cell:
    if mode != "counterfactual":
        return footnotes.dash(_NOT_REPORTED)
    entry = paper_number("section4.2", label, "step of DAPO's final accuracy")
    return Cell(f"{entry.value:.0f}")


def _notes(curves: pd.DataFrame) -> list[Note]:
    steps = [str(step) for step in sorted(curves["step"].unique())]
    listed = ", ".join(steps) if len(steps) <= 8 else f"{steps[0]}, {steps[1]}, … {steps[-1]}"
    return [
        Note(
            f"Evaluated at steps {listed}. Step and minutes are of the mean over seeds, which may "
            "fall below again later. The column of seeds counts those that reach the same accuracy "
            "by themselves, and lists their steps."
        ),
        Note(
            "Minutes are training steps alone: generation, credit and update, without evaluation. "
            "Jobs may have shared their machine."
        ),
    ]


def _data(found: Iterable[Reached], models: Mapping[str, str]) -> pd.DataFrame:
    """A row a model and mode for the mean (`seed` empty), then one for each seed."""
    rows = []
    for r in found:
        shared = {"label": models[r.model], "model": r.model, "mode": r.mode, "target": r.target}
        rows.append({**shared, "seed": None, "step": r.step, "minutes": r.minutes})
        rows += [{**shared, "seed": s, "step": n, "minutes": None} for s, n in r.seed_steps.items()]
    columns = ["label", "model", "mode", "target", "seed", "step", "minutes"]
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64", "step": "Int64"})


def make(results: Results) -> Table:
    """Table 13 of a study."""
    history = results.runs.history(["seconds_step"])
    return table13_sample_efficiency(
        results.curves(), history, results.labels, results.task, results.modes
    )
