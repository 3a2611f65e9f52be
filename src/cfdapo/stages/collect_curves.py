"""Collect the accuracy of every run at every evaluated step into statistics/curves.csv."""

import argparse
from pathlib import Path

from cfdapo.analysis.records.compatibility import other_versions, require_same_evaluations
from cfdapo.analysis.records.curves import collect, write_curves
from cfdapo.stages import run
from cfdapo.stages.flags import add_run_arguments, runs_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=Path, required=True, help="folder of {model}/{mode}/seed{seed}"
    )
    add_run_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="curves.csv")
    given = parser.parse_args()
    runs = runs_of(given, given.runs)
    evaluations, evaluated = runs.evaluations(), runs.evaluated()
    # Refuses runs of different configurations, data or base models.
    descriptions = runs.descriptions()
    require_same_evaluations(evaluated)
    for line in other_versions(descriptions, evaluated):
        print(f"warning: {line}")
    write_curves(given.out, collect(evaluations), {"evaluations": runs.evaluation_sums()})


if __name__ == "__main__":
    run(main)
