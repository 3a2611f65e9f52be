"""--use-conda: jobs run in the environments of envs/, made by a stand-in, or not at all."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import conda_stand_in
import pytest
from clones import copy_workflow, make_smoke_records

pytestmark = pytest.mark.workflow
TABLE = "results/smoke/tables/table1_accuracy.md"
# The documented way to a table from records: no rule that trains may run.
FROM_RECORDS = ["--allowed-rules", "collect_curves", "table1_accuracy", "--", TABLE]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflow with the records of the smoke study, made up, and nothing that trained them."""
    folder = copy_workflow(tmp_path_factory.mktemp("conda"))
    make_smoke_records(folder)
    return folder


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conda_stand_in.install(tmp_path_factory.mktemp("stand_in") / "conda")


# The interpreter's folder and the ways to start Snakemake with it.
HERE = Path(sys.executable).parent
MODULE, SCRIPT = [sys.executable, "-m", "snakemake"], [str(HERE / "snakemake")]


@pytest.fixture(scope="module")
def of_the_user(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Packages of the user's own, which stop whoever imports them, of the versions wanted here."""
    folder = tmp_path_factory.mktemp("user")
    site = folder / conda_stand_in.SITE
    for place, name in ((site, "pandas"), (folder / "path", "scipy")):
        about = place / f"{name}-{importlib.metadata.version(name)}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Name: {name}\nVersion: {about.stem.split('-')[1]}\n")
        (place / f"{name}.py").write_text(f"raise SystemExit('the {name} of the user')")
    return {"PYTHONUSERBASE": str(folder), "PYTHONPATH": str(folder / "path")}


@pytest.fixture(scope="module")
def snakemake(clone: Path, conda: Path, of_the_user: dict[str, str]):
    """Run Snakemake with --use-conda as one does whose shell has conda's `(base)` active."""

    def run(
        *arguments: str, start: list[str] = MODULE, **more: str
    ) -> subprocess.CompletedProcess[str]:
        base = {"CONDA_PREFIX": str(conda.parent), "CONDA_SHLVL": "1"}
        base["PATH"] = f"{conda}:{os.environ['PATH']}"
        return subprocess.run(
            [*start, "--cores", "1", "--use-conda", "--config", "study=smoke", *arguments],
            cwd=clone,
            env={**os.environ, **of_the_user, **base, **more},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="module")
def made(snakemake) -> subprocess.CompletedProcess[str]:
    return snakemake(*FROM_RECORDS)


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


def test_the_rules_environment_comes_before_one_of_pythons_own(made, snakemake, clone, conda):
    shell = {"VIRTUAL_ENV": sys.prefix, "PATH": f"{HERE}:{conda}:{os.environ['PATH']}"}
    done = snakemake("--forcerun", "table1_accuracy", *FROM_RECORDS, start=SCRIPT, **shell)
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = Path(logged(clone, "table1_accuracy")["sys_prefix"])
    assert prefix.parent == clone / ".snakemake" / "conda"


def test_data_is_prepared_in_the_training_environment_also_elsewhere(made, snakemake, tmp_path):
    nothing_active = {"CONDA_PREFIX": "", "CONDA_SHLVL": "0"}
    target = ("--directory", str(tmp_path), "--", "results/smoke/data/train.jsonl")
    done = snakemake(*target, start=SCRIPT, **nothing_active)
    assert done.returncode == 0, done.stderr
    record = logged(tmp_path, "prepare_data")
    assert Path(record["sys_prefix"]).parent == tmp_path / ".snakemake" / "conda"
    assert record["versions"]["torch"] and record["sys_prefix"] != sys.prefix


def test_a_job_whose_environment_is_not_activated_is_refused(
    made, snakemake, clone, conda, tmp_path
):
    whole = conda / "activate"
    kept = shutil.copy(whole, tmp_path)
    whole.write_text("echo 'activation failed' >&2; return 1\n")
    try:
        done = snakemake("--forcerun", "table1_accuracy", *FROM_RECORDS)
    finally:
        shutil.copy(kept, whole)
    assert done.returncode == 1
    printed = done.stdout + done.stderr
    assert "conda was asked for, but this job's environment is wrong" in printed
    # What was activated instead is named, and the advice is not to delete anything.
    assert f"{conda.parent} was not made by this workflow" in printed
    assert "activation of the job's environment failed" in printed and "delete" not in printed
