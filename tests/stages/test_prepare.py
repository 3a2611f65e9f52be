"""Preparing data and models as a user does, and what is refused."""

import json

import pytest

from cfdapo.files import read_json, read_jsonl, sha256_of
from cfdapo.study import load_document


def data(**changed: object) -> str:
    return json.dumps(load_document("smoke")["data"] | changed)


def test_data_has_its_hashes_and_template_in_the_manifest(stage, tmp_path):
    done = stage("prepare_data", "--data", data(), "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = read_json(tmp_path / "manifest.json")
    for split in ("train", "test"):
        path = tmp_path / f"{split}.jsonl"
        assert manifest["sha256"][split] == sha256_of(path)
        assert manifest["rows"][split] == len(read_jsonl(path))
    assert manifest["template"] == "{question}"


def test_real_data_is_the_first_rows_of_both_splits(stage, data_folder, tmp_path):
    wanted = data(task="gsm8k", path=str(data_folder), train_problems=7, test_problems=None)
    done = stage("prepare_data", "--data", wanted, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "manifest.json")["rows"] == {"train": 7, "test": 1319}


@pytest.mark.parametrize("present", [False, True])
def test_missing_local_data_is_an_error_without_a_traceback(stage, tmp_path, present):
    folder = tmp_path / "nothing"
    if present:
        folder.mkdir()
    out = tmp_path / "out"
    done = stage("prepare_data", "--data", data(task="gsm8k", path=str(folder)), "--out", out)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and str(folder) in done.stderr
    assert "Traceback" not in done.stderr and not out.exists()


def test_hub_model_that_is_out_of_reach_is_an_error_without_a_traceback(process, tmp_path):
    entry = load_document("paper")["models"]["qwen3-1.7b"]
    del entry["label"]
    done = process(
        "prepare_model", "--name", "qwen3-1.7b", "--entry", json.dumps(entry), "--task", "gsm8k",
        "--out", tmp_path / "model", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: models: Qwen/Qwen3-1.7B at 70d244cc" in done.stderr
    assert "Traceback" not in done.stderr


def test_made_model_is_the_same_twice(stage, process, tmp_path):
    """In a process of its own, and in this one."""
    entry = load_document("smoke")["models"]["qwen3-tiny"]
    del entry["label"]
    short = entry | {"pretraining": entry["pretraining"] | {"steps": 2}}
    flags = ["--name", "test", "--entry", json.dumps(short), "--task", "arithmetic", "--out"]
    hashes = []
    for done, out in [
        (process("prepare_model", *flags, tmp_path / "one", OMP_NUM_THREADS="1"), "one"),
        (stage("prepare_model", *flags, tmp_path / "two"), "two"),
    ]:
        assert done.returncode == 0, done.stderr
        hashes.append(read_json(tmp_path / out / "manifest.json")["sha256"])
    assert hashes[0] == hashes[1] and "model.safetensors" in hashes[0]
