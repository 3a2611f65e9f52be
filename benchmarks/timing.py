"""Seconds of an action: on an accelerator until its work is done, and not merely asked for."""

import time
from collections.abc import Callable
from typing import Any

import torch


def wait(device: torch.device | str) -> None:
    """Return when the device has done all that was asked of it; a CPU always has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def timed(
    action: Callable[[], Any],
    device: torch.device | str,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Any, float]:
    """What `action` returns, and the seconds by `clock` until the device had done it."""
    wait(device)
    begin = clock()
    result = action()
    wait(device)
    return result, clock() - begin


def clock_of(device: torch.device | str) -> Callable[[], float]:
    """The CPU seconds of this process where a CPU does the work, else seconds as they pass.

    On a CPU that others use, only those do not count the time in which this process waited.
    """
    return time.process_time if torch.device(device).type == "cpu" else time.perf_counter
