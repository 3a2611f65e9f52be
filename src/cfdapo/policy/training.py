"""Build the trainer of one run from the study's settings."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    set_seed,
)
from trl import GRPOConfig

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.proxy import Proxy
from cfdapo.credit.rules import get_rule
from cfdapo.files import UserError, read_jsonl
from cfdapo.policy.divergences import get_divergence
from cfdapo.policy.generation import fitting_prompts, messages
from cfdapo.policy.models import add_lora, device, load_base
from cfdapo.policy.penalised import DIVERGENCE, PENALTY, PENALTY_GRADIENT, PenalisedTrainer
from cfdapo.policy.reporting import NO_REPORTS, Reports
from cfdapo.policy.resuming import SAVE_MINUTES, Resumable
from cfdapo.policy.trainer import CACHE_HITS, GENERATIONS, CFDAPOTrainer
from cfdapo.problems.task import Task, get_task
from cfdapo.settings import ChatVariables, LoraSettings, TrainingSettings, may_be_absent

# history.jsonl's columns, and the names under which the trainer logs them.
COLUMNS = {
    "reward": "reward",
    "reward_std": "reward_std",
    "loss": "loss",
    "entropy": "entropy",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "clip_low": "clip_ratio/low_mean",
    "clip_high": "clip_ratio/high_mean",
    "clip_region": "clip_ratio/region_mean",
    "weight_mean": "credit/weight_mean",
    "weight_std": "credit/weight_std",
    "spans_per_completion": "credit/spans_per_completion",
    "zero_advantage_groups": "frac_reward_zero_std",
    "completion_tokens": "completions/mean_length",
    "credit_passes": "credit/passes",
    "noise_completions": "credit/noise_completions",
    "seconds_generation": "seconds/generation",
    "seconds_credit": "seconds/credit",
    "seconds_step": "step_time",
}
# Columns of runs with the option that they belong to.
OPTIONAL_COLUMNS = {
    "cache_hits": CACHE_HITS,
    "credit_generations": GENERATIONS,
    "divergence": DIVERGENCE,
    "penalty_loss": PENALTY,
    "penalty_gradient": PENALTY_GRADIENT,
}


class StudyTrainer(Resumable, CFDAPOTrainer):
    """CF-DAPO's trainer, whose runs can be killed at any moment and end with the same bits."""

    def own_state(self) -> dict[str, torch.Tensor]:
        """The rule's own state."""
        return self.rule.state()

    def load_own_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with the rule's state of an interrupted run."""
        self.rule.load_state(state)


class PenalisedStudyTrainer(StudyTrainer, PenalisedTrainer):
    """The same with a divergence of GBMPO in the loss, or the library's KL, which is measured."""


@dataclass(frozen=True)
class RunSettings:
    """What one run is trained with; `chat` and `proxy_chat` are of the policy and the proxy.

    `mirror` has the parameters of a neural mirror that was evolved.
    """

    task: str
    chat: ChatVariables
    lora: LoraSettings
    training: TrainingSettings
    credit: CreditConfig
    proxy_chat: ChatVariables | None = may_be_absent()
    mirror: tuple[float, ...] | None = may_be_absent()


def make_trainer(
    model_dir: Path,
    problems: Path,
    seed: int,
    settings: RunSettings,
    output: Path,
    callbacks: Sequence[TrainerCallback] = (),
    proxy_dir: Path | None = None,
    save_minutes: float = SAVE_MINUTES,
    reports: Reports = NO_REPORTS,
) -> StudyTrainer:
    """The trainer of one run; checkpoints go to `output`, also every `save_minutes`.

    `proxy_dir` is the prepared folder of the model that credit.proxy names. Seeds every generator
    with `seed`. Raises `UserError` where a model cannot be loaded, the proxy is missing, no
    prompt fits, or too few for a step.
    """
    training, task = settings.training, get_task(settings.task)
    base, tokenizer = load_base(model_dir, training.precision)
    given = read_jsonl(problems)
    rows = fitting_prompts(given, task, tokenizer, training, settings.chat)
    if given and not rows:
        raise UserError("training.max_prompt_tokens: no prompt is that short")
    _require_a_step(training, len(rows))
    proxy = load_proxy(settings.credit, proxy_dir, training.precision)
    return build_trainer(
        base, tokenizer, rows, seed, settings, output, callbacks, proxy, save_minutes, reports
    )


def _require_a_step(training: TrainingSettings, prompts: int) -> None:
    """Refuse data of which the library would make no batch, and train no step without a word."""
    completions = training.batch_size * training.gradient_accumulation
    needed = completions // training.group_size
    if prompts < needed:
        raise UserError(
            f"data: {prompts} training problems are too few; a step takes {needed} "
            f"({completions} completions, training.group_size {training.group_size})"
        )


