"""Are the drops of method "prefix" those of "serial" on this device, in every precision?

The model is made in bfloat16 and measured; the very same weights are then measured in float32, with
full precision and with TF32. In float32 both methods give the same numbers but for rounding. In
bfloat16 a number keeps 8 bits: the two methods round differently, so each is also held against
float32's serial. A difference between them that is no larger than serial's own error is rounding,
not a mistake; one that is larger would be a mistake of prefix.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from methods import agreement
from torch import Tensor, nn
from units import Clock, Emit, Machine, attempt

from cfdapo.credit.exactness import exact_way
from cfdapo.credit.importance import DropRequest, measure_drops_batch
from cfdapo.credit.interventions import INTERVENTIONS, SINKS
from gpu_parts.sizes import exactness_sizes, random_model

# One row's attention and the sums of a product are rounded differently from another's.
TOLERANCE = 1e-3
ROUNDING = 1.5
# Cuts what belongs together into many passes, which then see keys and values of earlier ones.
SMALL_BUDGET = 64


def run(emit: Emit, clock: Clock, machine: Machine, shape: str) -> None:
    """Both methods in bfloat16, float32 and TF32; then every intervention and sink in float32.

    Where packed passes were not exact for the model, prefix would run whole sequences: "way" says
    whether it does.
    """
    sizes = exactness_sizes(machine)
    model = random_model(machine, shape, torch.bfloat16)
    requests = sizes.requests(model)
    way = exact_way(model, max(len(r.prompt_ids) + r.answer.stop for r in requests))
    emit("way", {"prefix runs": way.name, "reason": way.reason, "agrees": way.name == "packed"})
    found = {"bfloat16": attempt(emit, "bfloat16", lambda: _both(model, requests))}
    model = model.float()
    found["float32"] = attempt(emit, "float32", lambda: _both(model, requests))
    if machine.device == "cuda":
        found["tf32"] = attempt(emit, "tf32", lambda: _in_tf32(model, requests))
    exact = (found["float32"] or {}).get("serial")
    for name, drops in found.items():
        if drops and exact:
            emit(name, verdict(name, drops, exact))
    for combination in product(INTERVENTIONS, SINKS):
        clock.check()
        name = " / ".join(combination)
        found = attempt(emit, name, partial(_combination, model, requests[:2], *combination))
        emit(name, found or {})


def _both(model: nn.Module, requests: Sequence[DropRequest]) -> dict[str, list[Tensor]]:
    """Drops by serial, by prefix in one pass, once more, and in many small passes."""
    return {
        "serial": _drops(model, requests, method="serial"),
        "prefix": _drops(model, requests),
        "prefix again": _drops(model, requests),
        "prefix in small passes": _drops(model, requests, token_budget=SMALL_BUDGET),
    }


def _in_tf32(model: nn.Module, requests: Sequence[DropRequest]) -> dict[str, list[Tensor]]:
    torch.set_float32_matmul_precision("high")
    try:
        return _both(model, requests)
    finally:
        torch.set_float32_matmul_precision("highest")


def _drops(model: nn.Module, requests: Sequence[DropRequest], **options: Any) -> list[Tensor]:
    return measure_drops_batch(model, requests, 0, **{"token_budget": 65_536} | options).drops


def verdict(name: str, drops: dict[str, list[Tensor]], exact: Sequence[Tensor]) -> dict[str, Any]:
    """How far the methods are from each other and from `exact`, in nats.

    "agrees": in float32 within `TOLERANCE`; in fewer bits, prefix's error from `exact`, as a root
    of the mean square, is at most `ROUNDING` times serial's.
    """
    between = agreement(drops["prefix"], drops["serial"])
    small = agreement(drops["prefix in small passes"], drops["serial"])["max diff"]
    error = {method: _root_mean_square(found, exact) for method, found in drops.items()}
    worst = max(error["prefix"], error["prefix in small passes"])
    scale = torch.cat(list(exact)).abs()
    return {
        "spans": len(scale),
        "largest drop": float(scale.max()),
        "median drop": float(scale.median()),
        **between,
        "max diff in small passes": small,
        "serial from float32, rms": error["serial"],
        "prefix from float32, rms": worst,
        "prefix twice, the same bits": _same_bits(drops["prefix"], drops["prefix again"]),
        "agrees": max(between["max diff"], small) <= TOLERANCE
        if name == "float32"
        else worst <= ROUNDING * error["serial"],
    }


def _root_mean_square(drops: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    return float((torch.cat(list(drops)) - torch.cat(list(exact))).square().mean().sqrt())


def _combination(
    model: nn.Module, requests: Sequence[DropRequest], intervention: str, sink: str
) -> dict[str, Any]:
    """Prefix against serial for one intervention and sink."""
    named = {"intervention": intervention, "sink": sink}
    serial = _drops(model, requests, method="serial", **named)
    difference = agreement(_drops(model, requests, **named), serial)["max diff"]
    return {"max diff": difference, "agrees": difference <= TOLERANCE}


def _same_bits(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
