"""From drops to token weights: equations 4, 6 and 7, and the ablation modes of Section 3.4."""

from collections.abc import Sequence

import torch

MODES = ("counterfactual", "vanilla", "random", "inverted")

# The paper's epsilon in equation 6 has no value. Drops are exact to about 1e-4 nats in float32;
# a smaller epsilon would blow differences that are only rounding up to the full weight range.
EPSILON = 1e-4
# A policy's own arithmetic leaves the log-probability of n tokens uncertain by this, times the
# square root of n, in units of its weights' rounding: 0.05 nats a token in bfloat16. Measured with
# SmolLM2-135M-Instruct, as the median difference from float32: see docs/architectures.md.
_ROUNDING = 6.4


def normalized_importance(drops: torch.Tensor) -> torch.Tensor:
    """Equations 4 and 6: importance -D, scaled to [0, 1] within one completion; shape (K,).

    One span, or spans with equal drops, get 0.
    """
    importance = -drops.float()
    if importance.numel() == 0:
        return importance
    low, high = importance.min(), importance.max()
    return (importance - low) / (high - low + EPSILON)


def rounding(dtype: torch.dtype, tokens: int) -> float:
    """What the log-probability of `tokens` tokens, in nats, is good to by weights of `dtype`.

    A drop no larger is no more than the policy's own rounding. In float32 it is `EPSILON`.
    """
    return max(EPSILON, _ROUNDING * torch.finfo(dtype).eps * tokens**0.5)


def token_weights(
    drops: torch.Tensor,
    spans: Sequence[slice],
    answer: slice | None,
    length: int,
    mode: str,
    w_min: float = 0.5,
    w_max: float = 4.0,
    w_answer: float = 1.5,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Weights of a completion's tokens, float32, shape (length,), on the CPU.

    `drops` has shape (K,), one for each token slice of `spans`. In modes counterfactual and
    inverted a span's tokens get equation 7 and all others 1; in mode random every token is drawn
    from U(w_min, w_max) by `generator`; in each of these the answer's tokens get `w_answer`.
    Mode vanilla, and a completion without an answer or without a span, gets 1 everywhere.
    Raises `ValueError` for an unknown mode, w_min > w_max, or drops that do not match the spans.
    """
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; there are: {', '.join(MODES)}")
    if w_min > w_max:
        raise ValueError(f"w_min, {w_min}, is greater than w_max, {w_max}")
    if len(spans) != drops.numel() and mode in ("counterfactual", "inverted"):
        raise ValueError(f"{drops.numel()} drops for {len(spans)} spans")
    weights = torch.ones(length)
    if mode == "vanilla" or answer is None or not spans:
        return weights
    if mode == "random":
        weights.uniform_(w_min, w_max, generator=generator)
    else:
        share = normalized_importance(drops.cpu())
        if mode == "inverted":
            share = 1 - share
        for span, value in zip(spans, share.tolist(), strict=True):
            weights[span] = w_min + value * (w_max - w_min)
    weights[answer] = w_answer
    return weights


def rescale_to_mean_one(weights: torch.Tensor) -> torch.Tensor:
    """Divide a completion's weights by their mean, so modes differ in direction only."""
    return weights / weights.mean() if weights.numel() and weights.mean() > 0 else weights
