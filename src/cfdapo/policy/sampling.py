"""Completions sampled in groups, and their advantages."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from cfdapo.credit.scoring import evaluating
from cfdapo.policy.generation import generate

# TRL's, in GRPOTrainer: what is added to a group's standard deviation.
ADVANTAGE_EPSILON = 1e-4


def sample(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
) -> list[list[int]]:
    """One sampled completion a prompt, all at once, up to and with the end-of-text token."""
    torch.manual_seed(seed)
    how = as_in_training(temperature, top_p)
    with evaluating(model):
        return list(generate(model, tokenizer, prompts, max_new_tokens, len(prompts), **how))


def as_in_training(temperature: float, top_p: float) -> dict[str, Any]:
    """Settings of generation by which the trainer samples completions."""
    return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """Equation 1 as the trainer computes it: (r - mean) / (std + 1e-4), with n - 1 in the std.

    Equal rewards, and a group of one, give 0.
    """
    values = torch.tensor(rewards, dtype=torch.float64)
    if len(values) < 2:
        return [0.0] * len(values)
    return ((values - values.mean()) / (values.std() + ADVANTAGE_EPSILON)).tolist()
