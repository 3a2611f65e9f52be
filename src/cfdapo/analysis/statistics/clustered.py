"""Statistics of values that come in clusters, as the spans of the completions of one problem.

Spans of one problem resemble each other, so that a test which takes them for independent finds
differences too easily. Here the cluster is the unit: its summed influence on a mean or a share
gives the standard error (linearisation, as in surveys), without random numbers; a correlation,
which has no such simple form, is resampled by clusters.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from cfdapo.analysis.statistics.estimates import (
    CORRELATION_RESAMPLES,
    Estimate,
    normal_factor,
    percentile_interval,
    student_half_width,
    student_p,
)

FEW_CLUSTERS = "fewer than two problems"


def mean(values: np.ndarray, clusters: Sequence) -> Estimate:
    """Mean of `values`, shape (n,) with n >= 1, each in a cluster, with its interval.

    By t with one degree of freedom less than there are clusters.
    """
    values = np.asarray(values, dtype=float)
    value = float(np.mean(values))
    codes, _ = pd.factorize(np.asarray(clusters, dtype=object))
    return _by_student(value, np.bincount(codes, weights=(values - value) / len(values)))


def mean_difference(
    first: np.ndarray, second: np.ndarray, clusters_first: Sequence, clusters_second: Sequence
) -> Estimate:
    """Mean of `first` minus mean of `second`, both of shape (n,), each value in a cluster.

    A cluster may have values on both sides. The interval and p come from t with one degree of
    freedom less than there are clusters.
    """
    if len(first) == 0 or len(second) == 0:
        return Estimate(None, reason="one side has no spans")
    value = float(np.mean(first) - np.mean(second))
    influence = _join(
        (np.asarray(first) - np.mean(first)) / len(first),
        (np.mean(second) - np.asarray(second)) / len(second),
        (clusters_first, clusters_second),
    )
    return _by_student(value, influence)


def _by_student(value: float, influence: np.ndarray) -> Estimate:
    """A mean, or a difference of means, with the summed influence of each cluster."""
    error, count = _standard_error(influence), len(influence)
    if count < 2:
        return Estimate(value, reason=FEW_CLUSTERS)
    if error <= 1e-12 * max(1.0, abs(value)):
        return Estimate(value, reason="the values do not vary")
    width = student_half_width(error, count - 1)
    return Estimate(value, value - width, value + width, student_p(value, error, count - 1))


def share_ratio(
    first: np.ndarray,
    second: np.ndarray,
    clusters_first: Sequence,
    clusters_second: Sequence,
    names: tuple[str, str] = ("critical", "low-importance"),
) -> Estimate:
    """Share of true in `first` over its share in `second`, both boolean of shape (n,).

    The interval is Katz's on the logarithm, with the standard error between clusters; where each
    value is a cluster of its own it is Katz's own (but for n / (n - 1) in the variance). Where no
    value or none of one side is true the ratio or its logarithm is undefined, and no constant is
    added to make it defined: that would invent the effect that it reports. `names` say in the
    reasons which spans the two are.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(first) == 0 or len(second) == 0:
        return Estimate(None, reason=f"there are not both {names[0]} and {names[1]} spans")
    shares = first.mean(), second.mean()
    if shares == (0, 0):
        return Estimate(None, reason="in neither kind of span")
    if shares[1] == 0:
        return Estimate(None, reason=f"in no {names[1]} span, so the ratio has no bound")
    value = shares[0] / shares[1]
    if shares[0] == 0:
        return Estimate(0.0, reason=f"in no {names[0]} span, so its logarithm has no bound")
    influence = _join(
        (first - shares[0]) / first.sum(),
        (shares[1] - second) / second.sum(),
        (clusters_first, clusters_second),
    )
    if len(influence) < 2:
        return Estimate(value, reason=FEW_CLUSTERS)
    error = _standard_error(influence)
    if error <= 1e-12:
        return Estimate(value, reason="the shares do not vary between problems")
    factor = normal_factor(error)
    p = 2 * stats.norm.sf(abs(math.log(value)) / error)
    return Estimate(value, value / factor, value * factor, float(p))


def correlation(
    x: np.ndarray, y: np.ndarray, clusters: Sequence, ranked: bool = False, seed: int = 0
) -> Estimate:
    """Pearson's r of x and y, shape (n,), or Spearman's where `ranked`, with a bootstrap interval.

    Resamples whole clusters; ranks are those of the whole sample. `p` is scipy's own, which takes
    the values for independent. Resamples without variance are left out.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(None, reason="needs three spans or more, and values that differ")
    found = stats.spearmanr(x, y) if ranked else stats.pearsonr(x, y)
    if ranked:
        x, y = stats.rankdata(x), stats.rankdata(y)
    value, p = float(found.statistic), float(found.pvalue)
    codes, names = pd.factorize(np.asarray(clusters, dtype=object), sort=True)
    if len(names) < 2:
        return Estimate(value, p=p, reason=FEW_CLUSTERS)
    random = np.random.default_rng(seed)
    counts = random.multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=CORRELATION_RESAMPLES
    )
    drawn = correlations(x, y, codes, counts)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0:
        return Estimate(value, p=p, reason="no resample of problems varies")
    return Estimate(value, *percentile_interval(drawn), p)


def correlations(
    x: np.ndarray, y: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Pearson's r of x and y, (n,), under how often each of C clusters counts, (R, C); (R,).

    `codes` are the rows' clusters, from 0. nan where x or y does not vary then.
    """
    # Standardised, so that sums of squares lose no digits.
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    parts = (np.ones_like(x), x, y, x * x, y * y, x * y)
    count = weights.shape[1]
    sums = np.column_stack([np.bincount(codes, weights=w, minlength=count) for w in parts])
    n, sx, sy, sxx, syy, sxy = (weights @ sums).T
    # A sample may have drawn clusters without rows alone.
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (sxx - sx * sx / n) * (syy - sy * sy / n)
        r = (sxy - sx * sy / n) / np.sqrt(spread)
    return np.where(spread > 1e-12, r, np.nan)


def _join(first: np.ndarray, second: np.ndarray, clusters: tuple[Sequence, Sequence]) -> np.ndarray:
    """Influence summed by cluster; a cluster of both sides is one."""
    names = np.concatenate([np.asarray(side, dtype=object) for side in clusters])
    codes, _ = pd.factorize(names)
    return np.bincount(codes, weights=np.concatenate([first, second]))


def _standard_error(influence: np.ndarray) -> float:
    count = len(influence)
    return math.sqrt(count / (count - 1) * np.sum(influence**2)) if count > 1 else 0.0
