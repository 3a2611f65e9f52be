"""Accuracy over training steps: one run's curve, a study's curves, areas under them."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cfdapo import checksums
from cfdapo.analysis.records.runs import RUN_COLUMNS, Run, with_run
from cfdapo.files import UserError

CURVE_COLUMNS = [*RUN_COLUMNS, "step", "accuracy", "problems"]


def accuracy_curve(evaluation_rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Accuracy in % at each evaluated step, in ascending order of steps.

    Args:
        evaluation_rows: rows with at least `step` (int), `problem` (id) and `correct` (bool).

    Returns:
        Columns `step`, `accuracy` (%), `problems` (how many were graded at that step).

    Raises:
        ValueError: no rows, a row lacks a field, `correct` is not a bool, a problem is graded
            twice at a step, or steps were graded on different problems.
    """
    graded = graded_problems(evaluation_rows)
    first_step = min(graded)
    for step, answers in graded.items():
        if answers.keys() != graded[first_step].keys():
            raise ValueError(
                f"step {step} was graded on other problems than step {first_step} "
                f"({len(answers)} against {len(graded[first_step])})"
            )
    return pd.DataFrame(
        [
            (step, 100 * sum(graded[step].values()) / len(graded[step]), len(graded[step]))
            for step in sorted(graded)
        ],
        columns=["step", "accuracy", "problems"],
    )


def graded_problems(rows: Iterable[dict[str, Any]]) -> dict[int, dict[str, bool]]:
    """Step -> problem -> whether it was answered right; faults as `accuracy_curve`."""
    graded: dict[int, dict[str, bool]] = {}
    for row in rows:
        try:
            step, problem, correct = row["step"], row["problem"], row["correct"]
        except KeyError as error:
            raise ValueError(f"an evaluation row lacks {error}") from error
        # A string such as "false" would count as correct.
        if not isinstance(correct, bool):
            raise ValueError(
                f"problem {problem} at step {step}: correct is {correct!r}, not a bool"
            )
        answers = graded.setdefault(step, {})
        if problem in answers:
            raise ValueError(f"problem {problem} is graded twice at step {step}")
        answers[problem] = correct
    if not graded:
        raise ValueError("no evaluation rows")
    return graded


def collect(runs: Iterable[Run]) -> pd.DataFrame:
    """Curves of all runs of a study as one long table, in the order of the runs.

    Runs are consumed one at a time, so that a generator keeps one file in memory.

    Returns:
        Columns `model`, `mode`, `seed`, `step`, `accuracy` (%), `problems`.

    Raises:
        UserError: no runs, a run given twice, a faulty evaluation, or runs that were evaluated on
            other problems or at other steps; the message names the runs.
    """
    curves: dict[str, pd.DataFrame] = {}
    problems: dict[str, frozenset[str]] = {}
    for run in runs:
        name = str(run)
        if name in curves:
            raise UserError(f"{name}: given twice")
        try:
            curve = accuracy_curve(run.rows)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
        curves[name] = with_run(curve, run)
        problems[name] = frozenset(row["problem"] for row in run.rows)
    if not curves:
        raise UserError("no runs to collect")
    _require_equal(problems, "evaluated on other problems")
    _require_equal(
        {name: tuple(c["step"]) for name, c in curves.items()}, "evaluated at other steps"
    )
    return pd.concat(curves.values(), ignore_index=True)[CURVE_COLUMNS]


def _require_equal(values: dict[str, Any], fault: str) -> None:
    reference, expected = next(iter(values.items()))
    odd = [name for name, value in values.items() if value != expected]
    if odd:
        raise UserError(f"{', '.join(odd)}: {fault} than {reference}; they cannot be compared")


def area_under_curve(steps: Sequence[int], accuracy: Sequence[float]) -> float:
    """Mean accuracy over training in % (Table 2): trapezoidal area over the span of steps.

    Args:
        steps: training steps, shape (n,), ascending, n >= 2.
        accuracy: accuracy in % at these steps, shape (n,).

    Raises:
        ValueError: shapes differ, fewer than two steps, steps not ascending, or a value that is
            not finite.
    """
    if len(steps) != len(accuracy):
        raise ValueError(f"{len(steps)} steps but {len(accuracy)} accuracies")
    if len(steps) < 2:
        raise ValueError("an area under the curve needs at least two evaluated steps")
    if not np.all(np.diff(steps) > 0):
        raise ValueError("steps must ascend")
    area = float(np.trapezoid(accuracy, steps)) / float(steps[-1] - steps[0])
    if not math.isfinite(area):
        raise ValueError("an accuracy is not a finite number")
    return area


def final_accuracy(curves: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in % of each run at the study's last step: `model`, `mode`, `seed`, `value`."""
    last = curves[curves["step"] == curves["step"].max()]
    return last.rename(columns={"accuracy": "value"})[[*RUN_COLUMNS, "value"]].reset_index(
        drop=True
    )


def areas(curves: pd.DataFrame) -> pd.DataFrame:
    """Area under the curve in % of each run: `model`, `mode`, `seed`, `value`.

    Raises:
        ValueError: as `area_under_curve`.
    """
    rows = []
    for key, curve in curves.groupby(RUN_COLUMNS, sort=False):
        curve = curve.sort_values("step")
        area = area_under_curve(curve["step"].to_numpy(), curve["accuracy"].to_numpy())
        rows.append((*key, area))
    return pd.DataFrame(rows, columns=[*RUN_COLUMNS, "value"])


def write_curves(
    path: str | Path, curves: pd.DataFrame, made_from: dict[str, Any] | None = None
) -> None:
    """Write curves as CSV with every digit, so that what is read back is what was measured.

    The checksum beside them keeps what they were `made_from`.
    """
    checksums.finish(path, curves.to_csv(index=False, lineterminator="\n"), made_from)


def read_curves(path: str | Path) -> pd.DataFrame:
    """Read the curves that `write_curves` wrote.

    Raises:
        UserError: the file is absent or damaged, is no CSV table, or lacks a column or a value.
    """
    checksums.check(path)
    # Names stay text, and an empty field is an error: a model may be called "7" or "nan".
    types = {"model": str, "mode": str, "seed": int, "step": int, "accuracy": float}
    try:
        curves = pd.read_csv(path, dtype=types, keep_default_na=False, float_precision="round_trip")
    except ValueError as error:
        raise UserError(f"{path}: not a table of curves ({error})") from error
    if list(curves.columns) != CURVE_COLUMNS:
        raise UserError(
            f"{path}: has the columns {', '.join(curves.columns)}; "
            f"expected {', '.join(CURVE_COLUMNS)}"
        )
    return curves
