"""Make one of the study's tables as CSV (numbers), Markdown and LaTeX."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cfdapo.analysis import tables
from cfdapo.analysis.counterparts import StudyTables
from cfdapo.analysis.rendering import Table, write
from cfdapo.analysis.significance import read_comparisons
from cfdapo.stages import run
from cfdapo.stages.results import Results, add_results_arguments, json_object

# What the overhead is measured between.
TIMED_MODES = ("vanilla", "counterfactual")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True, choices=TABLES, help="which table")
    add_results_arguments(parser)
    parser.add_argument(
        "--study-settings",
        type=json_object,
        default={},
        help='what titles need of the study\'s settings, as {"task": "gsm8k"}',
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the table's files")
    given = parser.parse_args()
    table = TABLES[given.table](Results.of(given), given.study_settings.get("task"))
    write(table, given.out)


def _accuracy(results: Results, task: str | None) -> Table:
    return tables.table1_accuracy(results.curves(), results.labels, task)


def _auc(results: Results, task: str | None) -> Table:
    return tables.table2_auc(results.curves(), results.labels, task)


def _significance(results: Results, task: str | None) -> Table:
    comparisons = read_comparisons(results.folder / "statistics" / "significance.csv")
    return tables.table3_significance(comparisons, results.curves(), results.labels, task)


def _overhead(results: Results, task: str | None) -> Table:
    timed = replace(results.runs, modes=[m for m in TIMED_MODES if m in results.runs.modes])
    history = timed.history(["spans_per_completion", "seconds_credit"])
    return tables.table8_overhead(
        timed.records(), history, results.profiles(), results.labels, task
    )


def _estimator_cost(results: Results, task: str | None) -> Table:
    return tables.table11_estimator_cost(results.profiles(), results.labels, task)


def _credit(name: str) -> Callable[[Results, str | None], Table]:
    """A table that is made of measured credit alone."""
    make = getattr(tables, name)
    return lambda results, task: make(results.credit(), results.labels, task)


def _reproduced(results: Results, task: str | None) -> Table:
    return tables.table10_reported_vs_reproduced(StudyTables(results.folder, task), results.labels)


def _inconsistencies(results: Results, task: str | None) -> Table:
    return tables.table16_inconsistencies()


CREDIT_TABLES = (
    "table4_drop_distribution",
    "table5_content",
    "table6_example",
    "table9_credit_validity",
    "table15_span_statistics",
)
TABLES: dict[str, Callable[[Results, str | None], Table]] = {
    "table1_accuracy": _accuracy,
    "table2_auc": _auc,
    "table3_significance": _significance,
    "table8_overhead": _overhead,
    "table11_estimator_cost": _estimator_cost,
    **{name: _credit(name) for name in CREDIT_TABLES},
    "table10_reported_vs_reproduced": _reproduced,
    "table16_inconsistencies": _inconsistencies,
}

if __name__ == "__main__":
    run(main)
