"""Statistics of paired differences: effect sizes, t-tests also by strata, bootstrap."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cfdapo.analysis.statistics.estimates import (
    RUN_RESAMPLES,
    percentile_interval,
    student_half_width,
)

# Accuracies are in %: differences closer than this are rounding, not measurement.
SAME = 1e-9
# Every interval is drawn with the same generator, so that the same runs give the same digits.
GENERATOR_SEED = 20
ONE_SEED = "one seed: a t-test needs at least two"


def undefined(differences: Sequence[float] | NDArray[np.float64]) -> str:
    """Why no spread can be had of these differences; empty where it can."""
    if len(differences) < 2:
        return ONE_SEED
    if np.all(np.abs(differences) < SAME):
        return "equal values in every seed"
    if np.ptp(differences) < SAME:
        return "the same difference in every seed: zero variance"
    return ""


def cohens_d(differences: Sequence[float]) -> float:
    """Cohen's d_z: mean over sample standard deviation of paired differences."""
    return float(np.mean(differences) / np.std(differences, ddof=1))


def hedges_factor(freedom: int) -> float:
    """What d_z is multiplied by to be unbiased, exact (Hedges 1981); 0 for one degree.

    Three seeds leave 0.56: d_z is then nearly twice too large on average.
    """
    if freedom < 2:
        return 0.0
    return math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(
        freedom / 2
    )


def mean_of_strata(resampled: Sequence[NDArray]) -> NDArray:
    """Mean of the strata's means; shapes (resamples, n of the stratum) to (resamples,)."""
    return np.mean([values.mean(axis=-1) for values in resampled], axis=0)


def iqm_of_strata(resampled: Sequence[NDArray]) -> NDArray:
    """Interquartile mean over all strata's runs together, as rliable has it.

    A quarter of the values is cut at either end, rounded down: of three runs none.
    """
    return stats.trim_mean(np.concatenate(resampled, axis=-1), 0.25, axis=-1)


def bootstrap_interval(
    strata: Sequence[Sequence[float]],
    statistic: Callable[[Sequence[NDArray]], NDArray] = mean_of_strata,
) -> tuple[float, float]:
    """95 % percentile interval, runs drawn with replacement within each stratum (model).

    Args:
        strata: paired differences by model; pairs stay together, as a seed fixes the data's order.
        statistic: `mean_of_strata` or `iqm_of_strata`.
    """
    generator = np.random.default_rng(GENERATOR_SEED)
    resampled = [
        np.asarray(values)[generator.integers(len(values), size=(RUN_RESAMPLES, len(values)))]
        for values in strata
    ]
    return percentile_interval(statistic(resampled))


def t_interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences, shape (n,), n >= 2, by Student's t."""
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    half = student_half_width(error, len(differences) - 1)
    mean = np.mean(differences)
    return float(mean - half), float(mean + half)


def stratified_t_test(strata: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Two-sided test that the mean of the strata's means is 0: statistic, p, degrees of freedom.

    Strata may differ in variance; Welch and Satterthwaite's degrees of freedom. Of one stratum it
    is the paired t-test.
    """
    parts = [np.var(values, ddof=1) / len(values) for values in strata]
    degrees = [len(values) - 1 for values in strata]
    total = sum(parts)
    freedom = total**2 / sum(part**2 / n for part, n in zip(parts, degrees, strict=True))
    mean = np.mean([np.mean(values) for values in strata])
    statistic = float(mean / (math.sqrt(total) / len(strata)))
    return statistic, float(2 * stats.t.sf(abs(statistic), freedom)), float(freedom)
