"""Copies of the workflow's files, to run and to edit."""

import shutil
from pathlib import Path

from cfdapo.study import ROOT

PARTS = ("Snakefile", "workflow", "config", "envs", "src", "profiles", "slurm")


def copy_workflow(folder: Path) -> Path:
    """Put what the workflow consists of into `folder`."""
    for name in PARTS:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    return folder
