"""Equations 4, 6 and 7 and the modes, against numbers worked out by hand."""

import pytest
import torch

from cfdapo.credit.weights import EPSILON, normalized_importance, rescale_to_mean_one, token_weights

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
