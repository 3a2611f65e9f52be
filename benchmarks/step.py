"""The rest of a training step, to see credit beside: one generation and one update."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cfdapo.credit.importance import DropRequest
from cfdapo.policy.models import add_lora


def time_step(
    model: nn.Module, requests: Sequence[DropRequest], batch: int, repeats: int
) -> dict[str, float]:
    """Median seconds to generate as many tokens as `requests` have, and to update on them.

    Generation is transformers' own, in one batch, every completion as long as the longest. The
    update is a forward and a backward pass over `batch` completions at a time, then AdamW on LoRA
    adapters of the paper's rank, whose learning rate is 0; the model comes back as it was.
    """
    adapted = add_lora(model, {"r": 32, "alpha": 32, "dropout": 0.0})
    prompts = _padded([list(request.prompt_ids) for request in requests], left=True)
    completions = _padded([list(request.completion_ids) for request in requests], left=False)
    phases: dict[str, Callable[[], None]] = {
        "generation": lambda: _generate(adapted, *prompts, completions[0].shape[1]),
        "update": lambda: _update(adapted, prompts, completions, batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in phases}
    for repeat in range(repeats + 1):
        for name, phase in phases.items():
            begin = time.perf_counter()
            phase()
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first turn warms up
                seconds[name].append(time.perf_counter() - begin)
    adapted.unload()
    return {name: statistics.median(values) for name, values in seconds.items()}


def _padded(rows: list[list[int]], left: bool) -> tuple[Tensor, Tensor]:
    """Ids and mask, shape (rows, longest)."""
    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for line, seen, row in zip(ids, mask, rows, strict=True):
        where = slice(len(ids[0]) - len(row), None) if left else slice(len(row))
        line[where], seen[where] = torch.tensor(row), 1
    return ids, mask


@torch.no_grad()
def _generate(model: nn.Module, ids: Tensor, mask: Tensor, length: int) -> None:
    model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        do_sample=True,
        min_new_tokens=length,
        max_new_tokens=length,
        pad_token_id=0,
    )


def _update(
    model: nn.Module,
    prompts: tuple[Tensor, Tensor],
    completions: tuple[Tensor, Tensor],
    batch: int,
) -> None:
    ids, mask = (
        torch.cat(both, dim=1).to(model.device) for both in zip(prompts, completions, strict=True)
    )
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad], lr=0.0, weight_decay=0.0
    )
    length = completions[0].shape[1]
    for begin in range(0, len(ids), batch):
        rows, seen = ids[begin : begin + batch], mask[begin : begin + batch]
        logits = model(rows, attention_mask=seen, logits_to_keep=length + 1).logits[:, :-1].float()
        targets = rows[:, -length:, None]
        picked = logits.gather(2, targets)[..., 0] - logits.logsumexp(2)
        (-(picked * seen[:, -length:]).sum() / mask[:, -length:].sum()).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
