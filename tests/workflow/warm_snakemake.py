"""Snakemake's command line; dry runs in forks of one process that has imported it.

Importing Snakemake takes longer than most dry runs, and the tests make many. What the workflow
itself imports is not there before the fork, as copies of it bring code of their own.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import forked_snakemake

from cfdapo.study import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["snakemake.cli", "snakemake.workflow", "snakemake.dag"])


def snakemake(
    *arguments: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """What `snakemake arguments` says and returns in folder `cwd`, without tests' PYTHONPATH."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if "--dry-run" in arguments:
        return _forked(arguments, cwd, kept | variables)
    command = [*SNAKEMAKE, *arguments]
    return subprocess.run(command, cwd=cwd, env=kept | variables, capture_output=True, text=True)


def _forked(
    arguments: tuple[str, ...], cwd: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    # Not this checkout's own code: a copy of the workflow brings its own.
    path = [place for place in sys.path if not _is_ours(place)]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        given = (list(arguments), cwd, environment, path, said)
        run = _CONTEXT.Process(target=forked_snakemake.main, args=given)
        run.start()
        run.join()
        texts = [path.read_text() for path in said]
    assert run.exitcode is not None
    return subprocess.CompletedProcess(list(arguments), run.exitcode, *texts)


def _is_ours(place: str) -> bool:
    return Path(place).resolve().is_relative_to(ROOT) and "site-packages" not in place
