import pandas as pd
import pytest
from scipy import stats

from cfdapo.analysis.outcomes.ordering import find_orderings
from cfdapo.analysis.statistics.estimates import holm
from cfdapo.vocabulary import PAPER_MODES

RAW = {"raw": {mode: mode for mode in PAPER_MODES}}


def curves_of(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        ("m", mode, seed, 50, accuracy, 80)
        for mode, by_seed in values.items()
        for seed, accuracy in enumerate(by_seed)
    ]
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "step", "accuracy", "problems"])


def test_an_ordering_that_every_seed_has_holds_always():
    curves = curves_of(
        {
            "inverted": [1, 2, 0],
            "random": [5, 5, 6],
            "vanilla": [5, 6, 6],
            "counterfactual": [9, 8, 7],
        }
    )
    (ordering,) = find_orderings(curves, RAW)
    assert (ordering.holds, ordering.as_measured, ordering.seeds) == (1.0, True, 3)
    assert list(ordering.means) == list(PAPER_MODES)
    assert len(ordering.pairs) == 6
    assert all(pair.difference >= 0 for pair in ordering.pairs)
    assert {pair.holds for pair in ordering.pairs} == {1.0}


def test_vanilla_may_equal_random_but_counterfactual_must_be_above():
    (ordering,) = find_orderings(
        curves_of(
            {"counterfactual": [3, 3], "vanilla": [2, 2], "random": [2, 2], "inverted": [1, 1]}
        ),
        RAW,
    )
    assert ordering.holds == 1.0
    (ordering,) = find_orderings(
        curves_of(
            {"counterfactual": [2, 2], "vanilla": [2, 2], "random": [2, 2], "inverted": [1, 1]}
        ),
        RAW,
    )
    assert (ordering.holds, ordering.as_measured) == (0.0, False)
    pair = ordering.pairs[0]
    assert (pair.p, pair.p_holm, pair.holds) == (None, None, 0.0)
    assert "equal values" in pair.reason


def test_pairs_are_tested_as_scipy_does_and_corrected_together(curves):
    ordering = find_orderings(curves, RAW)[0]
    last = curves[(curves["model"] == "qwen3") & (curves["step"] == 100)]
    wide = last.pivot(index="seed", columns="mode", values="accuracy")
    expected = [stats.ttest_rel(wide[p.first], wide[p.second]).pvalue for p in ordering.pairs]
    assert [pair.p for pair in ordering.pairs] == pytest.approx(expected)
    assert [pair.p_holm for pair in ordering.pairs] == pytest.approx(holm(expected))


def test_the_share_is_that_of_draws_of_whole_seeds():
    # CF is ahead by 3, -1: of the four draws of two seeds, one is behind and three are ahead.
    (ordering,) = find_orderings(curves_of({"counterfactual": [3, 0], "vanilla": [0, 1]}), RAW)
    assert ordering.holds == pytest.approx(0.75, abs=0.015)
    assert list(ordering.modes) == ["counterfactual", "vanilla"]


def test_groups_have_modes_of_their_own_and_common_seeds_only():
    curves = curves_of({"counterfactual": [1, 2, 3], "wide": [5, 6], "vanilla": [0, 1, 2]})
    raw, wide = find_orderings(
        curves, RAW | {"wide": {"vanilla": "vanilla", "counterfactual": "wide"}}
    )
    assert (raw.seeds, wide.seeds) == (3, 2)
    assert wide.modes == {"counterfactual": "wide", "vanilla": "vanilla"}
    assert wide.pairs[0].difference == pytest.approx(5.0)


def test_one_seed_has_no_share_and_one_mode_no_ordering():
    (ordering,) = find_orderings(curves_of({"counterfactual": [1], "vanilla": [0]}), RAW)
    assert (ordering.holds, ordering.pairs[0].p, ordering.as_measured) == (None, None, True)
    assert "one seed" in ordering.reason
    assert find_orderings(curves_of({"counterfactual": [1]}), RAW) == []
