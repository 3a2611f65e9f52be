"""Make one of the study's tables as CSV (numbers), Markdown and LaTeX."""

import argparse
from pathlib import Path

from cfdapo.analysis.registry import TABLES, find
from cfdapo.analysis.rendering.table import write
from cfdapo.stages import run
from cfdapo.stages.flags import add_results_arguments, results_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True, help="which table")
    add_results_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table's files")
    given = parser.parse_args()
    write(find(TABLES, given.table).make(results_of(given)), given.out)


if __name__ == "__main__":
    run(main)
