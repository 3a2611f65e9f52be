"""Training runs: what they leave, and that they are the same to the bit, resumed or not."""

import json
import os
import shutil
from pathlib import Path

import pytest

from cfdapo import checksums
from cfdapo.files import UserError, read_json, read_jsonl, sha256_of
from cfdapo.integrity import read_history, read_run
from cfdapo.policy.checkpoints import adapter_hashes
from cfdapo.policy.training import RunSettings
from cfdapo.provenance import code_hash
from cfdapo.settings import parse
from cfdapo.stages.train import train
from cfdapo.study import load_document

STEPS = 4


@pytest.fixture(scope="module")
def settings():
    study = load_document("smoke")
    training = study["training"] | {
        "steps": STEPS,
        "checkpoint_every": 2,
        "batch_size": 8,
        "gradient_accumulation": 2,
        "group_size": 4,
        "max_completion_tokens": 24,
        "max_prompt_tokens": 200,
        "kl_coefficient": 0.0,
    }
    lora = {"r": 4, "alpha": 4, "dropout": 0.0}
    return {
        "task": "arithmetic",
        "chat": {},
        "lora": lora,
        "training": training,
        "credit": study["credit"] | {"mode": "random"},
    }


def run(prepared: Path, out: Path, settings: dict, mode: str = "random", seed: int = 0) -> Path:
    chosen = parse(RunSettings, settings)
    train("test", prepared / "model", prepared / "train.jsonl", mode, seed, chosen, out)
    return out


def adapters(out: Path) -> dict[str, str]:
    return {
        path.parent.name: sha256_of(path)
        for path in sorted(out.glob("adapters/step*/adapter_model.safetensors"))
    }


def without_seconds(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


@pytest.fixture(scope="module")
def finished(prepared, settings, tmp_path_factory):
    return run(prepared, tmp_path_factory.mktemp("run"), settings)


def test_leaves_adapters_history_and_record_and_no_state(finished, prepared, settings):
    assert set(adapters(finished)) == {"step2", "step4"}
    rows = read_jsonl(finished / "history.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(value is not None for row in rows for value in row.values())
    assert all(row["credit_passes"] == 0 for row in rows)
    record = read_json(finished / "run.json")
    assert (record["model"], record["mode"], record["seed"]) == ("test", "random", 0)
    assert record["settings"] == settings
    manifest = read_json(prepared / "model" / "manifest.json")
    assert record["origin"]["problems"] == sha256_of(prepared / "train.jsonl")
    assert record["origin"]["model"]["source"] == "made"
    assert record["origin"]["model"]["sha256"] == manifest["sha256"]
    assert record["origin"]["proxy"] is None
    assert record["origin"]["code"] == code_hash("cfdapo.stages.train", "arithmetic")
    assert record["adapters"] == adapter_hashes(finished / "adapters", [2, 4])
    assert record["history"] == checksums.check(finished / "history.jsonl").sha256
    assert read_run(finished / "run.json") == record
    assert len(read_history(finished / "history.jsonl", record)) == STEPS
    assert all(len(adapter) == 16 for adapter in record["adapters"].values())
    assert record["seconds"]["total"] == pytest.approx(sum(row["seconds_step"] for row in rows))
    assert not (finished / "state").exists()


def test_others_may_read_all_that_the_mask_lets_them(finished):
    mask = os.umask(0o022)
    os.umask(mask)
    modes = {
        str(path.relative_to(finished)): path.stat().st_mode & 0o777
        for path in finished.rglob("*")
        if path.is_file() and path.name != ".train.lock"
    }
    assert len(modes) == 8 and set(modes.values()) == {0o666 & ~mask}, modes


def test_same_seed_is_the_same_to_the_bit_and_another_seed_is_not(
    finished, prepared, settings, tmp_path
):
    again = run(prepared, tmp_path / "again", settings)
    assert adapters(again) == adapters(finished)
    assert without_seconds(read_jsonl(again / "history.jsonl")) == without_seconds(
        read_jsonl(finished / "history.jsonl")
    )
    other = run(prepared, tmp_path / "other", settings, seed=1)
    assert adapters(other)["step4"] != adapters(finished)["step4"]


def test_state_of_another_configuration_is_not_resumed(finished, prepared, settings, tmp_path):
    state = tmp_path / "run" / "state"
    (state / "checkpoint-2").mkdir(parents=True)
    (state / "identity.json").write_text(json.dumps({"seed": 9}))
    assert adapters(run(prepared, tmp_path / "run", settings)) == adapters(finished)


def test_no_prompt_short_enough_is_an_error(prepared, settings, tmp_path):
    short = {"max_prompt_tokens": 2, "overlong_prompts": "drop"}
    with pytest.raises(UserError, match="no prompt is that short"):
        run(prepared, tmp_path, settings | {"training": settings["training"] | short})


def test_trap_too_few_problems_for_a_step_are_named_and_not_trained_on_in_silence(
    prepared, settings, tmp_path
):
    many = settings["training"] | {"gradient_accumulation": 1000}
    with pytest.raises(UserError, match="training problems are too few; a step takes "):
        run(prepared, tmp_path, settings | {"training": many})


@pytest.mark.parametrize("wrong", [{"mode": "uniform"}, {"sink": "end"}, {"budget": 1}])
def test_wrong_credit_settings_are_an_error_for_the_user(prepared, settings, tmp_path, wrong):
    with pytest.raises(UserError, match="^credit: .*(uniform|end|budget)"):
        run(prepared, tmp_path, settings | {"credit": settings["credit"] | wrong})


def test_a_proxy_without_its_folder_is_named(prepared, stage, settings, tmp_path):
    credit = settings["credit"] | {"mode": "counterfactual", "proxy": "test"}
    proxied = settings | {"credit": credit}
    flags = ["--model", "test", "--model-dir", prepared / "model", "--out", tmp_path]
    flags += ["--problems", prepared / "train.jsonl", "--settings", json.dumps(proxied)]
    done = stage("train", *flags, "--mode", "counterfactual", "--seed", 0)
    assert done.returncode == 2
    assert "error: credit.proxy: test needs its prepared folder" in done.stderr


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.checksum.json"])
def test_problems_that_changed_since_they_were_prepared_are_named(
    prepared, settings, tmp_path, name
):
    for file in ("train.jsonl", "train.jsonl.checksum.json"):
        shutil.copy(prepared / file, tmp_path)
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text.replace("1", "2", 1))
    chosen = parse(RunSettings, settings)
    with pytest.raises(UserError, match="train.jsonl: damaged or changed"):
        train("test", prepared / "model", tmp_path / "train.jsonl", "random", 0, chosen, tmp_path)
