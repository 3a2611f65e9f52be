"""Every mode on this device through the real trainer: a step of a small policy."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from shapes import shaped_model
from units import Clock, Emit, Machine, attempt

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.rules import get_rule, rule_names
from cfdapo.policy.training import history
from cfdapo.settings import TrainingSettings
from cfdapo.vocabulary import PAPER_MODES
from gpu_parts.made import Texts, made_trainer, make_texts
from gpu_parts.sizes import head_of, paper_study

# What is said of a mode; what it is trained on is the same for all of them.
KEPT = (
    *("loss", "grad_norm", "weight_mean", "weight_std", "spans_per_completion", "credit_passes"),
    *("completion_tokens", "seconds_generation", "seconds_credit", "seconds_update"),
)
# Few continuations, as none of the rules that draw them is to be measured here.
OPTIONS = {"monte_carlo": {"continuations": 1}}
# Of the weights' deviation, between two exact methods in float32.
TOLERANCE = 1e-3


def run(emit: Emit, clock: Clock, machine: Machine, precision: str) -> None:
    """A step of every mode and method, each emitted; then whether both exact methods agree.

    Rules that are not the paper's are tried in the paper's precision only.
    """
    training = _training(machine, precision)
    texts = make_texts(training, 4)
    deviation: dict[str, float] = {}
    for name, credit in _kinds(precision):
        clock.check()
        # The first one generates; what others would is the same.
        action = partial(_train, machine, texts, training, credit, not deviation)
        row = attempt(emit, name, action)
        if row:
            emit(name, _found(row, credit))
            deviation[name] = row["weight_std"]
    exact = [deviation.get(name) for name in ("counterfactual", "counterfactual, serial")]
    if None not in exact:
        apart = abs(exact[0] - exact[1])
        agrees = {"agrees": apart <= TOLERANCE} if precision == "float32" else {}
        emit("prefix and serial, deviation of weights", {"apart": apart, **agrees})


def _kinds(precision: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names, and what of credit makes them."""
    for mode in PAPER_MODES:
        yield mode, {"mode": mode}
    for method in ("serial", "gradient"):
        yield f"counterfactual, {method}", {"mode": "counterfactual", "method": method}
    for mode in rule_names() if precision == "bfloat16" else ():
        if mode not in PAPER_MODES:
            yield mode, {"mode": mode, "options": OPTIONS.get(mode, {})}


def _training(machine: Machine, precision: str) -> TrainingSettings:
    """The paper's study's, of one short step."""
    size = 4 if machine.tiny else 16
    return replace(
        paper_study().training,
        steps=1,
        checkpoint_every=1,
        batch_size=size,
        gradient_accumulation=2,
        group_size=4,
        max_prompt_tokens=64,
        max_completion_tokens=40 if machine.tiny else 128,
        precision=precision,
    )


def _train(
    machine: Machine,
    texts: Texts,
    training: TrainingSettings,
    credit: dict[str, Any],
    generate: bool,
) -> dict[str, Any]:
    """The step's row of the history."""
    torch.manual_seed(0)
    dtype = getattr(torch, training.precision)
    base = shaped_model("tiny", dtype, machine.device, **head_of(machine))
    chosen = CreditConfig(**vars(paper_study().credit) | credit)
    with tempfile.TemporaryDirectory() as output:
        trainer = made_trainer(
            base, texts, training, chosen, Path(output), generates=lambda: generate
        )
        trainer.train()
    (row,) = history(trainer.state.log_history)
    return row


def _found(row: dict[str, Any], credit: dict[str, Any]) -> dict[str, Any]:
    """What the step did, and whether that is what the mode is to do."""
    mode = credit["mode"]
    rule = get_rule(mode)
    works = all(math.isfinite(row[name]) for name in ("loss", "grad_norm"))
    if rule.measures_drops:
        works &= row["credit_passes"] > 0
    if rule.generates:
        works &= row["credit_generations"] > 0
    if mode in PAPER_MODES:
        works &= row["grad_norm"] > 0 and (row["weight_std"] > 0) == (mode != "vanilla")
    return {name: row[name] for name in KEPT} | {"works": works}
