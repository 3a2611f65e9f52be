"""The trainer whose loss has a divergence that the library does not know (GBMPO).

With `beta` 0 the library's loss is the clipped one alone. What this class adds is the penalty, in
one method more than `CFDAPOTrainer` changes: the library has the log-probabilities of the policy
inside `_compute_loss` only, and no place there for another term. That method stays the library's;
the penalty is read off the same forward pass and added to what it returns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from trl.trainer.utils import use_adapter

from cfdapo.files import UserError
from cfdapo.policy.divergences import Divergence, over_vocabulary
from cfdapo.policy.trainer import CFDAPOTrainer

# Logged name of the mean of D over the completions' tokens.
DIVERGENCE = "divergence/mean"

# The policy's log-probabilities by this class and by the library differ by rounding alone.
_AGREE = 0.05


class PenalisedTrainer(CFDAPOTrainer):
    """CFDAPOTrainer with coefficient * mean of D(policy, base model) added to the loss.

    The mean over tokens is the library's own of this `loss_type` (dapo, dr_grpo or grpo), and
    credit does not weigh it. With `exact`, D is summed over the vocabulary instead of taken of the
    sampled token: logits of one completion at a time, computed again in the backward pass. The
    reference is the base model, which is the policy before its first step.

    Raises `UserError` where the model's logits are not its output layer's (scaled or capped) and
    the divergence is exact.
    """

    def __init__(
        self,
        *args: Any,
        divergence: Divergence,
        coefficient: float,
        exact: bool = False,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.divergence, self.coefficient, self.exact = divergence, coefficient, exact

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        model = self.accelerator.unwrap_model(self.model)
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        length = output["completion_ids"].shape[1]
        size = self.args.per_device_train_batch_size
        with torch.no_grad(), use_adapter(model, None), self._states(model) as states:
            logps, _, _ = self._get_per_token_logps_and_entropies(
                self.model, ids, mask, length, size
            )
        output["ref_per_token_logps"] = logps
        if self.exact:
            output["ref_states"] = _predicting(torch.cat(states), length)
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        outputs: list[Any] = []
        watch = model.register_forward_hook(lambda *passed: outputs.append(passed[-1]))
        try:
            with self._states(model) as states:
                loss = super()._compute_loss(model, inputs)
        finally:
            watch.remove()
        mask = inputs["completion_mask"]
        logps = outputs[0].log_probs[:, -mask.shape[1] :]
        if self.exact:
            penalty = self._exactly(model, _predicting(states[0], mask.shape[1]), logps, inputs)
        else:
            penalty = self.divergence(logps, inputs["ref_per_token_logps"])
        mode = "train" if self.model.training else "eval"
        mean = (penalty.detach() * mask).sum() / mask.sum().clamp(min=1)
        self._metrics[mode][DIVERGENCE].append(self.accelerator.gather(mean).mean().item())
        return loss + self.coefficient * self._mean(penalty, inputs)

    @contextmanager
    def _states(self, model: Any) -> Iterator[list[Tensor]]:
        """The last hidden states of every pass; none where the sampled tokens are enough."""
        states: list[Tensor] = []
        if not self.exact:
            yield states
            return
        decoder = self.accelerator.unwrap_model(model).get_base_model().base_model
        watch = decoder.register_forward_hook(
            lambda *passed: states.append(passed[-1].last_hidden_state)
        )
        try:
            yield states
        finally:
            watch.remove()

    def _exactly(self, model: Any, states: Tensor, logps: Tensor, inputs: dict[str, Any]) -> Tensor:
        """D summed over the vocabulary, of shape (B, T)."""
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        ids, mask = inputs["completion_ids"], inputs["completion_mask"].bool()

        def of_one(own: Tensor, reference: Tensor) -> Tensor:
            with self.accelerator.autocast():
                logits = [head(one) / self.temperature for one in (own, reference)]
            return over_vocabulary(self.divergence, *logits)

        with torch.no_grad(), self.accelerator.autocast():
            again = (head(states[0]) / self.temperature).float().log_softmax(-1)
        again = again.gather(-1, ids[0].unsqueeze(-1)).squeeze(-1)
        if ((again - logps[0].detach()).abs() > _AGREE)[mask[0]].any():
            raise UserError(
                "training.divergence.estimator: exact needs a model whose logits are its output "
                "layer's; this one's are scaled or capped, so only sampled is right"
            )
        pairs = zip(states, inputs["ref_states"], strict=True)
        return torch.stack([checkpoint(of_one, *pair, use_reentrant=False) for pair in pairs])

    def _mean(self, penalty: Tensor, inputs: dict[str, Any]) -> Tensor:
        """Over the tokens of an accumulated batch, as the library's loss of this type has it.

        A test holds it against the library's own KL term.
        """
        mask, training = inputs["completion_mask"], self.model.training
        passes = self.current_gradient_accumulation_steps if training else 1
        if self.loss_type == "grpo":
            each = (penalty * mask).sum(-1) / mask.sum(-1).clamp(min=1)
            return each.mean() / passes
        total = (penalty * mask).sum()
        if self.loss_type == "dr_grpo":
            return total / (len(mask) * self.max_completion_length) / passes
        tokens = inputs["num_items_in_batch"].clamp(min=1) / self.accelerator.num_processes
        if training:
            tokens = tokens * passes / (self.args.steps_per_generation or 1)
        return total / tokens


def _predicting(states: Tensor, length: int) -> Tensor:
    """Of all positions' states, those that predict the last `length` tokens."""
    return states[:, -length - 1 : -1]
