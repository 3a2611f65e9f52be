"""Token weights and gradient concentration against completions small enough for arithmetic."""

import pandas as pd
import pytest

from cfdapo.analysis.credit.token_weights import (
    band_of,
    collect_tokens,
    concentration,
    weight_shares,
)
from cfdapo.analysis.records.samples import Sample, split_samples
from cfdapo.files import UserError


def completion(name, weights, answer=None, advantage=None, correct=True):
    span = {"token_start": answer, "token_end": answer + 1} if answer is not None else None
    return {
        "completion": name,
        "source": "sampled",
        "problem": f"p-{name}",
        "weights": weights,
        "answer": span,
        "advantage": advantage,
        "noise": False,
        "correct": correct,
    }


def span(name, start, end, normalized):
    return {
        "completion": name,
        "source": "sampled",
        "token_start": start,
        "token_end": end,
        "normalized": normalized,
    }


@pytest.fixture
def sample() -> Sample:
    """Ten tokens: 2 high, 1 medium, 2 low, 4 outside, 1 answer; b has no spans."""
    completions = [
        completion("a", [4.0, 4.0, 1.0, 2.6, 0.5, 0.5, 1.5], answer=6, advantage=-0.5),
        completion("b", [1.0, 1.0, 1.0], advantage=2.0),
    ]
    spans = [span("a", 0, 2, 0.9999), span("a", 3, 4, 0.6), span("a", 4, 6, 0.0)]
    return Sample("m", "sampled", pd.DataFrame(spans), completions)


def test_each_token_has_the_band_of_its_span(sample):
    tokens = collect_tokens(sample)
    expected = ["high"] * 2 + ["outside", "medium"] + ["low"] * 2 + ["answer"] + ["outside"] * 3
    assert tokens["band"].tolist() == expected
    assert tokens["weight"].tolist() == [4, 4, 1, 2.6, 0.5, 0.5, 1.5, 1, 1, 1]
    assert tokens["advantage"].tolist() == [0.5] * 7 + [2.0] * 3


@pytest.mark.parametrize(
    ("normalized", "band"),
    [(0.0, "low"), (0.5, "low"), (0.51, "medium"), (0.8, "medium"), (0.81, "high")],
)
def test_limits_of_the_bands_are_the_papers(normalized, band):
    assert band_of(normalized) == band


def test_shares_of_weights_by_hand(sample):
    found = weight_shares(collect_tokens(sample))
    # Of ten tokens two at w_min, two at w_max, one of the answer, four outside.
    assert [found[key] for key in ("at w_min", "at w_max", "answer", "outside")] == pytest.approx(
        [0.2, 0.2, 0.1, 0.4]
    )
    assert found["mean"] == pytest.approx(17.1 / 10)


def test_concentration_by_hand(sample):
    found = concentration(collect_tokens(sample))
    # The weights sum to 17.1: high 8, medium 2.6, low 1, outside 4, answer 1.5.
    assert found["high"] == pytest.approx((0.2, 8 / 17.1, 8 / 17.1 / 0.2))
    assert found["low"] == pytest.approx((0.2, 1 / 17.1, 1 / 17.1 / 0.2))
    assert found["folded low"][:2] == pytest.approx((0.7, 6.5 / 17.1))
    bands = [found[band] for band in ("high", "medium", "low", "outside", "answer")]
    assert sum(band[0] for band in bands) == pytest.approx(1)
    assert sum(band[1] for band in bands) == pytest.approx(1)


def test_concentration_with_the_advantage_by_hand(sample):
    found = concentration(collect_tokens(sample), advantage=True)
    # |A| sums to 7 * 0.5 + 3 * 2 = 9.5, times the weights to 14.1 * 0.5 + 3 * 2 = 13.05.
    assert found["high"][:2] == pytest.approx((1 / 9.5, 4 / 13.05))
    assert found["outside"][:2] == pytest.approx((6.5 / 9.5, 6.5 / 13.05))


def test_equal_rewards_contribute_nothing(sample):
    still = [row | {"advantage": 0.0} for row in sample.completions]
    tokens = collect_tokens(Sample("m", "sampled", sample.spans, still))
    assert concentration(tokens, advantage=True) == {}
    one = [sample.completions[0], sample.completions[1] | {"advantage": 0.0}]
    tokens = collect_tokens(Sample("m", "sampled", sample.spans, one))
    assert concentration(tokens, advantage=True)["outside"][0] == pytest.approx(1 / 7)


def test_no_advantage_is_no_mass_with_the_advantage(sample):
    gold = [row | {"advantage": None} for row in sample.completions]
    tokens = collect_tokens(Sample("m", "gold", sample.spans, gold))
    assert concentration(tokens, advantage=True) == {}
    assert concentration(tokens)["high"][0] == pytest.approx(0.2)


def test_equal_weights_concentrate_nothing(sample):
    plain = [row | {"weights": [1.0] * len(row["weights"])} for row in sample.completions]
    found = concentration(collect_tokens(Sample("m", "sampled", sample.spans, plain)))
    assert [ratio for *_, ratio in found.values()] == pytest.approx([1.0] * 6)


def test_a_band_without_tokens_has_no_ratio(sample):
    none = Sample("m", "sampled", sample.spans[:0], sample.completions[1:])
    found = concentration(collect_tokens(none))
    assert found["high"] == (0.0, 0.0, None) and found["outside"] == (1.0, 1.0, 1.0)


def test_samples_are_split_by_source_in_the_labels_order(sample):
    gold = completion("g", [1.0]) | {"source": "gold"}
    records = {"m": (sample.spans, [gold, *sample.completions]), "n": (sample.spans[:0], [gold])}
    found = split_samples(records, {"n": "N", "m": "M"})
    assert [(s.model, s.source) for s in found] == [
        ("n", "gold"),
        ("m", "sampled"),
        ("m", "gold"),
    ]
    assert found[1].spans["problem"].tolist() == ["p-a"] * 3 and found[2].spans.empty


def test_records_that_do_not_fit_are_named(sample):
    with pytest.raises(UserError, match="no credit was measured for n; there is m"):
        split_samples({"m": (sample.spans, sample.completions)}, {"n": "N"})
    with pytest.raises(UserError, match="m: spans of unknown completions: a"):
        split_samples({"m": (sample.spans, sample.completions[1:])}, {"m": "M"})
