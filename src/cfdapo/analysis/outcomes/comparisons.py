"""All comparisons of a study's modes on disk: across seeds, and on problems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfdapo.analysis.outcomes.problem_level import ProblemTest
from cfdapo.analysis.outcomes.significance import Comparison
from cfdapo.analysis.records.typed_csv import Row, read_rows, write_rows
from cfdapo.integrity import require_made_from

# Below a study's results.
FOLDER = "statistics"
_SEEDS, _PROBLEMS = "significance.csv", "problem_level.csv"


def write_comparisons(
    folder: Path,
    comparisons: Sequence[Comparison],
    on_problems: Sequence[ProblemTest],
    made_from: dict[str, Any] | None = None,
) -> None:
    """Write both kinds of comparisons into `folder`, with every digit.

    The checksums beside them keep what they were `made_from`.
    """
    write_rows(folder / _SEEDS, Comparison, comparisons, made_from)
    write_rows(folder / _PROBLEMS, ProblemTest, on_problems, made_from)


def read_comparisons(
    results: Path, evaluations: Mapping[str, str] | None = None
) -> tuple[list[Comparison], list[ProblemTest]]:
    """What `write_comparisons` wrote into the statistics of a study's results.

    `evaluations` are the sha256 of those evaluations that are here, by the run's name.

    Raises:
        UserError: a file is absent, damaged or made from other evaluations, or a line is not a
            comparison.
    """
    folder = results / FOLDER
    return (
        _read(folder / _SEEDS, Comparison, evaluations or {}),
        _read(folder / _PROBLEMS, ProblemTest, evaluations or {}),
    )


def _read(path: Path, kind: type[Row], evaluations: Mapping[str, str]) -> list[Row]:
    require_made_from(path, "evaluations", evaluations)
    return read_rows(path, kind)
