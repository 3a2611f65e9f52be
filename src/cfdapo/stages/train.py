"""Train one run: a model, a mode, a seed; adapters at every checkpoint, a history, a record.

Stopped by SIGTERM or Ctrl-C it saves its state and exits with code 75: run it again, and it goes
on from there. Killed, it goes on from its last checkpoint. Either way it ends with the same bits.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cfdapo.checksums import finish, sha256_of_input
from cfdapo.devices import take_gpu
from cfdapo.files import as_json, as_jsonl, read_json, write_json
from cfdapo.locks import only_one
from cfdapo.policy.checkpoints import (
    adapter_hashes,
    checkpoint,
    kept_adapter,
    last_whole,
    place_adapter,
)
from cfdapo.policy.evolution import found_map
from cfdapo.policy.generation import hash_of_prompts
from cfdapo.policy.interruption import RESUME_ME, Interrupted, Interruption
from cfdapo.policy.progress import GrowingHistory
from cfdapo.policy.reporting import Reports, keep_logs_in, require_reporters
from cfdapo.policy.resuming import SAVE_MINUTES
from cfdapo.policy.training import RunSettings, StudyTrainer, history, make_trainer
from cfdapo.provenance import (
    code_hash,
    environment,
    hardware,
    origin_of,
    peak_memory,
    rule_hash,
    with_own_code,
)
from cfdapo.settings import from_flag, plain
from cfdapo.stages import run
from cfdapo.study import checkpoint_steps, config_hash

# In a run's folder, what training goes on from; not there once it is finished.
STATE = "state"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="the model's name in the study")
    parser.add_argument("--model-dir", type=Path, required=True, help="its prepared folder")
    parser.add_argument("--problems", type=Path, required=True, help="train.jsonl")
    parser.add_argument("--mode", required=True, help="the mode's name in the study")
    parser.add_argument("--seed", type=int, required=True, help="seed of this run")
    parser.add_argument(
        "--settings",
        type=from_flag(RunSettings),
        required=True,
        help="task, chat, lora, training and credit",
    )
    parser.add_argument("--proxy-dir", type=Path, help="prepared folder of the model credit.proxy")
    parser.add_argument("--mirror", type=Path, help="the search that found the neural mirror")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument(
        "--save-minutes",
        type=float,
        default=SAVE_MINUTES,
        help="most minutes between two saved states; a kill loses no more (default: %(default)g)",
    )
    parser.add_argument(
        "--report-to",
        nargs="+",
        default=os.environ.get("CFDAPO_REPORT_TO", "").split(),
        help="trackers, such as tensorboard, which change no result (default: $CFDAPO_REPORT_TO)",
    )
    arguments = parser.parse_args()
    take_gpu()
    given = vars(arguments)
    if mirror := given.pop("mirror"):
        given["settings"] = replace(given["settings"], mirror=found_map(mirror))
    train(**given)


def train(
    model: str,
    model_dir: Path,
    problems: Path,
    mode: str,
    seed: int,
    settings: RunSettings,
    out: Path,
    proxy_dir: Path | None = None,
    save_minutes: float = SAVE_MINUTES,
    report_to: Sequence[str] = (),
    once: bool = False,
) -> None:
    """Train, or go on from the last checkpoint in `out`/state, then publish the run's files.

    With `once` a run that is finished is left as it is. Raises SystemExit with `RESUME_ME` where
    SIGTERM or SIGINT ended it and its state is saved.
    """
    began = time.perf_counter()
    require_reporters(report_to)
    if report_to:
        keep_logs_in(out)
    steps = checkpoint_steps(settings.training.steps, settings.training.checkpoint_every)
    settled = {"model": model, "mode": mode, "seed": seed, "settings": plain(settings)}
    identity = settled | {"origin": _origin(settings, model_dir, problems, proxy_dir)}
    with only_one(out / ".train.lock", f"training of {out}") as waited:
        if (waited or once) and _is_finished(out, identity):
            print("this run is finished")
            return
        state = _state_folder(out, identity)
        reports = Reports(tuple(report_to), f"{model}/{mode}/seed{seed}")
        made = {"proxy_dir": proxy_dir, "save_minutes": save_minutes, "reports": reports}
        trainer = _run(model_dir, problems, seed, settings, out, made, steps)
        rows = history(_log(state, settings.training.steps))
        _publish(out, state, steps)
        record = {
            **identity,
            "config_hash": config_hash(settled),
            "adapters": adapter_hashes(out / "adapters", steps),
            "history": finish(out / "history.jsonl", as_jsonl(rows)),
            **environment(),
            "hardware": hardware(),
            "peak_memory_bytes": peak_memory(),
            "trainable_parameters": trainer.model.num_parameters(only_trainable=True),
            "train_problems": len(trainer.train_dataset),
            "steps": len(rows),
            "seconds": _seconds(rows, time.perf_counter() - began),
        }
        finish(out / "run.json", as_json(record))  # last: it says that the run is finished
        shutil.rmtree(state)


def _is_finished(out: Path, identity: dict[str, Any]) -> bool:
    record = out / "run.json"
    return record.is_file() and identity == {key: read_json(record).get(key) for key in identity}


def _origin(
    settings: RunSettings, model_dir: Path, problems: Path, proxy_dir: Path | None
) -> dict[str, Any]:
    """What a run's numbers depend on beside its settings: code, problems, prompts, base models."""
    read = [(model_dir, settings.chat)]
    read += [(proxy_dir, settings.proxy_chat or {})] if proxy_dir else []
    prompts, *proxy_prompts = [
        hash_of_prompts(folder, problems, settings.task, chat) for folder, chat in read
    ]
    origin = {
        "code": code_hash("cfdapo.stages.train", settings.task),
        "rule": rule_hash(settings.credit.mode),
        "problems": sha256_of_input(problems),
        "prompts": prompts,
        "model": origin_of(model_dir),
        "proxy": origin_of(proxy_dir) if proxy_dir else None,
        "proxy_prompts": proxy_prompts[0] if proxy_prompts else None,
    }
    return with_own_code(origin, settings.credit)


