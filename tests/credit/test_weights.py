"""Equations 4, 6 and 7 and the modes, against numbers worked out by hand."""

import pytest
import torch

from cfdapo.credit.weights import (
    EPSILON,
    MODES,
    normalized_importance,
    rescale_to_mean_one,
    token_weights,
)

SPANS = [slice(1, 3), slice(4, 5), slice(6, 8)]
DROPS = torch.tensor([-4.0, 1.0, -1.5])  # importances 4, -1, 1.5
ANSWER = slice(9, 11)


def weigh(mode: str, **changed: object) -> torch.Tensor:
    arguments = {"drops": DROPS, "spans": SPANS, "answer": ANSWER, "length": 12, "mode": mode}
    return token_weights(**{**arguments, **changed})


def test_importance_is_minus_the_drop_scaled_to_the_unit_range():
    torch.testing.assert_close(
        normalized_importance(DROPS), torch.tensor([1.0, 0.0, 0.5]), atol=1e-4, rtol=0
    )


def test_counterfactual_weights_follow_equation_7():
    expected = [1, 4, 4, 1, 0.5, 1, 2.25, 2.25, 1, 1.5, 1.5, 1]
    torch.testing.assert_close(weigh("counterfactual"), torch.tensor(expected), atol=2e-4, rtol=0)


def test_inverted_turns_the_spans_around_and_nothing_else():
    expected = [1, 0.5, 0.5, 1, 4, 1, 2.25, 2.25, 1, 1.5, 1.5, 1]
    torch.testing.assert_close(weigh("inverted"), torch.tensor(expected), atol=2e-4, rtol=0)


def test_random_draws_every_token_but_the_answer():
    weights = weigh("random", length=4000, generator=torch.Generator().manual_seed(1))
    drawn = torch.cat([weights[:9], weights[11:]])
    assert weights[ANSWER].tolist() == [1.5, 1.5]
    assert drawn.min() >= 0.5 and drawn.max() <= 4.0 and drawn.unique().numel() > 3900
    # The mean of U(0.5, 4) within five standard errors.
    assert abs(drawn.mean() - 2.25) < 5 * 3.5 / 12**0.5 / len(drawn) ** 0.5


def test_random_is_its_generators():
    first, again, other = (
        weigh("random", generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_vanilla_is_one_even_at_the_answer():
    assert weigh("vanilla").tolist() == [1.0] * 12


@pytest.mark.parametrize("mode", ["counterfactual", "inverted", "random", "vanilla"])
def test_no_answer_or_no_span_is_one_everywhere(mode):
    assert weigh(mode, answer=None).tolist() == [1.0] * 12
    assert weigh(mode, spans=[], drops=torch.empty(0)).tolist() == [1.0] * 12
    assert token_weights(torch.empty(0), [], None, 0, mode).shape == (0,)


@pytest.mark.parametrize(("mode", "low"), [("counterfactual", 0.5), ("inverted", 4.0)])
def test_one_span_and_equal_drops_have_normalised_importance_0(mode, low):
    one = weigh(mode, spans=SPANS[:1], drops=torch.tensor([-7.0]))
    equal = weigh(mode, drops=torch.full((3,), -2.0))
    assert one[1] == low and equal[1] == equal[4] == equal[6] == low


def test_rounding_of_equal_drops_is_not_blown_up_to_the_full_range():
    almost = torch.tensor([-2.0, -2.0 + EPSILON / 100, -2.0 - EPSILON / 100])
    assert weigh("counterfactual", drops=almost).sub(0.5)[1:3].max() < 0.1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mode": "uniform"}, "unknown mode 'uniform'"),
        ({"mode": "counterfactual", "w_min": 5.0}, "greater than w_max"),
        ({"mode": "inverted", "drops": DROPS[:2]}, "2 drops for 3 spans"),
    ],
)
def test_what_cannot_be_weighted_raises(changed, message):
    with pytest.raises(ValueError, match=message):
        weigh(**changed)


