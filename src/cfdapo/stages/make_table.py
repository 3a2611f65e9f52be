"""Make one of the study's tables as CSV (numbers), Markdown and LaTeX."""

import argparse
from dataclasses import replace
from pathlib import Path

from cfdapo.analysis.registry import TABLES, find
from cfdapo.analysis.rendering.table import Note, write
from cfdapo.stages import run
from cfdapo.stages.flags import add_results_arguments, results_of

MISSING = (
    "Not all runs of the study are finished. Missing: {runs}. Means are over the seeds that each "
    "mode has; differences and tests pair the seeds that both modes have."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True, help="which table")
    add_results_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table's files")
    given = parser.parse_args()
    results = results_of(given)
    table = find(TABLES, given.table).make(results)
    if results.test_set:
        table = replace(table, title=f"Test set {results.test_set}. {table.title}")
    if missing := results.runs.missing_in_words():
        table = replace(table, notes=[*table.notes, Note(MISSING.format(runs=missing))])
    write(table, given.out)


if __name__ == "__main__":
    run(main)
