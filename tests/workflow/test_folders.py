"""Folders that Snakemake needs before it reads the workflow are named where they are missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfdapo.study import ROOT

pytestmark = pytest.mark.workflow


def dry_run(python: list[str] | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    left_out = {"PYTHONPATH", "XDG_CACHE_HOME", "TMPDIR", *changes}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [*(python or [sys.executable, "-m"]), "snakemake", "-n", "--config", "study=smoke"],
        cwd=ROOT,
        env=environment | changes,
        capture_output=True,
        text=True,
    )


# Neither exists nor can be made, also by root.
NOWHERE = "/proc/nowhere"
# tempfile tries a few folders, and takes the first that can be written.
NO_TEMPORARY = """
import runpy, sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/nowhere"]
sys.argv = sys.argv[1:]
runpy.run_module("snakemake", run_name="__main__")"""


@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME"])
def test_a_folder_for_the_cache_is_asked_for_by_name(name):
    done = dry_run(**{name: NOWHERE})
    assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
    assert f"error: {name}: Snakemake cannot write its cache, {NOWHERE}" in done.stderr


def test_a_folder_for_temporary_files_is_asked_for_by_name():
    done = dry_run([sys.executable, "-c", NO_TEMPORARY], TMPDIR=NOWHERE)
    assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
    assert f"error: TMPDIR: neither {NOWHERE} nor /tmp can be written" in done.stderr


def test_another_temporary_folder_than_the_one_named_is_said(tmp_path: Path):
    (tmp_path / "cache").mkdir()
    done = dry_run(TMPDIR=NOWHERE, HOME=NOWHERE, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert f"TMPDIR: {NOWHERE} cannot be written; /" in done.stderr
