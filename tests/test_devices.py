"""One GPU a job, by processes that contend for pretended GPUs: a stand-in prints their list."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from cfdapo import devices
from cfdapo.devices import parse_gpus, take_gpu, visible
from cfdapo.files import UserError

LISTING = """\
GPU 0: NVIDIA H200 (UUID: GPU-8932f937-d72c-4106-c12f-20bd9faed9f6)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
"""
WHOLE, CUT = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f"
SLICES = ["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"]


def plain(*uuids: str) -> dict[str, list[str]]:
    """GPUs that are not cut."""
    return {uuid: [uuid] for uuid in uuids}


def test_slices_stand_in_for_the_gpu_that_is_cut_into_them():
    assert parse_gpus(LISTING) == {WHOLE: [WHOLE], CUT: SLICES}
    assert parse_gpus("No devices found.\n") == {}


@pytest.mark.parametrize(
    ("inherited", "left"),
    [
        (None, ["GPU-aa1", "GPU-ab2", "GPU-cc3"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", ["GPU-ab2"]),
        ("2, 0", ["GPU-cc3", "GPU-aa1"]),
        ("0,0", ["GPU-aa1"]),
        ("GPU-cc3,1", ["GPU-cc3", "GPU-ab2"]),
        ("GPU-c", ["GPU-cc3"]),
        ("GPU-a", []),  # two begin so
        ("0,7,1", ["GPU-aa1"]),  # CUDA stops at the first that is no device
        ("0,-1,1", ["GPU-aa1"]),
    ],
)
def test_only_inherited_devices_are_left_as_cuda_reads_them(monkeypatch, inherited, left):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if inherited is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", inherited)
    assert visible(plain("GPU-aa1", "GPU-ab2", "GPU-cc3")) == left


@pytest.mark.parametrize(
    ("inherited", "left"),
    [
        (None, [WHOLE, *SLICES]),
        ("0", [WHOLE]),
        ("1", SLICES),
        ("2", []),
        (SLICES[1], SLICES[1:]),
        (f"{SLICES[1]},{SLICES[0]}", SLICES[::-1]),
        (SLICES[0][:12], SLICES[:1]),
        ("MIG-c", []),  # both begin so
        (CUT, SLICES),
        (f"{CUT[:8]},0", [*SLICES, WHOLE]),
        (f"0,MIG-no-such,{CUT}", [WHOLE]),
    ],
)
def test_a_gpu_that_is_cut_stands_for_its_slices(monkeypatch, inherited, left):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if inherited is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", inherited)
    assert visible(parse_gpus(LISTING)) == left


@pytest.fixture
def clean(monkeypatch):
    """An environment without devices given by anyone."""
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices, "_held", None)
    return monkeypatch


@pytest.mark.parametrize(
    ("gpus", "variables"),
    [
        (1, {"SLURM_JOB_ID": "7"}),
        (4, {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "2"}),  # where devices are not confined
        (4, {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}),  # a job without GPUs
        (1, {"CUDA_VISIBLE_DEVICES": ""}),
        (4, {"CUDA_VISIBLE_DEVICES": ""}),
    ],
)
def test_out_of_the_way_where_slurm_leaves_one_and_where_none_is_visible(
    clean, tmp_path, gpus, variables
):
    for name, value in variables.items():
        clean.setenv(name, value)
    before = dict(os.environ)
    assert take_gpu(plain(*(f"GPU-{letter}" for letter in "abcd"[:gpus])), tmp_path) is None
    assert dict(os.environ) == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [None, "0,1", "2,3"])
def test_of_several_that_slurm_leaves_a_job_takes_one(clean, tmp_path, given):
    clean.setenv("SLURM_JOB_ID", "7")
    if given:
        clean.setenv("CUDA_VISIBLE_DEVICES", given)
    first = f"GPU-{'abcd'[int(given[0]) if given else 0]}"
    assert take_gpu(plain("GPU-a", "GPU-b", "GPU-c", "GPU-d"), tmp_path) == first
    assert os.environ["CUDA_VISIBLE_DEVICES"] == first


def test_out_of_the_way_without_a_gpu(clean, tmp_path):
    clean.setenv("PATH", str(tmp_path))  # no nvidia-smi
    assert take_gpu() is None
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_several_that_cannot_be_told_apart_are_refused(clean, tmp_path):
    import torch

    clean.setenv("PATH", str(tmp_path))  # a container without nvidia-smi
    clean.setattr(torch.cuda, "device_count", lambda: 1)
    assert take_gpu() is None
    clean.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="sees 2 GPUs, which nvidia-smi does not list"):
        take_gpu()


@pytest.fixture
def pretended(tmp_path) -> tuple[list[str], dict[str, str]]:
    """Two pretended GPUs, and an environment whose nvidia-smi lists them."""
    uuids = [f"GPU-{uuid.uuid4()}" for _ in range(2)]
    lines = [f"GPU {index}: Pretended (UUID: {name})" for index, name in enumerate(uuids)]
    script = tmp_path / "bin" / "nvidia-smi"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(lines) + "\nEND\n")
    script.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    environment.pop("SLURM_JOB_ID", None)
    environment["PATH"] = f"{script.parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(Path(devices.__file__).parents[1])
    yield uuids, environment
    for name in uuids:
        Path(f"/tmp/cfdapo-{os.getuid()}/{name}.lock").unlink(missing_ok=True)


# Takes a GPU, notes when it had it, and gives it back by ending.
JOB = """
import os, sys, time
from cfdapo.devices import take_gpu
device = take_gpu()
assert take_gpu() == device == os.environ["CUDA_VISIBLE_DEVICES"]
began = time.monotonic()
time.sleep(float(sys.argv[1]))
print("had", device, began, time.monotonic(), flush=True)
"""


def job(environment: dict[str, str], seconds: float, **more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", JOB, str(seconds)],
        env=environment | more,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("allocation", [{}, {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1"}])
def test_no_two_jobs_have_the_same_gpu_at_once(pretended, allocation):
    uuids, environment = pretended
    jobs = [job(environment, 0.3, **allocation) for _ in range(5)]
    had = [one.communicate()[0].split("had ")[1].split() for one in jobs]
    assert {device for device, *_ in had} == set(uuids)
    for device in uuids:
        times = sorted((float(a), float(b)) for name, a, b in had if name == device)
        assert all(one[1] <= other[0] for one, other in zip(times, times[1:], strict=False))


def test_a_gpu_is_free_when_its_job_is_killed(pretended):
    uuids, environment = pretended
    only = {"CUDA_VISIBLE_DEVICES": "1"}
    holder = job(environment, 600, **only)
    assert holder.stdout.readline() == f"this job's GPU: {uuids[1]}\n"
    waiting = job(environment, 0, **only)
    assert waiting.stdout.readline() == "all 1 GPUs have a job; waiting for a free one\n"
    other = job(environment, 0, CUDA_VISIBLE_DEVICES=uuids[0])  # the other one is free
    assert f"had {uuids[0]}" in other.communicate()[0]
    time.sleep(0.1)
    assert waiting.poll() is None
    holder.send_signal(signal.SIGKILL)
    assert holder.wait() == -signal.SIGKILL
    assert f"had {uuids[1]}" in waiting.communicate()[0]


def test_cuda_has_not_started_when_a_stage_takes_its_gpu():
    """Importing the stages asks torch nothing about GPUs, or the choice would come too late."""
    watch = """
import sys, torch
asked = []
names = ("_lazy_init", "is_available", "device_count", "current_device", "get_device_capability")
for name in names:
    old = getattr(torch.cuda, name)
    setattr(torch.cuda, name, lambda *a, _n=name, _o=old, **k: asked.append(_n) or _o(*a, **k))
import cfdapo.stages.train, cfdapo.stages.evaluate, cfdapo.stages.profile_overhead
import cfdapo.stages.prepare_model
assert not asked, asked
torch.cuda.is_available()
assert asked == ["is_available"]
"""
    environment = os.environ | {"PYTHONPATH": str(Path(devices.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", watch], env=environment, check=True)


def test_too_late_is_an_error(clean, tmp_path):
    import torch

    clean.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(RuntimeError, match="CUDA has started already"):
        take_gpu(plain("GPU-a"), tmp_path)
    assert not list(tmp_path.iterdir())
