"""The least time that exact drops can take: each token once, at the rate of matrix products."""

import statistics
from collections.abc import Sequence

import torch
from timing import timed
from torch import Tensor, nn

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


def scored_tokens(requests: Sequence[DropRequest]) -> int:
    """Tokens at which a method has to apply the model's head: every answer's, a sequence each."""
    return sum((r.answer.stop - r.answer.start) * (1 + len(r.spans)) for r in requests)


def matmul_rate(weight: Tensor, rows: int) -> float:
    """Floating point operations a second of multiplying `rows` random tokens with `weight`."""
    weight = weight.detach()
    tokens = torch.randn(rows, weight.shape[1], device=weight.device).to(weight.dtype)
    seconds: list[float] = []
    with torch.no_grad():
        while len(seconds) < 4 or sum(seconds) < _SECONDS:
            seconds.append(timed(lambda: tokens @ weight.T, weight.device)[1])
    return 2 * rows * weight.numel() / statistics.median(seconds[1:])


def floor(
    model: nn.Module, requests: Sequence[DropRequest], rows: int = 4096
) -> dict[str, float | int]:
    """The least tokens and operations, the device's rate, and the seconds that follow from them.

    The rate is that of the model's own largest matrix times at most `rows` tokens. Operations are
    two a token and parameter: embeddings look up and do not multiply, the head multiplies what is
    scored and nothing else, and attention's own products are left out.
    """
    head = model.get_output_embeddings().weight
    inner = [
        weight
        for name, weight in model.named_parameters()
        if "embed_tokens" not in name and weight is not head
    ]
    tokens = least_tokens(requests)
    operations = 2 * (
        tokens * sum(weight.numel() for weight in inner) + scored_tokens(requests) * head.numel()
    )
    largest = max((weight for weight in inner if weight.ndim == 2), key=torch.numel)
    rate = matmul_rate(largest, min(tokens, rows))
    return {
        "least tokens": tokens,
        "operations": operations,
        "operations a second": rate,
        "floor seconds": operations / rate,
    }
