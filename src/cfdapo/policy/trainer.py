"""CF-DAPO: TRL's GRPO trainer with one method changed, so that a rule gives the advantages."""

import time
from typing import Any

import torch

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.proxy import Proxy
from cfdapo.credit.rule import TokenAdvantages
from cfdapo.credit.rules import get_rule
from cfdapo.files import UserError
from cfdapo.policy.generation import encode_prompt
from cfdapo.policy.resuming import ResumableTrainer
from cfdapo.policy.rollouts import make_rollout
from cfdapo.settings import ChatVariables

# Logged names of the credit's own figures; `policy.training` turns them into history's columns.
# Those of weights are logged where the rule is one of weights, the last two where there is a cache
# and where the rule samples.
WEIGHT_MEAN, WEIGHT_STD = "credit/weight_mean", "credit/weight_std"
SPANS, PASSES = "credit/spans_per_completion", "credit/passes"
NOISE = "credit/noise_completions"
SECONDS_GENERATION, SECONDS_CREDIT = "seconds/generation", "seconds/credit"
CACHE_HITS = "credit/cache_hits"
GENERATIONS = "credit/generations"


class CFDAPOTrainer(ResumableTrainer):
    """GRPOTrainer, made resumable, whose advantages, of shape (B, T), are a credit rule's.

    With `loss_type="dapo"` the library's clipping and normaliser stay in place, and its KL term,
    where it is on, stays unweighted. `credit` is the `CreditConfig`, whose mode names the rule. A
    column "function" of the data names the function that a prompt asks for, if any. `proxy` is the
    loaded model that `credit` may name, on the policy's device; it reads the prompts by its own
    chat template, with `proxy_chat` as that template's arguments. `max_prompt_tokens` is the length
    of the longest prompt; None looks through the training prompts. Every other argument is
    `ResumableTrainer`'s. Evaluation by the trainer has the library's advantages.

    Raises `UserError` where credit cannot be exact with this model, and ValueError where the rule
    samples, or keeps a group's sum, and a process of several does not hold whole groups.
    """

    def __init__(
        self,
        *args: Any,
        credit: CreditConfig,
        proxy: Proxy | None = None,
        proxy_chat: ChatVariables | None = None,
        max_prompt_tokens: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.credit = credit
        self.rule = get_rule(credit.mode)(self.processing_class, credit, proxy)
        self.proxy = proxy if credit.measures_drops else None
        self.proxy_chat = proxy_chat or {}
        self._check_processes()
        self._settle(max_prompt_tokens or self._longest_prompt())

    def _settle(self, prompt: int) -> None:
        """Refuse, or warn of, what this model's credit costs before anything is generated."""
        model = self.accelerator.unwrap_model(self.model)
        try:
            self.rule.settle(model, prompt, self.max_completion_length, self.num_generations)
        except ValueError as error:
            raise UserError(f"credit: {error}") from error

    def _longest_prompt(self) -> int:
        """Tokens of the longest training prompt; 0 for a stream, whose end nobody knows."""
        rows, tokenizer = self.train_dataset, self.processing_class
        prompts = rows["prompt"] if hasattr(rows, "__len__") else []
        return max((self._prompt_length(tokenizer, prompt) for prompt in prompts), default=0)

    def _prompt_length(self, tokenizer: Any, prompt: Any) -> int:
        if isinstance(prompt, str):
            return len(tokenizer(text=prompt)["input_ids"])
        return len(encode_prompt(tokenizer, prompt, self.chat_template_kwargs))

    def own_state(self) -> dict[str, torch.Tensor]:
        """The rule's own state."""
        return self.rule.state()

    def load_own_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with the rule's state of an interrupted run."""
        self.rule.load_state(state)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        began = time.perf_counter()
        output = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return output  # nothing is learned from it, so that no credit is worth a pass
        generated = time.perf_counter()
        assigned = self.rule(make_rollout(self, inputs, output, self._proxy_prompts(inputs)))
        output["advantages"] = _padded(assigned, output["advantages"], output["completion_mask"])
        self._log_credit(assigned, generated - began, time.perf_counter() - generated)
        return output

    def _check_processes(self) -> None:
        processes = self.accelerator.num_processes
        if processes == 1:
            return
        if self.rule.generates:
            raise ValueError(f"mode {self.credit.mode} samples, which one process can do, not more")
        if self.rule.learns:
            # Each would learn from its own part of a batch, and one of them is in the checkpoint.
            raise ValueError(
                f"mode {self.credit.mode} learns from whole batches, which one process sees, not "
                "one of several"
            )
        steps = self.args.steps_per_generation or 0  # the library sets it
        batch = self.args.per_device_train_batch_size * steps
        if self.rule.keeps == "group" and batch % self.num_generations:
            raise ValueError(
                f"mode {self.credit.mode} needs whole groups in each process: {batch} completions "
                f"are no multiple of num_generations, {self.num_generations}"
            )

    def _proxy_prompts(self, inputs: list[dict[str, Any]]) -> list[list[int]] | None:
        if self.proxy is None:
            return None
        tokenizer = self.proxy.tokenizer
        return [encode_prompt(tokenizer, row["prompt"], self.proxy_chat) for row in inputs]

    def _log_credit(self, assigned: TokenAdvantages, generation: float, credit: float) -> None:
        spans = [len(one.tokens) for one in assigned.credits if one.text]
        values = {
            # Nobody looks for spans in vanilla, between the steps that are measured, and in a group
            # that teaches nothing.
            SPANS: sum(spans) / len(spans) if spans else 0.0,
            PASSES: float(assigned.passes),
            NOISE: float(sum(one.noise for one in assigned.credits)),
            SECONDS_GENERATION: generation,
            SECONDS_CREDIT: credit,
        }
        if assigned.weights is not None:
            weights = torch.cat(assigned.weights)
            values[WEIGHT_MEAN] = weights.mean().item()
            values[WEIGHT_STD] = weights.std(unbiased=False).item()
        if self.credit.cache:
            values[CACHE_HITS] = float(assigned.hits)
        if self.rule.generates:
            values[GENERATIONS] = float(assigned.generations)
        for name, value in values.items():
            self._metrics["train"][name].append(value)


def _padded(
    assigned: TokenAdvantages, advantages: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Token advantages, shape (B, T); on the padding, which no loss reads, the completion's own."""
    padded = advantages.unsqueeze(1).repeat(1, mask.shape[1])
    for row, kept, own in zip(padded, mask.bool(), assigned.advantages, strict=True):
        row[kept] = own.to(row)
    return padded
