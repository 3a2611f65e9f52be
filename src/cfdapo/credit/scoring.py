"""Forward passes that score tokens: evaluation mode, masks, logits only where they are needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    and_masks,
    causal_mask_function,
)

from cfdapo.credit.packing import Inexact, MaskFunction, PackedPass, running

# How drops are computed: in float32 whatever the weights are, or as the policy itself computes.
PRECISIONS = ("float32", "policy")
# Logits of one pass hold at most this many numbers (256 MiB in float32) unless one sequence's do.
LOGITS = 2**26


def embedding(model: nn.Module) -> nn.Embedding:
    """A causal model's embedding of its input, also within PEFT's wrapping, which passes it on."""
    wrapped: Any = model  # a module's attributes are typed as tensors or modules
    found: nn.Embedding = wrapped.get_input_embeddings()
    return found


def text_config(model: nn.Module) -> Any:
    """A causal model's configuration in transformers, of its text where it reads more."""
    wrapped: Any = model
    return wrapped.config.get_text_config()


def dtype_of(model: nn.Module) -> torch.dtype:
    """What a causal model's weights are of."""
    wrapped: Any = model
    found: torch.dtype = wrapped.dtype
    return found


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off; afterwards every module has its own earlier state, even on errors."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def measuring(model: nn.Module, precision: str) -> Iterator[None]:
    """What a measurement needs of `model`: no dropout, no gradients, and arithmetic in `precision`.

    "float32" computes with float32 copies of weights of 16 bits and casts nothing down; "policy"
    computes as the model does. Afterwards everything is as before, the weights to the bit.
    """
    arithmetic = _in_float32(model) if precision == "float32" else nullcontext()
    with evaluating(model), torch.no_grad(), arithmetic:
        yield


@contextmanager
def _in_float32(model: nn.Module) -> Iterator[None]:
    held = [
        (tensor, tensor.data)
        for tensor in chain(model.parameters(), model.buffers())
        if tensor.is_floating_point() and tensor.itemsize == 2
    ]
    # accelerate casts in a forward of its own, in front of which it keeps the model's.
    casting = vars(model).get("forward") if "_original_forward" in vars(model) else None
    device = embedding(model).weight.device
    # A GPU may be told to multiply float32 matrices by fewer bits.
    products = torch.get_float32_matmul_precision()
    try:
        for tensor, weights in held:
            tensor.data = weights.float()
        if casting is not None:
            model.forward = vars(model)["_original_forward"]
        if products != "highest":
            torch.set_float32_matmul_precision("highest")
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        if products != "highest":
            torch.set_float32_matmul_precision(products)
        if casting is not None:
            model.forward = casting
        for tensor, weights in held:
            tensor.data = weights


class Scorer:
    """Runs `model` and counts what that costs.

    `passes` is the number of forward passes, `tokens` the number of positions that they computed,
    padding included.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.device = embedding(model).weight.device
        self.vocabulary = text_config(model).vocab_size
        self.passes = 0
        self.tokens = 0

    def logits(self, keep: Tensor, **inputs: Any) -> Tensor:
        """Float32 logits of one row at the positions `keep`, shape (len(keep), vocabulary)."""
        return self.batch_logits(keep, **inputs)[0]

    def batch_logits(self, keep: Tensor, **inputs: Any) -> Tensor:
        """Float32 logits of all B rows at the positions `keep`, (B, len(keep), vocabulary).

        The model's own forward applies its head, and whatever scaling or capping belongs to it,
        to those positions alone.
        """
        ids = inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]
        self.passes += 1
        self.tokens += ids.shape[0] * ids.shape[1]
        forget_lengths(self.model)
        # Counted from the end, as PEFT may have put a learned prompt in front.
        keep = keep - ids.shape[1]
        logits = self.model(logits_to_keep=keep, use_cache=False, **inputs).logits
        # Older models take no notice of what is to be kept.
        return (logits if logits.shape[1] == len(keep) else logits[:, keep]).float()

    def packed_logits(self, keep: Tensor, packed: PackedPass, **inputs: Any) -> Tensor:
        """`logits` of a packed row; to be called while `packed_attention` is on."""
        positions = packed.positions()
        # With a mask given, the model does not take a jump in the positions for a new sequence.
        mask = torch.ones_like(positions)
        with running(packed):
            logits = self.logits(keep, position_ids=positions, attention_mask=mask, **inputs)
        if not packed.calls:
            raise Inexact("does not attend through transformers' AttentionInterface")
        return logits


@contextmanager
def hiding(model: nn.Module, allowed: MaskFunction) -> Iterator[None]:
    """Narrow every attention mask that `model` makes for itself by `allowed`.

    It is a function of batch, head, query and key index (see `transformers.masking_utils`), so that
    windows, sinks and whatever else belongs to the model's own attention stay as they are.
    """
    name = text_config(model)._attn_implementation
    before: Callable[..., Any] = ALL_MASK_ATTENTION_FUNCTIONS[name]

    # transformers types the indices, which are tensors, as integers.
    plain: Any = causal_mask_function

    def narrowed(mask_function: MaskFunction = plain, **options: Any) -> Any:
        options["allow_is_causal_skip"] = False
        return before(mask_function=and_masks(mask_function, allowed), **options)

    ALL_MASK_ATTENTION_FUNCTIONS[name] = narrowed
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS[name]


def pick(logits: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of `targets` under the distributions `logits[rows]`, float32."""
    return logits[rows, targets] - torch.logsumexp(logits, dim=-1)[rows]


def forget_lengths(model: nn.Module) -> None:
    """Let dynamic rotary embeddings depend on the next pass alone, not on the longest so far."""
    for module in model.modules():
        if "dynamic" not in str(getattr(module, "rope_type", "")):
            continue
        module.max_seq_len_cached = module.original_max_seq_len
        for name, frequencies in list(module.named_buffers(recurse=False)):
            kind = name.removesuffix("inv_freq")
            original = getattr(module, f"{kind}original_inv_freq", None)
            if name != kind and original is not None:
                setattr(module, name, original.to(frequencies.device))
                setattr(module, f"{kind}max_seq_len_cached", module.original_max_seq_len)
