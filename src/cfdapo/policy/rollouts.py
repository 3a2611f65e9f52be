"""A trainer's batch as a credit rule reads it, with the policy at hand to sample and to grade."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cfdapo.credit.alignment import completion_text
from cfdapo.credit.rule import Prefix, Prompt, Rollout, TokenIds
from cfdapo.credit.scoring import evaluating
from cfdapo.policy.generation import continue_all, encode_prompt

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
        rewards=_rewards(trainer, len(inputs)),
        advantages=output["advantages"].float().cpu(),
        rows=inputs,
        step=trainer.state.global_step,
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
        kept = _pending(trainer)
        rewards = trainer._calculate_rewards(
            inputs, [row["prompt"] for row in inputs], completions, ids
        )
        # What reward functions log is of the trainer's own completions only.
        trainer._pending_extra_logs, trainer._pending_metrics = kept
        return _weighted(trainer, rewards).tolist()

    def encode(self, prompt: Prompt) -> TokenIds:
        """`credit.rule.Encode`, by the trainer's own chat template and its arguments."""
        if isinstance(prompt, str):
            return self.tokenizer(prompt)["input_ids"]
        return encode_prompt(self.tokenizer, prompt, self.trainer.chat_template_kwargs)


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


def _rewards(trainer: "CFDAPOTrainer", size: int) -> Tensor:
    """This process's rewards, (B,); the trainer's log of its last batch is the only place."""
    logged: Any = trainer._logs["rewards"]
    columns = [list(logged[name]) for name in trainer.reward_func_names]
    first = trainer.accelerator.process_index * size
    rewards = torch.tensor(columns, dtype=torch.float32).T
    # The log holds one batch of all processes, and no more than that.
    return _weighted(trainer, rewards[-size * trainer.accelerator.num_processes :])[
        first : first + size
    ]


def _weighted(trainer: "CFDAPOTrainer", rewards: Tensor) -> Tensor:
    """Rewards of all functions, (B, functions), as one number each, as the trainer adds them."""
    return (rewards * trainer.reward_weights.to(rewards.device)).nansum(dim=1)


def step_generator(trainer: "CFDAPOTrainer") -> torch.Generator:
    """A generator for a rule's own draws, the same after a resume at this step."""
    rank = trainer.accelerator.process_index
    seed = (trainer.args.seed * 1_000_003 + trainer.state.global_step) * 1_009 + rank
    return torch.Generator().manual_seed(seed)
