"""Models of the paper's shapes with random weights, from their published configurations."""

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

_TINY = {
    "vocab_size": 512,
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "initializer_range": 0.1,
}

# What the configuration files of Qwen3-1.7B, Qwen2.5-3B and Llama-3.2-3B say, so that nothing is
# downloaded.
SHAPES = {
    "qwen3-1.7b": (
        Qwen3ForCausalLM,
        Qwen3Config,
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "qwen2.5-3b": (
        Qwen2ForCausalLM,
        Qwen2Config,
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
    ),
    "llama3.2-3b": (
        LlamaForCausalLM,
        LlamaConfig,
        {
            "vocab_size": 128256,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 28,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "tiny": (Qwen3ForCausalLM, Qwen3Config, _TINY),
    "tiny-qwen2": (
        Qwen2ForCausalLM,
        Qwen2Config,
        {k: v for k, v in _TINY.items() if k != "head_dim"},
    ),
    "tiny-llama": (LlamaForCausalLM, LlamaConfig, _TINY),
}

# The paper's models, the one with the costliest credit first, and a tiny one of each's family.
PAPER = {"qwen2.5-3b": "tiny-qwen2", "qwen3-1.7b": "tiny", "llama3.2-3b": "tiny-llama"}


def shaped_model(name: str, dtype: torch.dtype, device: str, **changes: int) -> nn.Module:
    """A random model of SHAPES, made where and as it is to run: 3 billion float32 would not fit.

    `changes` are to the fields of its configuration.
    """
    kind, config, fields = SHAPES[name]
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return kind(config(**fields | changes)).eval()
    finally:
        torch.set_default_dtype(before)
