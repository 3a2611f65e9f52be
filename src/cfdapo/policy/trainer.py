"""CF-DAPO: TRL's GRPO trainer with one method changed, so that advantages are weighted by token."""

import time
from typing import Any

import torch

from cfdapo.credit.assigner import Assignment, CreditAssigner, CreditConfig
from cfdapo.credit.proxy import Proxy
from cfdapo.policy.generation import encode_prompt
from cfdapo.policy.resuming import ResumableTrainer

# Logged names of the credit's own figures; `stages.train` turns them into history's columns.
METRICS = (
    "credit/weight_mean",
    "credit/weight_std",
    "credit/spans_per_completion",
    "credit/passes",
    "seconds/generation",
    "seconds/credit",
)
# Logged only where there is a cache.
CACHE_HITS = "credit/cache_hits"


class CFDAPOTrainer(ResumableTrainer):
    """GRPOTrainer, made resumable, whose advantages are A_i * w_t, of shape (B, T) (equation 8).

    With `loss_type="dapo"` the library's clipping and normaliser stay in place, and its KL term,
    where it is on, stays unweighted. `credit` is the `CreditConfig`. A column "function" of the
    data names the function that a prompt asks for, if any. `proxy` is the loaded model
    that it may name, on the policy's device; it reads the prompts by its own chat template, with
    `proxy_chat` as that template's arguments. Every other argument is `ResumableTrainer`'s.
    """

    def __init__(
        self,
        *args: Any,
        credit: CreditConfig,
        proxy: Proxy | None = None,
        proxy_chat: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.credit = credit
        self.assigner = CreditAssigner(self.processing_class, credit, proxy)
        self.proxy_chat = proxy_chat or {}

    def own_state(self) -> dict[str, torch.Tensor]:
        """The drops that are kept for later steps."""
        return self.assigner.cache.state()

    def load_own_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with the drops that an interrupted run kept."""
        self.assigner.cache.load_state(state)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        began = time.perf_counter()
        output = super()._generate_and_score_completions(inputs)
        generated = time.perf_counter()
        mask = output["completion_mask"].bool()
        assignment = self._assign(inputs, output, mask)
        output["advantages"] = output["advantages"].unsqueeze(1) * _padded(assignment, mask)
        self._log_credit(assignment, generated - began, time.perf_counter() - generated)
        return output

    def _assign(
        self, inputs: list[dict[str, Any]], output: dict[str, Any], mask: torch.Tensor
    ) -> Assignment:
        """Credit for the rollout batch, before it is shuffled and split."""
        # A group whose rewards are all equal has advantage 0 and teaches nothing.
        groups = output["advantages"].view(-1, self.num_generations)
        active = groups.abs().amax(dim=1).gt(0).repeat_interleave(self.num_generations)
        prompts = _unpadded(output["prompt_ids"], output["prompt_mask"].bool())
        return self.assigner.assign(
            self.accelerator.unwrap_model(self.model),
            prompts,
            _unpadded(output["completion_ids"], mask),
            active.tolist(),
            self._generator(),
            self.state.global_step,
            self._proxy_prompts(inputs),
            [row.get("function") for row in inputs],
        )

    def _proxy_prompts(self, inputs: list[dict[str, Any]]) -> list[list[int]] | None:
        if self.assigner.proxy is None:
            return None
        tokenizer = self.assigner.proxy.tokenizer
        return [encode_prompt(tokenizer, row["prompt"], self.proxy_chat) for row in inputs]

    def _generator(self) -> torch.Generator:
        """A generator for the weights of mode random, the same after a resume at this step."""
        rank = self.accelerator.process_index
        seed = (self.args.seed * 1_000_003 + self.state.global_step) * 1_009 + rank
        return torch.Generator().manual_seed(seed)

    def _log_credit(self, assignment: Assignment, generation: float, credit: float) -> None:
        weights = torch.cat([credit.weights for credit in assignment.credits])
        spans = [len(credit.tokens) for credit in assignment.credits if credit.text]
        values = (
            weights.mean().item(),
            weights.std(unbiased=False).item(),
            # Nobody looks for spans in vanilla, between the steps that are measured, and in a group
            # that teaches nothing.
            sum(spans) / len(spans) if spans else 0.0,
            float(assignment.passes),
            generation,
            credit,
        )
        mode = "train" if self.model.training else "eval"
        for name, value in zip(METRICS, values, strict=True):
            self._metrics[mode][name].append(value)
        if self.credit.cache:
            self._metrics[mode][CACHE_HITS].append(float(assignment.hits))


def _unpadded(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    return [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]


def _padded(assignment: Assignment, mask: torch.Tensor) -> torch.Tensor:
    """Weights of all completions, shape (B, T), 1 on the padding."""
    weights = torch.ones(mask.shape)
    for row, credit in zip(weights, assignment.credits, strict=True):
        row[: len(credit.weights)] = credit.weights
    return weights.to(mask.device)
