"""The device: what it is, what it can do, and whether anything else is at work on it."""

import csv
import io
import subprocess
from typing import Any

import torch
from floor import matmul_rate
from timing import timed
from units import Clock, Emit, Machine, attempt

from cfdapo.provenance import hardware

_QUERY = (
    *("name", "driver_version", "memory.total", "memory.used", "utilization.gpu"),
    *("clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw", "power.limit", "temperature.gpu"),
    *("compute_mode", "mig.mode.current"),
)


class NoDevice(Exception):
    """The device that was asked for cannot be used."""


def run(emit: Emit, clock: Clock, machine: Machine) -> None:
    """Hardware and settings, then the rates of matrix products by dtype, and of copying.

    Raises `NoDevice` where there is none.
    """
    emit("hardware", hardware())
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise NoDevice("torch sees no CUDA device; --device cpu runs without one")
    emit("torch", settings())
    if machine.device == "cuda":
        emit("device", device_properties())
        emit("nvidia-smi, before", card_state())
    size = 256 if machine.tiny or machine.device == "cpu" else 8192
    for name in ("bfloat16", "float32", "tf32"):
        rate = attempt(
            emit, f"matrix products, {name}", lambda name=name: _rate(name, size, machine)
        )
        if rate:
            emit(f"matrix products, {name}", {"size": size, "operations a second": rate})
    copied = attempt(emit, "copy", lambda: _copied(size, machine))
    if copied:
        emit("copy", {"bytes a second, read and written": copied})
    if machine.device == "cuda":
        emit("nvidia-smi, after", card_state())


def settings() -> dict[str, Any]:
    """What of torch's state decides kernels and rounding."""
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "attention kernels allowed": {
            name: getattr(torch.backends.cuda, f"{name}_sdp_enabled")()
            for name in ("flash", "mem_efficient", "math", "cudnn")
        },
    }


def device_properties() -> dict[str, Any]:
    """Memory in bytes, capability, multiprocessors."""
    found = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    return {
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "memory bytes": total,
        # What this process itself has taken by now, a context, counts as used.
        "used bytes": total - free,
    }


def card_state() -> dict[str, str]:
    """What nvidia-smi says; empty where there is none."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    row = next(csv.reader(io.StringIO(done.stdout), skipinitialspace=True), [])
    return dict(zip(_QUERY, row, strict=False))


def _rate(name: str, size: int, machine: Machine) -> float:
    """Floating point operations a second of a square matrix product; random numbers, no zeros."""
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        return matmul_rate(torch.randn(size, size, device=machine.device).to(dtype), size)
    finally:
        torch.set_float32_matmul_precision("highest")


def _copied(size: int, machine: Machine) -> float:
    """Bytes a second, read and written, of copying 16 square matrices."""
    source = torch.randn(16, size, size, device=machine.device)
    target = torch.empty_like(source)
    seconds = min(timed(lambda: target.copy_(source), machine.device)[1] for _ in range(8))
    return 2 * source.numel() * source.element_size() / seconds
