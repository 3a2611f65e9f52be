"""Killed and resumed on this device: the same bits as a training that was left alone?

Three trainings of the same tiny model run side by side: two that are left alone, since no resume
can repeat what a training does not, and one that gets SIGKILL behind a checkpoint and goes on.
Where they differ, the same with torch's deterministic algorithms, to see what these mend and which
operations have none.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tiny_run
import torch
from safetensors.torch import load_file
from units import Clock, Emit, Machine, attempt, end_with_parent, redirect

from cfdapo.files import read_json, read_jsonl, write_json
from cfdapo.policy import training
from cfdapo.policy.checkpoints import checkpoint, flaw
from cfdapo.stages.train import train
from gpu_parts.sizes import head_of

STEPS, PROBLEMS = 3, 100
# The paper's first.
PRECISIONS = ("bfloat16", "float32")
COMPARED = ("left alone twice", "killed and resumed")
# Killed as soon as this step's checkpoint is whole; one is written in every step.
KILLED_AFTER = 1
# What NVIDIA's matrix products need to be deterministic; torch raises or warns without it.
WORKSPACE = ":4096:8"


def run(emit: Emit, clock: Clock, machine: Machine) -> None:
    """Emits how far runs are apart, by precision, and where they are, deterministic ones."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _wait_for([_start(machine, folder / "log", _prepare, folder, machine)])
        for precision in PRECISIONS:
            clock.check()
            attempt(emit, precision, partial(_compare, emit, clock, machine, folder, precision))


def _compare(emit: Emit, clock: Clock, machine: Machine, folder: Path, precision: str) -> None:
    found = experiment(machine, folder, precision, deterministic=False)
    emit(precision, found)
    if not all(found[name]["same bits"] for name in COMPARED):
        clock.check()
        found = experiment(machine, folder, precision, deterministic=True)
        emit(f"{precision}, deterministic", found)


def _prepare(folder: Path, machine: Machine) -> None:
    tiny_run.prepare(folder, 4 if machine.tiny else 300, head_of(machine), PROBLEMS)


def experiment(
    machine: Machine, folder: Path, precision: str, deterministic: bool
) -> dict[str, Any]:
    """How far a second run, and a killed and resumed one, are from the first, in `folder`.

    That holds what `_prepare` made.
    """
    root = folder / f"{precision}-{'deterministic' if deterministic else 'plain'}"
    outs = {name: root / name for name in ("alone", "again", "killed")}
    root.mkdir()

    def start(name: str) -> Any:
        log, given = root / f"{name}.log", (folder, outs[name], precision, deterministic)
        return _start(machine, log, run_training, *given, machine.tiny)

    running = {name: start(name) for name in outs}
    _kill(running.pop("killed"), outs["killed"] / "state")
    resumed = start("killed")
    _wait_for([*running.values(), resumed])
    alone = outs["alone"]
    return {
        "steps": STEPS,
        "killed after step": KILLED_AFTER,
        "gradients": [row["grad_norm"] for row in read_jsonl(alone / "history.jsonl")],
        "left alone twice": compare(alone, outs["again"]),
        "killed and resumed": compare(alone, outs["killed"]),
        **({"warned of": warned_of(outs.values())} if deterministic else {}),
    }


def _start(machine: Machine, log: Path, target: Any, *arguments: Any) -> Any:
    """A process that runs `target`, and ends with this one, which never touches the device."""
    process = get_context(machine.nested).Process(target=_run, args=(log, target, arguments))
    process.log = log
    process.start()
    return process


def _run(log: Path, target: Any, arguments: Sequence[Any]) -> None:
    end_with_parent()
    redirect(log)
    target(*arguments)


def _wait_for(processes: Sequence[Any]) -> None:
    """Wait for their ends; RuntimeError with what a failed one printed last."""
    for process in processes:
        process.join()
    for process in processes:
        if process.exitcode:
            printed = process.log.read_text(encoding="utf-8", errors="replace").strip()
            last = printed.rpartition("\n")[2]
            raise RuntimeError(
                f"a process ended with code {process.exitcode}: {last}\n{printed[-2000:]}"
            )


def _kill(process: Any, state: Path) -> None:
    """SIGKILL once the checkpoint of `KILLED_AFTER` is whole; RuntimeError if it ends before."""
    while process.is_alive():
        if flaw(checkpoint(state, KILLED_AFTER)) is None:
            process.kill()
            process.join()
            return
        time.sleep(0.01)
    _wait_for([process])
    raise RuntimeError("the training had ended before it could be killed")


def run_training(folder: Path, out: Path, precision: str, deterministic: bool, tiny: bool) -> None:
    """Train, or go on; what torch warned of is left beside `out`."""
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = WORKSPACE
        torch.use_deterministic_algorithms(True, warn_only=True)
    small = {"batch_size": 8, "group_size": 4, "max_completion_tokens": 24} if tiny else {}
    # With a reference policy, which is one adapter more to be saved and loaded.
    settings = tiny_run.settings(
        "counterfactual", steps=STEPS, checkpoint_every=STEPS, precision=precision,
        kl_coefficient=0.05, **small,
    )  # fmt: skip
    training._reward = lambda task: tiny_run.reward_by_parity
    paths = {"model_dir": folder / "model", "problems": folder / "train.jsonl"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tiny_run.MODEL, mode="counterfactual", seed=0, settings=settings, out=out,
              save_minutes=0, **paths)  # fmt: skip
    found = [str(warning.message) for warning in caught]
    write_json(_beside(out), {"warnings": [text for text in found if "deterministic" in text]})


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.warnings.json")


def warned_of(outs: Sequence[Path]) -> list[str]:
    """What torch said of operations without a deterministic form, each once."""
    return sorted({text for out in outs for text in read_json(_beside(out))["warnings"]})


def compare(one: Path, other: Path) -> dict[str, Any]:
    """How far the run in `other` is from that in `one`.

    "max difference" is that of a weight of the last adapter, beside the "largest weight"; "from
    step" the first whose history differs, None if none does, in the "columns" of it.
    """
    expected, found = tiny_run.left(one), tiny_run.left(other)
    pairs = list(zip(expected["history.jsonl"], found["history.jsonl"], strict=True))
    difference, largest = _weights_apart(one, other)
    return {
        "same bits": expected == found,
        "max difference": difference,
        "largest weight": largest,
        "from step": min((a["step"] for a, b in pairs if a != b), default=None),
        "columns": sorted({key for a, b in pairs for key in a if a[key] != b[key]}),
    }


def _weights_apart(one: Path, other: Path) -> tuple[float, float]:
    file = f"adapters/step{STEPS}/adapter_model.safetensors"
    a, b = load_file(one / file), load_file(other / file)
    return (
        max(float((a[name].double() - b[name].double()).abs().max()) for name in a),
        max(float(weight.abs().max()) for weight in a.values()),
    )
