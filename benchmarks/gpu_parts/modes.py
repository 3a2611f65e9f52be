"""Every mode on this device through the real trainer: two steps of a small policy."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from shapes import shaped_model
from units import Clock, Emit, Machine, attempt

from cfdapo.credit.weights import MODES
from cfdapo.policy.training import history
from cfdapo.study import load_study
from gpu_parts.made import Texts, made_trainer, make_texts
from gpu_parts.sizes import head_of

# What is said of a mode; what it is trained on is the same for all of them.
KEPT = (
    *("loss", "grad_norm", "weight_mean", "weight_std", "spans_per_completion", "credit_passes"),
    *("completion_tokens", "seconds_generation", "seconds_credit", "seconds_update"),
)
# Of the weights' deviation, between two exact methods in float32.
TOLERANCE = 1e-3


def run(emit: Emit, clock: Clock, machine: Machine, precision: str) -> None:
    """Two steps of every mode and method, each emitted; then whether both exact methods agree."""
    training = _training(machine, precision)
    texts = make_texts(training, 4)
    deviation: dict[str, float] = {}
    for name, credit in _kinds():
        clock.check()
        rows = attempt(emit, name, partial(_train, machine, texts, training, credit))
        if rows:
            emit(name, _row(rows, credit))
            deviation[name] = rows[0]["weight_std"]
    exact = [deviation.get(name) for name in ("counterfactual", "counterfactual, serial")]
    if None not in exact:
        apart = abs(exact[0] - exact[1])
        agrees = {"agrees": apart <= TOLERANCE} if precision == "float32" else {}
        emit("prefix and serial, deviation of weights", {"apart": apart, **agrees})


def _kinds() -> Iterator[tuple[str, dict[str, Any]]]:
    for mode in MODES:
        yield mode, {"mode": mode}
    for method in ("serial", "gradient"):
        yield f"counterfactual, {method}", {"mode": "counterfactual", "method": method}


def _training(machine: Machine, precision: str) -> dict[str, Any]:
    """The paper's study's, of two short steps."""
    size = 4 if machine.tiny else 16
    return load_study("paper")["training"] | {
        "steps": 2,
        "checkpoint_every": 2,
        "batch_size": size,
        "gradient_accumulation": 2,
        "group_size": 4,
        "max_prompt_tokens": 64,
        "max_completion_tokens": 40 if machine.tiny else 128,
        "precision": precision,
    }


def _train(
    machine: Machine, texts: Texts, training: dict[str, Any], credit: dict[str, Any]
) -> list[dict[str, Any]]:
    """The history of its steps."""
    torch.manual_seed(0)
    dtype = getattr(torch, training["precision"])
    base = shaped_model("tiny", dtype, machine.device, **head_of(machine))
    chosen = load_study("paper")["credit"] | credit
    with tempfile.TemporaryDirectory() as output:
        trainer = made_trainer(base, texts, training, chosen, Path(output), generates=lambda: True)
        trainer.train()
    return history(trainer.state.log_history)


def _row(rows: list[dict[str, Any]], credit: dict[str, Any]) -> dict[str, Any]:
    """The last step, and whether it did what the mode is to do."""
    last = {name: rows[-1][name] for name in KEPT}
    measures = credit["mode"] in ("counterfactual", "inverted")
    works = all(
        abs(row["loss"]) < float("inf")
        and 0 < row["grad_norm"] < float("inf")
        and (row["weight_std"] > 0) == (credit["mode"] != "vanilla")
        and (row["credit_passes"] > 0) == measures
        for row in rows
    )
    return {**last, "works": works}
