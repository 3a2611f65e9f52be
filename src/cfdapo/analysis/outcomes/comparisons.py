"""All comparisons of a study's modes on disk: across seeds, and on problems."""

from collections.abc import Sequence
from pathlib import Path

from cfdapo.analysis.outcomes.problem_level import ProblemTest
from cfdapo.analysis.outcomes.significance import Comparison
from cfdapo.analysis.records.typed_csv import read_rows, write_rows

# Below a study's results.
FOLDER = "statistics"
_SEEDS, _PROBLEMS = "significance.csv", "problem_level.csv"


def write_comparisons(
    folder: Path, comparisons: Sequence[Comparison], on_problems: Sequence[ProblemTest]
) -> None:
    """Write both kinds of comparisons into `folder`, with every digit."""
    write_rows(folder / _SEEDS, Comparison, comparisons)
    write_rows(folder / _PROBLEMS, ProblemTest, on_problems)


def read_comparisons(results: Path) -> tuple[list[Comparison], list[ProblemTest]]:
    """What `write_comparisons` wrote into the statistics of a study's results.

    Raises:
        UserError: a file is absent, or a line is not a comparison.
    """
    folder = results / FOLDER
    return read_rows(folder / _SEEDS, Comparison), read_rows(folder / _PROBLEMS, ProblemTest)
