"""The distribution of drops against hand-computed cases and scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfdapo.analysis.credit.drop_distribution import (
    PAPER_CLASSES,
    count_classes,
    importance_held,
    moments,
    split_quarters,
)
from cfdapo.analysis.paper.numbers import paper_rows


def test_moments_by_hand():
    # Deviations of -9, -1, -1, -1 from -3 are -6, 2, 2, 2: second moment (36 + 12)/4 = 12,
    # third (-216 + 24)/4 = -48, fourth (1296 + 48)/4 = 336.
    found = moments(np.array([-9.0, -1.0, -1.0, -1.0]))
    assert (found["mean"], found["median"]) == (-3.0, -1.0)
    assert (found["minimum"], found["maximum"]) == (-9.0, -1.0)
    assert found["skewness"] == pytest.approx(-48 / 12**1.5)
    assert found["kurtosis"] == pytest.approx(336 / 144)
    assert found["excess kurtosis"] == pytest.approx(336 / 144 - 3)


def test_moments_are_scipys():
    drops = -np.random.default_rng(1).gamma(0.5, 3, 500)
    found = moments(drops)
    assert found["skewness"] == pytest.approx(stats.skew(drops))
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(drops, fisher=False))


def test_what_moments_cannot_be_is_nan_or_absent():
    found = moments(np.zeros(3))
    assert math.isnan(found["skewness"]) and math.isnan(found["kurtosis"]) and found["mean"] == 0
    assert moments(np.array([])) == {}


def test_classes_are_the_papers_and_a_boundary_is_in_the_upper_one():
    assert list(PAPER_CLASSES) == paper_rows("table4_drop_distribution")
    drops = [-800, -500.1, -500, -200, -199, -50, -0.001, 0, 633]
    expected = {"Critical": 2, "Important": 1, "Moderate": 2, "Low": 2, "Distractor": 2}
    assert count_classes(np.array(drops)) == expected
    assert set(count_classes(np.array([])).values()) == {0}


def test_importance_held_by_hand():
    # Importance 6, 3, 1, 0, 0 of 10 in all; the drop above 0 holds none and takes none away.
    drops = np.array([0.0, -3, -6, 5, -1])
    assert importance_held(drops, 0.2) == pytest.approx(0.6)
    assert importance_held(drops, 0.25) == pytest.approx(0.9)  # two of five
    assert importance_held(drops, 0.6) == pytest.approx(1.0)
    # Evenly spread importance: the top tenth of 30 equal spans holds a tenth.
    assert importance_held(np.full(30, -2.0), 0.1) == pytest.approx(0.1)
    assert math.isnan(importance_held(np.array([0.0, 1.0]), 0.5))


def test_quarters_leave_distractors_out():
    drops = [0.5, -1, -8, -2, -7, 0, -3, -6, -4, -5]  # eight are below 0: two in each quarter
    critical, low = split_quarters(pd.DataFrame({"drop": drops}))
    assert critical["drop"].tolist() == [-8, -7]
    assert low["drop"].tolist() == [-2, -1]


def test_quarters_of_too_few_spans_are_empty():
    for drops in ([-1.0, -2.0, -3.0], [1.0] * 9, []):
        critical, low = split_quarters(pd.DataFrame({"drop": pd.Series(drops, dtype=float)}))
        assert critical.empty and low.empty
