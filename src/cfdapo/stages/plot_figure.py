"""Draw one of the study's figures as PDF and PNG."""

import argparse
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from cfdapo.analysis import cost_figures, credit_figures, figures, validity_figure
from cfdapo.analysis.efficiency import training_minutes
from cfdapo.analysis.rendering import read_table
from cfdapo.stages import run
from cfdapo.stages.results import Results, add_results_arguments

# A study's task, which decides what some figures call their axes.
Task = str | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, choices=FIGURES, help="which figure")
    add_results_arguments(parser)
    parser.add_argument("--task", help="the study's task")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figure's files")
    given = parser.parse_args()
    figure = FIGURES[given.figure](Results.of(given), given.task)
    figures.save(figure, given.out / given.figure)


def _training_curves(results: Results, task: Task) -> Figure:
    return figures.training_curves(results.curves(), results.labels, results.modes, task)


def _training_dynamics(results: Results, task: Task) -> Figure:
    history = results.runs.history(["reward", "weight_mean", "weight_std"])
    return figures.reward_and_weights(history, results.labels, results.modes)


def _drop_histogram(results: Results, task: Task) -> Figure:
    return credit_figures.drop_histogram(results.credit(), results.labels)


def _importance_position(results: Results, task: Task) -> Figure:
    return credit_figures.importance_by_position(results.credit(), results.labels)


def _weights(results: Results, task: Task) -> Figure:
    return credit_figures.weight_histogram(results.credit(), results.labels)


def _accuracy_time(results: Results, task: Task) -> Figure:
    timed = training_minutes(results.curves(), results.runs.history(["seconds_step"]))
    return cost_figures.accuracy_over_time(timed, results.labels, results.modes, task)


def _overhead(results: Results, task: Task) -> Figure:
    return cost_figures.overhead_bars(results.profiles(), results.labels)


def _credit_validity(results: Results, task: Task) -> Figure:
    found = read_table(results.folder / "tables" / "table9_credit_validity.csv")
    return validity_figure.validity_dots(found, results.labels)


FIGURES: dict[str, Callable[[Results, Task], Figure]] = {
    "figure1_training_curves": _training_curves,
    "figure2_training_dynamics": _training_dynamics,
    "figure3_accuracy_time": _accuracy_time,
    "figure4_overhead": _overhead,
    "figure5_drop_histogram": _drop_histogram,
    "figure6_importance_position": _importance_position,
    "figure7_weights": _weights,
    "figure8_credit_validity": _credit_validity,
}

if __name__ == "__main__":
    run(main)
