"""One GPU a job: take a free one of this machine before CUDA starts, and keep it to the end.

Snakemake counts jobs but does not say which GPU is whose. Here every job locks a device of its
own, by a file that the kernel frees when the job dies, and shows CUDA that device only.
"""

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cfdapo.files import UserError
from cfdapo.locks import PATIENCE, try_lock

# The open lock, held until this process ends, and the device that it is for.
_held: tuple[int, str] | None = None


def take_gpu(devices: Sequence[str] | None = None, folder: Path | None = None) -> str | None:
    """Take a GPU that no other job of this user has, waiting for one; returns its UUID.

    Sets CUDA_VISIBLE_DEVICES to it, so call this before anything starts CUDA. Of `devices`
    (default: those that `nvidia-smi` lists) only the ones in an inherited CUDA_VISIBLE_DEVICES are
    taken. Returns None and changes nothing under SLURM, which gives jobs their GPUs itself, and
    where there is no GPU or none is visible. `folder` holds the locks (default: one a user in
    /tmp, the same for all of a user's processes). Raises `UserError` if that folder is not safe.
    """
    global _held
    if _held:
        return _held[1]
    if "SLURM_JOB_ID" in os.environ:
        return None
    allowed = visible(list_gpus() if devices is None else devices)
    if not allowed:
        return None
    if _cuda_started():
        raise RuntimeError("CUDA has started already; take_gpu() must come before")
    folder = _lock_folder() if folder is None else folder
    waiting = False
    while True:
        for device in allowed:
            handle = try_lock(folder / f"{device.replace('/', '_')}.lock")
            if handle is not None:
                _held = handle, device
                os.environ["CUDA_VISIBLE_DEVICES"] = device
                print(f"this job's GPU: {device}", flush=True)
                return device
        if not waiting:
            print(f"all {len(allowed)} GPUs have a job; waiting for a free one", flush=True)
        waiting = True
        time.sleep(PATIENCE)


def list_gpus() -> list[str]:
    """UUIDs of this machine's NVIDIA GPUs, or of their MIG slices, in the order of nvidia-smi."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_gpus(done.stdout) if done.returncode == 0 else []


def parse_gpus(listing: str) -> list[str]:
    """UUIDs in what `nvidia-smi -L` prints; a GPU that is cut into slices counts as its slices."""
    found: list[list[str]] = []
    for line in listing.splitlines():
        match = re.search(r"\(UUID: ([\w/.-]+)\)", line)
        if match and line.startswith("GPU "):
            found.append([match[1]])
        elif match and found:
            found[-1].append(match[1])
    return [uuid for gpu in found for uuid in (gpu[1:] or gpu)]


def visible(devices: Sequence[str]) -> list[str]:
    """The `devices` that CUDA_VISIBLE_DEVICES leaves, in its order; all where it is not set.

    As CUDA reads it: positions or UUIDs, whole or their beginnings, up to the first that is no
    device. Positions count in the order of nvidia-smi.
    """
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return list(devices)
    chosen: list[str] = []
    for name in map(str.strip, value.split(",")):
        if name.isdigit():
            matches = list(devices[int(name) : int(name) + 1])
        else:
            matches = [device for device in devices if name and device.startswith(name)]
        if len(matches) != 1:
            break
        chosen += [device for device in matches if device not in chosen]
    return chosen


def _lock_folder() -> Path:
    """A folder that is this user's alone.

    Not in TMPDIR or XDG_RUNTIME_DIR: these differ between a user's jobs, which would then not see
    each other's locks.
    """
    folder = Path(f"/tmp/cfdapo-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # Others can write to /tmp, and might have made the folder, or a link, first.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(f"{folder}: is not this user's own folder; remove it and run again")
    return folder


def _cuda_started() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()
