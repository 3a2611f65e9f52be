"""The methods of measuring drops side by side: what each takes, and how far it is from another."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from memory import device_growth
from scipy.stats import spearmanr
from timing import timed
from torch import Tensor, nn

from cfdapo.credit.importance import DropRequest, Measurement, measure_drops_batch

# The package's own, and whole sequences in batches, which only stands here to be compared with.
METHODS = ("serial", "batched", "prefix", "gradient")


@dataclass
class Turns:
    """What a method found, and what each of its turns took.

    `growth` is the most that the device's memory grew by in the last turn, in bytes; None on a CPU.
    """

    result: Measurement | None = None
    seconds: list[float] = field(default_factory=list)
    growth: int | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def take(self, method: Callable[[], Measurement], device: torch.device | str) -> None:
        """One more turn."""
        (self.result, seconds), self.growth = device_growth(lambda: timed(method, device), device)
        self.seconds.append(seconds)

    def cost(self) -> dict[str, Any]:
        """Passes, tokens, seconds and memory, as a row of a table has them."""
        return {
            "passes": self.result.passes,
            "tokens": self.result.tokens,
            "seconds": self.median,
            "peak bytes": self.growth,
        }


def run(
    method: str,
    model: nn.Module,
    requests: Sequence[DropRequest],
    placeholder: int,
    token_budget: int,
) -> Measurement:
    """Drops by one of METHODS."""
    if method == "batched":
        return batched(model, requests, placeholder, token_budget)
    return measure_drops_batch(
        model, requests, placeholder, method=method, token_budget=token_budget
    )


@torch.no_grad()
def batched(
    model: nn.Module, requests: Sequence[DropRequest], placeholder: int, token_budget: int
) -> Measurement:
    """Whole sequences of similar length, padded into batches (Appendix A, first improvement)."""
    rows, first = [], []
    for request in requests:
        prompt = list(request.prompt_ids)
        whole = prompt + list(request.completion_ids)[: request.answer.stop]
        rows.append(whole)
        for span in request.spans:
            start, stop = len(prompt) + span.start, len(prompt) + span.stop
            rows.append(whole[:start] + [placeholder] * (stop - start) + whole[stop:])
        first += [len(prompt) + request.answer.start] * (1 + len(request.spans))
    scores = torch.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    passes = tokens = 0
    while order:
        width = len(rows[order[0]])
        size = max(1, token_budget // width)
        chunk, order = order[:size], order[size:]
        ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in chunk])
        keep = torch.zeros(ids.shape, dtype=torch.bool)
        for row, i in enumerate(chunk):
            keep[row, first[i] - 1 : len(rows[i]) - 1] = True
        targets = ids.roll(-1, 1)[keep].to(model.device)
        # No mask: the padding stands behind everything that is scored, where nothing sees it.
        with _head_at(model, keep.to(model.device)):
            logits = model(ids.to(model.device), use_cache=False).logits.float()
        picked = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(-1)
        owner = torch.tensor(chunk).repeat_interleave(keep.sum(1))
        scores.index_add_(0, owner, picked.cpu())
        passes, tokens = passes + 1, tokens + ids.numel()
    drops, baselines, begin = [], [], 0
    for request in requests:
        own = scores[begin : begin + 1 + len(request.spans)]
        drops.append(own[1:] - own[0])
        baselines.append(own[0])
        begin += len(own)
    return Measurement(drops, torch.stack(baselines), passes, tokens)


@contextmanager
def _head_at(model: nn.Module, keep: Tensor) -> Iterator[None]:
    """Apply the model's head at the positions `keep` (rows, tokens) alone, in one row of logits.

    transformers 5.23 takes such a mask as `logits_to_keep`, 5.17 does not.
    """
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][keep],))
    try:
        yield
    finally:
        handle.remove()


def compare(
    methods: dict[str, Callable[[], Measurement]], repeats: int, device: str
) -> list[dict[str, Any]]:
    """One row a method: cost, speed and agreement with the first, the reference.

    They take turns; a first one, to warm up, is not counted.
    """
    for method in methods.values():
        method()
    turns = {name: Turns() for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            turns[name].take(method, device)
    reference = next(iter(turns.values()))
    return [
        {
            "method": name,
            **taken.cost(),
            # The median of the repeats' own ratios: both sides of each were taken side by side.
            "speed-up": statistics.median(
                a / b for a, b in zip(reference.seconds, taken.seconds, strict=True)
            ),
            **agreement(taken.result.drops, reference.result.drops),
        }
        for name, taken in turns.items()
    ]


def agreement(drops: Sequence[Tensor], exact: Sequence[Tensor]) -> dict[str, float]:
    """How far drops are from others of the same requests, tensors of shape (K,) both.

    "max diff": the largest difference, in nats. "rank corr.": Spearman's correlation over all
    spans. "within": its mean over completions with three spans or more, nan where there are none.
    """
    own, other = torch.cat(list(drops)), torch.cat(list(exact))
    pairs = [(one, two) for one, two in zip(drops, exact, strict=True) if len(one) > 2]
    within = [float(spearmanr(one, two).statistic) for one, two in pairs]
    return {
        "max diff": float((own - other).abs().max()),
        "rank corr.": float(spearmanr(own, other).statistic),
        "within": statistics.mean(within) if within else float("nan"),
    }
