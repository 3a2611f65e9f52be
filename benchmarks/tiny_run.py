"""A run of the study tiny, made on the spot: its model, hardly pretrained, and its problems."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cfdapo.credit.assigner import CreditConfig
from cfdapo.files import read_jsonl, sha256_of, write_jsonl
from cfdapo.policy.models import write_manifest
from cfdapo.policy.training import RunSettings
from cfdapo.problems.task import get_task
from cfdapo.settings import plain
from cfdapo.stages.prepare_model import make
from cfdapo.study import credit_settings, load_study

MODEL = "qwen3-tiny"


def prepare(
    folder: Path,
    pretraining_steps: int,
    shape: dict[str, Any] | None = None,
    problems: int | None = None,
) -> dict[str, Path]:
    """Make `folder`/model and `folder`/train.jsonl; the paths that the stage train takes.

    `shape` changes some of the model's sizes, `problems` the number that the study has.
    """
    study = load_study("tiny")
    data = study.data if problems is None else replace(study.data, train_problems=problems)
    entry = study.models[MODEL]
    entry = replace(
        entry,
        pretraining=replace(entry.pretraining, steps=pretraining_steps),
        shape={**entry.shape, **(shape or {})},
    )
    model, rows = folder / "model", folder / "train.jsonl"
    model.mkdir(parents=True)
    write_manifest(model, MODEL, plain(entry), make(entry, data.task, model))
    write_jsonl(rows, get_task(data.task).load("train", data))
    return {"model_dir": model, "problems": rows}


def settings(mode: str, **training: Any) -> RunSettings:
    """What the stage train takes, with some of the study's training changed."""
    study = load_study("tiny")
    credit = CreditConfig(**vars(credit_settings(study, mode)))
    return RunSettings(study.data.task, {}, study.lora, replace(study.training, **training), credit)


def left(out: Path) -> dict[str, Any]:
    """What a finished run in `out` leaves: the hash of every adapter's files, and the history.

    Of that all but the times, which differ between any two runs.
    """
    rows = [
        {key: value for key, value in row.items() if not key.startswith("seconds")}
        for row in read_jsonl(out / "history.jsonl")
    ]
    files = sorted(out.glob("adapters/*/*"))
    return {"history.jsonl": rows} | {str(path.relative_to(out)): sha256_of(path) for path in files}


def reward_by_parity(completions: list[Any], **_: Any) -> list[float]:
    """Rewards that differ within a group, which a hardly trained model's answers may not."""
    return [float(index % 2) for index in range(len(completions))]
