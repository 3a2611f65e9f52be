"""The paper's family of rules: DAPO's advantage times a weight for every token (equation 8)."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from cfdapo.credit.assigner import Credit, CreditAssigner, CreditConfig
from cfdapo.credit.proxy import Proxy
from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, weighted


class Weighting(CreditRule):
    """Weights by the mode of that name in `credit.weights` (Sections 3.2 and 3.4).

    Keeps nothing of DAPO's scale, unless `rescale_to_mean_one` gives every completion's weights the
    mean 1; then it keeps each completion's sum.
    """

    def __init__(self, tokenizer: Any, config: CreditConfig, proxy: Proxy | None = None):
        super().__init__(tokenizer, config, proxy)
        self.assigner = CreditAssigner(tokenizer, self._weighed_by(config), proxy)

    def _weighed_by(self, config: CreditConfig) -> CreditConfig:
        """The settings by which the weights are made; a rule may take those of another mode."""
        return config

    def settle(self, model: nn.Module, prompt: int, completion: int, group: int) -> None:
        self.assigner.settle(model, prompt, completion, group)

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        measured = self.assigner.assign(
            rollout.policy,
            rollout.prompts,
            rollout.completions,
            rollout.active(),
            rollout.generator,
            rollout.step,
            rollout.proxy_prompts,
            [row.get("function") for row in rollout.rows],
        )
        return weighted(
            rollout,
            [credit.weights for credit in measured.credits],
            credits=measured.credits,
            passes=measured.passes,
            tokens=measured.tokens,
            hits=measured.hits,
            **_missing(measured.credits),
        )

    def state(self) -> dict[str, Any]:
        """The drops that are kept for later steps."""
        return self.assigner.cache.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.assigner.cache.load_state(state)


def _missing(credits: Sequence[Credit]) -> dict[str, int]:
    """`TokenAdvantages`' counts of what was looked for and not found."""
    read = [credit for credit in credits if credit.text]
    return {
        "read": len(read),
        "without_answer": sum(credit.sink is None for credit in read),
        "without_span": sum(credit.sink is not None and not credit.tokens for credit in read),
    }
