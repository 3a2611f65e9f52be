"""Copies of the workflow's files, to run and to edit, and records for them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from made_results import write_run

from cfdapo.study import ROOT, load_document

PARTS = ("Snakefile", "workflow", "config", "envs", "src", "profiles", "slurm")


def copy_workflow(folder: Path) -> Path:
    """Put what the workflow consists of into `folder`."""
    for name in PARTS:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    return folder


@contextmanager
def touched(folder: Path) -> Iterator[set[str]]:
    """The files of a folder that are new or other than before, once the block has ended."""
    before, found = _contents(folder), set()
    yield found
    found |= {name for name, content in _contents(folder).items() if content != before.get(name)}


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def make_smoke_records(folder: Path) -> None:
    """The records of the smoke study's runs, made up, and nothing that trained them."""
    right = count()
    for mode in load_document("smoke")["modes"]:
        write_run(
            *(folder / "results/smoke", "qwen3-tiny", mode, 0, lambda step: next(right) % 3 == 0),
            problems=[f"p{number}" for number in range(5)],
            steps=4,
            every=2,
        )
