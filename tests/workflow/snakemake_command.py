"""Snakemake's command line, as the tests of the workflow call it."""

import os
import subprocess
import sys
from pathlib import Path

from cfdapo.study import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def snakemake(
    *arguments: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """What `snakemake arguments` says and returns in folder `cwd`, without tests' PYTHONPATH."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [*SNAKEMAKE, *arguments]
    return subprocess.run(command, cwd=cwd, env=kept | variables, capture_output=True, text=True)
