"""Position, length, correctness and distractors against hand-made spans and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfdapo.analysis.credit.span_statistics import (
    by_third,
    compare_means,
    compare_thirds,
    distractor_ratio,
    distractors,
    length_correlation,
    strongest_distractor,
)
from cfdapo.analysis.statistics.estimates import holm


@pytest.fixture
def spans() -> pd.DataFrame:
    """300 spans of 50 problems; those that are longer and later have lower drops."""
    random = np.random.default_rng(5)
    start = random.integers(0, 100, 300)
    length = random.integers(1, 20, 300)
    return pd.DataFrame(
        {
            "problem": np.repeat([f"p{number}" for number in range(50)], 6),
            "position": start / 100,
            "token_start": start,
            "token_end": start + length,
            "drop": -0.1 * length - start / 50 + random.normal(0, 1, 300),
            "correct": random.random(300) < 0.4,
            "text": [f"span {number}" for number in range(300)],
        }
    )


def test_thirds_hold_every_span_once():
    positions = [0.0, 0.333, 1 / 3, 0.5, 0.667, 0.999, 1.0]
    parts = by_third(pd.DataFrame({"position": positions}))
    assert {name: part["position"].tolist() for name, part in parts.items()} == {
        "early": [0.0, 0.333],
        "middle": [1 / 3, 0.5],
        "late": [0.667, 0.999, 1.0],
    }


def test_thirds_are_compared_pairwise_with_holms_correction(spans):
    parts = by_third(spans)
    found = compare_thirds(spans)
    pairs = [("early", "middle"), ("middle", "late"), ("early", "late")]
    assert list(found) == pairs
    drops = {name: part["drop"] for name, part in parts.items()}
    welch = [stats.ttest_ind(drops[a], drops[b], equal_var=False).pvalue for a, b in pairs]
    ranks = [stats.mannwhitneyu(drops[a], drops[b]).pvalue for a, b in pairs]
    assert [found[pair].welch for pair in pairs] == pytest.approx(holm(welch))
    assert [found[pair].mann_whitney for pair in pairs] == pytest.approx(holm(ranks))
    for a, b in pairs:
        expected = drops[a].mean() - drops[b].mean()
        assert found[a, b].difference.value == pytest.approx(expected)
        assert found[a, b].difference.low < expected < found[a, b].difference.high
    alone = compare_means(parts["early"], parts["late"]).difference.p
    assert found["early", "late"].difference.p >= alone


def test_one_empty_third_leaves_the_other_pair(spans):
    found = compare_thirds(spans[spans["position"] < 0.6])
    assert found["early", "middle"].welch is not None
    assert found["middle", "late"].difference.value is None
    assert found["middle", "late"].difference.reason == "one side has no spans"


def test_equal_drops_have_no_tests():
    same = pd.DataFrame({"drop": [0.0] * 4, "problem": list("abcd")})
    found = compare_means(same[:2], same[2:])
    assert (found.welch, found.mann_whitney, found.difference.p) == (None, None, None)
    assert found.difference.value == 0 and found.difference.reason == "the values do not vary"


def test_single_spans_have_no_welch_test():
    spans = pd.DataFrame({"drop": [-1.0, 0.0], "problem": ["a", "b"]})
    found = compare_means(spans[:1], spans[1:])
    assert found.welch is None and found.difference.value == -1.0


def test_length_is_counted_in_tokens(spans):
    length = spans["token_end"] - spans["token_start"]
    found = length_correlation(spans)
    assert found.value == pytest.approx(stats.pearsonr(length, spans["drop"]).statistic)
    assert found.value < -0.2
    ranked = length_correlation(spans, ranked=True)
    assert ranked.value == pytest.approx(stats.spearmanr(length, spans["drop"]).statistic)
    assert found.low < found.value < found.high


def test_distractors_by_hand():
    spans = pd.DataFrame(
        {
            "drop": [-1.0, 0.0, 0.005, 0.3, -2.0],
            "correct": [True, True, False, False, False],
            "text": list("abcde"),
        }
    )
    # 0, 0.005 and 0.3 are at least 0, 0.3 by more than 0.01; two of the three are in wrong ones.
    found = distractors(spans)
    assert (found["count"], found["clear"]) == (3, 1)
    assert found["share"] == pytest.approx(3 / 5)
    assert found["incorrect"] == pytest.approx(2 / 3)
    assert found["all_incorrect"] == pytest.approx(3 / 5)
    assert strongest_distractor(spans)["text"] == "d"


def test_distractors_are_compared_with_all_spans_of_their_side():
    # Three of four spans of the wrong completion and one of two of the right one: 0.75 / 0.5.
    spans = pd.DataFrame(
        {
            "drop": [1.0, 0, 2, -1, 0.5, -3],
            "correct": [False] * 4 + [True] * 2,
            "problem": list("abcdef"),
        }
    )
    found = distractor_ratio(spans)
    assert found.value == pytest.approx(1.5) and found.low < 1.5 < found.high
    assert "correct completions' spans" in distractor_ratio(spans[:4]).reason


def test_without_distractors_or_spans_shares_are_absent():
    spans = pd.DataFrame({"drop": [-1.0], "correct": [True]})
    assert distractors(spans) == {"count": 0, "clear": 0, "share": 0.0, "all_incorrect": 0.0}
    assert distractors(spans[:0]) == {"count": 0, "clear": 0}
    assert strongest_distractor(spans) is None and strongest_distractor(spans[:0]) is None
