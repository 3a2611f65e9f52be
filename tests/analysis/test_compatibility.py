"""Runs of different configurations never stand in one table."""

import copy
from itertools import product

import pytest

from cfdapo.analysis.records.compatibility import (
    other_versions,
    require_same_evaluations,
    require_same_settings,
)
from cfdapo.files import UserError

MODES = ("counterfactual", "vanilla", "random", "inverted")


def record(model, mode, seed):
    return {
        "model": model,
        "mode": mode,
        "seed": seed,
        "train_problems": {"a": 7000, "b": 6990}[model],
        "settings": {
            "task": "gsm8k",
            "chat": {"enable_thinking": False} if model == "a" else {},
            "lora": {"r": 32, "alpha": 32},
            "training": {"steps": 500, "learning_rate": 2.5e-5},
            "credit": {"mode": mode, "method": "prefix", "w_max": 4.0, "proxy": None},
        },
        "origin": {
            "code": "c0de" * 16,
            "problems": "da7a" * 16,
            "model": {
                "source": "hub",
                "id": f"somebody/{model}",
                "revision": {"a": "1" * 40, "b": "2" * 40}[model],
                "sha256": {"model.safetensors": model * 64},
            },
            "proxy": None,
            "prompts": {"a": "5" * 64, "b": "6" * 64}[model],
            "proxy_prompts": None,
        },
        "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
    }


@pytest.fixture
def records():
    """2 models x 4 modes x 3 seeds; the models differ in their chat settings and problems."""
    return [record(*key) for key in product("ab", MODES, range(3))]


def test_a_studys_runs_pass_with_a_variant_that_changes_the_credit(records):
    variants = [record("a", "vanilla", seed) for seed in range(3)]
    for run in variants:
        run["mode"] = "gentle"
        run["settings"]["credit"] |= {"mode": "counterfactual", "w_max": 2.0}
    require_same_settings([*records, *variants])


def test_a_variant_has_one_learning_rate_and_other_modes_share_theirs(records):
    variants = [record("a", "vanilla", seed) for seed in range(3)]
    for run in variants:
        run["mode"] = "faster"
        run["settings"]["training"]["learning_rate"] = 1e-4
    require_same_settings([*records, *variants])
    variants[1]["settings"]["training"]["learning_rate"] = 2e-4
    odd = "a/faster/seed1: training.learning_rate is 0.0002, in most of faster's runs it is 0.0001"
    with pytest.raises(UserError, match=odd):
        require_same_settings([*records, *variants])


def test_a_variant_has_one_divergence_and_other_modes_share_theirs(records):
    variants = [record("a", "vanilla", seed) for seed in range(3)]
    for run in variants:
        run["mode"] = "held"
        run["settings"]["training"]["divergence"] = {"name": "prob_l2", "coefficient": 0.1}
    require_same_settings([*records, *variants])
    del variants[1]["settings"]["training"]["divergence"]
    odd = (
        r"a/held/seed1: training.divergence.coefficient is absent, in most of held's runs it is 0.1"
    )
    with pytest.raises(UserError, match=odd):
        require_same_settings([*records, *variants])
    records[0]["settings"]["training"]["divergence"] = {"name": "kl", "coefficient": 0.1}
    with pytest.raises(UserError, match="a/counterfactual/seed0: training.divergence"):
        require_same_settings(records)


@pytest.mark.parametrize(
    ("part", "key", "value", "says"),
    [
        ("training", "steps", 400, "training.steps is 400, in most of all runs it is 500"),
        ("lora", "r", 8, "lora.r is 8, in most of all runs it is 32"),
        ("credit", "w_max", 2.0, "credit.w_max is 2.0, in most of vanilla's runs it is 4.0"),
        ("credit", "proxy", "b", "credit.proxy is b, in most of all runs it is None"),
        ("chat", "enable_thinking", True, "chat is {'enable_thinking': True}, in most of b's"),
    ],
)
def test_the_odd_run_is_named_with_what_is_odd(records, part, key, value, says):
    (odd,) = [r for r in records if (r["model"], r["mode"], r["seed"]) == ("b", "vanilla", 1)]
    odd["settings"][part][key] = value
    with pytest.raises(UserError) as refused:
        require_same_settings(records)
    message = str(refused.value)
    assert f"b/vanilla/seed1: {says}" in message
    assert not any(f"{m}/{mode}/seed0" in message for m in "ab" for mode in MODES)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"problems": "f" * 64}, f"origin.problems is {'f' * 64}, in most of all runs it is da7a"),
        ({"model": {"revision": "3" * 40}}, "origin.model.revision is 333"),
        (
            {"model": {"sha256": {"model.safetensors": "e" * 64}}},
            f"origin.model.sha256.model.safetensors is {'e' * 64}, in most of b's runs it is bbb",
        ),
        ({"prompts": "7" * 64}, f"origin.prompts is {'7' * 64}, in most of b's runs it is 666"),
        ({"proxy_prompts": "8" * 64}, f"origin.proxy_prompts is {'8' * 64}, in most of b's"),
        ({"proxy": {"id": "other"}}, "origin.proxy.id is other, in most of all runs it is small"),
    ],
)
def test_other_problems_and_another_base_model_are_refused(records, change, says):
    for run in records:
        run["origin"]["proxy"] = {"id": "small"}
    (odd,) = [r for r in records if (r["model"], r["mode"], r["seed"]) == ("b", "vanilla", 1)]
    for part, value in change.items():
        known = odd["origin"][part]
        odd["origin"][part] = known | value if isinstance(known, dict) else value
    with pytest.raises(UserError) as refused:
        require_same_settings(records)
    message = str(refused.value)
    assert f"b/vanilla/seed1: {says}" in message
    assert message.count("origin.") == 1


