"""Draw one of the study's figures as PDF and PNG."""

import argparse
from pathlib import Path

from cfdapo.analysis.registry import FIGURES, find
from cfdapo.analysis.rendering.figures import save
from cfdapo.stages import run
from cfdapo.stages.flags import add_results_arguments, results_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, help="which figure")
    add_results_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figure's files")
    given = parser.parse_args()
    results = results_of(given)
    figure = find(FIGURES, given.figure).make(results)
    if results.test_set:
        figure.suptitle(f"Test set {results.test_set}", fontsize=10)
    save(figure, given.out / given.figure)


if __name__ == "__main__":
    run(main)
