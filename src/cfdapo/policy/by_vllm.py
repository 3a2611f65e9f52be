"""Greedy completions by vLLM, an option of evaluations where that package is installed.

`load_base`, `load_adapter` and `generate` are called as those of `models` and `generation` are.
vLLM batches by itself and computes with kernels of its own: where two tokens are nearly as likely,
it may choose the other one, and completions may differ from run to run.
"""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from cfdapo.files import UserError, read_json
from cfdapo.policy import models
from cfdapo.policy.engines import require_vllm
from cfdapo.policy.models import end_tokens, files_folder
from cfdapo.provenance import MANIFEST

# Ranks that vLLM has kernels for.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
# An engine has room for the longest of its sequences, rounded up to this.
_TOKENS = 256


def version() -> str:
    """vLLM's own word; the distribution has another name for each kind of machine."""
    require_vllm()
    import vllm

    return str(vllm.__version__)


@dataclass
class Policy:
    """A base model that an engine runs, the adapter that is on it, and what ends completions."""

    folder: Path
    precision: str
    ends: list[int]
    adapter: tuple[str, int, Path] | None = None
    engine: Any = None
    # Tokens of the longest sequence, and the rank of the largest adapter, that the engine takes.
    tokens: int = 0
    rank: int = 0

    def eval(self) -> "Policy":
        """Itself: it cannot train."""
        return self


def load_base(folder: Path, precision: str = "float32") -> tuple[Policy, PreTrainedTokenizerBase]:
    """The base model of a prepared `folder`, for an engine, and its tokenizer.

    It is loaded once by transformers, which checks the files and tells what ends a completion.
    Raises `UserError` as `models.load_base`, and where vLLM is not installed.
    """
    require_vllm()
    model, tokenizer = models.load_base(folder, precision)
    ends = end_tokens(model, tokenizer)
    del model
    torch.cuda.empty_cache()
    return Policy(files_folder(folder, read_json(folder / MANIFEST)), precision, ends), tokenizer


def load_adapter(model: Policy, folder: Path, name: str) -> Policy:
    """`model` with the trained adapter of `folder` under `name`; `UserError` where it is not."""
    models.require_adapter(folder)
    number = model.adapter[1] + 1 if model.adapter else 1
    model.adapter = (name, number, folder)
    return model


def generate(
    model: Policy,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    batch_size: int,
) -> Iterator[list[int]]:
    """Greedy completions of `prompts`, in order, up to and with the first of the model's ends.

    At most `batch_size` are decoded at once; another takes the place of one that is done.
    """
    if not prompts:
        return
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    engine = _engine(model, max(map(len, prompts)) + max_new_tokens, batch_size)
    greedy = SamplingParams(
        temperature=0.0,
        max_tokens=max_new_tokens,
        stop_token_ids=model.ends,
        # The ends are those of training, whatever the model's own configuration says.
        ignore_eos=True,
        detokenize=False,
    )
    adapter = model.adapter and LoRARequest(
        model.adapter[0], model.adapter[1], str(model.adapter[2])
    )
    asked = [{"prompt_token_ids": list(ids)} for ids in prompts]
    for output in engine.generate(asked, greedy, lora_request=adapter, use_tqdm=False):
        yield up_to_end(output.outputs[0].token_ids, model.ends)


def up_to_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """A completion up to and with the first of `ends`, if it has one."""
    found = list(itertools.takewhile(lambda token: token not in ends, ids))
    return [*found, *ids[len(found) : len(found) + 1]]


def _engine(model: Policy, tokens: int, batch_size: int) -> Any:
    """The engine, made anew where a sequence, or the adapter, is larger than it takes."""
    rank = rank_of(model.adapter[2]) if model.adapter else 0
    if model.engine is None or tokens > model.tokens or rank > model.rank:
        model.engine = None  # before another one asks for its memory
        model.tokens = -(-tokens // _TOKENS) * _TOKENS
        model.rank = max(rank, model.rank)
        model.engine = _make_engine(model, batch_size)
    return model.engine


def _make_engine(model: Policy, batch_size: int) -> Any:
    # In this process, which the job's signals reach, and without a word to vLLM's makers.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    from vllm import LLM

    lora = {"enable_lora": True, "max_lora_rank": model.rank, "max_loras": 1} if model.rank else {}
    try:
        return LLM(
            model=str(model.folder),
            dtype=model.precision,
            load_format="safetensors",
            generation_config="vllm",
            skip_tokenizer_init=True,
            trust_remote_code=False,
            max_model_len=model.tokens,
            max_num_seqs=batch_size,
            enforce_eager=not torch.cuda.is_available(),
            seed=0,
            **lora,
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"evaluation.engine: vllm cannot run {model.folder} ({str(error).splitlines()[0]}); "
            "set evaluation.engine: transformers"
        ) from error


def rank_of(folder: Path) -> int:
    """The least of vLLM's ranks that an adapter's fits in; `UserError` where none does."""
    path = folder / "adapter_config.json"
    rank = json.loads(path.read_text(encoding="utf-8"))["r"]
    for known in _RANKS:
        if rank <= known:
            return known
    raise UserError(f"{path}: vLLM has adapters of rank {_RANKS[-1]} at most, and not {rank}")
