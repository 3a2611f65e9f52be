"""The paper's training step as configured, through the real trainer: seconds, memory, does it fit?

The model is random, of one of the paper's shapes; the study `paper` gives all settings: 16
completions a pass times 4, 256 + 768 tokens, LoRA of rank 32. Every completion is about as long as
a completion may be, which is the most that a step can cost. What a random policy generates is text
without spans, so after a real generation, which is timed, made texts take the completions' place:
they have ten spans, spread over their length, that credit then measures.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from shapes import PAPER
from timing import wait
from transformers import TrainerCallback
from units import Clock, Emit, Machine, attempt

from cfdapo.credit.assigner import config_of
from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.policy.training import history
from cfdapo.settings import TrainingSettings
from gpu_parts.made import made_trainer, make_texts
from gpu_parts.sizes import paper_study, random_model

# Steps that are taken where there is time; only the first generates, where any does.
STEPS = 2


def run(
    emit: Emit,
    clock: Clock,
    machine: Machine,
    shape: str,
    generate: bool = False,
    checkpointing: bool = False,
    micro_batch: int | None = None,
) -> None:
    """Emits the setting, then every step's seconds and peak memory by phase as they are known.

    Without `generate` all completions are there at once, and nothing is said of generation.
    `micro_batch` completions go through one pass of the update in place of the study's number; the
    step stays the same.
    """
    study = paper_study()
    training = _training(study.training, machine, checkpointing, micro_batch)
    texts = make_texts(training, 4 if machine.tiny else study.credit.max_spans)
    emit("setting", {"shape": PAPER[shape] if machine.tiny else shape} | _setting(training))
    emit("setting", {"completion tokens": texts.mean_length})
    base = random_model(machine, shape, torch.bfloat16)
    probe = Probe(emit, clock, machine.device, generate)
    credit = config_of(study.credit, "counterfactual")
    with tempfile.TemporaryDirectory() as output:
        trainer = made_trainer(
            base, texts, training, credit, Path(output), [probe], probe.is_to_generate
        )
        probe.watch(trainer)
        if attempt(emit, "failed", trainer.train) is None:
            emit("failed", {"phase": probe.phase, "step": probe.step})
    for row in history(trainer.state.log_history):
        names = ("seconds_generation", "seconds_credit", "seconds_update", "credit_passes")
        names += ("spans_per_completion", "grad_norm")
        emit(f"step {row['step']}", {"by the trainer": {name: row[name] for name in names}})
    if machine.device == "cuda":
        emit("memory", _device_memory())
    if trainer.state.global_step < STEPS:
        clock.check()


def _training(
    study: TrainingSettings, machine: Machine, checkpointing: bool, micro_batch: int | None
) -> TrainingSettings:
    """The study's training, of `STEPS` steps; small where sizes are."""
    small = {
        "batch_size": 8,
        "gradient_accumulation": 1,
        "group_size": 4,
        "max_prompt_tokens": 64,
        "max_completion_tokens": 48,
    }
    training = replace(
        study,
        steps=STEPS,
        checkpoint_every=STEPS,
        gradient_checkpointing=checkpointing,
        **(small if machine.tiny else {}),
    )
    if micro_batch:
        size = training.batch_size * training.gradient_accumulation
        rest = size // micro_batch
        training = replace(training, batch_size=micro_batch, gradient_accumulation=rest)
    return training


def _setting(training: TrainingSettings) -> dict[str, Any]:
    names = ("batch_size", "gradient_accumulation", "group_size", "max_prompt_tokens")
    names += ("max_completion_tokens", "precision", "gradient_checkpointing")
    return {name: getattr(training, name) for name in names}


class Probe(TrainerCallback):
    """Emits a step's seconds and peak memory by phase; the device is waited for in between."""

    def __init__(self, emit: Emit, clock: Clock, device: str, generate: bool):
        self.emit, self.clock, self.device, self.generate = emit, clock, device, generate
        self.step = 0
        self.phase = self.before_credit
        self.began = 0.0

    @property
    def before_credit(self) -> str:
        """What a step does before its credit: it generates, or next to nothing."""
        return "generation" if self.is_to_generate() else "other"

    def is_to_generate(self) -> bool:
        return self.generate and self.step == 1

    def watch(self, trainer: CFDAPOTrainer) -> None:
        """Note when `trainer` has generated, and when it has its credit."""
        assign = trainer.rule.assign

        def noted(*args: Any, **kwargs: Any) -> Any:
            self._end("credit")
            assigned = assign(*args, **kwargs)
            self._end("update")
            self.emit(f"step {self.step}", {
                "spans": sum(len(credit.tokens) for credit in assigned.credits),
                "passes": assigned.passes,
                "tokens": assigned.tokens,
            })  # fmt: skip
            return assigned

        trainer.rule.assign = noted

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.step += 1
        self._begin(self.before_credit)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._end("logging")
        # A checkpoint takes time that is measured elsewhere.
        control.should_save = False
        control.should_training_stop |= self.clock.left < 0

    def _begin(self, phase: str) -> None:
        self.phase = phase
        wait(self.device)
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self.began = time.perf_counter()

    def _end(self, following: str) -> None:
        """Emit the phase that is over, and begin the `following` one."""
        wait(self.device)
        found: dict[str, Any] = {"seconds": time.perf_counter() - self.began}
        if self.device == "cuda":
            found |= {
                "allocated bytes": torch.cuda.max_memory_allocated(),
                "reserved bytes": torch.cuda.max_memory_reserved(),
            }
        self.emit(f"step {self.step}", {self.phase: found})
        self._begin(following)


def _device_memory() -> dict[str, int]:
    """Bytes of the whole device, and those that are taken beside what torch has reserved."""
    free, total = torch.cuda.mem_get_info()
    reserved = torch.cuda.memory_reserved()
    return {"total bytes": total, "beside torch's": total - free - reserved}
