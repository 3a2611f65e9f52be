"""CONTRIBUTING.md's recipe for a credit rule, followed in a copy: what it touches is enough."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from clones import copy_workflow, touched
from snakemake_command import snakemake

from cfdapo.files import read_json, read_jsonl
from cfdapo.study import load_document

pytestmark = pytest.mark.workflow

RULE = '''"""Twice DAPO's advantage on the second half of each completion, nothing on the first."""

import torch

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, weighted


class Rule(CreditRule):
    """w_t = 2 where t >= T / 2, else 0."""

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        halves = [torch.arange(len(ids)) >= len(ids) / 2 for ids in rollout.completions]
        return weighted(rollout, [2.0 * half.float() for half in halves])
'''


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the workflow with the rule `late` in it."""
    (tmp_path / "clone").mkdir()
    folder = copy_workflow(tmp_path / "clone")
    with touched(folder) as files:
        (folder / "src/cfdapo/credit/rules/late.py").write_text(RULE)
        schema = folder / "workflow/schemas/study.schema.yaml"
        known = "      - monte_carlo\n"
        schema.write_text(schema.read_text().replace(known, f"{known}      - late\n"))
        readme = folder / "config/README.md"
        row = "| `late` | twice A on the second half | nothing |\n"
        readme.write_text(readme.read_text().replace("| `vanilla` |", f"{row}| `vanilla` |"))
    # The fourth is its test.
    assert files == {
        "src/cfdapo/credit/rules/late.py",
        "workflow/schemas/study.schema.yaml",
        "config/README.md",
    }
    return folder


def run(clone: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=clone, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_study_can_name_it_and_a_run_trains_with_it(clone, prepared, tmp_path):
    study = clone / "config/studies/smoke.yaml"
    changed = yaml.safe_load(study.read_text()) | {"modes": ["late", "vanilla"]}
    changed["measurement"] = {"policy": "untrained"}
    study.write_text(yaml.safe_dump(changed))
    jobs = snakemake("-n", "-p", "--config", "study=smoke", "--until", "train", cwd=clone)
    assert "--mode late" in jobs.stdout and "rules/late.py" in jobs.stdout, jobs.stderr

    smoke = load_document("smoke")
    one = {"steps": 1, "checkpoint_every": 1, "batch_size": 8, "group_size": 4}
    settings = {
        "task": "arithmetic",
        "chat": {},
        "lora": smoke["lora"],
        "training": smoke["training"]
        | one
        | {"max_completion_tokens": 48, "max_prompt_tokens": 200},
        "credit": smoke["credit"] | {"mode": "late"},
    }
    out = tmp_path / "run"
    paths = ("--model-dir", str(prepared / "model"), "--problems", str(prepared / "train.jsonl"))
    names = ("--model", "test", "--mode", "late", "--seed", "0", "--out", str(out))
    run(clone, "cfdapo.stages.train", *paths, *names, "--settings", json.dumps(settings))
    (row,) = read_jsonl(out / "history.jsonl")
    assert row["weight_mean"] == pytest.approx(1, abs=0.03) and row["credit_passes"] == 0
    assert row["weight_std"] == pytest.approx(1, abs=0.03)
    assert read_json(out / "run.json")["settings"]["credit"]["mode"] == "late"
