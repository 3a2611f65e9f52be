"""Test the modes of a study against each other, across seeds and on problems (Tables 3, 3b, 12)."""

import argparse
from pathlib import Path

from cfdapo.analysis.outcomes.comparisons import write_comparisons
from cfdapo.analysis.outcomes.problem_level import collect_answers, compare_on_problems
from cfdapo.analysis.outcomes.significance import compare
from cfdapo.analysis.records.curves import read_curves
from cfdapo.integrity import require_made_from
from cfdapo.stages import run
from cfdapo.stages.flags import add_run_arguments, runs_of


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
    runs = runs_of(given, given.runs)
    made_from = {"evaluations": runs.evaluation_sums()}
    require_made_from(given.curves, "evaluations", made_from["evaluations"])
    across_seeds = compare(read_curves(given.curves))
    on_problems = compare_on_problems(collect_answers(runs.evaluations()))
    write_comparisons(given.out, across_seeds, on_problems, made_from)


if __name__ == "__main__":
    run(main)
