"""The rest of a training step, to see credit beside: one generation and one update."""

import statistics
from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from timing import timed
from torch import Tensor, nn

from cfdapo.credit.importance import DropRequest
from cfdapo.policy.models import add_lora
from cfdapo.study import load_study


def as_trained(model: nn.Module) -> nn.Module:
    """`model` with the paper's LoRA as a trainer holds it: in bfloat16 on a GPU under autocast.

    Every adapter's second matrix, which begins as zeros, is random: zeros could be quicker.
    """
    policy = add_lora(model, load_study("paper").lora)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    device = model.device.type
    half = device == "cuda" and model.dtype == torch.bfloat16
    accelerator = Accelerator(mixed_precision="bf16" if half else "no", cpu=device == "cpu")
    return accelerator.prepare_model(policy).eval()


def time_step(
    policy: nn.Module, requests: Sequence[DropRequest], batch: int, repeats: int
) -> dict[str, float]:
    """Median seconds of `phases`, which take turns; a first one, to warm up, is not counted."""
    found = phases(policy, requests, batch)
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for repeat in range(repeats + 1):
        for name, phase in found.items():
            spent = timed(phase, policy.device)[1]
            if repeat:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def phases(
    policy: nn.Module, requests: Sequence[DropRequest], batch: int
) -> dict[str, Callable[[], None]]:
    """A generation of as many tokens as `requests` have, and an update of the LoRA on them.

    Generation is transformers' own, in one batch, every completion as long as the longest. The
    update is a forward and a backward pass over `batch` completions at a time, then AdamW with a
    learning rate of 0, so the policy stays as it was.
    """
    prompts = _padded([list(request.prompt_ids) for request in requests], left=True)
    completions = _padded([list(request.completion_ids) for request in requests], left=False)
    return {
        "generation": lambda: _generate(policy, *prompts, completions[0].shape[1]),
        "update": lambda: _update(policy, prompts, completions, batch),
    }


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
