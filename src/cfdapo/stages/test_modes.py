"""Test the modes of a study against each other, across seeds and on problems (Tables 3, 3b, 12)."""

import argparse
from pathlib import Path

from cfdapo.analysis.curves import read_curves
from cfdapo.analysis.problem_level import ProblemTest, collect_answers, compare_on_problems
from cfdapo.analysis.records import write_records
from cfdapo.analysis.significance import compare, write_comparisons
from cfdapo.integrity import require_made_from
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
    made_from = {"evaluations": runs.evaluation_sums()}
    require_made_from(given.curves, "evaluations", made_from["evaluations"])
    across_seeds = compare(read_curves(given.curves))
    write_comparisons(given.out / "significance.csv", across_seeds, made_from)
    on_problems = compare_on_problems(collect_answers(runs.evaluations()))
    write_records(given.out / "problem_level.csv", ProblemTest, on_problems, made_from)


if __name__ == "__main__":
    run(main)
