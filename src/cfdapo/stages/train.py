"""Train one run: a model, a mode, a seed; adapters at every checkpoint, a history, a record."""

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from cfdapo.files import read_json, write_json, write_jsonl
from cfdapo.policy.training import history, make_trainer
from cfdapo.provenance import environment, hardware, peak_memory
from cfdapo.stages import run
from cfdapo.study import checkpoint_steps, config_hash

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the model's name in the study")
    parser.add_argument("--model-dir", type=Path, required=True, help="its prepared folder")
    parser.add_argument("--problems", type=Path, required=True, help="train.jsonl")
    parser.add_argument("--mode", required=True, help="the mode's name in the study")
    parser.add_argument("--seed", type=int, required=True, help="seed of this run")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="task, chat, lora, training and credit"
    )
    parser.add_argument("--proxy-dir", type=Path, help="prepared folder of the model credit.proxy")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    train(**vars(parser.parse_args()))


def train(
    model: str,
    model_dir: Path,
    problems: Path,
    mode: str,
    seed: int,
    settings: dict[str, Any],
    out: Path,
    proxy_dir: Path | None = None,
) -> None:
    """Train, or go on from the last checkpoint in `out`/state, then publish the run's files."""
    began = time.perf_counter()
    identity = {"model": model, "mode": mode, "seed": seed, "settings": settings}
    state = _state_folder(out, identity)
    keep = _KeepAdapters(state)
    trainer = make_trainer(model_dir, problems, seed, settings, state, [keep], proxy_dir)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(state)))
    rows = history(trainer.state.log_history)
    _publish(out, state, checkpoint_steps(settings["training"]))
    write_jsonl(out / "history.jsonl", rows)
    write_json(
        out / "run.json",
        {
            **identity,
            "config_hash": config_hash(identity),
            **environment(),
            "hardware": hardware(),
            "peak_memory_bytes": peak_memory(),
            "trainable_parameters": trainer.model.num_parameters(only_trainable=True),
            "train_problems": len(trainer.train_dataset),
            "steps": len(rows),
            "seconds": _seconds(rows, time.perf_counter() - began),
        },
    )
    shutil.rmtree(state)


def _state_folder(out: Path, identity: dict[str, Any]) -> Path:
    """Where the run keeps what it needs to resume; emptied if it belongs to another configuration.

    It is no declared output of the rule, since a failed job's declared outputs are deleted.
    """
    state = out / "state"
    mark = state / "identity.json"
    if mark.is_file() and read_json(mark) != identity:
        print("the saved state is of another configuration; starting anew")
        shutil.rmtree(state)
    state.mkdir(parents=True, exist_ok=True)
    write_json(mark, identity)
    return state


class _KeepAdapters(TrainerCallback):
    """Keeps every checkpoint's adapter; the trainer itself keeps its last two checkpoints only."""

    def __init__(self, state: Path):
        self.folder = state / "adapters"

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        _copy_adapter(checkpoint, self.folder / f"step{state.global_step}")


def _copy_adapter(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in ADAPTER_FILES:
        temporary = target / f".{name}"
        shutil.copyfile(source / name, temporary)
        os.replace(temporary, target / name)


def _publish(out: Path, state: Path, steps: list[int]) -> None:
    for step in steps:
        _copy_adapter(state / "adapters" / f"step{step}", out / "adapters" / f"step{step}")


def _seconds(history: list[dict[str, Any]], process: float) -> dict[str, float]:
    """Seconds by phase over all steps, and what this process spent on anything else."""
    phases = {
        phase: sum(row[f"seconds_{phase}"] for row in history)
        for phase in ("generation", "credit", "update")
    }
    total = sum(phases.values())
    return {"total": total, **phases, "process": process}


if __name__ == "__main__":
    run(main)
