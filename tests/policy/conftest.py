"""A real trainer on the tiny model, with rewards that do not depend on what it can solve."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.policy.training import RunSettings, make_trainer
from cfdapo.settings import parse
from cfdapo.study import load_document


@pytest.fixture
def build(prepared, tmp_path) -> Callable[..., CFDAPOTrainer]:
    """Makes the trainer of a mode; keywords change the training's settings.

    `model_dir` is another prepared model, `chat` holds its template's variables. Every second
    completion is rewarded, unless `graded`.
    """

    def build(
        mode: str,
        credit: dict | None = None,
        proxy_dir: Path | None = None,
        problems: str = "train",
        graded: bool = False,
        model_dir: Path | None = None,
        chat: dict | None = None,
        task: str = "arithmetic",
        **training: object,
    ) -> CFDAPOTrainer:
        study = load_document("smoke")
        changed = study["training"] | {
            "steps": 1,
            "checkpoint_every": 1,
            "batch_size": 8,
            "group_size": 4,
            "max_completion_tokens": 96,
            "max_prompt_tokens": 200,
        }
        settings = {
            "task": task,
            "chat": chat or {},
            "lora": {"r": 4, "alpha": 4, "dropout": 0.0},
            "training": changed | training,
            "credit": study["credit"] | {"mode": mode} | (credit or {}),
        }
        file = prepared / f"{problems}.jsonl"
        folder = model_dir or prepared / "model"
        trainer = make_trainer(
            folder, file, 0, parse(RunSettings, settings), tmp_path, proxy_dir=proxy_dir
        )
        trainer.reward_funcs = trainer.reward_funcs if graded else [reward_by_parity]
        return trainer

    return build


def reward_by_parity(completions, **_):
    """Rewards that differ within a group, which an untrained model's answers do not."""
    return [float(index % 2) for index in range(len(completions))]


@pytest.fixture
def assignments() -> Callable[[CFDAPOTrainer], list]:
    """Lets a trainer note every assignment of credit in the list that it returns."""

    def watch(trainer: CFDAPOTrainer) -> list:
        made = []
        assign = trainer.rule.assigner.assign
        trainer.rule.assigner.assign = lambda *a, **k: made.append(assign(*a, **k)) or made[-1]
        return made

    return watch
