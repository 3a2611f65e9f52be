"""Seconds of an action: on an accelerator until its work is done, and not merely asked for."""

import time
from collections.abc import Callable
from typing import Any

import torch


def wait(device: torch.device | str) -> None:
    """Return when the device has done all that was asked of it; a CPU always has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def timed(action: Callable[[], Any], device: torch.device | str) -> tuple[Any, float]:
    """What `action` returns, and the seconds until the device had done it."""
    wait(device)
    begin = time.perf_counter()
    result = action()
    wait(device)
    return result, time.perf_counter() - begin
