"""The trainer whose loss has a divergence that the library does not know (GBMPO).

With `beta` 0 the library's loss is the clipped one alone. What this class adds is the penalty, in
one method more than `CFDAPOTrainer` changes: the library has the log-probabilities of the policy
inside `_compute_loss` only, and no place there for another term. That method stays the library's;
the penalty is read off the same forward pass and added to what it returns. With another `beta` the
penalty is the library's own KL term, which is then measured in the same way and not added.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from trl.trainer.utils import use_adapter

from cfdapo.files import UserError
from cfdapo.policy.divergences import Divergence, over_vocabulary
from cfdapo.policy.trainer import CFDAPOTrainer

# Logged names: the mean of D over the completions' tokens, what of a step's loss is the penalty,
# and the norm of the penalty's part of the step's gradient, before that is clipped.
DIVERGENCE = "divergence/mean"
PENALTY, PENALTY_GRADIENT = "divergence/loss", "divergence/grad_norm"
# Every so many steps that norm is measured: by one more backward pass, of the penalty alone.
GRADIENT_EVERY = 10

# Losses whose mean over tokens `_mean` has.
LOSSES = ("dapo", "dr_grpo", "grpo")
# Log-probabilities of the policy by this class and by the library: their mean difference is smaller
# than this. That of one token need not be, as a logit of 16 bits is rounded to an eighth or so.
_AGREE = 0.05


class PenalisedTrainer(CFDAPOTrainer):
    """CFDAPOTrainer with coefficient * mean of D(policy, base model) added to the loss.

    The mean over tokens is the library's own of this `loss_type` (dapo, dr_grpo or grpo), and
    credit does not weigh it. With `exact`, D is summed over the vocabulary instead of taken of the
    sampled token: logits of one completion at a time, computed again in the backward pass. The
    reference is the base model, which is the policy before its first step.

    Where the arguments' `beta` is not 0, `divergence` must be `divergences.kl` and `coefficient`
    that beta: the library adds it, and this class but measures its part.

    Raises ValueError where the model has no adapter, whose base is the reference, or for another
    `loss_type`; `UserError` where the model's logits are not its output layer's (scaled or capped)
    and the divergence is exact.
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
        if self.loss_type not in LOSSES:
            raise ValueError(
                f"loss_type is {self.loss_type!r}; a divergence knows the mean over tokens of "
                f"{', '.join(LOSSES)}"
            )
        if not self.beta and not isinstance(self.model, PeftModel):
            raise ValueError(
                "a divergence is from the model below an adapter, and this model has none; give "
                "the trainer a peft_config"
            )
        self.divergence, self.coefficient, self.exact = divergence, coefficient, exact
        # The sum over the passes of a step that is measured.
        self._gradient: Tensor | None = None

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.beta:
            return output  # the library has scored the reference already
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
        if self.beta and self.args.use_bias_correction_kl:
            old = inputs.get("old_per_token_logps")
            penalty = penalty * (logps - (logps.detach() if old is None else old)).exp()
        term = self.coefficient * self._mean(penalty, inputs)
        self._log_penalty(penalty.detach(), term, mask)
        return loss if self.beta else loss + term

    def _log_penalty(self, penalty: Tensor, term: Tensor, mask: Tensor) -> None:
        training = self.model.training
        log = self._metrics["train" if training else "eval"]
        mean = (penalty * mask).sum() / mask.sum().clamp(min=1)
        log[DIVERGENCE].append(self.accelerator.gather(mean).mean().item())
        if not training:
            return
        # The log has the mean over passes, the step's loss is their sum.
        passes = self.current_gradient_accumulation_steps
        log[PENALTY].append(self.accelerator.gather(passes * term.detach()).mean().item())
        if (self.state.global_step + 1) % GRADIENT_EVERY == 0:
            self._add_gradient(term)
            if self.accelerator.sync_gradients:
                whole: Any = self.accelerator.reduce(self._gradient, reduction="mean")
                log[PENALTY_GRADIENT].append(whole.norm().item())
                self._gradient = None

    def _add_gradient(self, term: Tensor) -> None:
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        parts = torch.autograd.grad(term, trained, retain_graph=True)
        own = torch.cat([part.flatten() for part in parts])
        self._gradient = own if self._gradient is None else self._gradient + own

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

        def scaled(one: Tensor) -> Tensor:
            with self.accelerator.autocast():
                logits = head(one)
            # As the library does it: dividing in 16 bits would round a second time.
            return logits.float() / self.temperature

        def of_one(own: Tensor, reference: Tensor) -> Tensor:
            return over_vocabulary(self.divergence, scaled(own), scaled(reference))

        with torch.no_grad():
            again = scaled(states[0]).log_softmax(-1).gather(-1, ids[0].unsqueeze(-1)).squeeze(-1)
        if (again - logps[0].detach()).abs()[mask[0]].mean() > _AGREE:
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
