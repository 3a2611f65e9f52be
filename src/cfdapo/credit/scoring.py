"""Forward passes that score tokens: evaluation mode, masks, logits only where they are needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cfdapo.credit.packing import Inexact, PackedPass, running


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


class Scorer:
    """Runs `model` and counts what that costs.

    `passes` is the number of forward passes, `tokens` the number of positions that they computed,
    padding included.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.device = model.get_input_embeddings().weight.device
        self.passes = 0
        self.tokens = 0

    def logits(self, keep: Tensor, **inputs: Any) -> Tensor:
        """Float32 logits of one row at the positions `keep`, shape (len(keep), vocabulary).

        The model's own forward applies its head, and whatever scaling or capping belongs to it,
        to those positions alone.
        """
        ids = inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]
        self.passes += 1
        self.tokens += ids.shape[1]
        return self.model(logits_to_keep=keep, use_cache=False, **inputs).logits[0].float()

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

    def mask(self, allowed: Tensor) -> Tensor:
        """The (rows, queries, keys) relation "may attend" in the form the attention layer takes."""
        allowed = allowed[:, None]
        if self.model.config._attn_implementation == "sdpa":
            return allowed
        dtype = self.model.dtype
        blocked = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
        return blocked.masked_fill_(~allowed, torch.finfo(dtype).min)


def pick(logits: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of `targets` under the distributions `logits[rows]`, float32."""
    return logits[rows, targets] - torch.logsumexp(logits, dim=-1)[rows]
