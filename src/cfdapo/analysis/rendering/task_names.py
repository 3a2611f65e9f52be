"""How a study's tasks are called, and in words what is right in them."""

from collections.abc import Mapping
from typing import Any

TASK_LABELS = {
    "gsm8k": "GSM8K",
    "mbpp": "MBPP+",
    "arithmetic": "Arithmetic",
    "programs": "made programs",
}
# Of the tasks whose solutions are programs that are run (`cfdapo.study.CODE_TASKS`).
PASS_RATES = {"mbpp": "MBPP+ pass rate", "programs": "Pass rate on made programs"}


def accuracy_title(task: str | None) -> str:
    """What the task's accuracy, or pass rate, is called in a title."""
    if task in PASS_RATES:
        return PASS_RATES[task]
    return f"{TASK_LABELS.get(task, task)} test accuracy" if task else "Test accuracy"


def accuracy_axis(task: str | None) -> str:
    """What the axis of the task's accuracy, or pass rate, is called."""
    return "Pass rate (%)" if task in PASS_RATES else "Test accuracy (%)"


def tested(completion: Mapping[str, Any]) -> str:
    """What its tests say of a completion that is a program, a row of measured credit."""
    verdict = "passes" if completion["correct"] else "fails"
    return f"{verdict} the tests of {completion['gold']}"


def on_task(task: str | None) -> str:
    """The end of a title that names the task, as " on GSM8K"; empty without one."""
    return f" on {TASK_LABELS.get(task, task)}" if task else ""
