"""Words that tables and figures share: for scores and tasks, counts, numbers and p-values."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfdapo.analysis.statistics.estimates import SIGNIFICANT
from cfdapo.files import UserError
from cfdapo.vocabulary import TASKS

# Why a share of the time of a few steps is not given: a step's time varies by more.
TOO_FEW_STEPS = "too few steps to tell"


def score_title(task: str | None) -> str:
    """What the task's accuracy, or pass rate, is called in a title."""
    return TASKS[task].score if task else "Test accuracy"


def score_axis(task: str | None) -> str:
    """What the axis of the task's accuracy, or pass rate, is called."""
    return TASKS[task].score_axis if task else "Test accuracy (%)"


def is_code(task: str | None) -> bool:
    """Whether the task's solutions are programs, which tests speak of and no number does."""
    return task is not None and TASKS[task].code


def on_task(task: str | None) -> str:
    """The end of a title that names the task, as " on GSM8K"; empty without one."""
    return f" on {TASKS[task].label}" if task else ""


def tested(completion: Mapping[str, Any]) -> str:
    """What its tests say of a completion that is a program, a row of measured credit."""
    verdict = "passes" if completion["correct"] else "fails"
    return f"{verdict} the tests of {completion['gold']}"


def rows_of(labels: Mapping[str, str], present: Sequence[str]) -> dict[str, str]:
    """Model -> display name, in the order of `labels`, then models that have no label."""
    absent = [model for model in labels if model not in present]
    if absent:
        raise UserError(f"no runs of {', '.join(absent)}; there are runs of {', '.join(present)}")
    return {**labels, **{model: model for model in present if model not in labels}}


def counted(number: int, noun: str) -> str:
    """As in "1 seed" and "3 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seeds_of(curves: pd.DataFrame) -> str:
    """How many seeds the runs have, by their columns `model`, `mode` and `seed`."""
    counts = curves.groupby(["model", "mode"])["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return counted(high, "seed") if low == high else f"{low} to {high} seeds"


def problems_of(curves: pd.DataFrame) -> str:
    """How many problems the runs were graded on."""
    return counted(int(curves["problems"].max()), "problem")


def digits(value: float) -> str:
    """Three digits or more: studies last from seconds to hours."""
    places = next((n for n, limit in enumerate((100, 10, 1)) if value >= limit), 3)
    return f"{value:.{places}f}"


def p_value(p: float) -> str:
    """A p-value with three places, or below what they show."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_text(p: float) -> str:
    """A p-value as `p_value` has it, starred where it is significant."""
    return p_value(p) + ("*" if p < SIGNIFICANT else "")
