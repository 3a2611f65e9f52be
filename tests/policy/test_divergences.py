"""Divergences: by their formulas, against finite differences, 0 at home, nowhere negative."""

import pytest
import torch

from cfdapo.policy.divergences import (
    NeuralMirror,
    draw_mirror,
    l2_log,
    over_vocabulary,
    prob_l2,
)

MIRROR = draw_mirror(seed=42, scale=0.01)
BY_NAME = {"l2_log": l2_log, "prob_l2": prob_l2, "neural_mirror": MIRROR}


def pairs(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities from nearly impossible to nearly sure, some pairs nearly equal."""
    generator = torch.Generator().manual_seed(0)
    log_p, log_q = (-8 * torch.rand(2, count, generator=generator, dtype=torch.float64)).unbind()
    log_q[::4] = log_p[::4] * (1 + 1e-4)
    return log_p, log_q


def values(log_p: torch.Tensor, log_q: torch.Tensor) -> dict[str, torch.Tensor]:
    """By the formulas, in float64; a mirror's by many small steps from q to p."""
    p, q = log_p.exp(), log_q.exp()
    # The integral of h'(s) - h'(q), in log s, where it is smooth.
    share = (torch.arange(300, dtype=torch.float64) + 0.5) / 300
    between = (log_q.unsqueeze(-1) + share * (log_p - log_q).unsqueeze(-1)).exp()
    rise = between * (MIRROR.slope(between) - MIRROR.slope(q).unsqueeze(-1))
    return {
        "l2_log": (log_p - log_q) ** 2,
        "prob_l2": (p - q) ** 2,
        "neural_mirror": (log_p - log_q) * rise.mean(-1),
    }


def slopes(log_p: torch.Tensor, log_q: torch.Tensor) -> dict[str, torch.Tensor]:
    """dD/d log p by the formulas; of a Bregman divergence it is p (h'(p) - h'(q))."""
    p, q = log_p.exp(), log_q.exp()
    return {
        "l2_log": 2 * (log_p - log_q),
        "prob_l2": 2 * p * (p - q),
        "neural_mirror": p * (MIRROR.slope(p) - MIRROR.slope(q)),
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_value_and_gradient_are_the_formulas(name):
    log_p, log_q = pairs()
    divergence = BY_NAME[name]
    own = log_p.clone().requires_grad_()
    found = divergence(own, log_q)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), values(log_p, log_q)[name], rtol=1e-3, atol=2e-9)
    (gradient,) = torch.autograd.grad(found.sum(), own)
    torch.testing.assert_close(gradient, slopes(log_p, log_q)[name], rtol=1e-3, atol=3e-6)


@pytest.mark.parametrize("name", BY_NAME)
def test_gradient_is_that_of_finite_differences(name):
    log_p, log_q = pairs(100)
    own = log_p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(BY_NAME[name](own, log_q).sum(), own)
    step = 1e-5
    up, down = values(log_p + step, log_q)[name], values(log_p - step, log_q)[name]
    torch.testing.assert_close(gradient, (up - down) / (2 * step), rtol=2e-3, atol=3e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", BY_NAME)
def test_nowhere_negative_and_zero_where_both_agree(name, dtype):
    log_p, log_q = (one.to(dtype) for one in pairs())
    assert BY_NAME[name](log_p, log_q).min() >= 0
    own = log_p.clone().requires_grad_()
    at_home = BY_NAME[name](own, log_p)
    assert at_home.eq(0).all()
    (gradient,) = torch.autograd.grad(at_home.sum(), own)
    assert gradient.eq(0).all()


def test_probabilities_are_subtracted_in_float32_and_not_in_16_bits():
    """At 0.902 and 0.9035 bfloat16 has one probability for both."""
    log_p, log_q = (torch.tensor([value]).log().bfloat16() for value in (0.902, 0.9035))
    assert log_p.exp() == log_q.exp() and prob_l2(log_p, log_q) > 1e-7


def test_a_mirror_has_380_parameters_and_draws_them_by_its_seed():
    assert sum(map(len, (MIRROR.v, MIRROR.w, MIRROR.b))) + 2 == 380
    again, other = draw_mirror(42, 0.01), draw_mirror(43, 0.01)
    assert torch.equal(MIRROR.v, again.v) and not torch.equal(MIRROR.v, other.v)
    drawn = torch.cat([MIRROR.v, MIRROR.w, MIRROR.b, torch.tensor([MIRROR.a, MIRROR.c])])
    assert drawn.min() >= 0 and drawn.max() <= 0.01


def gaussian(seed: int) -> NeuralMirror:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(380, generator=generator, dtype=torch.float64) * 0.01
    v, w, b, (a, c) = drawn.split([126, 126, 126, 2])
    return NeuralMirror(v, w, b, a.item(), c.item())


def test_trap_a_mirror_of_signed_gaussians_is_mostly_no_divergence():
    """Their evolution starts from such; each that is let through is nowhere negative."""
    refused = 0
    for seed in range(20):
        try:
            mirror = gaussian(seed)
        except ValueError as error:
            assert "not convex" in str(error)
            refused += 1
        else:
            assert mirror(*pairs()).min() >= -1e-9
    assert refused > 5
    for seed in range(20):
        draw_mirror(seed, 0.01)  # U[0, 0.01]: none is refused


def test_a_mirror_that_falls_is_refused_by_where_it_does():
    zeros = torch.zeros(126)
    NeuralMirror(zeros, zeros, zeros, a=1.0, c=0.0)
    with pytest.raises(ValueError, match="not convex: its slope h' falls at p = "):
        NeuralMirror(zeros, zeros, zeros, a=-1.0, c=0.5)
    square = NeuralMirror(zeros, zeros, zeros, a=2.0, c=0.0)
    log_p, log_q = pairs()
    torch.testing.assert_close(square(log_p, log_q), prob_l2(log_p, log_q))


@pytest.mark.parametrize("name", ["prob_l2", "neural_mirror"])
def test_the_sum_over_the_vocabulary_is_exact(name):
    logits, reference = torch.randn(2, 3, 4, 16, generator=torch.Generator().manual_seed(1))
    log_p, log_q = logits.log_softmax(-1), reference.log_softmax(-1)
    wanted = values(log_p.double(), log_q.double())[name].sum(-1)
    found = over_vocabulary(BY_NAME[name], logits, reference)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-9)


def test_trap_a_sampled_tokens_square_is_no_estimate_of_the_sum():
    p, q = torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.5])
    sampled = (p * prob_l2(p.log(), q.log())).sum()
    exact = over_vocabulary(prob_l2, p.log(), q.log())
    torch.testing.assert_close(exact, torch.tensor(0.32))
    torch.testing.assert_close(sampled, torch.tensor(0.16))


def test_trap_at_a_weight_of_1e_4_the_term_is_at_most_1e_4_a_token():
    """So a gain may be no more than the missing KL term, and `none` is the control."""
    sure, impossible = torch.tensor([0.0]), torch.tensor([-60.0])
    assert 1e-4 * prob_l2(sure, impossible) <= 1e-4 < 0.01 * (60 - 1)
