"""Power of a paired comparison: what few seeds can detect, and how many a difference needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

ALPHA, POWER = 0.05, 0.8
# More seeds than these are given as "more than" them.
MOST_SEEDS = 10**6


def power_of(effect: float, pairs: int, alpha: float = ALPHA) -> float:
    """Power of the two-sided paired t-test, exact by the noncentral t-distribution.

    Args:
        effect: mean over standard deviation of the differences (d_z).
        pairs: number of pairs, at least 2.
    """
    freedom, shift = pairs - 1, abs(effect) * math.sqrt(pairs)
    limit = stats.t.isf(alpha / 2, freedom)
    upper, lower = stats.nct.sf(limit, freedom, shift), stats.nct.cdf(-limit, freedom, shift)
    # The far tail underflows to nan in some versions; it is then below any digit.
    return float(np.nan_to_num(upper, nan=1.0) + np.nan_to_num(lower, nan=0.0))


def detectable_effect(pairs: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest d_z that `pairs` pairs detect with this power."""
    high = 1.0
    while power_of(high, pairs, alpha) < power:
        high *= 2
    return float(optimize.brentq(lambda d: power_of(d, pairs, alpha) - power, 0.0, high))


def pairs_needed(effect: float, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """The fewest pairs, from 2, that detect d_z with this power; None beyond `MOST_SEEDS`."""
    low, high = 1, 2
    while power_of(effect, high, alpha) < power:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(effect, middle, alpha) >= power else (middle, high)
    return high


def deviation_interval(
    deviation: float, freedom: float, level: float = 0.95
) -> tuple[float, float]:
    """Interval of a standard deviation that was measured with these degrees of freedom.

    Exact for normal differences, by the chi-square distribution.
    """
    tail = (1 - level) / 2
    low, high = stats.chi2.ppf(1 - tail, freedom), stats.chi2.ppf(tail, freedom)
    return deviation * math.sqrt(freedom / low), deviation * math.sqrt(freedom / high)


def pooled_deviation(strata: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation within strata, pooled, and its degrees of freedom."""
    freedom = sum(len(values) - 1 for values in strata)
    squares = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in strata)
    return math.sqrt(squares / freedom), freedom


def implied_deviation(difference: float, p: float, pairs: int) -> float:
    """The standard deviation of differences behind a paired t-test's printed difference and p."""
    statistic = float(stats.t.isf(p / 2, pairs - 1))
    return abs(difference) * math.sqrt(pairs) / statistic


@dataclass(frozen=True)
class ProblemShare:
    """What the test problems add to a difference between two modes, in percentage points.

    `within_seed` is the standard deviation, from pair to pair of runs, that comes from having only
    these problems (the residual variance over their number); more problems shrink it.
    `between_problems` is the standard error from which problems they are, which is the same in
    every seed, so that no number of seeds removes it.
    """

    problems: int
    within_seed: float
    between_problems: float

    @classmethod
    def of(cls, problems: int, problem_variance: float, residual_variance: float) -> "ProblemShare":
        """From the variances of `cfdapo.analysis.outcomes.problem_level.ProblemTest`."""
        return cls(
            problems,
            math.sqrt(residual_variance / problems),
            math.sqrt(problem_variance / problems),
        )

    @property
    def limit(self) -> float:
        """The difference that endlessly many seeds detect on these problems with 80 % power."""
        quantiles = stats.norm.isf(ALPHA / 2) + stats.norm.ppf(POWER)
        return float(quantiles) * self.between_problems
