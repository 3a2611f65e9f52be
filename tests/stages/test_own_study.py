"""The README's "A study of your own", followed on a tiny model and made questions."""

import json
import re

import pytest
import yaml

from cfdapo.files import read_json, read_jsonl, sha256_of
from cfdapo.problems.arithmetic import make_problems
from cfdapo.settings import as_flag
from cfdapo.study import ROOT, build_study, check_study, credit_settings

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def study(prepared, tmp_path):
    """The README's study, of a model and questions that are here, and smaller."""
    text = re.search(r"mine\.yaml <<'END'\n(.*?)END\n", README, re.DOTALL)[1]
    assert len(text.splitlines()) <= 10
    for split, count in (("train", 8), ("test", 3)):
        problems = make_problems(split, count, seed=1)
        rows = [{"question": row["question"], "answer": int(row["answer"])} for row in problems]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(lines)
        assert (path := f"/data/{split}.jsonl") in text
        text = text.replace(path, str(tmp_path / f"{split}.jsonl"))
    assert "/models/mine" in text
    document = yaml.safe_load(text.replace("/models/mine", str(prepared / "model")))
    document["training"] = {"steps": 1, "checkpoint_every": 1, "batch_size": 4, "group_size": 4}
    document["training"] |= {"gradient_accumulation": 1, "max_completion_tokens": 24}
    document["training"] |= {"precision": "float32"}
    return build_study(check_study(document, "mine.yaml"))


def test_the_readmes_study_runs_on_ones_own_model_and_questions(study, stage, tmp_path):
    def run(name, *flags):
        done = stage(name, *flags)
        assert done.returncode == 0, done.stderr

    data, model, out = tmp_path / "data", tmp_path / "model", tmp_path / "run"
    run("prepare_data", "--data", as_flag(study.data), "--out", data)
    entry = as_flag(study.models["mine"])
    run("prepare_model", "--name", "mine", "--entry", entry, "--task", "jsonl", "--out", model)
    common = {"task": "jsonl", "chat": {}, "training": study.training}
    credit = credit_settings(study, "counterfactual")
    settings = as_flag({**common, "lora": study.lora, "credit": credit})
    flags = ("--model", "mine", "--model-dir", model, "--mode", "counterfactual", "--seed", 0)
    run("train", *flags, "--problems", data / "train.jsonl", "--settings", settings, "--out", out)
    settings = as_flag({**common, "evaluation": study.evaluation})
    flags = ("--model-dir", model, "--problems", data / "test.jsonl", "--run-dir", out)
    run("evaluate", *flags, "--settings", settings, "--out", out / "evaluation.jsonl")

    manifest, record = read_json(data / "manifest.json"), read_json(out / "run.json")
    assert manifest["rows"] == {"train": 8, "test": 3}
    assert manifest["sources"]["train"]["sha256"] == sha256_of(tmp_path / "train.jsonl")
    assert record["origin"]["problems"] == manifest["sha256"]["train"]
    assert record["origin"]["model"]["revision"] == read_json(model / "manifest.json")["revision"]
    rows = read_jsonl(out / "evaluation.jsonl")
    wanted = [str(row["answer"]) for row in read_jsonl(tmp_path / "test.jsonl")]
    assert [row["gold"] for row in rows] == 2 * wanted
    assert "\\boxed{}" in read_jsonl(data / "test.jsonl")[0]["question"]
