"""Small random models of every family of causal language models, and how each is measured.

``PYTHONPATH=src python tests/credit/families.py`` writes the table of docs/architectures.md anew.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from cfdapo.credit.exactness import exact_way, forget_lengths, settle
from cfdapo.credit.importance import DropRequest, measure_drops_batch

DOCUMENT = Path(__file__).parents[2] / "docs" / "architectures.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
VOCABULARY, PLACEHOLDER = 64, 3
# Whatever of these a configuration has; a family's own fields come on top.
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "d_model": 32,
    "n_layers": 2,
    "n_heads": 4,
    "num_layers": 2,
    "num_heads": 4,
    "ffn_dim": 48,
    "initializer_range": 0.2,
    "init_std": 0.2,
    "max_position_embeddings": 256,
    "n_positions": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "ffn_hidden_size": 48,
    "rotary_dim": 4,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
LATENT = {"num_key_value_heads": 4, "head_dim": 4}
MIXED = {"layer_types": ["linear_attention", "full_attention"]}
WINDOW = {"sliding_window": 6}
ENCODER = {"is_decoder": True}


@dataclass(frozen=True)
class Family:
    """`kind` is transformers' model type; `fields` are its configuration's; `wrap` is PEFT's."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    wrap: Any = None


def _windows(*layers: str) -> dict[str, Any]:
    """Layers of the types given, of which some are a window of six tokens."""
    return {**WINDOW, "layer_types": [f"{layer}_attention" for layer in layers]}


def _rotary(kind: str, **fields: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **fields}}


DYNAMIC = _rotary("dynamic", factor=2.0)
LONG = _rotary(
    "longrope",
    short_factor=[1.0] * 4,
    long_factor=[2.0] * 4,
    original_max_position_embeddings=16,
)
# Fields of a text model and of a vision tower inside a multimodal one.
TEXT = {key: SHAPE[key] for key in list(SHAPE)[:7]} | {"max_position_embeddings": 256}
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
PREFIX = PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
PROMPT = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
LORA = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")