def test_records_that_do_not_say_what_they_were_made_from_are_taken_and_others_compared(records):
    for run in records[:5]:
        del run["origin"], run["versions"]
    require_same_settings(records)
    assert other_versions(records) == []
    records[-1]["origin"]["problems"] = "f" * 64
    with pytest.raises(UserError, match="b/inverted/seed2: origin.problems"):
        require_same_settings(records)


def test_prompts_of_records_that_do_not_tell_them_are_not_compared(records):
    for run in records[:7]:
        del run["origin"]["prompts"], run["origin"]["proxy_prompts"]
    require_same_settings(records)


def evaluation(name, **changes):
    """What an evaluation was made from."""
    made_from = {
        "settings": {"task": "gsm8k", "evaluation": {"batch_size": 128}},
        "problems": "7e57" * 16,
        "prompts": name * 64,
        "model": {"id": name, "sha256": {"model.safetensors": "w", "config.json": "c"}},
        "adapters": {"25": "0123456789abcdef"},
        "code": "c0de" * 16,
    }
    return made_from | changes


def test_evaluations_of_other_prompts_settings_problems_or_models_are_named():
    """Adapters are every run's own, and the code is told of, not refused."""
    runs = {(m, "vanilla", seed): evaluation(m) for m in "ab" for seed in range(3)}
    runs["a", "vanilla", 0] |= {"adapters": {"25": "f" * 16}, "code": "f" * 64}
    require_same_evaluations(runs)
    config = {"model.safetensors": "w", "config.json": "other"}
    runs["a", "random", 1] = evaluation("a", prompts="other")
    runs["a", "random", 2] = evaluation("a", settings={"task": "gsm8k", "evaluation": {}})
    runs["b", "random", 1] = evaluation("b", model={"id": "b", "sha256": config})
    runs["b", "random", 2] = evaluation("b", problems="f" * 64)
    with pytest.raises(UserError) as refused:
        require_same_evaluations(runs)
    message = str(refused.value)
    assert f"a/random/seed1: prompts is other, in most of a's runs it is {'a' * 64}" in message
    assert "a/random/seed2: settings.evaluation.batch_size is absent, in most of a's" in message
    assert "b/random/seed1: model.sha256.config.json is other, in most of b's" in message
    assert f"b/random/seed2: problems is {'f' * 64}, in most of all runs it is 7e57" in message
    assert "vanilla" not in message


def test_runs_of_several_versions_are_told_and_not_refused(records):
    records[0]["git"] = {"commit": "f" * 40, "dirty": False}
    assert other_versions(records) == []
    records[1]["origin"]["code"] = "f" * 64
    records[2]["versions"]["torch"] = "2.12.0"
    records[3]["versions"]["numpy"] = "2.0.0"
    require_same_settings(records)
    assert other_versions(records) == [
        "runs of several versions of training code: c0dec0dec0de (23 runs); "
        "ffffffffffff: a/counterfactual/seed1",
        "runs of several versions of torch: 2.13.0 (23 runs); 2.12.0: a/counterfactual/seed2",
    ]


def test_a_whole_mode_of_other_credit_is_named(records):
    for run in records:
        if run["mode"] == "random":
            run["settings"]["credit"]["w_max"] = 2.0
    with pytest.raises(UserError) as refused:
        require_same_settings(records)
    message = str(refused.value)
    assert all(f"{m}/random/seed{s}: credit.w_max" in message for m in "ab" for s in range(3))
    assert "vanilla" not in message


def test_other_data_and_several_odd_settings_are_told(records):
    (odd,) = [r for r in records if (r["model"], r["mode"], r["seed"]) == ("a", "inverted", 2)]
    odd["train_problems"] = 100
    odd["settings"]["training"] = {"steps": 1, "epsilon": 0.2, "learning_rate": 1.0}
    with pytest.raises(UserError, match=r"train_problems is 100, in most of a's runs it is 7000"):
        require_same_settings(records)
    with pytest.raises(UserError, match=r"training.learning_rate is 1.0, in most of all runs"):
        require_same_settings(records)
    with pytest.raises(UserError, match=r"training.steps is 1, .* \(and 1 more\)"):
        require_same_settings(records)


def test_a_variant_that_is_not_one_thing_is_refused(records):
    variants = [copy.deepcopy(record("a", "vanilla", seed)) for seed in range(3)]
    for seed, run in enumerate(variants):
        run["mode"] = "gentle"
        run["settings"]["credit"]["w_max"] = 2.0 if seed else 3.0
    with pytest.raises(UserError, match=r"a/gentle/seed0: credit.w_max is 3.0, .* it is 2.0"):
        require_same_settings([*records, *variants])


def test_a_record_without_settings_is_refused(records):
    del records[5]["settings"]
    with pytest.raises(UserError, match=r"a/vanilla/seed2: its run.json lacks the settings"):
        require_same_settings(records)
