"""What credit costs at one of the paper's shapes, beside one generation and one LoRA update.

The policy is one in training: LoRA of the paper's rank, on a GPU in bfloat16 under autocast, with
random weights in both matrices of every adapter. The quick methods come first and serial, which
they are compared with, last, so that a cut loses least.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from floor import floor
from inputs import warm_up_request
from memory import device_growth
from methods import Turns, agreement
from methods import run as run_method
from shapes import PAPER
from step import as_trained, phases
from timing import timed
from torch import nn
from units import Clock, Emit, Machine, attempt

from cfdapo.analysis.paper.numbers import paper_number
from cfdapo.credit.importance import DropRequest, Measurement
from gpu_parts.machine import card_state
from gpu_parts.sizes import Sizes, cost_sizes, random_model

QUICK = ("prefix", "batched")
# Most turns of a quick method that count; one before them warms up.
TURNS = 5
# Completions a pass of the update; halved where they do not fit.
BATCH = 16
# A matrix product of more rows than this is no quicker, and random rows take memory.
FLOOR_ROWS = 16_384


def run(emit: Emit, clock: Clock, machine: Machine, shape: str) -> None:
    """Emits the setting, the floor, a row for every method and phase, and the paper's own."""
    sizes = cost_sizes(machine)
    policy = as_trained(random_model(machine, shape, policy_dtype(machine)))
    requests = sizes.requests(policy)
    emit("setting", {"shape": PAPER[shape] if machine.tiny else shape} | setting(policy, requests))
    emit("setting", {"token budget": sizes.token_budget})
    bound = attempt(emit, "floor", lambda: floor(policy, requests, FLOOR_ROWS))
    emit("floor", bound or {})
    turns = {
        name: take_turns(emit, name, clock, method(name, policy, requests, sizes), policy.device)
        for name in QUICK
    }
    seconds = measure_phases(emit, policy, requests)
    emit("paper", _paper())
    _emit_derived(emit, turns, seconds, bound)
    method("serial", policy, [warm_up_request(requests[0])], sizes)()
    serial = method("serial", policy, requests, sizes)
    turns["serial"] = take_turns(emit, "serial", clock, serial, policy.device, most=1)
    _emit_derived(emit, turns, seconds, bound)
    if machine.device == "cuda":
        emit("nvidia-smi, after", card_state())


def policy_dtype(machine: Machine) -> torch.dtype:
    """The paper's precision where there is a GPU."""
    return torch.bfloat16 if machine.device == "cuda" else torch.float32


def setting(policy: nn.Module, requests: Sequence[DropRequest]) -> dict[str, Any]:
    """What is measured, and on what."""
    weights = dict(policy.named_parameters())
    lora = {name: weight for name, weight in weights.items() if "lora_" in name}
    return {
        "parameters": sum(weight.numel() for weight in weights.values()),
        "of them LoRA": sum(weight.numel() for weight in lora.values()),
        "model bytes": sum(weight.nbytes for weight in weights.values()),
        "dtype": _name(policy.dtype),
        "dtype of LoRA": _name(next(iter(lora.values())).dtype),
        "autocast": hasattr(policy, "_original_forward"),
        "completions": len(requests),
        "spans": sum(len(request.spans) for request in requests),
        "prompts": len({tuple(request.prompt_ids) for request in requests}),
        "prompt tokens": len(requests[0].prompt_ids),
        "completion tokens": sum(len(r.completion_ids) for r in requests) / len(requests),
    }


def method(
    name: str, policy: nn.Module, requests: Sequence[DropRequest], sizes: Sizes
) -> Callable[[], Measurement]:
    """One of `methods.METHODS` on these requests."""
    return lambda: run_method(name, policy, requests, 0, sizes.token_budget)


def take_turns(
    emit: Emit,
    name: str,
    clock: Clock,
    action: Callable[[], Measurement],
    device: torch.device,
    most: int = TURNS,
) -> Turns:
    """At most `most` turns while there is time, emitted as they come; no result where one failed.

    One more before them warms up, and counts where no other follows or `most` is 1.
    """
    first = Turns()
    if not _turn(emit, name, action, device, first) or most == 1:
        return first
    turns = Turns()
    while len(turns.seconds) < most and clock.left > first.seconds[0]:
        if not _turn(emit, name, action, device, turns):
            return Turns()
    return turns if turns.seconds else first


def _turn(
    emit: Emit, name: str, action: Callable[[], Measurement], device: torch.device, turns: Turns
) -> bool:
    done = attempt(emit, name, lambda: turns.take(action, device) or True)
    if done:
        emit(name, turns.cost() | {"turns": len(turns.seconds)})
    return bool(done)


def measure_phases(
    emit: Emit, policy: nn.Module, requests: Sequence[DropRequest]
) -> dict[str, float]:
    """Seconds of one generation and one update, without those that failed."""
    short = [warm_up_request(request) for request in requests]
    seconds = {}
    for name in ("generation", "update"):
        found, batch = None, BATCH
        while found is None and batch:
            found = attempt(emit, name, partial(_phase, name, policy, short, requests, batch))
            # Generation knows no smaller batch.
            batch = batch // 2 if name == "update" else 0
        if found:
            seconds[name] = found["seconds"]
            emit(name, found)
    return seconds


def _phase(
    name: str,
    policy: nn.Module,
    short: Sequence[DropRequest],
    requests: Sequence[DropRequest],
    batch: int,
) -> dict[str, Any]:
    """Seconds of a phase, warmed up on `short` requests, and its peak memory."""
    phases(policy, short, batch)[name]()
    action = phases(policy, requests, batch)[name]
    (_, seconds), growth = device_growth(lambda: timed(action, policy.device), policy.device)
    batched = {"completions a pass": batch} if name == "update" else {}
    return {"seconds": seconds, "peak bytes": growth, **batched}


def _emit_derived(
    emit: Emit, turns: dict[str, Turns], seconds: dict[str, float], bound: dict[str, Any] | None
) -> None:
    """Every method's place above the floor, in a step and, once that is there, against serial."""
    serial = turns.get("serial", Turns())
    for name, taken in turns.items():
        found: dict[str, Any] = {}
        if taken.result and serial.result:
            found |= agreement(taken.result.drops, serial.result.drops)
            found["speed-up"] = serial.median / taken.median
        if taken.result and bound:
            found["over floor"] = taken.median / bound["floor seconds"]
        if taken.result and len(seconds) == 2:
            found["of a step"] = taken.median / (taken.median + sum(seconds.values()))
        emit(name, found)


def _paper() -> dict[str, float]:
    """Seconds of a step of Qwen2.5-3B, Appendix A; its completions' lengths are not stated."""
    row = "Qwen2.5-3B seconds per step"
    names = ("generation", "log-probs", "CF estimation", "other")
    found = {name: paper_number("appendixA", row, name).value for name in names}
    return found | {"of a step": found["CF estimation"] / sum(found.values())}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
