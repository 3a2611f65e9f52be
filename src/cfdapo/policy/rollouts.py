"""A trainer's batch as a credit rule reads it, with the policy at hand to sample and to grade."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cfdapo.credit.alignment import completion_text
from cfdapo.credit.rule import Prefix, Prompt, Rollout, TokenIds
from cfdapo.credit.scoring import evaluating
from cfdapo.files import UserError
from cfdapo.policy.generation import continue_all, encode_either

if TYPE_CHECKING:
    from cfdapo.policy.trainer import CFDAPOTrainer


def make_rollout(
    trainer: "CFDAPOTrainer",
    inputs: list[dict[str, Any]],
    output: dict[str, Any],
    proxy_prompts: list[TokenIds] | None,
) -> Rollout:
    """What `GRPOTrainer._generate_and_score_completions` gave for `inputs`, before it is split."""
    completions = unpadded(output["completion_ids"], output["completion_mask"].bool())
    policy = Policy(trainer, inputs)
    return Rollout(
        policy=policy.model,
        prompts=unpadded(output["prompt_ids"], output["prompt_mask"].bool()),
        completions=completions,
        texts=[completion_text(ids, policy.tokenizer) for ids in completions],
        groups=_groups(trainer, len(inputs)),
        rewards=_local(trainer, _rewards(trainer), len(inputs)),
        advantages=output["advantages"].float().cpu(),
        rows=inputs,
        step=_batch_number(trainer),
        generator=step_generator(trainer),
        temperature=trainer.temperature,
        sample=policy.sample,
        grade=policy.grade,
        encode=policy.encode,
        proxy_prompts=proxy_prompts,
    )


class Policy:
    """Samples and grades for a rule as `trainer` does it for its own completions."""

    def __init__(self, trainer: "CFDAPOTrainer", inputs: list[dict[str, Any]]):
        self.trainer, self.inputs = trainer, inputs
        self.model = trainer.accelerator.unwrap_model(trainer.model)
        self.tokenizer = trainer.processing_class

    def sample(self, prefixes: Sequence[Prefix], n: int) -> list[list[TokenIds]]:
        """`credit.rule.Sample`, by the trainer's own generation settings and generators."""
        longest = self.trainer.max_completion_length
        wanted = [(prompt, start) for prompt, start in prefixes for _ in range(n)]
        with evaluating(self.model):
            drawn = continue_all(
                self.model, self.tokenizer, wanted, longest, copy(self.trainer.generation_config)
            )
        return [drawn[index * n : (index + 1) * n] for index in range(len(prefixes))]

    def grade(self, texts: Sequence[str], rows: Sequence[int]) -> list[float]:
        """`credit.rule.Grade`, by the trainer's reward functions and their weights."""
        trainer = self.trainer
        inputs = [self.inputs[row] for row in rows]
        chat = not isinstance(inputs[0]["prompt"], str) if inputs else False
        completions = [[{"role": "assistant", "content": t}] if chat else t for t in texts]
        ids = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        kept, own = _pending(trainer), trainer.rewards_per_func
        rewards = trainer._calculate_rewards(
            inputs, [row["prompt"] for row in inputs], completions, ids
        )
        # What is kept and logged of rewards is of the trainer's own completions only.
        trainer._pending_extra_logs, trainer._pending_metrics = kept
        trainer.rewards_per_func = own
        if _unscored(rewards).any():
            raise UserError(
                f"credit: mode {trainer.credit.mode} needs a reward of every continuation, and "
                "all reward functions returned None for one"
            )
        return _weighted(trainer, rewards).tolist()

    def encode(self, prompt: Prompt) -> TokenIds:
        """`credit.rule.Encode`, by the trainer's own chat template and its arguments."""
        return encode_either(self.tokenizer, prompt, self.trainer.chat_template_kwargs)


def unpadded(ids: Tensor, mask: Tensor) -> list[TokenIds]:
    """The ids of each row that its mask keeps; both have shape (B, T)."""
    return [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]


def _pending(trainer: "CFDAPOTrainer") -> tuple[Any, Any]:
    extra, metrics = trainer._pending_extra_logs, trainer._pending_metrics
    trainer._pending_extra_logs, trainer._pending_metrics = type(extra)(list), type(metrics)(list)
    return extra, metrics


def _groups(trainer: "CFDAPOTrainer", size: int) -> list[int]:
    """Groups are consecutive over all processes, which may cut one apart."""
    first = trainer.accelerator.process_index * size
    return [(first + index) // trainer.num_generations for index in range(size)]


def _rewards(trainer: "CFDAPOTrainer") -> Tensor:
    """All processes' rewards, float32 on the CPU, (B,).

    A completion of which no function says anything is, as in the library, neither better nor worse
    than its group.
    """
    given = trainer.rewards_per_func.float().cpu()
    rewards, unscored = _weighted(trainer, given), _unscored(given)
    if not unscored.any():
        return rewards
    size = trainer.num_generations
    means = rewards.masked_fill(unscored, torch.nan).view(-1, size).nanmean(dim=1).nan_to_num()
    return torch.where(unscored, means.repeat_interleave(size), rewards)


def unscored(trainer: "CFDAPOTrainer", size: int) -> Tensor:
    """Of which of this process's `size` completions no reward function says anything, (size,)."""
    return _local(trainer, _unscored(trainer.rewards_per_func), size)


def _unscored(rewards: Tensor) -> Tensor:
    return rewards.isnan().all(dim=1)


def _local(trainer: "CFDAPOTrainer", values: Tensor, size: int) -> Tensor:
    """This process's part of what all processes have."""
    first = trainer.accelerator.process_index * size
    return values[first : first + size]


def _batch_number(trainer: "CFDAPOTrainer") -> int:
    """Optimizer steps before this batch, in units of those that a batch is learned from in."""
    used = (trainer.args.steps_per_generation or 1) * trainer.num_iterations
    steps = max(1, used // trainer.args.gradient_accumulation_steps)
    return trainer.state.global_step // steps


def _weighted(trainer: "CFDAPOTrainer", rewards: Tensor) -> Tensor:
    """Rewards of all functions, (B, functions), as one number each, as the trainer adds them."""
    return (rewards * trainer.reward_weights.to(rewards.device)).nansum(dim=1)


def step_generator(trainer: "CFDAPOTrainer") -> torch.Generator:
    """A generator for a rule's own draws, the same after a resume at this step."""
    rank = trainer.accelerator.process_index
    seed = (trainer.args.seed * 1_000_003 + trainer.state.global_step) * 1_009 + rank
    # Not 0 only where several batches are generated within one optimizer step. Of a seed the
    # generator reads 32 bits, over which a large odd number spreads these.
    within = trainer._step % trainer.args.gradient_accumulation_steps
    return torch.Generator().manual_seed(seed + within * 2_654_435_761)
