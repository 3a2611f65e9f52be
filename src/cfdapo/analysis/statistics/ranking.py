"""How well scores rank one class above another, with bootstrap intervals that resample clusters.

Every statistic takes `weights`, shape (R, C): how often each of C clusters is in each of R samples,
and is what it would be on the rows repeated so often. It returns shape (R,), nan where undefined.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfdapo.analysis.statistics.estimates import RANKING_RESAMPLES, Estimate, percentile_interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def resample(clusters: int, resamples: int = RANKING_RESAMPLES, seed: int = 0) -> Integers:
    """Weights, shape (1 + resamples, clusters): the data as they are, then bootstrap samples.

    A bootstrap sample draws as many clusters as there are, with replacement. One cluster alone
    cannot vary, so it has no bootstrap samples.
    """
    if clusters < 2:
        return np.ones((1, clusters), dtype=np.int64)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return np.vstack([np.ones((1, clusters), dtype=np.int64), drawn])


def estimate(samples: Floats) -> Estimate:
    """Value and percentile interval from a statistic under `resample`'s weights, shape (R,).

    Samples in which the statistic is undefined (a class is absent) are left out. Without bootstrap
    samples there is no interval.
    """
    value, drawn = samples[0], samples[1:][~np.isnan(samples[1:])]
    if np.isnan(value):
        return Estimate(None, reason="undefined on the data")
    if not len(drawn):
        return Estimate(float(value), reason="no sample to draw an interval from")
    return Estimate(float(value), *percentile_interval(drawn))


def pooled_auroc(scores: Floats, positive: Bools, clusters: Integers, weights: Integers) -> Floats:
    """Chance that a positive row scores above a negative one, over all pairs; a tie is 1/2.

    Args:
        scores: higher should mean positive, shape (n,).
        positive: the class of each row, shape (n,).
        clusters: number of each row's cluster, shape (n,).
    """
    above, below = np.flatnonzero(positive), np.flatnonzero(~positive)
    count = weights.shape[1]
    upper, lower = (np.eye(count)[clusters[rows]] for rows in (above, below))
    # wins[a, b]: won pairs of a positive row of cluster a and a negative row of cluster b.
    wins = upper.T @ _win(scores[above][:, None], scores[below][None, :]) @ lower
    won = np.einsum("rb,rb->r", weights @ wins, weights)
    return _ratio(won, (weights @ upper.sum(axis=0)) * (weights @ lower.sum(axis=0)))


def average_precision(
    scores: Floats, positive: Bools, clusters: Integers, weights: Integers
) -> Floats:
    """Average precision by steps: the sum over thresholds of recall gained times precision there.

    Rows of equal score pass a threshold together, so that their order cannot matter. Arguments as
    `pooled_auroc`.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hit = scores[order], positive[order]
    # The last row of every run of equal scores.
    ends = np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))
    row_weights = weights.astype(np.float32)[:, clusters[order]]
    # Whole numbers far below 2^24 are exact in float32.
    passed = np.cumsum(row_weights, axis=1)[:, ends]
    hits = np.cumsum(row_weights * hit, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0)
    precision = np.divide(hits, passed, out=np.zeros_like(hits), where=passed > 0)
    return _ratio((gained * precision).sum(axis=1, dtype=np.float64), hits[:, -1])


def mean_of(values: Floats, clusters: Integers, weights: Integers) -> Floats:
    """Mean of values that each belong to a cluster; nan among `values` are left out."""
    known = ~np.isnan(values)
    count = weights.shape[1]
    totals = np.bincount(clusters[known], weights=values[known], minlength=count)
    return _ratio(weights @ totals, weights @ np.bincount(clusters[known], minlength=count))


def share_of(parts: Floats, wholes: Floats, clusters: Integers, weights: Integers) -> Floats:
    """Sum of `parts` over that of `wholes`, both at least 0 and each in a cluster."""
    count = weights.shape[1]
    part, whole = (np.bincount(clusters, weights=v, minlength=count) for v in (parts, wholes))
    return _ratio(weights @ part, weights @ whole)


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows within one group, of which `upper` should score above `lower`.

    `upper` and `lower` are numbers of rows and `group` that of their group, all of shape (P,).
    """

    upper: Integers
    lower: Integers
    group: Integers
    groups: int

    def auroc(self, scores: Floats) -> Floats:
        """For each group the share of its pairs won, a tie being 1/2; nan where it has none."""
        won = _win(scores[self.upper], scores[self.lower])
        totals = np.bincount(self.group, weights=won, minlength=self.groups)
        return _ratio(totals, np.bincount(self.group, minlength=self.groups))


def pairs_within(values: Floats, groups: Integers, count: int) -> Pairs:
    """All pairs of rows of one group whose `values` differ, the greater first.

    With 0 and 1 as values these are a class against the other. Rows of nan are left out.

    Args:
        values: shape (n,).
        groups: number of each row's group, from 0 to `count` - 1, shape (n,).
    """
    upper, lower = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        first, second = np.nonzero(values[rows][:, None] > values[rows][None, :])
        upper.append(rows[first])
        lower.append(rows[second])
    above, below = np.concatenate(upper), np.concatenate(lower)
    return Pairs(above, below, groups[above], count)


def _win(upper: Floats, lower: Floats) -> Floats:
    return (upper > lower) + 0.5 * (upper == lower)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    above = np.asarray(numerator, dtype=np.float64)
    undefined = np.full_like(above, np.nan)
    return np.divide(above, denominator, out=undefined, where=denominator > 0)
