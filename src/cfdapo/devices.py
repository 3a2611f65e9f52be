"""One GPU a job: take a free one of this machine before CUDA starts, and keep it to the end.

Snakemake counts jobs but does not say which GPU is whose. Here every job locks a device of its
own, by a file that the kernel frees when the job dies, and shows CUDA that device only.

So also within a SLURM allocation of several GPUs, all of which every job of it sees; where SLURM
shows a job one device, that is the job's.
"""

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cfdapo.files import UserError
from cfdapo.locks import PATIENCE, try_lock

# What CUDA uses of each GPU, by its UUID: the GPU itself, or the slices that it is cut into (MIG).
GPUs = Mapping[str, Sequence[str]]

# The open lock, held until this process ends, and the device that it is for.
_held: tuple[int, str] | None = None


def take_gpu(gpus: GPUs | None = None, folder: Path | None = None) -> str | None:
    """Take a GPU that no other job of this user has, waiting for one; returns its UUID.

    Sets CUDA_VISIBLE_DEVICES to it, so call this before anything starts CUDA. Of `gpus` (default:
    those that `nvidia-smi` lists) only the ones in an inherited CUDA_VISIBLE_DEVICES are taken.
    Returns None and changes nothing where there is no GPU or none is visible, and where SLURM
    leaves one: it has assigned it, perhaps to several jobs on purpose. `folder` holds the locks
    (default: one a user in /tmp, the same for all of a user's processes). Raises `UserError` if
    that folder is not safe, and where there are several GPUs that nvidia-smi does not list.
    """
    global _held
    if _held:
        return _held[1]
    allowed = visible(list_gpus() if gpus is None else gpus)
    if not allowed:
        _refuse_several()
        return None
    if len(allowed) == 1 and "SLURM_JOB_ID" in os.environ:
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


def list_gpus() -> GPUs:
    """This machine's NVIDIA GPUs, in the order of nvidia-smi."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_gpus(done.stdout) if done.returncode == 0 else {}


def parse_gpus(listing: str) -> GPUs:
    """The GPUs, and their slices, in what `nvidia-smi -L` prints."""
    slices: dict[str, list[str]] = {}
    for line in listing.splitlines():
        match = re.search(r"\(UUID: ([\w/.-]+)\)", line)
        if match and line.startswith("GPU "):
            slices[match[1]] = []
        elif match and slices:
            list(slices.values())[-1].append(match[1])
    return {gpu: found or [gpu] for gpu, found in slices.items()}


def visible(gpus: GPUs) -> list[str]:
    """UUIDs of the devices that CUDA_VISIBLE_DEVICES leaves, in its order; all if it is not set.

    As CUDA reads it: positions or UUIDs, whole or their beginnings, up to the first that is no
    device. Positions are those of GPUs, in the order of nvidia-smi. A GPU that is cut into slices
    stands for its slices; CUDA itself would take the first.
    """
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return [device for devices in gpus.values() for device in devices]
    chosen: list[str] = []
    for name in map(str.strip, value.split(",")):
        named = _named(name, gpus)
        if not named:
            break
        chosen += [device for device in named if device not in chosen]
    return chosen


def _named(name: str, gpus: GPUs) -> Sequence[str]:
    """The devices that one entry of CUDA_VISIBLE_DEVICES stands for."""
    if name.isdecimal():
        return next(iter(list(gpus.values())[int(name) :]), [])
    if not name:
        return []
    whole = [devices for gpu, devices in gpus.items() if gpu.startswith(name)]
    slices = [[uuid] for devices in gpus.values() for uuid in devices if uuid.startswith(name)]
    found = whole or slices
    return found[0] if len(found) == 1 else []


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


def _refuse_several() -> None:
    """Raise `UserError` where CUDA sees several GPUs all the same: training would use them all."""
    torch = sys.modules.get("torch")
    seen = torch.cuda.device_count() if torch else 0
    if seen > 1:
        raise UserError(
            f"this job sees {seen} GPUs, which nvidia-smi does not list, so it cannot take one for "
            "itself; put nvidia-smi on PATH, or set CUDA_VISIBLE_DEVICES to one"
        )


def _cuda_started() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()
