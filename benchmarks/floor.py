"""The least time that exact drops can take: each token once, at the rate of matrix products."""

import statistics
import time
from collections.abc import Sequence

import torch
from torch import nn

from cfdapo.credit.importance import DropRequest

_SECONDS = 0.5


def least_tokens(requests: Sequence[DropRequest]) -> int:
    """Tokens that no exact method can leave out where spans are overwritten with pad tokens.

    Each prompt once, each completion up to its answer's last token but one, and behind each span
    what comes after the span's first token.
    """
    prompts = {tuple(request.prompt_ids) for request in requests}
    tokens = sum(map(len, prompts))
    for request in requests:
        last = request.answer.stop - 1
        tokens += last + sum(last - span.start for span in request.spans)
    return tokens


def matmul_rate(model: nn.Module, rows: int) -> float:
    """Floating point operations a second of the model's own largest matrix, times `rows` tokens."""
    weights = [w for name, w in model.named_parameters() if w.ndim == 2 and "embed" not in name]
    weight = max(weights, key=torch.numel).detach()
    tokens = torch.randn(rows, weight.shape[1], device=weight.device).to(weight.dtype)
    seconds: list[float] = []
    with torch.no_grad():
        while len(seconds) < 4 or sum(seconds) < _SECONDS:
            _wait(weight.device)
            begin = time.perf_counter()
            tokens @ weight.T
            _wait(weight.device)
            seconds.append(time.perf_counter() - begin)
    return 2 * rows * weight.numel() / statistics.median(seconds[1:])


def floor_seconds(model: nn.Module, requests: Sequence[DropRequest]) -> float:
    """Seconds for two operations a token and parameter; embeddings look up and do not multiply."""
    multiplying = sum(
        weight.numel() for name, weight in model.named_parameters() if "embed_tokens" not in name
    )
    tokens = least_tokens(requests)
    return tokens * 2 * multiplying / matmul_rate(model, min(tokens, 4096))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
