"""How noisy the policy gradient is that token advantages make, between two groups of one prompt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cfdapo.credit.rule import Rollout
from cfdapo.credit.scoring import evaluating


@dataclass(frozen=True)
class Noise:
    """What two independent gradients g and h of one prompt say of their distribution.

    variance: |g - h|^2 / 2, whose mean is the trace of the gradient's covariance. signal: g . h,
    whose mean is the squared length of the mean gradient. square: |h|^2. ascent: h . t, where t is
    the first group's gradient by the true advantages, so that its mean is that of h times the
    gradient of the expected reward; None without a truth.
    """

    variance: float
    signal: float
    square: float
    ascent: float | None


def adapted_weights(model: Any) -> list[Tensor]:
    """The weights of all linear layers but the output's: those that adapters are made for.

    Of a model with an adapter, the weights below it, whose gradient is that of their sum.
    """
    output = model.get_output_embeddings()
    return [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not output and "lora_" not in name
    ]


class GroupGradients:
    """Gradients of a group's sum over tokens of A_{i,t} log pi(y_{i,t}), twice for one prompt.

    At the policy that sampled, where no ratio is clipped, this is DAPO's gradient but for the
    number of tokens that it is divided by. `members` are the group's places in either rollout,
    `truth` the true advantages of the first one's tokens, a tensor a completion of the batch.
    """

    def __init__(
        self,
        model: Any,
        rollouts: Sequence[Rollout],
        members: Sequence[int],
        truth: Sequence[Tensor] | None = None,
    ):
        self.weights, self.members = adapted_weights(model), list(members)
        self.logs = [token_log_probabilities(model, rollout, members) for rollout in rollouts]
        self.true = self._gradient(0, truth) if truth else None

    def noise(self, advantages: Sequence[Sequence[Tensor]]) -> Noise:
        """By a rule's token advantages of each rollout, a tensor a completion."""
        g, h = (self._gradient(number, own) for number, own in enumerate(advantages))
        difference = [one - other for one, other in zip(g, h, strict=True)]
        return Noise(
            variance=_product(difference, difference) / 2,
            signal=_product(g, h),
            square=_product(h, h),
            ascent=_product(h, self.true) if self.true else None,
        )

    def _gradient(self, number: int, advantages: Sequence[Tensor]) -> list[Tensor]:
        own = torch.cat([advantages[index] for index in self.members])
        if not own.any():
            return [torch.zeros_like(weight, dtype=torch.float32) for weight in self.weights]
        total = (own.to(self.logs[number]) * self.logs[number]).sum()
        found = torch.autograd.grad(total, self.weights, retain_graph=True)
        return [one.float() for one in found]


def _product(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    return sum(float((a * b).double().sum()) for a, b in zip(one, other, strict=True))


def token_log_probabilities(model: Any, rollout: Rollout, members: Sequence[int]) -> Tensor:
    """Log-probability of every token of a group's completions, end to end, at the temperature."""
    prompt, completions = (
        rollout.prompts[members[0]],
        [rollout.completions[index] for index in members],
    )
    width = max(map(len, completions))
    device = model.get_input_embeddings().weight.device
    ids = torch.tensor(
        [[*prompt, *one, *[0] * (width - len(one))] for one in completions], device=device
    )
    lengths = torch.tensor([len(one) for one in completions], device=device)
    own = torch.arange(width, device=device) < lengths[:, None]
    mask = torch.cat([torch.ones_like(ids[:, : len(prompt)]), own.to(ids)], dim=1)
    with evaluating(model):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    logs = torch.log_softmax(logits[:, len(prompt) - 1 : -1].float() / rollout.temperature, dim=-1)
    return logs.gather(2, ids[:, len(prompt) :, None])[..., 0][own]


@contextmanager
def differentiable(weights: Sequence[Tensor]) -> Iterator[None]:
    """Gradients of `weights`, which have none, can be asked for meanwhile."""
    try:
        for weight in weights:
            weight.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for weight in weights:
            weight.requires_grad_(False)
