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
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        run = _CONTEXT.Process(target=_main, args=(arguments, cwd, environment, said))
        run.start()
        run.join()
        texts = [path.read_text() for path in said]
    assert run.exitcode is not None
    return subprocess.CompletedProcess(list(arguments), run.exitcode, *texts)


def _main(
    arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], said: list[Path]
) -> None:
    for number, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    from snakemake.cli import main

    sys.argv = ["snakemake", *arguments]
    main(list(arguments))
