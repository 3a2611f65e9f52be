"""A run of the study tiny, made on the spot: its model, hardly pretrained, and its problems."""

from pathlib import Path
from typing import Any

from cfdapo.files import write_jsonl
from cfdapo.policy.models import write_manifest
from cfdapo.problems.task import get_task
from cfdapo.stages.prepare_model import make
from cfdapo.study import credit_settings, load_study

MODEL = "qwen3-tiny"


def prepare(folder: Path, pretraining_steps: int) -> dict[str, Path]:
    """Make `folder`/model and `folder`/train.jsonl; the paths that the stage train takes."""
    study = load_study("tiny")
    entry = study["models"][MODEL]
    entry = entry | {"pretraining": entry["pretraining"] | {"steps": pretraining_steps}}
    model, problems = folder / "model", folder / "train.jsonl"
    model.mkdir(parents=True)
    write_manifest(model, MODEL, entry, make(entry, study["data"]["task"], model))
    write_jsonl(problems, get_task(study["data"]["task"]).load("train", study["data"]))
    return {"model_dir": model, "problems": problems}


def settings(mode: str, **training: Any) -> dict[str, Any]:
    """What the stage train takes as --settings, with some of the study's training changed."""
    study = load_study("tiny")
    return {
        "task": study["data"]["task"],
        "chat": {},
        "lora": study["lora"],
        "training": study["training"] | training,
        "credit": credit_settings(study, mode),
    }
