"""Seconds of the smoke study, tables and figures included: here, and through SLURM beside it.

    PYTHONPATH=src python benchmarks/smoke_on_slurm.py [--gpus 2]

The cluster is the tests' own, of one node with fake GPUs (tests/workflow/slurm_cluster.py), so both
run on the same cores; what SLURM adds is its scheduling and an interpreter for every job. Training,
evaluation and measuring ask for a GPU each. Says whether both ended with the same adapters.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workflow"))

import slurm_cluster
from clones import copy_workflow

from cfdapo.files import sha256_of

STUDY = "timed"
ON_GPUS = ("train", "evaluate", "measure_credit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gpus", type=int, default=2, help="fake GPUs of the cluster")
    gpus = parser.parse_args().gpus
    if reason := slurm_cluster.missing():
        raise SystemExit(f"no SLURM: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        here, there = (prepare(Path(folder) / name) for name in ("local", "slurm"))
        command = [sys.executable, "-m", "snakemake", "--config", f"study={STUDY}"]
        seconds = timed([*command, "--cores", "2", "--resources", f"gpu={gpus}"], here)
        print(f"here: {seconds:.0f} s", flush=True)
        command += ["--profile", "slurm", "--default-resources", "slurm_partition=gpu"]
        # Without an accounting database; and a check at once, not after 40 s.
        command += ["--slurm-status-command", "squeue"]
        command += ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10"]
        cluster_folder = Path(folder) / "cluster"
        cluster_folder.mkdir()
        with slurm_cluster.Cluster(cluster_folder, gpus) as cluster:
            print(f"SLURM: {timed(cluster.command(*command, cwd=there), there):.0f} s")
        print(f"the same adapters: {adapters(here) == adapters(there)}")


def prepare(clone: Path) -> Path:
    """A copy of the workflow whose smoke study asks for GPUs."""
    clone.mkdir()
    copy_workflow(clone)
    study = yaml.safe_load((clone / "config" / "studies" / "smoke.yaml").read_text())
    study["resources"] = {rule: {"gpu": 1, "mem_mb": 1500, "runtime": 60} for rule in ON_GPUS}
    (clone / "config" / "studies" / f"{STUDY}.yaml").write_text(yaml.safe_dump(study))
    return clone


def timed(command: list[str], folder: Path) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return time.perf_counter() - began


def adapters(clone: Path) -> dict[str, str]:
    """Adapter file -> its hash."""
    found = (clone / "results" / STUDY / "runs").rglob("*.safetensors")
    return {str(path.relative_to(clone)): sha256_of(path) for path in found}


if __name__ == "__main__":
    main()
