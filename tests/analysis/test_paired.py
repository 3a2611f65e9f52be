import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cfdapo.analysis.statistics.estimates import holm
from cfdapo.analysis.statistics.paired import (
    bootstrap_interval,
    cohens_d,
    hedges_factor,
    iqm_of_strata,
    stratified_t_test,
    t_interval,
    undefined,
)


def test_holm_by_hand():
    # Ascending: 0.005 * 4 = 0.02, 0.01 * 3 = 0.03, 0.03 * 2 = 0.06, 0.04 * 1 = 0.04 -> 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_effect_size_by_hand():
    # Differences 1, 2, 3: mean 2, sample standard deviation 1.
    assert cohens_d([1, 2, 3]) == pytest.approx(2.0)
    # Two degrees of freedom: gamma(1) / (1 * gamma(1/2)) = 1 / sqrt(pi).
    assert hedges_factor(2) == pytest.approx(1 / math.sqrt(math.pi))
    # Hedges' own approximation holds for many.
    assert hedges_factor(50) == pytest.approx(1 - 3 / (4 * 50 - 1), abs=1e-4)
    assert hedges_factor(1) == 0.0


def test_t_interval_is_that_of_the_paired_t_test():
    found = t_interval([1.0, 2.0, 4.5, -0.5])
    expected = stats.ttest_1samp([1.0, 2.0, 4.5, -0.5], 0).confidence_interval()
    assert found == pytest.approx((expected.low, expected.high))


def test_hedges_factor_makes_the_effect_size_unbiased():
    generator = np.random.default_rng(1)
    samples = generator.normal(1.0, 1.0, size=(40_000, 5))
    effects = samples.mean(axis=1) / samples.std(axis=1, ddof=1)
    assert effects.mean() > 1.2
    assert hedges_factor(4) * effects.mean() == pytest.approx(1.0, abs=0.02)


def test_the_interval_of_three_runs_is_that_of_all_27_draws():
    values = [-5.0, -2.0, 1.0]
    means = [np.mean(draw) for draw in itertools.product(values, repeat=3)]
    # 1 of 27 draws is all -5: more than 2.5 %, so the interval ends there.
    assert bootstrap_interval([values]) == (min(means), max(means))


def test_the_interval_agrees_with_scipys():
    values = np.random.default_rng(2).normal(1, 2, 20)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert bootstrap_interval([values]) == pytest.approx(tuple(expected), abs=0.06)
    assert bootstrap_interval([values]) == bootstrap_interval([values])


def test_runs_are_drawn_within_their_models():
    # Each model's runs are equal: whatever is drawn, the mean of the models' means is 5.
    assert bootstrap_interval([[0.0, 0.0], [10.0, 10.0, 10.0]]) == (5.0, 5.0)


def test_the_interquartile_mean_by_hand():
    # Of eight values two are cut at either end: (3 + 4 + 5 + 60) / 4; of three none.
    strata = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 60.0, 70.0, 800.0])]
    assert iqm_of_strata(strata) == pytest.approx(18.0)
    assert iqm_of_strata([np.array([1.0, 2.0, 9.0])]) == pytest.approx(4.0)


def test_one_stratum_is_the_paired_t_test_and_two_are_welchs():
    first, second = [1.0, 2.0, 4.0], [0.5, -3.0, 2.0, 8.0]
    alone = stats.ttest_1samp(first, 0)
    assert stratified_t_test([first]) == pytest.approx((alone.statistic, alone.pvalue, 2))
    # The mean of two means is half the difference of one and the other with its sign changed.
    welch = stats.ttest_ind(first, np.negative(second), equal_var=False)
    assert stratified_t_test([first, second]) == pytest.approx(
        (welch.statistic, welch.pvalue, welch.df)
    )


@pytest.mark.parametrize(
    ("differences", "reason"),
    [([1.0], "one seed"), ([0.0, 0.0], "equal values"), ([2.0, 2.0], "zero variance")],
)
def test_what_has_no_spread_says_why(differences, reason):
    assert reason in undefined(differences)
    assert undefined([1.0, 2.0]) == ""
