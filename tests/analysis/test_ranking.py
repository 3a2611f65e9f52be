import numpy as np
import pytest
from scipy import stats

from cfdapo.analysis.statistics.ranking import (
    average_precision,
    estimate,
    mean_of,
    pairs_within,
    pooled_auroc,
    resample,
)


@pytest.fixture
def ranked():
    """Scores with many ties, classes and clusters of 60 rows, and weights of 5 clusters."""
    dice = np.random.default_rng(3)
    scores = dice.integers(0, 6, 60).astype(float)
    positive = dice.random(60) < 0.4
    clusters = dice.integers(0, 5, 60)
    return scores, positive, clusters, resample(5, 20, seed=1)


def repeated(weights, clusters, *columns):
    """The rows as a bootstrap sample has them, the slow way."""
    rows = np.repeat(np.arange(len(clusters)), weights[clusters])
    return [column[rows] for column in columns]


def mann_whitney(scores, positive):
    above, below = scores[positive], scores[~positive]
    return stats.mannwhitneyu(above, below).statistic / (len(above) * len(below))


def precision_by_thresholds(scores, positive):
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        passed = scores >= threshold
        recall = positive[passed].sum() / positive.sum()
        total += (recall - recall_before) * positive[passed].mean()
        recall_before = recall
    return total


def test_auroc_is_the_mann_whitney_statistic_in_every_sample(ranked):
    scores, positive, clusters, weights = ranked
    found = pooled_auroc(scores, positive, clusters, weights)
    for value, sample in zip(found, weights, strict=True):
        s, p = repeated(sample, clusters, scores, positive)
        assert value == pytest.approx(mann_whitney(s, p))


def test_auroc_by_hand():
    # Causal 3 and 1 against 2 and 1: 3 wins twice, 1 loses once and ties once: 2.5 of 4.
    scores, positive = np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False])
    found = pooled_auroc(scores, positive, np.zeros(4, dtype=int), np.ones((1, 1), dtype=int))
    assert found.tolist() == [0.625]


def test_average_precision_by_hand():
    # At 3: recall 1/2 with precision 1. At 2, two rows at once: the other 1/2 with precision 2/3.
    scores, positive = np.array([2.0, 3.0, 1.0, 2.0]), np.array([True, True, False, False])
    found = average_precision(scores, positive, np.zeros(4, dtype=int), np.ones((1, 1), dtype=int))
    assert found == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])


def test_average_precision_in_every_sample(ranked):
    scores, positive, clusters, weights = ranked
    found = average_precision(scores, positive, clusters, weights)
    for value, sample in zip(found, weights, strict=True):
        s, p = repeated(sample, clusters, scores, positive)
        assert value == pytest.approx(precision_by_thresholds(s, p), abs=1e-6)


def test_equal_scores_have_the_share_of_positives_as_precision(ranked):
    _, positive, clusters, weights = ranked
    found = average_precision(np.ones(60), positive, clusters, weights[:1])
    assert found == pytest.approx([positive.mean()])


def test_one_class_alone_is_undefined(ranked):
    scores, positive, clusters, weights = ranked
    for of_one_class in (np.ones_like(positive), np.zeros_like(positive)):
        assert np.isnan(pooled_auroc(scores, of_one_class, clusters, weights)).all()
    none = np.zeros_like(positive)
    assert np.isnan(average_precision(scores, none, clusters, weights)).all()


def test_pairs_within_groups_are_their_own_mann_whitney(ranked):
    scores, positive, groups, _ = ranked
    found = pairs_within(positive.astype(float), groups, 6).auroc(scores)
    for group in range(5):
        inside = groups == group
        assert found[group] == pytest.approx(mann_whitney(scores[inside], positive[inside]))
    # No row is of group 5.
    assert np.isnan(found[5])


def test_pairs_of_many_values_are_somers_d():
    dice = np.random.default_rng(0)
    later, scores = dice.integers(0, 4, 30).astype(float), dice.integers(0, 5, 30).astype(float)
    found = pairs_within(later, np.zeros(30, dtype=int), 1).auroc(scores)
    assert 2 * found[0] - 1 == pytest.approx(stats.somersd(later, scores).statistic)


def test_without_ties_they_are_kendalls_tau():
    dice = np.random.default_rng(0)
    later, scores = dice.permutation(12).astype(float), dice.random(12)
    found = pairs_within(later, np.zeros(12, dtype=int), 1).auroc(scores)
    assert 2 * found[0] - 1 == pytest.approx(stats.kendalltau(later, scores).statistic)


def test_a_mean_leaves_out_what_is_undefined():
    values, clusters = np.array([1.0, np.nan, 4.0, 7.0]), np.array([0, 0, 1, 2])
    # 1 twice, 4 once, 7 not at all; then only the undefined is left of cluster 0's absence.
    weights = np.array([[1, 1, 1], [2, 1, 0], [0, 0, 3]])
    assert mean_of(values, clusters, weights) == pytest.approx([4.0, 2.0, 7.0])
    assert np.isnan(mean_of(values, clusters, np.array([[0, 0, 0]]))).all()


def test_samples_are_the_data_and_then_draws_of_as_many_clusters():
    weights = resample(7, 50, seed=2)
    assert weights.shape == (51, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 7).all()
    assert (weights == resample(7, 50, seed=2)).all()
    assert not (weights == resample(7, 50, seed=3)).all()


def test_an_interval_is_that_of_resampling_the_rows():
    values = np.random.default_rng(1).exponential(size=40)
    weights = resample(40, 500)
    found = estimate(mean_of(values, np.arange(40), weights))
    slow = [np.repeat(values, row).mean() for row in weights[1:]]
    assert found.value == pytest.approx(values.mean())
    assert [found.low, found.high] == pytest.approx(np.percentile(slow, [2.5, 97.5]).tolist())
    # As wide as theory has it, within a tenth or so.
    assert found.high - found.low == pytest.approx(2 * 1.96 * stats.sem(values), rel=0.15)


def test_one_cluster_has_no_interval():
    found = estimate(mean_of(np.array([1.0, 2.0]), np.zeros(2, dtype=int), resample(1)))
    assert found.value == 1.5
    assert (found.low, found.high) == (None, None) and found.reason


def test_undefined_samples_are_left_out_of_an_interval():
    found = estimate(np.array([0.5, np.nan, 0.4, 0.6, np.nan]))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.405, 0.595))
