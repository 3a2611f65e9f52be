"""What all estimates share: their form, the level of intervals, Holm's correction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# Of every interval.
LEVEL = 0.95
# A p-value below it is starred.
SIGNIFICANT = 0.05
# Samples of every bootstrap, by what is drawn; each is as many as its statistic's cost allows. The
# digits of a table depend on them.
RUN_RESAMPLES = 10_000
CORRELATION_RESAMPLES = 2_000
RANKING_RESAMPLES = 1_000


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval and two-sided p; None where undefined, which `reason` says."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""


def percentile_interval(drawn: NDArray) -> tuple[float, float]:
    """The interval that holds `LEVEL` of a statistic's bootstrap samples, shape (n,)."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def student_half_width(error: float, freedom: int) -> float:
    """Half of the interval of a mean whose standard error has these degrees of freedom."""
    return stats.t.ppf((1 + LEVEL) / 2, freedom) * error


def student_p(value: float, error: float, freedom: float) -> float:
    """Two-sided p of a value against 0, by Student's t."""
    return float(2 * stats.t.sf(abs(value) / error, freedom))


def normal_factor(error: float) -> float:
    """What a ratio is multiplied and divided by for its interval, `error` that of its logarithm."""
    return math.exp(stats.norm.ppf((1 + LEVEL) / 2) * error)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values of one family; what is None stays so and is no test.

    Raises ValueError for nan, which would count as a test and take the others' order along.
    """
    if any(p is not None and math.isnan(p) for p in values):
        raise ValueError("a p-value is nan; what is undefined is None")
    order = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[index] = highest
    return adjusted
