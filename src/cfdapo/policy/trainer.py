"""CF-DAPO: TRL's GRPO trainer with one method changed, so that advantages are weighted by token."""

import time
from typing import Any

import torch

from cfdapo.credit.assigner import Assignment, CreditAssigner, CreditConfig
from cfdapo.credit.proxy import Proxy
from cfdapo.files import UserError
from cfdapo.policy.generation import encode_prompt
from cfdapo.policy.resuming import ResumableTrainer

# Logged names of the credit's own figures; `stages.train` turns them into history's columns.
METRICS = (
    "credit/weight_mean",
    "credit/weight_std",
    "credit/spans_per_completion",
    "credit/passes",
    "credit/noise_completions",
    "seconds/generation",
    "seconds/credit",
)
# Logged only where there is a cache.
CACHE_HITS = "credit/cache_hits"


class CFDAPOTrainer(ResumableTrainer):
    """GRPOTrainer, made resumable, whose advantages are A_i * w_t, of shape (B, T) (equation 8).

    With `loss_type="dapo"` the library's clipping and normaliser stay in place, and its KL term,
    where it is on, stays unweighted. `credit` is the `CreditConfig`. `proxy` is the loaded model
    that it may name, on the policy's device; it reads the prompts by its own chat template, with
    `proxy_chat` as that template's arguments. `max_prompt_tokens` is the length of the longest
    prompt; None looks through the training prompts. Every other argument is `ResumableTrainer`'s.
    Raises `UserError` where credit cannot be exact with this model.
    """

    def __init__(
        self,
        *args: Any,
        credit: CreditConfig,
        proxy: Proxy | None = None,
        proxy_chat: dict[str, Any] | None = None,
        max_prompt_tokens: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.credit = credit
        self.assigner = CreditAssigner(self.processing_class, credit, proxy)
        self.proxy_chat = proxy_chat or {}
        if credit.measures_drops:
            self._settle(max_prompt_tokens or self._longest_prompt())

    def _settle(self, prompt: int) -> None:
        """Refuse, or warn of, what this model's credit costs before anything is generated."""
        model = self.accelerator.unwrap_model(self.model)
        try:
            self.assigner.settle(model, prompt, self.max_completion_length, self.num_generations)
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
            float(sum(credit.noise for credit in assignment.credits)),
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
