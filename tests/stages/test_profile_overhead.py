"""The side-by-side profile: every phase of a step, credit by each exact method, also by a proxy."""

import json

import numpy as np
import pytest

from cfdapo.files import read_json
from cfdapo.stages.profile_overhead import METHODS, compare
from cfdapo.study import load_document


@pytest.mark.parametrize("proxied", [False, True], ids=["policy", "proxy"])
def test_profile_has_all_phases_and_methods(prepared, stage, tmp_path, proxied):
    study = load_document("smoke")
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
    methods = profile["methods"]
    assert (
        set(methods) == {*METHODS, "gradient"} and profile["proxy"] == settings["credit"]["proxy"]
    )
    assert {method: methods[method]["seconds"] for method in METHODS} == seconds["credit"]
    spans = profile["spans_per_completion"] * profile["completions"]
    # Serial runs every span and every completion that has one alone.
    assert spans < methods["serial"]["passes"] <= spans + profile["completions"]
    assert methods["gradient"]["tokens"] < methods["prefix"]["tokens"] < methods["serial"]["tokens"]
    assert (methods["serial"]["max_difference"], methods["serial"]["spearman"]) == (0, 1)
    assert methods["prefix"]["max_difference"] < 1e-4 < methods["gradient"]["max_difference"]
    assert methods["prefix"]["spearman"] > 0.99
    assert -1 <= methods["gradient"]["spearman"] <= 1


@pytest.mark.parametrize(
    ("drops", "reference", "difference", "spearman"),
    [
        # Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 * (1 + 1) / (4 * 15).
        ([0.0, 1.0, 2.0, 9.0], [0.0, 2.0, 1.0, 3.0], 6.0, 0.8),
        ([3.0, 2.0], [-1.0, 0.0], 4.0, -1.0),
        ([1.0, 1.0], [1.0, 1.5], 0.5, None),
        ([1.0], [1.5], 0.5, None),
        ([], [], None, None),
    ],
)
def test_comparison_by_hand(drops, reference, difference, spearman):
    found = compare(np.array(drops), np.array(reference))
    assert found["max_difference"] == difference
    assert found["spearman"] == (spearman if spearman is None else pytest.approx(spearman))
