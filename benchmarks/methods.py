"""The methods of measuring drops side by side: what each takes, and how far it is from another."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from memory import device_growth
from scipy.stats import spearmanr
from timing import timed
from torch import Tensor, nn

from cfdapo.credit.importance import DropRequest, Measurement, measure_drops_batch
from cfdapo.credit.interventions import make_plan
from cfdapo.credit.scoring import Scorer, evaluating
from cfdapo.credit.serial import batched_drops

# The package's own, and whole sequences in batches, which it takes where no other way is exact.
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


def batched(
    model: nn.Module, requests: Sequence[DropRequest], placeholder: int, token_budget: int
) -> Measurement:
    """Whole sequences of similar length, padded into batches (Appendix A, first improvement).

    The package runs them so where no packed pass is exact; here they are to be compared with it.
    """
    plans = [make_plan(request, placeholder, "pad", "answer") for request in requests]
    scorer = Scorer(model)
    with evaluating(model), torch.no_grad():
        drops, baselines = zip(*batched_drops(scorer, plans, token_budget), strict=True)
    return Measurement(list(drops), torch.tensor(baselines), scorer.passes, scorer.tokens)


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
