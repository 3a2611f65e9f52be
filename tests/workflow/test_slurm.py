"""The workflow on a real SLURM: no GPU is shared, results are a local run's, lost jobs go on."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import slurm_cluster
import yaml
from clones import copy_workflow

from cfdapo.files import read_json, read_jsonl, sha256_of
from cfdapo.study import ROOT, STUDIES

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(bool(slurm_cluster.missing()), reason=str(slurm_cluster.missing())),
]
GPUS, LIMIT = 2, 1500
# More than there are GPUs.
MODES = ("counterfactual", "vanilla", "random")
TABLE = "results/cluster/tables/table1_accuracy.md"
CANCELLED, REQUEUED = "counterfactual", "vanilla"


def write_study(clone: Path) -> None:
    """The smoke study with GPUs asked for, more checkpoints to go on from, less to learn."""
    study = yaml.safe_load((STUDIES / "smoke.yaml").read_text())
    study["modes"] = list(MODES)
    study["data"] |= {"test_problems": 8}
    for model in study["models"].values():
        model["pretraining"] = {"steps": 20, "batch_size": 8}
    study["training"] |= {"steps": 12, "checkpoint_every": 2, "max_completion_tokens": 64}
    # All the time that the partition gives, so that a retry cannot ask for more.
    time = {"runtime": slurm_cluster.MAX_MINUTES}
    asked = {"gpu": 1, "mem_mb": 2000, **time}
    study["resources"] = {"train": asked, "evaluate": asked, "prepare_model": time}
    study["resources"] |= {"max_mem_mb": 3000}
    (clone / "config" / "studies" / "cluster.yaml").write_text(yaml.safe_dump(study))


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@dataclass
class Ran:
    """Both runs of the study, and what was seen while SLURM ran it."""

    local: Path
    slurm: Path
    jobs: list[dict[str, str]]
    most_training: int
    saved: dict[str, list[dict[str, Any]]]
    in_allocation: list[list[str]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The study run here and through SLURM, where one training job is cancelled, one requeued."""
    here, there = (tmp_path_factory.mktemp(name) for name in ("local", "slurm"))
    write_study(copy_workflow(here))
    snakemake = [sys.executable, "-m", "snakemake", TABLE, "--config", "study=cluster"]
    done = subprocess.run(
        [*snakemake, "--cores", "2"], cwd=here, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    on_cluster = [
        *(*snakemake, "--profile", "slurm", "--default-resources", "slurm_partition=gpu"),
        # As where a home is small: nothing of the run through SLURM is in the clone.
        *("--directory", str(there)),
        # Without an accounting database; and a check at once, not after 40 s.
        *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
        *("--latency-wait", "10"),
    ]
    log = there / "snakemake.log"
    with slurm_cluster.Cluster(tmp_path_factory.mktemp("cluster"), GPUS) as cluster:
        with open(log, "w") as stream:
            running = subprocess.Popen(
                cluster.command(*on_cluster, cwd=here),
                env=environment(),
                stdout=stream,
                stderr=stream,
            )
        saved, most = lose_jobs(cluster, there, running)
        jobs = cluster.jobs()
        in_allocation = take_gpus(cluster, tmp_path_factory.mktemp("allocation"))
    assert running.returncode == 0, log.read_text()[-6000:]
    return Ran(here, there, jobs, most, saved, in_allocation)


# Takes a GPU, as jobs do; keeps it until its input ends.
TAKES_ONE = """
import os, sys
given = os.environ["SLURM_JOB_ID"], os.environ.get("CUDA_VISIBLE_DEVICES", "all")
from cfdapo.devices import take_gpu
print(*given, take_gpu(), flush=True)
sys.stdin.read()
"""
# Two such jobs at once; what they said.
TAKES_TWO = """
import subprocess, sys
command = [sys.executable, "-c", sys.argv[1]]
jobs = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]
said = [next(line for line in job.stdout if "this job" not in line) for job in jobs]
print(*said, sep="", end="")
[job.communicate() for job in jobs]
"""


def take_gpus(cluster, folder: Path) -> list[list[str]]:
    """What jobs are given and take that run two at once within an allocation of two GPUs.

    First in a step of it, then where salloc was called. The GPUs are those of a pretended
    nvidia-smi.
    """
    script = folder / "nvidia-smi"
    lines = [f"GPU {number}: Pretended (UUID: GPU-{folder.name}-{number})" for number in (0, 1)]
    script.write_text("#!/bin/sh\necho '" + "\n".join(lines) + "'\n")
    script.chmod(0o755)
    path = f"PATH={folder}:{os.environ['PATH']}:/usr/sbin"
    jobs = ["env", path, f"PYTHONPATH={ROOT / 'src'}", sys.executable, "-c", TAKES_TWO, TAKES_ONE]
    allocation = ["salloc", "--quiet", "--gres=gpu:2", "--mem=500"]
    said = cluster.run(*allocation, "srun", *jobs) + cluster.run(*allocation, *jobs)
    for line in lines:
        Path(f"/tmp/cfdapo-{os.getuid()}/{line.split()[-1][:-1]}.lock").unlink(missing_ok=True)
    return [line.split() for line in said.splitlines()]


def lose_jobs(cluster, folder, running):
    """Watch until Snakemake ends; cancel one training job and requeue another after a checkpoint.

    Returns the history that each had saved by then, and how many training jobs ran at most.
    """
    saved, most = {}, 0
    began = time.monotonic()
    while running.poll() is None:
        if time.monotonic() - began > LIMIT:
            running.kill()
            raise RuntimeError((folder / "snakemake.log").read_text()[-6000:])
        time.sleep(0.3)
        jobs = [job for job in cluster.jobs() if is_training(job)]
        training = {mode_of(job): job["JobId"] for job in jobs if job["JobState"] == "RUNNING"}
        for job in jobs:
            # A requeued job would wait for two minutes.
            if job["JobState"] == "PENDING" and job["Reason"] == "BeginTime":
                cluster.run("scontrol", "update", f"jobid={job['JobId']}", "StartTime=now")
        most = max(most, len(training))
        for mode in (CANCELLED, REQUEUED):
            state = folder / f"results/cluster/runs/qwen3-tiny/{mode}/seed0/state"
            if mode in saved or mode not in training or not (state / "checkpoint-6").is_dir():
                continue
            checkpoint = max(state.glob("checkpoint-*/trainer_state.json"), key=checkpoint_step)
            saved[mode] = read_json(state / "checkpoint-4/trainer_state.json")["log_history"]
            assert checkpoint_step(checkpoint) < 12
            if mode == CANCELLED:
                cluster.run("scancel", training[mode])
            else:  # what preemption does
                cluster.run("scontrol", "requeue", training[mode])
    return saved, most


def checkpoint_step(path: Path) -> int:
    return int(path.parent.name.partition("-")[2])


def is_training(job: dict[str, str]) -> bool:
    return job["Comment"].startswith("rule_train_")


def mode_of(job: dict[str, str]) -> str:
    return job["Comment"].split("_")[-2]


def results(there: Path, pattern: str) -> dict[str, str]:
    folder = there / "results" / "cluster"
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.glob(pattern)}