def _state_folder(out: Path, identity: dict[str, Any]) -> Path:
    """Where the run keeps what it needs to resume; emptied if it belongs to another run.

    It is no declared output of the rule, since a failed job's declared outputs are deleted.
    """
    state = out / STATE
    mark = state / "identity.json"
    if mark.is_file() and read_json(mark) == identity:
        return state
    if state.exists():
        print("the saved state is of another configuration, code, model or prompt; starting anew")
        shutil.rmtree(state)
    write_json(mark, identity)
    return state


def _run(
    model_dir: Path,
    problems: Path,
    seed: int,
    settings: RunSettings,
    out: Path,
    made: dict[str, Any],
    steps: list[int],
) -> StudyTrainer:
    """Train until the last step's checkpoint is in `out`/state."""
    interruption, state = Interruption(), out / STATE
    callbacks = [interruption, GrowingHistory(out)]
    trainer = None
    with interruption.watch():
        try:
            trainer = make_trainer(model_dir, problems, seed, settings, state, callbacks, **made)
            last = last_whole(state, steps)
            # The library would take one step more from the last one's checkpoint.
            if last != checkpoint(state, settings.training.steps):
                print(f"going on from {last}" if last else "starting at step 0", flush=True)
                trainer.train(resume_from_checkpoint=str(last) if last else None)
        except Interrupted:
            if trainer is not None and trainer.save_boundary():
                print(f"saved after step {trainer.state.global_step}", flush=True)
            print("interrupted; run again to go on", flush=True)
            sys.exit(RESUME_ME)
    return trainer


def _log(state: Path, steps: int) -> list[dict[str, Any]]:
    """What was logged in every step of a finished training."""
    return read_json(checkpoint(state, steps) / "trainer_state.json")["log_history"]


def _publish(out: Path, state: Path, steps: list[int]) -> None:
    for step in steps:
        place_adapter(kept_adapter(state, step), out / "adapters" / f"step{step}")


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
