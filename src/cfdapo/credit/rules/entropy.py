"""Only the tokens learn that the policy was most uncertain of (arXiv 2506.01939)."""

from dataclasses import dataclass

import torch

from cfdapo.credit.entropy import token_entropies
from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, weighted

NORMALIZERS = ("selected", "all")


class Rule(CreditRule):
    """w_t is 0 but for the `top` share of the batch's tokens with the highest entropy.

    `normalizer` "selected" divides the loss by the tokens that learn, as its authors' code does:
    their weight is all tokens over selected ones. "all" leaves it 1, as TRL's
    `top_entropy_quantile` does under loss "dapo". The entropy is that of the distribution that the
    token was drawn from, at the sampling temperature; one pass a completion.
    """

    @dataclass(frozen=True)
    class Options:
        """top: share of tokens that learn. normalizer: selected or all."""

        top: float = 0.2
        normalizer: str = "selected"

        def __post_init__(self) -> None:
            if not 0 < self.top <= 1:
                raise ValueError("options of entropy: top is above 0 and at most 1")
            if self.normalizer not in NORMALIZERS:
                raise ValueError(
                    f"options of entropy: normalizer is {self.normalizer!r}; "
                    f"allowed: {', '.join(NORMALIZERS)}"
                )

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        entropies = [
            token_entropies(rollout.policy, prompt, ids, rollout.temperature)
            for prompt, ids in zip(rollout.prompts, rollout.completions, strict=True)
        ]
        together = torch.cat(entropies)
        count = max(1, round(self.options.top * len(together)))
        # Ties at the edge are cut by place, so that the share is exact.
        chosen = torch.zeros(len(together))
        chosen[torch.sort(together, descending=True, stable=True).indices[:count]] = 1.0
        if self.options.normalizer == "selected":
            chosen *= len(together) / count
        weights = list(chosen.split([len(one) for one in entropies]))
        return weighted(rollout, weights, passes=len(entropies), tokens=_positions(rollout))


def _positions(rollout: Rollout) -> int:
    pairs = zip(rollout.prompts, rollout.completions, strict=True)
    return sum(len(prompt) + len(ids) - 1 for prompt, ids in pairs)
