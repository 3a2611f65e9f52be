"""Where the time goes inside credit: method "prefix" under torch's profiler, by operation and kind.

A kind is the innermost of the model's modules that an operation ran in, so a LoRA's small products
stand beside those of the layer that it adapts. "busy" is the share of the wall time, without the
profiler, in which the device computed: what is missing it spent waiting for the processor. Behind
it are wall times of the same measurement with one thing changed, each a question for the next
version.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from methods import Turns, agreement
from shapes import PAPER
from step import as_trained
from timing import timed
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function
from units import Clock, Emit, Machine, attempt

from cfdapo.credit.importance import DropRequest, Measurement
from gpu_parts.cost import method, policy_dtype, setting
from gpu_parts.sizes import Sizes, cost_sizes, random_model

# Ends of modules' names, the first that fits counts, and the kind that their operations are of. The
# projections' own modules hold the LoRA's casts and sums, and the projection as a layer of its own.
KINDS = {
    "base_layer": "projections",
    "lora_A.default": "LoRA",
    "lora_B.default": "LoRA",
    "_proj": "LoRA",
    "norm": "norms and positions",
    "rotary_emb": "norms and positions",
    "act_fn": "MLP without its projections",
    "mlp": "MLP without its projections",
    "self_attn": "attention without its projections",
    "embed_tokens": "embedding and head",
    "lm_head": "embedding and head",
}
OUTSIDE = "layout, scores and residuals"
# Lines of each list.
MOST = 25
_MARK = "kind: "


def run(emit: Emit, clock: Clock, machine: Machine, shape: str) -> None:
    """Emits the profile, then the wall times of the variants, as long as there is time."""
    sizes = cost_sizes(machine)
    policy = as_trained(random_model(machine, shape, policy_dtype(machine)))
    requests = sizes.requests(policy)
    emit("setting", {"shape": PAPER[shape] if machine.tiny else shape} | setting(policy, requests))
    emit("setting", {"token budget": sizes.token_budget})
    plain = _warmed_up(method("prefix", policy, requests, sizes), policy.device)
    emit("as it is", plain.cost())
    action = method("prefix", policy, requests, sizes)
    attempt(emit, "profile", lambda: _emit_profile(emit, policy, action, plain.median))
    for name, context, changed in _variants(policy, sizes):
        clock.check()
        action = partial(_varied, policy, requests, changed, context, plain)
        emit(name, attempt(emit, name, action) or {})


def _warmed_up(action: Callable[[], Measurement], device: torch.device) -> Turns:
    action()
    turns = Turns()
    turns.take(action, device)
    return turns


def _emit_profile(
    emit: Emit, policy: nn.Module, action: Callable[[], Measurement], wall: float
) -> None:
    """Emits "profile", "kinds", "operations" and "kernels", the latter three in seconds."""
    activities = [ProfilerActivity.CPU]
    cuda = policy.device.type == "cuda"
    if cuda:
        activities.append(ProfilerActivity.CUDA)
    with _marked(policy), profile(activities=activities) as profiled:
        _, seconds = timed(action, policy.device)
    events = profiled.events()
    spent = "self_device_time_total" if cuda else "self_cpu_time_total"
    kinds: dict[str, float] = defaultdict(float)
    operations: dict[str, float] = defaultdict(float)
    kernels: dict[str, float] = defaultdict(float)
    for event in events:
        if event.device_type != DeviceType.CPU:
            if not event.name.startswith(_MARK):  # a mark's range is no work
                kernels[event.name] += event.time_range.elapsed_us() / 1e6
        elif not event.name.startswith(_MARK):
            kinds[_kind(event)] += getattr(event, spent) / 1e6
            operations[event.name] += getattr(event, spent) / 1e6
    device = sum(kernels.values()) if cuda else sum(operations.values())
    emit("profile", {"seconds": device, "wall seconds with it": seconds, "busy": device / wall})
    for name, found in (("kinds", kinds), ("operations", operations), ("kernels", kernels)):
        emit(name, _largest(found))


def _kind(event: Any) -> str:
    """The kind of the innermost marked module around an operation."""
    while event is not None:
        if event.name.startswith(_MARK):
            return event.name.removeprefix(_MARK)
        event = event.cpu_parent
    return OUTSIDE


def _largest(found: dict[str, float]) -> dict[str, float]:
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return {name: seconds for name, seconds in ordered[:MOST] if seconds > 0}


@contextmanager
def _marked(model: nn.Module) -> Iterator[None]:
    """Let the profiler see the kinds of the model's modules."""
    with ExitStack() as stack:
        for name, module in model.named_modules():
            kind = next((kind for end, kind in KINDS.items() if name.endswith(end)), None)
            if kind:
                _mark(module, _MARK + kind, stack)
        yield


def _mark(module: nn.Module, name: str, stack: ExitStack) -> None:
    open_ranges: list[Any] = []

    def enter(*_: Any) -> None:
        open_ranges.append(record_function(name))
        open_ranges[-1].__enter__()

    def leave(*_: Any) -> None:
        open_ranges.pop().__exit__(None, None, None)

    stack.callback(module.register_forward_pre_hook(enter).remove)
    stack.callback(module.register_forward_hook(leave).remove)


def _variants(policy: nn.Module, sizes: Sizes) -> Iterator[tuple[str, Callable[[], Any], Sizes]]:
    """Names, contexts to measure in, and sizes."""
    yield "with TF32 products of float32", _tf32, sizes
    yield "without the LoRA, another policy", policy.disable_adapter, sizes
    yield (
        "the LoRA's weights in bfloat16 beforehand",
        lambda: _lora_in(policy, torch.bfloat16),
        sizes,
    )
    for factor in (0.125, 0.5, 2):
        budget = int(sizes.token_budget * factor)
        changed = Sizes(**{**vars(sizes), "token_budget": budget})
        yield f"token budget {budget:,}", ExitStack, changed
    # Last: the merged weights are rounded, and do not come back to the same bits.
    yield "the LoRA merged into the weights", lambda: _merged(policy), sizes


def _varied(
    policy: nn.Module,
    requests: list[DropRequest],
    sizes: Sizes,
    context: Callable[[], Any],
    plain: Turns,
) -> dict[str, Any]:
    """Wall seconds of prefix within `context`, and how far its drops are from `plain`'s."""
    with context():
        turns = _warmed_up(method("prefix", policy, requests, sizes), policy.device)
    return turns.cost() | agreement(turns.result.drops, plain.result.drops)


@contextmanager
def _tf32() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def _lora_in(policy: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """The adapters' weights in `dtype`; afterwards as they were."""
    weights = {name: w for name, w in policy.named_parameters() if "lora_" in name}
    before = {name: weight.data for name, weight in weights.items()}
    for weight in weights.values():
        weight.data = weight.data.to(dtype)
    try:
        yield
    finally:
        for name, weight in weights.items():
            weight.data = before[name]


@contextmanager
def _merged(policy: nn.Module) -> Iterator[None]:
    policy.merge_adapter()
    try:
        yield
    finally:
        policy.unmerge_adapter()
