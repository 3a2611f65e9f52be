"""A made-up study on disk: the files that the stages after training read."""

import importlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from made_results import write_run

import cfdapo.stages
from cfdapo.vocabulary import PAPER_MODES

MODELS, SEEDS = ("qwen3-tiny", "llama-tiny"), (0, 1, 2)
CHANCE = {"counterfactual": 0.8, "vanilla": 0.7, "random": 0.65, "inverted": 0.5}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The runs of a study, `write_runs`, to change."""
    return write_runs(tmp_path)


def write_runs(folder: Path) -> Path:
    """A results folder of 2 models x 4 modes x 3 seeds, 40 problems, steps 0, 10 and 20."""
    dice = random.Random(5)
    for model, mode, seed in product(MODELS, PAPER_MODES, SEEDS):
        minutes = 12 if mode == "counterfactual" else 10
        write_run(
            *(folder, model, mode, seed),
            lambda step, chance=CHANCE[mode]: dice.random() < step / 25 * chance,
            problems=[f"p{number}" for number in range(40)],
            history=lambda step, spans=3.0 if mode == "counterfactual" else None: {
                "reward": dice.random(),
                "weight_mean": 1.5,
                "weight_std": dice.random(),
                "spans_per_completion": spans,
                "zero_advantage_groups": 0.25,
            },
            seconds={"total": 60.0 * minutes, "credit": 10.0},
        )
    return folder


@pytest.fixture
def run_flags() -> list[str]:
    """The flags that name the runs of `study`."""
    return [
        *("--models", *MODELS),
        *("--modes", *PAPER_MODES),
        *("--seeds", *map(str, SEEDS)),
    ]


@dataclass(frozen=True)
class Done:
    """How a stage ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def stage(monkeypatch, capsys) -> Callable[..., Done]:
    """Run a stage's command line in this process, which spares the imports."""

    def run(name: str, *flags: object) -> Done:
        module = importlib.import_module(f"cfdapo.stages.{name}")
        monkeypatch.setattr(sys, "argv", [name, *map(str, flags)])
        capsys.readouterr()
        code = 0
        try:
            cfdapo.stages.run(module.main)
        except SystemExit as end:
            code = end.code
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess]:
    """Run a stage in a process of its own, as the workflow does."""
    source = str(Path(cfdapo.__file__).parents[1])

    def run(name: str, *flags: object, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", f"cfdapo.stages.{name}", *map(str, flags)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": source, **variables},
        )

    return run
