"""Test the modes of a study against each other, across seeds and on problems (Tables 3, 3b, 12)."""

import argparse
from pathlib import Path

from cfdapo.analysis.outcomes.problem_level import ProblemTest, collect_answers, compare_on_problems
from cfdapo.analysis.outcomes.significance import compare, write_comparisons
from cfdapo.analysis.records.curves import read_curves
from cfdapo.analysis.records.typed_csv import write_records
from cfdapo.stages import run
from cfdapo.stages.results import Runs, add_run_arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=Path, required=True, help="curves.csv")
    parser.add_argument(
        "--runs", type=Path, required=True, help="folder of {model}/{mode}/seed{seed}"
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of significance.csv and problem_level.csv"
    )
    given = parser.parse_args()
    runs = Runs(given.runs, given.models, given.modes, given.seeds)
    write_comparisons(given.out / "significance.csv", compare(read_curves(given.curves)))
    answers = collect_answers(runs.rows("evaluation.jsonl"))
    write_records(given.out / "problem_level.csv", ProblemTest, compare_on_problems(answers))


if __name__ == "__main__":
    run(main)
