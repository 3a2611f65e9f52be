"""How large the measurements are: as the issue's figures ask for, or tiny, to see that all runs."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from inputs import random_requests
from shapes import PAPER, shaped_model
from torch import nn
from units import Machine

from cfdapo.credit.importance import DropRequest
from cfdapo.settings import Study
from cfdapo.study import load_study


@cache
def paper_study() -> Study:
    """The study `paper`, read once."""
    return load_study("paper")


@dataclass(frozen=True)
class Sizes:
    """Completions of about `length` tokens with `spans` spans, taking turns behind `prompts`."""

    completions: int
    prompts: int
    spans: int
    prompt_length: int
    length: int
    token_budget: int

    def requests(self, model: nn.Module) -> list[DropRequest]:
        """Random ones in the model's vocabulary."""
        return random_requests(
            completions=self.completions,
            prompts=self.prompts,
            spans=self.spans,
            prompt_length=self.prompt_length,
            length=self.length,
            vocabulary=model.config.vocab_size,
        )


def cost_sizes(machine: Machine) -> Sizes:
    """64 completions of 300 tokens and 10 spans, and the paper's study's token budget."""
    if machine.tiny:
        return Sizes(8, 2, 4, 16, 40, 1024)
    return Sizes(64, 8, 10, 150, 300, paper_study().credit.token_budget)


def exactness_sizes(machine: Machine) -> Sizes:
    """Few completions, as every one is measured many times; one pass holds them all."""
    return Sizes(2, 1, 3, 12, 32, 65_536) if machine.tiny else Sizes(4, 2, 10, 80, 160, 65_536)


def random_model(machine: Machine, shape: str, dtype: torch.dtype) -> nn.Module:
    """A random model of one of the paper's shapes, or a tiny one of its family."""
    torch.manual_seed(0)
    return shaped_model(PAPER[shape] if machine.tiny else shape, dtype, machine.device)


def head_of(machine: Machine) -> dict[str, Any]:
    """Changes to the shape of the study tiny's model: a head as wide as the paper's models have.

    It decides which attention kernel a GPU takes. Tiny sizes keep the study's.
    """
    if machine.tiny:
        return {}
    return {
        "hidden_size": 256,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 128,
    }