FAMILIES = {
    "AFMoE": Family("afmoe", _windows("sliding", "full")),
    "Apertus": Family("apertus"),
    "Arcee": Family("arcee"),
    "Bamba": Family("bamba", {"attn_layer_indices": [1]}),
    "Bailing hybrid": Family("bailing_hybrid"),
    "BERT as a decoder": Family("bert", ENCODER),
    "BioGPT": Family("biogpt"),
    "BitNet": Family("bitnet"),
    "BLOOM": Family("bloom"),
    "CodeGen": Family("codegen"),
    "Cohere": Family("cohere", {"logit_scale": 1.0}),
    "Cohere 2": Family("cohere2", _windows("sliding", "full") | {"logit_scale": 1.0}),
    "CTRL": Family("ctrl", {"dff": 48}),
    "CWM": Family("cwm", _windows("sliding", "full")),
    "DeepSeek-V2": Family("deepseek_v2", LATENT),
    "DeepSeek-V3": Family("deepseek_v3", LATENT),
    "DeepSeek-V3.2": Family("deepseek_v32", {**LATENT, "index_topk": 8}),
    "DeepSeek-V4": Family(
        "deepseek_v4",
        {
            "layer_types": ["heavily_compressed_attention", "compressed_sparse_attention"],
            "compress_rates": {
                "heavily_compressed_attention": 16,
                "compressed_sparse_attention": 4,
            },
            "index_head_dim": 16,
            "index_n_heads": 2,
        },
    ),
    "DiffLlama": Family("diffllama"),
    "Doge": Family("doge"),
    "dots.llm1": Family("dots1"),
    "ERNIE 4.5": Family("ernie4_5"),
    "ERNIE 4.5 MoE": Family("ernie4_5_moe"),
    "EXAONE 4": Family("exaone4", _windows("sliding", "full")),
    "Falcon": Family("falcon", {"alibi": False}),
    "Falcon with ALiBi": Family("falcon", {"alibi": True}),
    "Falcon-H1": Family("falcon_h1", {"mamba_d_ssm": 64}),
    "Falcon Mamba": Family("falcon_mamba"),
    "FlexOlmo": Family("flex_olmo"),
    "Gemma": Family("gemma"),
    "Gemma 2": Family("gemma2", _windows("sliding", "full")),
    "Gemma 3": Family("gemma3_text", _windows("sliding", "full")),
    "Gemma 3, multimodal": Family(
        "gemma3",
        {"text_config": TEXT | _windows("sliding", "full"), "vision_config": TOWER},
    ),
    "Gemma 4": Family(
        "gemma4_text",
        {
            **_windows("sliding", "full"),
            "vocab_size_per_layer_input": VOCABULARY,
            "hidden_size_per_layer_input": 8,
        },
    ),
    "GLM": Family("glm"),
    "GLM-4": Family("glm4"),
    "GLM-4 MoE": Family("glm4_moe"),
    "GLM MoE DSA": Family("glm_moe_dsa", {**LATENT, "index_topk": 8}),
    "GPT-2": Family("gpt2"),
    "GPT-BigCode": Family("gpt_bigcode"),
    "GPT-J": Family("gptj"),
    "GPT-Neo": Family("gpt_neo", {"attention_types": [[["global", "local"], 1]], "window_size": 6}),
    "GPT-NeoX": Family("gpt_neox"),
    "gpt-oss": Family("gpt_oss", _windows("sliding", "full")),
    "Granite": Family("granite"),
    "Granite MoE": Family("granitemoe"),
    "Granite MoE hybrid": Family(
        "granitemoehybrid", {"layer_types": ["mamba", "attention"], "mamba_expand": 2}
    ),
    "Granite SWA": Family("granite_swa", WINDOW),
    "Helium": Family("helium"),
    "Hunyuan dense": Family("hunyuan_v1_dense"),
    "Hunyuan MoE": Family("hunyuan_v1_moe"),
    "Inkling": Family("inkling_text", {"logits_mup_width_multiplier": 1.0}),
    "InternLM 3": Family("internlm3"),
    "Jamba": Family("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1}),
    "JetMoE": Family("jetmoe"),
    "Kimi Linear": Family("kimi_linear", {"linear_head_dim": 8, "linear_num_heads": 4}),
    "LFM2": Family("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "LFM2 MoE": Family("lfm2_moe", {"layer_types": ["conv", "full_attention"]}),
    "Llama": Family("llama"),
    "Llama, dynamic RoPE": Family("llama", DYNAMIC),
    "Llama, dynamic RoPE past its length": Family(
        "llama", {**DYNAMIC, "max_position_embeddings": 16}
    ),
    "Llama, YaRN": Family(
        "llama", _rotary("yarn", factor=2.0, original_max_position_embeddings=16)
    ),
    "Llama with LoRA": Family("llama", wrap=LORA),
    "Llama with prefix tuning": Family("llama", wrap=PREFIX),
    "Llama with prompt tuning": Family("llama", wrap=PROMPT),
    "Llama 4": Family(
        "llama4_text",
        {"attention_chunk_size": 8, "layer_types": ["chunked_attention", "full_attention"]},
    ),
    "LongCat Flash": Family("longcat_flash", LATENT),
    "Mamba": Family("mamba"),
    "Mamba 2": Family(
        "mamba2", {"num_heads": 8, "head_dim": 8, "expand": 2, "n_groups": 1, "chunk_size": 16}
    ),
    "MiMo V2 Flash": Family("mimo_v2_flash", WINDOW),
    "MiniCPM 3": Family("minicpm3", LATENT),
    "MiniMax": Family("minimax", MIXED),
    "MiniMax M2": Family("minimax_m2"),
    "Ministral": Family("ministral", _windows("sliding", "full")),
    "Mistral": Family("mistral"),
    "Mistral with a window": Family("mistral", WINDOW),
    "Mixtral": Family("mixtral"),
    "ModernBERT decoder": Family("modernbert-decoder", _windows("sliding", "full")),
    "MPT": Family("mpt"),
    "nanochat": Family("nanochat"),
    "Nemotron": Family("nemotron"),
    "Nemotron-H": Family(
        "nemotron_h",
        {
            "layers_block_type": ["linear_attention", "full_attention"],
            "mamba_num_heads": 8,
            "mamba_head_dim": 8,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 16,
        },
    ),
    "OLMo": Family("olmo"),
    "OLMo 2": Family("olmo2"),
    "OLMo 3": Family("olmo3", _windows("sliding", "full")),
    "OLMo hybrid": Family("olmo_hybrid", MIXED),
    "OLMoE": Family("olmoe"),
    "OPT": Family("opt", {"word_embed_proj_dim": 32}),
    "Persimmon": Family("persimmon"),
    "Phi": Family("phi"),
    "Phi-3": Family("phi3"),
    "Phi-3, LongRoPE past its length": Family(
        "phi3",
        {**LONG, "original_max_position_embeddings": 16, "num_key_value_heads": 4},
    ),
    "Phi-MoE": Family("phimoe"),
    "Qwen2": Family("qwen2"),
    "Qwen2 with a window": Family(
        "qwen2", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}
    ),
    "Qwen2 MoE": Family("qwen2_moe"),
    "Qwen3": Family("qwen3"),
    "Qwen3 MoE": Family("qwen3_moe"),
    "Qwen3-Next": Family("qwen3_next", MIXED),
    "Qwen3.5": Family("qwen3_5_text", MIXED),
    "Qwen3.5 MoE": Family("qwen3_5_moe_text", MIXED),
    "RecurrentGemma": Family("recurrent_gemma", {"block_types": ["recurrent", "attention"]}),
    "RWKV": Family("rwkv"),
    "Seed-OSS": Family("seed_oss"),
    "SmolLM3": Family("smollm3"),
    "StableLM": Family("stablelm"),
    "StarCoder 2": Family("starcoder2"),
    "VaultGemma": Family("vaultgemma", _windows("sliding", "full")),
    "XGLM": Family("xglm"),
    "Zaya": Family("zaya", {"num_experts_per_tok": 1}),
}


def build(name: str) -> torch.nn.Module:
    """The family's model, with noise on what begins as 0 or 1 and would hide an error."""
    family = FAMILIES[name]
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(_config(family)).float()
    if family.wrap is not None:
        model = get_peft_model(model, family.wrap)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def _config(family: Family) -> Any:
    plain = AutoConfig.for_model(family.kind)
    renamed = type(plain).attribute_map
    known = plain.to_dict().keys() | renamed.keys()
    fields = {key: value for key, value in SHAPE.items() if key in known and key not in renamed}
    fields |= {renamed[key]: SHAPE[key] for key in SHAPE.keys() & renamed.keys()}
    return AutoConfig.for_model(family.kind, **(fields | family.fields))


def requests() -> list[DropRequest]:
    """Two completions of one prompt, longer than all windows, chunks and lengths above."""
    prompt = _ids(8, 1)
    return [
        DropRequest(prompt, _ids(24, 2), [slice(1, 4), slice(9, 15)], slice(20, 22)),
        DropRequest(prompt, _ids(19, 3), [slice(0, 2)], slice(16, 18)),
    ]


def _ids(count: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, VOCABULARY, (count,), generator=generator).tolist()


@dataclass(frozen=True)
class Measured:
    """What came of a family.

    `way` and `reason` are `credit.exactness.Way`'s. `differences` are those of each method's drops
    from drops that are written out here, in nats, by method; a method that is refused has none, and
    so has "attention", the intervention, which is prefix's from serial's. `largest` is the largest
    drop.
    """

    way: str
    reason: str
    differences: dict[str, float]
    largest: float


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads only wait for each other on matrices this small: 18 seconds instead of minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def measured(name: str) -> Measured:
    """Measure a family by every method, and by the definition."""
    with _one_thread():
        return _measured(name)


def _measured(name: str) -> Measured:
    model = build(name)
    exact = _by_definition(model, _score)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {method: _drops(model, method=method) for method in ("prefix", "serial")}
        differences = {method: _distance(drops, exact) for method, drops in found.items()}
        if _allowed(model, "gradient", "pad"):
            gradients = _by_definition(model, _first_order)
            differences["gradient"] = _distance(_drops(model, method="gradient"), gradients)
        if _allowed(model, "serial", "attention"):
            one, other = (
                _drops(model, method=method, intervention="attention", sink="rest")
                for method in ("prefix", "serial")
            )
            differences["attention"] = _distance(one, other)
    way = exact_way(model, 1)
    return Measured(way.name, way.reason, differences, float(exact.abs().max()))


def _drops(model: torch.nn.Module, **options: str) -> Tensor:
    return torch.cat(measure_drops_batch(model, requests(), PLACEHOLDER, **options).drops)


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _allowed(model: torch.nn.Module, method: str, intervention: str) -> bool:
    try:
        settle(model, 30, method, intervention)
    except ValueError:
        return False
    return True


def _by_definition(model: torch.nn.Module, drop: Callable[..., float]) -> Tensor:
    """A drop for every span, each from whole sequences that are put together by hand."""
    drops = []
    for request in requests():
        whole = [*request.prompt_ids, *request.completion_ids[: request.answer.stop]]
        first = len(request.prompt_ids) + request.answer.start
        for span in request.spans:
            where = slice(*(len(request.prompt_ids) + edge for edge in (span.start, span.stop)))
            drops.append(drop(model, whole, where, first))
    return torch.tensor(drops)


@torch.no_grad()
def _score(model: torch.nn.Module, whole: list[int], span: slice, first: int) -> float:
    """Equation 3."""
    masked = [*whole]
    masked[span] = [PLACEHOLDER] * (span.stop - span.start)
    changed, kept = (
        _log_probability(model, row, first, input_ids=torch.tensor([row[:-1]]))
        for row in (masked, whole)
    )
    return float(changed - kept)


def _first_order(model: torch.nn.Module, whole: list[int], span: slice, first: int) -> float:
    """The first term of its Taylor series in the embeddings."""
    embedding = model.get_input_embeddings()
    leaf = embedding(torch.tensor([whole[:-1]])).detach().requires_grad_()
    score = _log_probability(model, whole, first, inputs_embeds=leaf)
    (gradient,) = torch.autograd.grad(score, leaf)
    change = embedding(torch.tensor([PLACEHOLDER])) - leaf[0]
    return float((change * gradient[0])[span].sum())


def _log_probability(
    model: torch.nn.Module, row: list[int], first: int, **inputs: Tensor
) -> Tensor:
    """Of the tokens from `first` on, by all logits of one pass."""
    forget_lengths(model)
    mask = torch.ones(1, len(row) - 1, dtype=torch.long)
    logits = model(attention_mask=mask, use_cache=False, **inputs).logits[0, 1 - len(row) :]
    table = logits.log_softmax(-1)
    return sum(table[t - 1, row[t]] for t in range(first, len(row)))


_WAYS = {
    "packed": "packed: nothing is computed twice",
    "batched": "whole sequences, several at once",
    "single": "whole sequences, one at a time",
}


def table() -> str:
    """The table of docs/architectures.md."""
    lines = [
        "| family | `prefix` is measured by | `attention` | `gradient` | why not packed: it … |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(FAMILIES, key=str.lower):
        found = measured(name)
        marks = ["yes" if key in found.differences else "—" for key in ("attention", "gradient")]
        reason = found.reason.replace("|", "\\|")
        lines.append(f"| {name} | {_WAYS[found.way]} | {' | '.join(marks)} | {reason} |")
    return "\n".join(lines)


def written(document: str) -> str:
    """The table that stands in `document`."""
    return document.partition(BEGIN)[2].partition(END)[0].strip()


def write() -> None:
    """Put the table into its document."""
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(write())
