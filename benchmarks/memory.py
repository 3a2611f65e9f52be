"""Peak memory of one action: on a CPU in a process of its own, as a peak is never given back."""

import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def peak_growth(warm_up: Callable[[], object], action: Callable[[], object]) -> int:
    """Bytes by which this process's resident memory grew at most during `action` (Linux).

    The kernel's high-water mark is reset first. `ru_maxrss` would not do: a child's begins with
    its parent's peak, and loading a model may have needed more than the action does.
    """
    warm_up()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    action()
    return _status("VmHWM") - before


def peak_in_child(script: str, arguments: list[str], method: str) -> int:
    """`peak_growth` of one method: runs `script` with `arguments` and --peak-of `method`."""
    done = subprocess.run(
        [sys.executable, script, *arguments, "--peak-of", method],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def device_growth(action: Callable[[], Any], device: torch.device | str) -> tuple[Any, int | None]:
    """What `action` returns, and the bytes by which the device's allocated memory grew at most.

    None on a CPU, where no allocator counts them.
    """
    if torch.device(device).type != "cuda":
        return action(), None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = action()
    torch.cuda.synchronize()
    return result, torch.cuda.max_memory_allocated() - before


def _status(field: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024
