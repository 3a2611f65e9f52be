"""What each divergence of a study is like: h, h' and D over probabilities."""

from dataclasses import dataclass
from pathlib import Path

from cfdapo.analysis.records.typed_csv import read_rows

# The reference's probabilities q that D(p, q) is tabulated for, by the column's name.
REFERENCES = {"from_low": 0.1, "from_middle": 0.5, "from_high": 0.9}
# The policy's probabilities p.
GRID = tuple(round(number / 100, 2) for number in range(1, 100))


@dataclass(frozen=True)
class DivergencePoint:
    """One divergence at one probability p; D(p, q) is without its coefficient.

    `h` is 0 at 1. Both `h` and its `slope` are None where D is no Bregman divergence of
    probabilities (l2_log, which is one of their logarithms).
    """

    model: str
    mode: str
    name: str
    estimator: str
    coefficient: float
    p: float
    h: float | None
    slope: float | None
    from_low: float
    from_middle: float
    from_high: float


def read_divergences(path: Path) -> list[DivergencePoint]:
    """Rows of `statistics/divergences.csv`, which `cfdapo.stages.tabulate_divergences` left.

    Raises `UserError` as `read_rows`.
    """
    return read_rows(path, DivergencePoint)
