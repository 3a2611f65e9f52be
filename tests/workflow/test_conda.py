"""--use-conda: jobs run in the environments of envs/, made by a stand-in, or not at all."""

import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import conda_stand_in
import pytest
from clones import copy_workflow
from made_results import write_run

from cfdapo.study import load_study

pytestmark = pytest.mark.workflow
TABLE = "results/smoke/tables/table1_accuracy.md"
# The documented way to a table from records: no rule that trains may run.
FROM_RECORDS = ["--allowed-rules", "collect_curves", "table1_accuracy", "--", TABLE]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflow with the records of the smoke study, made up, and nothing that trained them."""
    folder = copy_workflow(tmp_path_factory.mktemp("conda"))
    study = load_study("smoke")
    right = count()
    for mode in study["modes"]:
        write_run(
            *(folder / "results/smoke", "qwen3-tiny", mode, 0, lambda step: next(right) % 3 == 0),
            problems=[f"p{number}" for number in range(5)],
            steps=4,
            every=2,
        )
    return folder


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conda_stand_in.install(tmp_path_factory.mktemp("stand_in") / "conda")


def snakemake(clone: Path, conda: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--use-conda", "--config",
         "study=smoke", *arguments],
        cwd=clone,
        env={**kept, "PATH": f"{conda}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(clone: Path, conda: Path) -> subprocess.CompletedProcess[str]:
    return snakemake(clone, conda, *FROM_RECORDS)


def logged(clone: Path, name: str) -> dict:
    line = (clone / f"results/smoke/logs/{name}.log").read_text().splitlines()[0]
    return json.loads(line.removeprefix("environment: "))


def test_a_table_from_records_trains_nothing_and_needs_no_torch(made, clone, conda):
    assert made.returncode == 0, made.stderr
    assert "Qwen3-tiny" in (clone / TABLE).read_text()
    # One environment was made, from envs/analysis.yaml, and torch is not in it.
    (asked,) = (conda.parent / "asked.txt").read_text().split()
    assert Path(asked).read_text() == (clone / "envs" / "analysis.yaml").read_text()
    for name in ("collect_curves", "table1_accuracy"):
        record = logged(clone, name)
        assert record["sys_prefix"] == asked.removesuffix(".yaml")
        assert record["versions"]["torch"] is None and record["versions"]["pandas"]
    assert not list((clone / "results/smoke").rglob("adapters"))


def test_data_is_prepared_in_the_training_environment(made, clone, conda):
    done = snakemake(clone, conda, "--", "results/smoke/data/train.jsonl")
    assert done.returncode == 0, done.stderr
    record = logged(clone, "prepare_data")
    assert Path(record["sys_prefix"]).parent == clone / ".snakemake" / "conda"
    assert record["versions"]["torch"] and record["sys_prefix"] != sys.prefix


def test_a_job_whose_environment_is_not_activated_is_refused(made, clone, conda, tmp_path):
    whole = conda / "activate"
    kept = shutil.copy(whole, tmp_path)
    whole.write_text("echo 'activation failed' >&2; return 1\n")
    try:
        done = snakemake(clone, conda, "--forcerun", "table1_accuracy", *FROM_RECORDS)
    finally:
        shutil.copy(kept, whole)
    assert done.returncode == 1
    assert "conda was asked for, but this job's environment is wrong" in done.stdout + done.stderr
