"""CF-DAPO: TRL's GRPO trainer with one method changed, so that a rule gives the advantages."""

import time
import warnings
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.proxy import Proxy
from cfdapo.credit.rule import TokenAdvantages
from cfdapo.credit.rules import get_rule
from cfdapo.files import UserError
from cfdapo.policy.generation import encode_either
from cfdapo.policy.rollouts import make_rollout, unscored
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
# Shares of the completions in which an answer was looked for; logged where any was.
WITHOUT_ANSWER, WITHOUT_SPAN = "credit/without_answer", "credit/without_span"


class CFDAPOTrainer(GRPOTrainer):
    """GRPOTrainer whose advantages, of shape (B, T), are a credit rule's.

    With `loss_type="dapo"` the library's clipping and normaliser stay in place, and its KL term,
    where it is on, stays unweighted. `credit` is the `CreditConfig`, whose mode names the rule. A
    column "function" of the data names the function that a prompt asks for, if any. `proxy` is the
    loaded model that `credit` may name, on the policy's device; it reads the prompts by its own
    chat template, with `proxy_chat` as that template's arguments. `max_prompt_tokens` is the length
    of the longest prompt; None looks through the training prompts. Every other argument is
    `GRPOTrainer`'s. Evaluation by the trainer has the library's advantages, and spends no pass.

    A completion that states no answer, or has no span before it, has weight 1: that is warned of
    once, and the log has the shares. `docs/trainer.md` shows all of it on one's own data.

    Raises `UserError` where credit cannot be exact with this model, and ValueError where the rule
    samples, or keeps a group's sum, and a process of several does not hold whole groups; where the
    rule samples and vLLM or a rollout_func generates; with images, tools or environments, whose
    words a measurement cannot tell from the policy's; and where the rule reads rewards that the
    arguments aggregate or scale in a way that it does not know.
    """

    # What the library types more widely than this trainer has it; a model may be PEFT's.
    args: GRPOConfig
    model: Any
    train_dataset: Any
    processing_class: PreTrainedTokenizerBase
    max_completion_length: int
    num_generations: int
    chat_template_kwargs: dict[str, Any]

    def __init__(
        self,
        *args: Any,
        credit: CreditConfig,
        proxy: Proxy | None = None,
        proxy_chat: ChatVariables | None = None,
        max_prompt_tokens: int | None = None,
        **kwargs: Any,
    ):
        # Before anything is loaded: vLLM starts an engine or looks for a server.
        _check_generation(credit, args[2] if len(args) > 2 else kwargs.get("args"), kwargs)
        super().__init__(*args, **kwargs)
        self.credit = credit
        self._check_kind()
        self.rule = get_rule(credit.mode)(self.processing_class, credit, proxy)
        self._check_rewards()
        self._warned = False
        self.proxy = proxy if credit.measures_drops else None
        self.proxy_chat = proxy_chat or {}
        self._check_processes()
        self._warn_of_resuming()
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
        return len(encode_either(tokenizer, prompt, self.chat_template_kwargs))

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        began = time.perf_counter()
        output = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return output  # nothing is learned from it, so that no credit is worth a pass
        generated = time.perf_counter()
        assigned = self.rule(make_rollout(self, inputs, output, self._proxy_prompts(inputs)))
        output["advantages"] = _padded(assigned, output["advantages"], output["completion_mask"])
        output["advantages"][unscored(self, len(inputs))] = 0.0
        self._log_credit(assigned, generated - began, time.perf_counter() - generated)
        return output

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The library's, of all processes, (B, functions); kept for the rule, which reads them."""
        self.rewards_per_func: torch.Tensor = super()._calculate_rewards(*args, **kwargs)
        return self.rewards_per_func

    def _check_kind(self) -> None:
        kind = "images" if self._is_vlm else "tools or environments"
        if self._is_vlm or self.tools or self.environment_factories is not None:
            raise ValueError(
                f"credit is of text that the policy alone wrote; {kind} are for GRPOTrainer"
            )

    def _check_rewards(self) -> None:
        """Refuse what a rule that reads rewards would read otherwise than the library does."""
        if not self.rule.reads_rewards:
            return
        several, how = len(self.reward_funcs) > 1, self.multi_objective_aggregation
        if several and how != "sum_then_normalize":
            raise ValueError(
                f"mode {self.credit.mode} reads the weighted sum of rewards, which "
                f"multi_objective_aggregation {how!r} does not learn from; use 'sum_then_normalize'"
            )
        if self.rule.keeps == "nothing" and self.rule.generates and self.scale_rewards != "group":
            raise ValueError(
                f"mode {self.credit.mode} normalises rewards within a group: scale_rewards is "
                f"{self.scale_rewards!r} and must be 'group'"
            )

    def _warn_of_resuming(self) -> None:
        """Say what the library's checkpoints do not hold; a class with `own_state` saves it."""
        keeps = self.rule.learns or self.credit.cache > 0
        if keeps and self.args.save_strategy != "no" and not hasattr(self, "own_state"):
            warnings.warn(
                f"mode {self.credit.mode} keeps something from batch to batch (what it learned, or "
                "drops in its cache) that this trainer's checkpoints do not hold: a resumed run "
                "ends otherwise than one that was not interrupted. StudyTrainer's hold it",
                stacklevel=3,
            )

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
        return [encode_either(tokenizer, row["prompt"], self.proxy_chat) for row in inputs]

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
        if assigned.read:
            values[WITHOUT_ANSWER] = assigned.without_answer / assigned.read
            values[WITHOUT_SPAN] = assigned.without_span / assigned.read
            self._warn_of_missing(assigned)
        for name, value in values.items():
            self._metrics["train"][name].append(value)

    def _warn_of_missing(self, assigned: TokenAdvantages) -> None:
        """Say once that completions have no credit of their own, and how to give them some."""
        if self._warned or not (assigned.without_answer or assigned.without_span):
            return
        self._warned = True
        warnings.warn(
            f"credit: of {assigned.read} completions {assigned.without_answer} state no answer and "
            f"{assigned.without_span} have no span before it: all their tokens have weight 1. Said "
            f"once; {WITHOUT_ANSWER} and {WITHOUT_SPAN} are logged. Answers or steps of another "
            "form: CreditConfig takes functions as answer and spans (docs/trainer.md)",
            stacklevel=2,
        )


def _padded(
    assigned: TokenAdvantages, advantages: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Token advantages, shape (B, T); on the padding, which no loss reads, the completion's own."""
    padded = advantages.unsqueeze(1).repeat(1, mask.shape[1])
    for row, kept, own in zip(padded, mask.bool(), assigned.advantages, strict=True):
        row[kept] = own.to(row)
    return padded


def _check_generation(credit: CreditConfig, arguments: Any, others: dict[str, Any]) -> None:
    """Refuse rules that sample where the model in this process is not what generates."""
    if not get_rule(credit.mode).generates:
        return
    for name, on in (
        ("use_vllm", getattr(arguments, "use_vllm", False)),
        ("rollout_func", others.get("rollout_func") is not None),
    ):
        if on:
            raise ValueError(
                f"mode {credit.mode} samples continuations by the model in this process, which "
                f"{name} replaces; use a rule that does not sample, or leave {name} out"
            )
