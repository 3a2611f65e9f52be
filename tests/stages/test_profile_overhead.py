"""The side-by-side profile: every phase of a step, credit by each exact method, also by a proxy."""

import json

import pytest

from cfdapo.files import read_json
from cfdapo.stages.profile_overhead import METHODS
from cfdapo.study import load_study


@pytest.mark.parametrize("proxied", [False, True], ids=["policy", "proxy"])
def test_profile_has_all_phases_and_methods(prepared, stage, tmp_path, proxied):
    study = load_study("smoke")
    small = {"batch_size": 8, "max_completion_tokens": 96, "max_prompt_tokens": 200}
    settings = {
        "task": "arithmetic",
        "chat": {},
        "lora": {"r": 4, "alpha": 4, "dropout": 0.0},
        "training": study["training"] | small,
        # What a turn left in a cache would make the next turn free.
        "credit": study["credit"] | {"proxy": "test" if proxied else None, "cache": 99},
        "overhead": {"repeats": 1},
        "proxy_chat": {},
    }
    flags = ["--model", "test", "--model-dir", prepared / "model", "--out", tmp_path / "out.json"]
    flags += ["--problems", prepared / "train.jsonl", "--settings", json.dumps(settings)]
    done = stage("profile_overhead", *flags, *["--proxy-dir", prepared / "model"] * proxied)
    assert done.returncode == 0, done.stderr
    profile = read_json(tmp_path / "out.json")
    seconds = profile["seconds"]
    assert set(seconds["credit"]) == set(METHODS) and profile["completions"] == 8
    assert profile["spans_per_completion"] > 0
    step = seconds["generation"] + seconds["update"]
    for method, ratio in profile["ratio"]["credit_over_vanilla_step"].items():
        assert 0 < ratio == pytest.approx(seconds["credit"][method] / step)