def build_trainer(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[dict[str, Any]],
    seed: int,
    settings: RunSettings,
    output: Path,
    callbacks: Sequence[TrainerCallback] = (),
    proxy: Proxy | None = None,
    save_minutes: float = SAVE_MINUTES,
    reports: Reports = NO_REPORTS,
) -> StudyTrainer:
    """`make_trainer` for a loaded base model, on the problems `rows`, all of which fit."""
    task = get_task(settings.task)
    columns = _rule_columns(settings.credit, rows)
    # Before the adapter is made: its first matrix is random.
    set_seed(seed)
    return _class_of(settings)(
        model=add_lora(base, settings.lora),
        args=_arguments(settings.training, seed, settings.chat, output, reports),
        reward_funcs=_reward(task),
        train_dataset=Dataset.from_list(
            [
                {
                    "prompt": messages(task, row),
                    "answer": row["answer"],
                    "function": task.entry_point(row),
                }
                | {column: row[column] for column in columns}
                for row in rows
            ]
        ),
        processing_class=tokenizer,
        callbacks=list(callbacks),
        credit=settings.credit,
        proxy=proxy,
        proxy_chat=settings.proxy_chat,
        max_prompt_tokens=settings.training.max_prompt_tokens,
        save_minutes=save_minutes,
    )


def _class_of(settings: RunSettings) -> Callable[..., StudyTrainer]:
    """The trainer, which is another class only where the study names a divergence to add."""
    chosen = settings.training.divergence
    divergence = get_divergence(chosen, settings.mirror) if chosen else None
    if chosen is None or divergence is None:
        return StudyTrainer
    return partial(
        PenalisedStudyTrainer,
        divergence=divergence,
        coefficient=chosen.coefficient,
        exact=chosen.estimator == "exact",
    )


def _kl_coefficient(training: TrainingSettings) -> float:
    """The weight of the library's own KL term."""
    if training.divergence is None:
        return training.kl_coefficient
    return training.divergence.coefficient if training.divergence.name == "kl" else 0.0


def _rule_columns(credit: CreditConfig, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What the rule reads of the data beside prompt and answer."""
    columns = get_rule(credit.mode).columns
    missing = [column for column in columns if any(column not in row for row in rows)]
    if missing:
        raise UserError(
            f"modes: {credit.mode} needs problems with {', '.join(missing)}, which this task's "
            "have not; it is for data.task arithmetic or verbs"
        )
    return columns


def load_proxy(credit: CreditConfig, folder: Path | None, precision: str) -> Proxy | None:
    """The model in `folder` if `credit` lets it measure; None where the policy measures itself.

    Raises `UserError` where it is needed and `folder` is None.
    """
    if not credit.proxy or not credit.measures_drops:
        return None
    if folder is None:
        raise UserError(f"credit.proxy: {credit.proxy} needs its prepared folder, --proxy-dir")
    model, tokenizer = load_base(folder, precision)
    return Proxy(model.requires_grad_(False), tokenizer)


def _arguments(
    training: TrainingSettings, seed: int, chat: ChatVariables, output: Path, reports: Reports
) -> Any:
    half = training.precision == "bfloat16"
    return GRPOConfig(
        output_dir=str(output),
        seed=seed,
        max_steps=training.steps,
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        num_generations=training.group_size,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        loss_type=training.loss or "dapo",
        # Dr. GRPO is the loss without either bias: of length, and of a group's spread.
        scale_rewards="none" if training.loss == "dr_grpo" else "group",
        epsilon=training.epsilon,
        epsilon_high=training.epsilon_high,
        beta=_kl_coefficient(training),
        temperature=training.temperature,
        top_p=training.top_p,
        max_completion_length=training.max_completion_tokens,
        chat_template_kwargs=dict(chat),
        disable_dropout=True,
        bf16=half and torch.cuda.is_available(),
        gradient_checkpointing=training.gradient_checkpointing,
        save_strategy="steps",
        save_steps=training.checkpoint_every,
        logging_steps=1,
        report_to=list(reports.to),
        run_name=reports.name,
        use_cpu=device().type == "cpu",
        dataloader_pin_memory=device().type != "cpu",
    )


def _reward(task: Task) -> Any:
    """Binary outcome reward, by the grader that evaluation uses too (Section 4.1)."""

    def correct(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        return [float(passed) for passed in task.grade_many(texts, answer)]

    return correct


def history(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a step; a resumed run's log has each step once, as its checkpoint kept it.

    What is no finite number, as the norm of gradients that overflow, is None: JSON has none such.
    """
    rows = []
    for entry in log:
        if "reward" not in entry:
            continue  # the trainer's summary at the end
        row = {"step": entry["step"]}
        row |= {column: _finite(entry.get(name)) for column, name in COLUMNS.items()}
        given = {column: name for column, name in OPTIONAL_COLUMNS.items() if name in entry}
        row |= {column: _finite(entry[name]) for column, name in given.items()}
        spent = row["seconds_generation"] + row["seconds_credit"]
        row["seconds_update"] = row["seconds_step"] - spent
        rows.append(row)
    return rows


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
