"""CONTRIBUTING.md's recipe for a task, followed in a copy: what it touches is enough."""

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

TASK = '''"""The task of adding two numbers."""

from cfdapo.problems.task import Row, Task
from cfdapo.settings import DataSettings


def _load(split: str, data: DataSettings) -> list[Row]:
    first = 0 if split == "train" else 50
    rows = []
    for number in range(data.problems(split)):
        left, right = first + number, number % 7
        total = left + right
        rows.append(
            {
                "id": f"{split}-{number}",
                "question": f"{left} + {right}?",
                "answer": str(total),
                "solution": f"So {left} + {right} = {total}.\\n#### {total}",
            }
        )
    return rows


TASK = Task(
    "sums", "{question}", _load, lambda row: row["solution"], lambda row, text, reference: []
)
'''
ROW = '    "sums": TaskTraits("Sums", "Accuracy of sums", causes_known=False),\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the workflow with the task `sums` in it."""
    (tmp_path / "clone").mkdir()
    folder = copy_workflow(tmp_path / "clone")
    with touched(folder) as files:
        (folder / "src/cfdapo/problems/tasks/sums.py").write_text(TASK)
        for name, old, new in (
            ("src/cfdapo/vocabulary.py", "TASKS = {\n", f"TASKS = {{\n{ROW}"),
            (
                "workflow/schemas/study.schema.yaml",
                "[arithmetic, verbs,",
                "[sums, arithmetic, verbs,",
            ),
            ("config/README.md", "kind of problem: ", "kind of problem: `sums`, "),
        ):
            text = (folder / name).read_text()
            assert text.count(old) == 1, name
            (folder / name).write_text(text.replace(old, new))
    # The fifth is its test.
    assert files == {
        "src/cfdapo/problems/tasks/sums.py",
        "src/cfdapo/vocabulary.py",
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


def test_a_study_can_name_it_and_a_run_trains_on_it(clone, prepared, tmp_path):
    study = yaml.safe_load((clone / "config/studies/smollm2.yaml").read_text())
    study["data"] = {"task": "sums", "train_problems": 20, "test_problems": 10}
    (clone / "config/studies/mine.yaml").write_text(yaml.safe_dump(study))
    jobs = snakemake("-n", "--config", "study=mine", cwd=clone).stdout
    # Nobody knows the causes of its answers, so what compares credit with them is left out.
    assert "table1_accuracy" in jobs and "table9_credit_validity" not in jobs
    data = "results/mine/data/train.jsonl"
    prepared_data = snakemake("--cores", "1", "--config", "study=mine", "--", data, cwd=clone)
    assert prepared_data.returncode == 0, prepared_data.stderr

    smoke = load_document("smoke")
    one = {"steps": 1, "checkpoint_every": 1, "batch_size": 8, "group_size": 4}
    limits = {"max_completion_tokens": 32, "max_prompt_tokens": 200}
    settings = {
        "task": "sums",
        "chat": {},
        "lora": smoke["lora"],
        "training": smoke["training"] | one | limits,
        "credit": smoke["credit"] | {"mode": "counterfactual"},
    }
    out = tmp_path / "run"
    paths = ("--model-dir", str(prepared / "model"), "--problems", str(clone / data))
    names = ("--model", "test", "--mode", "counterfactual", "--seed", "0", "--out", str(out))
    run(clone, "cfdapo.stages.train", *paths, *names, "--settings", json.dumps(settings))
    assert len(read_jsonl(out / "history.jsonl")) == 1
    assert read_json(out / "run.json")["train_problems"] == 20
