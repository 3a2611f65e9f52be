"""Clustered statistics against hand-computed cases, scipy and a plain bootstrap."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats.contingency import relative_risk

from cfdapo.analysis.statistics.clustered import correlation, mean, mean_difference, share_ratio
from cfdapo.analysis.statistics.estimates import holm


def test_a_difference_by_hand():
    # first 1, 3 (mean 2), second 0, 2 (mean 1). Clusters a: 1 and 0; b: 3 and 2.
    # Influence a: (1 - 2)/2 - (0 - 1)/2 = 0; b: 0 as well: the difference is 1 in each cluster.
    found = mean_difference(np.array([1, 3]), np.array([0, 2]), ["a", "b"], ["a", "b"])
    assert (found.value, found.p, found.reason) == (1.0, None, "the values do not vary")
    # With clusters of their own: influences -1/2, 1/2, 1/2, -1/2; sum of squares 1;
    # error = sqrt(4/3 * 1) = 1.1547; t = 0.8660 with 3 degrees of freedom.
    found = mean_difference(np.array([1, 3]), np.array([0, 2]), ["a", "b"], ["c", "d"])
    assert found.p == pytest.approx(2 * stats.t.sf(1 / math.sqrt(4 / 3), 3))
    assert found.high - found.value == pytest.approx(3.182446 * math.sqrt(4 / 3), rel=1e-5)


def test_a_mean_by_hand():
    # Clusters a: 1 and 3, b: 5, c: 3; the mean is 3, the summed influences -2/4, 2/4 and 0.
    found = mean(np.array([1, 3, 5, 3]), ["a", "a", "b", "c"])
    error = math.sqrt(3 / 2 * (0.25 + 0.25))
    assert found.value == 3.0
    assert found.high - found.value == pytest.approx(4.302653 * error, rel=1e-6)
    # Each in a cluster of its own it is Student's interval of the mean.
    values = np.array([1.0, 3, 5, 3])
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    alone = mean(values, range(4))
    assert (alone.low, alone.high) == pytest.approx((low, high))
    assert mean(values, ["a"] * 4).low is None


def test_without_clusters_a_difference_is_near_to_welch():
    random = np.random.default_rng(1)
    first, second = random.normal(0.1, 1, 400), random.normal(0, 2, 600)
    found = mean_difference(first, second, range(400), range(400, 1000))
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue, rel=0.01)
    interval = welch.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.005)


def test_values_that_repeat_in_a_cluster_count_once():
    random = np.random.default_rng(2)
    first, second = random.normal(0.5, 1, 30), random.normal(0, 1, 30)
    once = mean_difference(first, second, range(30), range(30, 60))
    names = np.repeat(range(30), 10), np.repeat(range(30, 60), 10)
    tenfold = mean_difference(np.repeat(first, 10), np.repeat(second, 10), *names)
    assert tenfold.p == pytest.approx(once.p)
    naive = stats.ttest_ind(np.repeat(first, 10), np.repeat(second, 10), equal_var=False)
    assert naive.pvalue < once.p / 10


def test_the_standard_error_is_that_of_a_bootstrap_by_clusters():
    random = np.random.default_rng(3)
    effects = np.repeat(random.normal(0, 1, 40), 5)
    values, side = (
        effects + random.normal(0, 1, 200),
        np.tile([True, True, False, False, False], 40),
    )
    names = np.repeat(range(40), 5)
    found = mean_difference(values[side], values[~side], names[side], names[~side])
    drawn = []
    for _ in range(2000):
        rows = (random.integers(0, 40, 40)[:, None] * 5 + np.arange(5)).ravel()
        v, s = values[rows], side[rows]
        drawn.append(v[s].mean() - v[~s].mean())
    error = (found.high - found.low) / 2 / stats.t.ppf(0.975, 39)
    assert error == pytest.approx(np.std(drawn), rel=0.07)


def test_a_ratio_of_shares_is_katz_where_each_value_is_a_cluster():
    first, second = np.repeat([1, 0], [30, 20]), np.repeat([1, 0], [10, 40])
    found = share_ratio(first, second, range(50), range(50, 100))
    katz = relative_risk(30, 50, 10, 50)
    assert found.value == pytest.approx(3.0) == katz.relative_risk
    # By hand: the logarithm's variance is 1/30 - 1/50 + 1/10 - 1/50 = 0.09333, times 100/99.
    width = 1.959964 * math.sqrt(0.0933333 * 100 / 99)
    assert math.log(found.high / 3) == pytest.approx(width, rel=1e-5)
    interval = katz.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=0.01)


def test_clusters_widen_a_ratio():
    first, second = np.repeat([1, 0], [30, 20]), np.repeat([1, 0], [10, 40])
    alone = share_ratio(first, second, range(50), range(50, 100))
    together = share_ratio(first, second, np.arange(50) // 10, 5 + np.arange(50) // 10)
    assert together.value == alone.value and together.high > alone.high


@pytest.mark.parametrize(
    ("first", "second", "value", "reason"),
    [
        ([0, 0], [0, 0], None, "in neither kind"),
        ([1, 0], [0, 0], None, "in no low-importance span"),
        ([0, 0], [1, 0], 0.0, "no critical span"),
        ([], [1, 0], None, "not both critical and low-importance spans"),
        ([1, 1], [1, 1], 1.0, "do not vary"),
    ],
)
def test_an_undefined_ratio_says_why(first, second, value, reason):
    found = share_ratio(np.array(first), np.array(second), range(len(first)), range(5, 7))
    assert found.value == value and found.low is None and reason in found.reason


def test_one_cluster_has_a_value_and_no_interval():
    difference = mean_difference(np.array([1.0, 2]), np.array([0.0]), ["a", "a"], ["a"])
    ratio = share_ratio(np.array([1, 1]), np.array([1, 0]), ["a", "a"], ["a", "a"])
    r = correlation(np.array([1, 2, 3]), np.array([1, 2, 4]), ["a"] * 3)
    for found in (difference, ratio, r):
        assert found.value and found.low is None and found.reason == "fewer than two problems"


@pytest.mark.parametrize("ranked", [False, True])
def test_a_correlation_is_scipys_with_an_interval_around_it(ranked):
    random = np.random.default_rng(4)
    x = random.normal(size=300)
    y = 0.5 * x + random.normal(size=300)
    found = correlation(x, np.exp(y) if ranked else y, range(300), ranked)
    expected = stats.spearmanr(x, y) if ranked else stats.pearsonr(x, y)
    assert (found.value, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    # Fisher's interval, which holds for normal values without clusters.
    width = 1.96 / math.sqrt(297)
    low, high = np.tanh(np.arctanh(found.value) + np.array([-width, width]))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.035)
    assert correlation(x, y, range(300)) == correlation(x, y, range(300))


def test_a_correlation_of_equal_values_is_undefined():
    assert correlation(np.ones(5), np.arange(5), range(5)).value is None
    assert correlation(np.arange(2), np.arange(2), range(2)).value is None


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.04: times 3, 2, 1 is 0.03, 0.04, 0.04; the None does not count.
    assert holm([0.04, None, 0.01, 0.02]) == pytest.approx([0.04, None, 0.03, 0.04])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.01, 0.5]) == [0.02, 0.5]
    with pytest.raises(ValueError, match="is nan; what is undefined is None"):
        holm([0.01, math.nan])
