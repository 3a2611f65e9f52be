import math

import numpy as np
import pytest
from scipy import stats

from cfdapo.analysis.statistics.power import (
    ProblemShare,
    detectable_effect,
    deviation_interval,
    implied_deviation,
    pairs_needed,
    pooled_deviation,
    power_of,
)


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_pairs_as_tables_of_power_have_them(effect, pairs):
    # Small, medium and large effects: the paired t-test's textbook sizes at 80 % power.
    assert pairs_needed(effect) == pairs
    assert power_of(effect, pairs) >= 0.8 > power_of(effect, pairs - 1)


@pytest.mark.parametrize("pairs", [2, 3, 5, 10])
def test_the_detectable_effect_is_detected_in_80_percent(pairs):
    effect = detectable_effect(pairs)
    samples = np.random.default_rng(7).normal(effect, 1, size=(20_000, pairs))
    p = stats.ttest_1samp(samples, 0, axis=1).pvalue
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.01)


def test_without_an_effect_the_power_is_the_level():
    assert power_of(0.0, 3) == pytest.approx(0.05)
    assert pairs_needed(1e-6) is None


def test_the_power_of_two_pairs_and_a_vast_effect_is_no_nan():
    assert power_of(1000.0, 2) == pytest.approx(1.0)
    assert pairs_needed(50.0) == 2


def test_the_interval_of_a_deviation_covers_it():
    generator = np.random.default_rng(8)
    deviations = generator.normal(0, 2, size=(4000, 3)).std(axis=1, ddof=1)
    inside = [low <= 2 <= high for low, high in (deviation_interval(d, 2) for d in deviations)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_deviations_are_pooled_by_their_degrees_of_freedom():
    # Squares about the means: 2 with 2 degrees, 8 with 1.
    deviation, freedom = pooled_deviation([[1.0, 2.0, 3.0], [0.0, 4.0]])
    assert (deviation, freedom) == (pytest.approx(math.sqrt(10 / 3)), 3)


def test_a_printed_test_gives_its_deviation_back():
    differences = [0.3, 1.1, 1.9]
    p = stats.ttest_1samp(differences, 0).pvalue
    implied = implied_deviation(np.mean(differences), p, 3)
    assert implied == pytest.approx(np.std(differences, ddof=1))


def test_what_problems_add_by_hand():
    # Roots of 900 / 400 and of 100 / 400; (1.960 + 0.842) * 0.5 points.
    part = ProblemShare.of(400, problem_variance=100.0, residual_variance=900.0)
    assert (part.within_seed, part.between_problems) == (1.5, 0.5)
    assert part.limit == pytest.approx(1.4008, abs=1e-4)
