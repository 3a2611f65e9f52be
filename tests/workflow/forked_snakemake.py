"""The forks' side of `warm_snakemake`: imports nothing of the project before Snakemake does."""

import os
import sys
from pathlib import Path


def main(
    arguments: list[str], cwd: Path, environment: dict[str, str], path: list[str], said: list[Path]
) -> None:
    """Be `python -m snakemake arguments` in `cwd`, with output to the two files of `said`."""
    for number, file in enumerate(said, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [str(cwd), *path]
    from snakemake.cli import main as snakemake

    sys.argv = ["snakemake", *arguments]
    snakemake(arguments)
