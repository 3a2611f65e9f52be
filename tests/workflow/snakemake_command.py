"""Snakemake's command line, as the tests of the workflow call it."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import snakemake_server

from cfdapo.study import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def snakemake(
    *arguments: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m snakemake arguments` says and returns in folder `cwd`.

    Its environment is the tests', without their PYTHONPATH, and `variables`; none of these may be
    Python's own, which are read when an interpreter starts.
    """
    assert not any(name.startswith("PYTHON") for name in variables)
    with tempfile.TemporaryDirectory() as folder:
        said = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        call = {"arguments": arguments, "cwd": str(cwd), "said": said}
        server = _server()
        print(json.dumps(call | {"variables": _kept() | variables}), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        texts = [Path(file).read_text() for file in said]
    return subprocess.CompletedProcess([*SNAKEMAKE, *arguments], code, *texts)


def _kept() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@functools.cache
def _server() -> subprocess.Popen[str]:
    # -P: without the tests' folder among the places of modules.
    command = [sys.executable, "-P", snakemake_server.__file__]
    return subprocess.Popen(
        command, env=_kept(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