def test_training_jobs_never_share_a_gpu(ran):
    jobs = [job for job in ran.jobs if is_training(job)]
    first = jobs[: len(MODES)]
    assert {mode_of(job) for job in first} == set(MODES)
    # All were in the queue before the first ended, and yet no more ran than there are GPUs. (A
    # requeued job is given a new time of submission.)
    submitted = [job["SubmitTime"] for job in first if job["Restarts"] == "0"]
    assert len(submitted) == len(MODES) - 1
    assert max(submitted) < min(job["EndTime"] for job in jobs)
    spans = [
        tuple(datetime.fromisoformat(job[key]) for key in ("StartTime", "EndTime")) for job in jobs
    ]
    at_once = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert max(at_once) == ran.most_training == GPUS


def test_within_an_allocation_of_several_gpus_each_job_takes_one_of_its_own(ran):
    step, salloc = ran.in_allocation[:2], ran.in_allocation[2:]
    assert [given for _, given, _ in step] == ["0,1", "0,1"]
    assert [given for _, given, _ in salloc] == ["all", "all"]
    for both in (step, salloc):
        assert len({job for job, *_ in both}) == 1
        assert {device.rpartition("-")[2] for *_, device in both} == {"0", "1"}


def test_gpus_are_asked_for_by_the_study_and_by_nothing_else(ran):
    asked = {job["Comment"].split("_wildcards")[0]: job.get("TresPerJob") for job in ran.jobs}
    gpu = "gres:gpu:1"
    assert asked == {"rule_prepare_model": None, "rule_train": gpu, "rule_evaluate": gpu}


def test_results_equal_a_local_runs_to_the_bit(ran):
    for pattern, count in (
        ("models/*/model.safetensors", 1),
        ("runs/**/evaluation.jsonl", len(MODES)),
        ("runs/**/adapter_model.safetensors", len(MODES) * 6),
        *((f"tables/table1_accuracy.{ending}", 1) for ending in ("csv", "md", "tex")),
    ):
        local = results(ran.local, pattern)
        assert len(local) == count and results(ran.slurm, pattern) == local
    for path in (ran.local / "results").rglob("history.jsonl"):
        same = [ran.slurm / path.relative_to(ran.local), path]
        rows = [
            [
                {k: v for k, v in row.items() if not k.startswith("seconds_")}
                for row in read_jsonl(p)
            ]
            for p in same
        ]
        assert rows[0] == rows[1] and len(rows[0]) == 12


def test_a_cancelled_job_is_submitted_again_with_the_same_time_and_more_memory(ran):
    first, second = [job for job in ran.jobs if is_training(job) and mode_of(job) == CANCELLED]
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert first["TimeLimit"] == second["TimeLimit"] == "01:00:00"
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("2000M", "3000M")


def test_a_preempted_job_goes_back_to_the_queue(ran):
    (job,) = [job for job in ran.jobs if is_training(job) and mode_of(job) == REQUEUED]
    assert (job["Restarts"], job["JobState"]) == ("1", "COMPLETED")


@pytest.mark.parametrize("mode", [CANCELLED, REQUEUED])
def test_a_lost_job_goes_on_from_its_checkpoint(ran, mode):
    rows = read_jsonl(ran.slurm / f"results/cluster/runs/qwen3-tiny/{mode}/seed0/history.jsonl")
    before = {row["step"]: row["seconds_step"] for row in rows[:4]}
    # Steps that were run again would not take the same time to the last digit.
    saved = {row["step"]: row for row in ran.saved[mode]}
    assert before and all(seconds in saved[step].values() for step, seconds in before.items())
