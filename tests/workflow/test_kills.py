"""Snakemake and its jobs are killed, and run again: the run goes on and ends with the same bits."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clones import copy_workflow
from snakemake_command import SNAKEMAKE, snakemake

from cfdapo.files import sha256_of

pytestmark = pytest.mark.workflow
RUN = "results/smoke/runs/qwen3-tiny/random/seed0"
TARGETS = ("--cores", "1", "--config", "study=smoke", "--", f"{RUN}/run.json")


@pytest.fixture(scope="module")
def prepared_clone(tmp_path_factory) -> Path:
    """The workflow with the smoke study made smaller, its data and model prepared."""
    folder = copy_workflow(tmp_path_factory.mktemp("clone"))
    path = folder / "config" / "studies" / "smoke.yaml"
    study = path.read_text()
    for old, new in [
        ("{steps: 300, batch_size: 16}", "{steps: 20, batch_size: 8}"),
        ("  steps: 4\n", "  steps: 16\n"),
        ("checkpoint_every: 2", "checkpoint_every: 4"),
        ("max_completion_tokens: 112", "max_completion_tokens: 64"),
    ]:
        assert old in study
        study = study.replace(old, new)
    path.write_text(study)
    done = snakemake(
        *TARGETS[:-1], "results/smoke/models/qwen3-tiny", "results/smoke/data/train.jsonl",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def whole(prepared_clone, tmp_path_factory) -> Path:
    """The clone with the run done, never interrupted."""
    folder = tmp_path_factory.mktemp("done") / "whole"
    shutil.copytree(prepared_clone, folder, symlinks=True)
    done = snakemake(*TARGETS, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(adapters(folder)) == 8
    return folder


def start(folder: Path, *flags: str) -> subprocess.Popen:
    """Snakemake in a session of its own, so that it and its jobs can be hit together."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [*SNAKEMAKE, *flags, *TARGETS],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def last_step(folder: Path) -> int:
    """The step of the run's last whole checkpoint."""
    marks = (folder / RUN / "state").glob("checkpoint-*/complete.json")
    return max((int(path.parent.name.partition("-")[2]) for path in marks), default=0)


def wait_for_step(folder: Path, process: subprocess.Popen, step: int) -> None:
    while last_step(folder) < step:
        assert process.poll() is None, (folder / log()).read_text()
        time.sleep(0.01)


def log() -> str:
    return RUN.replace("runs", "logs/train", 1) + ".log"


def adapters(folder: Path) -> dict[str, str]:
    files = sorted((folder / RUN).glob("adapters/*/*"))
    return {f"{path.parent.name}/{path.name}": sha256_of(path) for path in files}


def training_of(session: int) -> tuple[int, list[str]]:
    """The training job that Snakemake started in its session: its process and its command."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process that ends meanwhile
            command = path.read_text().split("\0")[:-1]
            process = int(path.parent.name)
            if "cfdapo.stages.train" in command and os.getsid(process) == session:
                return process, command
    raise AssertionError("no training runs")


def test_killed_and_stopped_the_run_goes_on(prepared_clone, whole, tmp_path):
    folder = shutil.copytree(prepared_clone, tmp_path / "killed", symlinks=True)

    first = start(folder)
    wait_for_step(folder, first, 4)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    reached = last_step(folder)
    assert snakemake("--unlock", "--config", "study=smoke", cwd=folder).returncode == 0

    second = start(folder)
    wait_for_step(folder, second, reached + 4)
    assert f"going on from {RUN}/state/checkpoint-{reached}" in (folder / log()).read_text()
    os.killpg(second.pid, signal.SIGTERM)
    assert second.wait() != 0
    printed = (folder / log()).read_text()
    saved = re.search(r"saved after step (\d+)", printed)
    assert "interrupted; run again to go on" in printed
    reached = last_step(folder)
    assert reached < 16 and (saved is None or int(saved[1]) == reached)

    done = snakemake(*TARGETS, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"going on from {RUN}/state/checkpoint-{reached}" in (folder / log()).read_text()
    assert adapters(folder) == adapters(whole)


def test_a_stopped_job_says_resume_me_and_is_tried_again(prepared_clone, whole, tmp_path):
    folder = shutil.copytree(prepared_clone, tmp_path / "retried", symlinks=True)
    workflow = start(folder, "--retries", "1")
    wait_for_step(folder, workflow, 4)
    job, command = training_of(workflow.pid)
    os.kill(job, signal.SIGTERM)
    assert workflow.wait() == 0, (folder / log()).read_text()
    printed = (folder / log()).read_text()  # of the second try
    assert f"going on from {RUN}/state/checkpoint-" in printed
    assert adapters(folder) == adapters(whole)

    # The same command, whose exit code Snakemake does not tell.
    shutil.rmtree(folder / RUN)
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    train = [sys.executable, *command[1:]]
    with open(folder / log(), "w") as stream:
        stopped = subprocess.Popen(train, cwd=folder, env=environment, stdout=stream, stderr=stream)
        wait_for_step(folder, stopped, 4)
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait() == 75, (folder / log()).read_text()
    assert last_step(folder) >= 4 and not (folder / RUN / "run.json").exists()


def test_a_job_that_outlives_a_killed_snakemake_is_waited_for(prepared_clone, tmp_path):
    folder = shutil.copytree(prepared_clone, tmp_path / "orphan", symlinks=True)
    first = start(folder)
    wait_for_step(folder, first, 4)
    first.send_signal(signal.SIGKILL)  # its job goes on
    first.wait()
    assert snakemake("--unlock", "--config", "study=smoke", cwd=folder).returncode == 0
    second = snakemake(*TARGETS, cwd=folder)
    assert second.returncode == 0, second.stderr
    assert len(adapters(folder)) == 8 and not (folder / RUN / "state").exists()
