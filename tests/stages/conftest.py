"""A made-up study on disk: the files that the stages after training read."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from made_results import MODELS, SEEDS, write_runs

import cfdapo.stages
from cfdapo.vocabulary import PAPER_MODES


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The runs of a study, `write_runs`, to change."""
    return write_runs(tmp_path)


@pytest.fixture
def run_flags() -> list[str]:
    """The flags that name the runs of `study`."""
    return [
        *("--models", *MODELS),
        *("--modes", *PAPER_MODES),
        *("--seeds", *map(str, SEEDS)),
    ]


@pytest.fixture
def run_dir(prepared: Path, tmp_path: Path) -> Path:
    """A run's folder with adapters of steps 1 and 2 of the prepared model, which never learned."""
    import torch

    from cfdapo.policy.models import add_lora, load_base
    from cfdapo.settings import LoraSettings

    torch.manual_seed(0)
    for step in (1, 2):
        base, _ = load_base(prepared / "model")
        lora = add_lora(base, LoraSettings(4, 4, 0.0))
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        lora.save_pretrained(tmp_path / "adapters" / f"step{step}")
    return tmp_path


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
