"""`--directory`: results in another folder, and everything else from the clone."""

import subprocess
from pathlib import Path

import pytest
import snakemake_command
from clones import copy_workflow
from test_dag import job_counts

pytestmark = pytest.mark.workflow
TABLE = "results/tiny/tables/table16_inconsistencies.md"
DATA = "results/tiny/data/train.jsonl"
GSM8K = "results/paper/data/train.jsonl"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the workflow in `a clone`."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "a clone").mkdir()
    path = copy_workflow(folder / "a clone") / "config" / "studies" / "paper.yaml"
    path.write_text(path.read_text().replace("task: gsm8k\n", "task: gsm8k\n  path: PATH\n", 1))
    return folder


def snakemake(cwd: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CFDAPO_DATA", raising=False)
        return snakemake_command.snakemake(*arguments, cwd=cwd, **more)


@pytest.fixture(scope="module")
def results(home: Path) -> Path:
    """The folder in which a table and the problems were made, called from the clone."""
    done = snakemake(
        home / "a clone", "--directory", "../scratch", "--cores", "1", "--", TABLE, DATA
    )
    assert done.returncode == 0, done.stderr
    return home / "scratch"


def files(folder: Path) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in paths if "__pycache__" not in path.parts}


def test_results_are_there_and_nothing_new_is_in_the_clone(home, results, tmp_path):
    assert (results / TABLE).is_file() and len((results / DATA).read_text().splitlines()) == 2000
    assert files(home / "a clone") == files(copy_workflow(tmp_path))


def test_called_from_elsewhere_the_study_is_the_same(home, results):
    done = snakemake(results, "--snakefile", "../a clone/Snakefile", "--dry-run", "--", TABLE, DATA)
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_an_edit_in_the_clone_reruns_what_it_can_change(home, results):
    path = home / "a clone/src/cfdapo/problems/arithmetic.py"
    before = path.read_text()
    path.write_text(before + "\n# edited\n")
    try:
        done = snakemake(
            home / "a clone", "--directory", str(results), "--dry-run", "--", TABLE, DATA
        )
    finally:
        path.write_text(before)
    assert job_counts(done.stdout) == {"prepare_data": 1, "total": 1}


def test_a_report_is_made_of_results_elsewhere(home, results):
    flags = ("--directory", str(results), "--report", "report.zip", "--", TABLE)
    done = snakemake(home / "a clone", *flags)
    assert done.returncode == 0 and (results / "report.zip").stat().st_size > 10_000, done.stderr


@pytest.mark.parametrize(
    ("path", "variables", "folder"),
    [
        ("gsm", {}, "a clone/gsm"),  # of the study: in the clone
        ("null", {"CFDAPO_DATA": "../gsm"}, "a clone/../gsm"),  # of the caller: from where they are
    ],
)
def test_folders_of_data_are_where_they_were_named(home, path, variables, folder):
    study = home / "a clone" / "config" / "studies" / "paper.yaml"
    before = study.read_text()
    study.write_text(before.replace("PATH", path))
    target = ("--cores", "1", "--config", "study=paper", "--", GSM8K)
    try:
        done = snakemake(home / "a clone", "--directory", "../scratch", *target, **variables)
    finally:
        study.write_text(before)
    # There is no such folder; jobs say where they looked.
    assert done.returncode == 1
    printed = (home / "scratch/results/paper/logs/prepare_data.log").read_text()
    assert f"{home / folder}" in printed, printed