def test_rescaled_weights_have_mean_one_and_keep_their_ratios():
    weights = weigh("counterfactual")
    rescaled = rescale_to_mean_one(weights)
    torch.testing.assert_close(rescaled.mean(), torch.tensor(1.0))
    torch.testing.assert_close(rescaled / rescaled[0], weights / weights[0])


def test_twelve_tokens_by_hand():
    """The whole chain, equations 4, 6 and 7, on twelve tokens; every number worked out on paper.

    token   0   1  2  3   4    5   6    7  8   9     10    11
    part   out [  A    ] out [ B ] out [ C ]  out  answer  out
    """
    spans, answer = [slice(1, 4), slice(5, 6), slice(7, 9)], slice(10, 11)
    # Equation 3: A's loss costs the answer 6 nats, B's helps it by a half, C's costs 2.5.
    drops = torch.tensor([-6.0, 0.5, -2.5])
    # Equation 4, I = -D: 6, -0.5, 2.5. Least -0.5, most 6, range 6.5.
    # Equation 6 with epsilon 1e-4, (I + 0.5) / 6.5001:
    #   A 6.5 / 6.5001 = 0.9999846156, B 0 / 6.5001 = 0, C 3 / 6.5001 = 0.4615313611
    assert EPSILON == 1e-4
    normalised = [0.9999846156, 0.0, 0.4615313611]
    # Equation 7, w = 0.5 + 3.5 * I:
    #   A 0.5 + 3.4999461547 = 3.9999461547, B 0.5, C 0.5 + 1.6153597637 = 2.1153597637
    # Inverted, w = 0.5 + 3.5 * (1 - I):
    #   A 0.5 + 0.0000538453 = 0.5000538453, B 4, C 0.5 + 1.8846402363 = 2.3846402363
    a, b, c = 3.9999461547, 0.5, 2.1153597637
    counterfactual = [1, a, a, a, 1, b, 1, c, c, 1, 1.5, 1]
    a, b, c = 0.5000538453, 4.0, 2.3846402363
    inverted = [1, a, a, a, 1, b, 1, c, c, 1, 1.5, 1]
    # Means: five tokens outside make 5, the answer 1.5.
    #   counterfactual 5 + 3 * 3.9999461547 + 0.5 + 2 * 2.1153597637 + 1.5 = 23.2305579915; / 12
    #   inverted       5 + 3 * 0.5000538453 + 4.0 + 2 * 2.3846402363 + 1.5 = 16.7694420085; / 12
    means = {"counterfactual": 1.9358798326, "inverted": 1.3974535007}
    # Random: 0.5 + 3.5 * u with u from the generator, for every token but the answer.
    drawn = torch.rand(12, generator=torch.Generator().manual_seed(5)).tolist()
    random = [1.5 if t == 10 else 0.5 + 3.5 * u for t, u in enumerate(drawn)]
    means |= {"random": sum(random) / 12, "vanilla": 1.0}
    expected = {
        "counterfactual": counterfactual,
        "inverted": inverted,
        "random": random,
        "vanilla": [1.0] * 12,
    }

    close = {"rtol": 0.0, "atol": 2e-6}
    torch.testing.assert_close(normalized_importance(drops), torch.tensor(normalised), **close)
    assert set(expected) == set(MODES)
    for mode, by_hand in expected.items():
        generator = torch.Generator().manual_seed(5)
        weights = token_weights(drops, spans, answer, 12, mode, generator=generator)
        torch.testing.assert_close(weights, torch.tensor(by_hand), **close)
        # Rescaled, each is divided by the mean: A's 3.9999461547 / 1.9358798326 = 2.0662161397.
        rescaled = torch.tensor([value / means[mode] for value in by_hand])
        torch.testing.assert_close(rescale_to_mean_one(weights), rescaled, **close)
        assert rescaled.mean().item() == pytest.approx(1.0, abs=1e-6)
        if mode == "counterfactual":
            assert rescaled[1].item() == pytest.approx(2.0662161397, abs=2e-6)
