"""One training run: its name, the rows of its files, its training history."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfdapo.files import UserError

RUN_COLUMNS = ["model", "mode", "seed"]


def run_name(model: str, mode: str, seed: int) -> str:
    """A run's name in messages, which is also its folder below `runs/`."""
    return f"{model}/{mode}/seed{seed}"


def name_of(record: Mapping[str, Any]) -> str:
    """The name of the run that a `run.json` is of."""
    return run_name(*(record[column] for column in RUN_COLUMNS))


@dataclass(frozen=True)
class Run:
    """One training run and the rows of one of its files (evaluation or history)."""

    model: str
    mode: str
    seed: int
    rows: Sequence[dict[str, Any]]

    def __str__(self) -> str:
        return run_name(self.model, self.mode, self.seed)


def collect_history(
    runs: Iterable[Run], columns: Sequence[str], optional: Sequence[str] = ()
) -> pd.DataFrame:
    """Training histories of several runs as one long table.

    Returns:
        `model`, `mode`, `seed`, `step` and the named columns as float; null becomes nan, and so
        does an `optional` column that a run lacks.

    Raises:
        UserError: no runs, a run without rows, a row that lacks a column, or a step that a run
            holds twice.
    """
    frames = []
    for run in runs:
        try:
            rows = [
                [
                    row["step"],
                    *(row[name] for name in columns),
                    *(row.get(name) for name in optional),
                ]
                for row in run.rows
            ]
        except KeyError as error:
            raise UserError(f"{run}: a row of the history lacks {error}") from error
        frame = pd.DataFrame(rows, columns=["step", *columns, *optional])
        frame = frame.astype({"step": int, **dict.fromkeys([*columns, *optional], float)})
        if frame.empty:
            raise UserError(f"{run}: the history is empty")
        if frame["step"].duplicated().any():
            twice = frame.loc[frame["step"].duplicated(), "step"].iloc[0]
            raise UserError(f"{run}: the history holds step {twice} twice")
        frames.append(with_run(frame, run))
    if not frames:
        raise UserError("no runs to collect")
    return pd.concat(frames, ignore_index=True)[[*RUN_COLUMNS, "step", *columns, *optional]]


def with_run(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    """The frame with columns that say which run it is of."""
    return frame.assign(model=run.model, mode=run.mode, seed=run.seed)
