"""Make one of the study's tables as CSV (numbers), Markdown and LaTeX."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cfdapo.analysis import tables
from cfdapo.analysis.counterparts import StudyTables
from cfdapo.analysis.rendering import Table, write
from cfdapo.analysis.tables.code import HISTORY_COLUMNS
from cfdapo.stages import run
from cfdapo.stages.results import Results, add_results_arguments, json_object

# What the overhead is measured between.
TIMED_MODES = ("vanilla", "counterfactual")

# What tables need of the study's settings.
Study = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True, choices=TABLES, help="which table")
    add_results_arguments(parser)
    parser.add_argument(
        "--study-settings",
        type=json_object,
        default={},
        help='settings that tables need, as {"task": "gsm8k", "weight_groups": {"raw": {…}}}',
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the table's files")
    given = parser.parse_args()
    table = TABLES[given.table](Results.of(given), given.study_settings)
    write(table, given.out)


def _accuracy(results: Results, study: Study) -> Table:
    return tables.table1_accuracy(
        results.curves(), results.labels, study.get("task"), results.modes
    )


def _auc(results: Results, study: Study) -> Table:
    return tables.table2_auc(results.curves(), results.labels, study.get("task"), results.modes)


def _significance(results: Results, study: Study) -> Table:
    return tables.table3_significance(
        *results.tests(), results.curves(), results.labels, study.get("task")
    )


def _comparisons(results: Results, study: Study) -> Table:
    return tables.table3b_comparisons(
        *results.tests(), results.curves(), results.labels, study.get("task"), results.modes
    )


def _overhead(results: Results, study: Study) -> Table:
    timed = replace(results.runs, modes=[m for m in TIMED_MODES if m in results.runs.modes])
    history = timed.history(["spans_per_completion", "seconds_credit"])
    return tables.table8_overhead(
        timed.records(), history, results.profiles(), results.labels, study.get("task")
    )


def _estimator_cost(results: Results, study: Study) -> Table:
    return tables.table11_estimator_cost(results.profiles(), results.labels, study.get("task"))


def _power(results: Results, study: Study) -> Table:
    _, on_problems = results.tests()
    return tables.table12_power(results.curves(), on_problems, results.labels, study.get("task"))


def _sample_efficiency(results: Results, study: Study) -> Table:
    history = results.runs.history(["seconds_step"])
    return tables.table13_sample_efficiency(
        results.curves(), history, results.labels, study.get("task"), results.modes
    )


def _weight_groups(results: Results, study: Study) -> dict[str, dict[str, str]]:
    return study.get("weight_groups", {"raw": {mode: mode for mode in results.modes}})


def _ordering(results: Results, study: Study) -> Table:
    groups = _weight_groups(results, study)
    order = list(results.modes)
    # JSON from the workflow is sorted; the order is that of the modes.
    groups = dict(
        sorted(groups.items(), key=lambda group: [order.index(m) for m in group[1].values()])
    )
    return tables.table14_ordering(results.curves(), groups, results.labels, study.get("task"))


def _code(results: Results, study: Study) -> Table:
    weighted = {group.get("counterfactual") for group in _weight_groups(results, study).values()}
    counterfactual = [mode for mode in results.modes if mode in weighted]
    runs = replace(results.runs, modes=counterfactual)
    history = runs.history(HISTORY_COLUMNS)
    return tables.table7_code(
        *(results.curves(), history, results.labels, study.get("task"), results.modes),
        counterfactual,
    )


def _credit(name: str) -> Callable[[Results, Study], Table]:
    """A table that is made of measured credit alone."""
    make = getattr(tables, name)
    return lambda results, study: make(results.credit(), results.labels, study.get("task"))


def _reproduced(results: Results, study: Study) -> Table:
    found = StudyTables(results.folder, study.get("task"))
    return tables.table10_reported_vs_reproduced(found, results.labels)


def _inconsistencies(results: Results, study: Study) -> Table:
    return tables.table16_inconsistencies()


CREDIT_TABLES = (
    "table4_drop_distribution",
    "table5_content",
    "table6_example",
    "table9_credit_validity",
    "table15_span_statistics",
)
TABLES: dict[str, Callable[[Results, Study], Table]] = {
    "table1_accuracy": _accuracy,
    "table2_auc": _auc,
    "table3_significance": _significance,
    "table3b_comparisons": _comparisons,
    "table7_code": _code,
    "table8_overhead": _overhead,
    "table11_estimator_cost": _estimator_cost,
    **{name: _credit(name) for name in CREDIT_TABLES},
    "table12_power": _power,
    "table13_sample_efficiency": _sample_efficiency,
    "table14_ordering": _ordering,
    "table10_reported_vs_reproduced": _reproduced,
    "table16_inconsistencies": _inconsistencies,
}

if __name__ == "__main__":
    run(main)
