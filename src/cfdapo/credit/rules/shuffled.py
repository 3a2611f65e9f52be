"""A control: the weights that counterfactual gave, permuted among a completion's spans."""

from dataclasses import replace
from typing import Any

import torch

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.rule import Rollout, TokenAdvantages, weighted
from cfdapo.credit.weighting import Weighting
from cfdapo.credit.weights import rescale_to_mean_one, token_weights


class Rule(Weighting):
    """The same drops on spans drawn at random: equation 6's numbers without what they say."""

    measures_drops = True

    def _weighed_by(self, config: CreditConfig) -> CreditConfig:
        return replace(config, mode="counterfactual", options={})

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        measured = super().assign(rollout)
        credits = [self._shuffle(credit, rollout.generator) for credit in measured.credits]
        shuffled = weighted(rollout, [credit.weights for credit in credits], credits=credits)
        return replace(
            measured, advantages=shuffled.advantages, weights=shuffled.weights, credits=credits
        )

    def _shuffle(self, credit: Any, generator: torch.Generator) -> Any:
        if len(credit.tokens) < 2:
            return credit
        order = torch.randperm(len(credit.tokens), generator=generator)
        config = self.config
        weights = token_weights(
            credit.drops[order],
            credit.tokens,
            credit.answer,
            len(credit.weights),
            "counterfactual",
            config.w_min,
            config.w_max,
            config.w_answer,
        )
        rescaled = rescale_to_mean_one(weights) if config.rescale_to_mean_one else weights
        return replace(credit, weights=rescaled)
