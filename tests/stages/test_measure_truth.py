"""The truth of sampled steps: of the same completions as credit, by hand, resumed, refused."""

import json
from pathlib import Path

import pytest
import torch

from cfdapo.analysis.records.measured_credit import read_completions
from cfdapo.analysis.records.truth import Truth, read_truth
from cfdapo.credit.rule import Rollout
from cfdapo.files import UserError, read_jsonl, write_jsonl
from cfdapo.policy.gradient_noise import (
    GroupGradients,
    adapted_weights,
    differentiable,
    token_log_probabilities,
)
from cfdapo.policy.models import add_lora, load_base
from cfdapo.policy.truth import _Value
from cfdapo.problems.arithmetic import judge_lines
from cfdapo.settings import CreditSettings, LoraSettings, parse, plain
from cfdapo.stages import measure_truth as truth_stage
from cfdapo.stages.measure_credit import MeasureSettings, measure_credit
from cfdapo.study import credit_settings, load_study

MEASUREMENT = {
    **{"prompts": 6, "samples": 4, "max_completion_tokens": 60, "batch_size": 12, "seed": 0},
    "truth": {"continuations": 4},
}
RULES = (
    *("vanilla", "counterfactual", "random", "monte_carlo", "oracle", "oar_gradient"),
    "learned_value",
)
STUDY = load_study("tiny")
SETTINGS = {
    "task": "arithmetic",
    "chat": {},
    "training": {
        **{"precision": "float32", "temperature": 1.0, "top_p": 1.0},
        "max_completion_tokens": 112,
    },
    "measurement": MEASUREMENT,
    "rules": {rule: plain(credit_settings(STUDY, rule)) for rule in RULES},
}


def typed(settings) -> truth_stage.TruthSettings:
    return parse(truth_stage.TruthSettings, settings)


def run(prepared: Path, folder: Path, settings=SETTINGS, **more) -> Truth:
    out = folder / "tiny.steps.jsonl"
    arguments = {"policy": "untrained", **more}
    truth_stage.measure_truth(
        prepared / "model", prepared / "test.jsonl", typed(settings), out=out, **arguments
    )
    return read_truth(folder, "tiny")


@pytest.fixture(scope="module")
def folder(prepared, tmp_path_factory) -> Path:
    """The truth of the tiny model, and the credit of the same completions."""
    folder = tmp_path_factory.mktemp("truth")
    run(prepared, folder)
    credit = {key: value for key, value in SETTINGS.items() if key != "rules"} | {
        "credit": plain(CreditSettings(max_spans=10)),
        "measurement": {key: value for key, value in MEASUREMENT.items() if key != "truth"}
        | {"gold": 0, "combinations": "study", "padding": []},
    }
    out = folder / "tiny.jsonl"
    paths = prepared / "model", prepared / "test.jsonl"
    measure_credit(*paths, parse(MeasureSettings, credit), "untrained", out)
    return folder


@pytest.fixture
def truth(folder) -> Truth:
    return read_truth(folder, "tiny")


@pytest.fixture
def completions(folder) -> dict[str, dict]:
    """The sampled completions by name."""
    rows = read_completions(folder / "tiny.completions.jsonl")
    return {row["completion"]: row for row in rows}


def by_completion(truth: Truth) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in truth.steps:
        found.setdefault(row["completion"], []).append(row)
    return found


def test_it_is_about_the_completions_that_credit_is_of(truth, completions, prepared):
    problems = {row["id"]: row for row in read_jsonl(prepared / "test.jsonl")}
    taught = {name for name, row in completions.items() if row["advantage"]}
    assert taught and set(by_completion(truth)) == taught
    for name, steps in by_completion(truth).items():
        row = completions[name]
        assert steps[-1]["token_end"] == len(row["tokens"])
        assert {one["correct"] for one in steps} == {row["correct"]}
        lines = [line for line in row["text"].split("\n") if line.strip()] or [row["text"]]
        verdicts = judge_lines(problems[row["problem"]], lines)
        assert [one["first_wrong"] for one in steps] == [verdict is False for verdict in verdicts]
        for one in steps:
            # Vanilla gives every token the completion's advantage.
            assert one["rules"]["vanilla"]["mean"] == pytest.approx(row["advantage"], rel=1e-6)


def test_true_advantages_are_differences_of_shares_and_add_up_to_the_reward(truth):
    starts: dict[str, set[float]] = {}
    for steps in by_completion(truth).values():
        for one in steps:
            assert one["advantage"] == one["value_after"] - one["value_before"]
            assert sum(one["halves"]) / 2 == pytest.approx(one["advantage"])
            assert one["error"] > 0 or one is steps[-1]
            shares = one["value_before"], one["value_after"]
            assert all(4 * share == pytest.approx(round(4 * share)) for share in shares)
        assert steps[-1]["value_after"] == steps[0]["correct"]
        starts.setdefault(steps[0]["problem"], set()).add(steps[0]["value_before"])
    # A problem's completions begin at one place.
    assert starts and all(len(values) == 1 for values in starts.values())


def test_a_share_s_error_is_never_nothing():
    assert _Value(1.0, (1.0, 1.0), 8).variance == pytest.approx(0.9 * 0.1 / 8)
    assert _Value(0.5, (0.5, 0.5), 64).variance == pytest.approx(0.25 / 64)
    assert _Value(1.0, (1.0, 1.0)).variance == 0


def test_rules_are_told_with_what_they_cost(truth):
    assert truth.names == list(RULES) and truth.continuations == 4
    rows = {(row["group"], row["rule"]): row for row in truth.rules}
    assert len(rows) == 6 * len(RULES)
    for (group, rule), row in rows.items():
        active = 0 < row["right"] < 4
        assert (row["ascent"] is not None) == active
        assert (row["generations"] > 0) <= (rule == "monte_carlo")
        if rule == "vanilla":
            assert row["passes"] == 0 and (row["variance"] > 0) >= active
        # Of a group whose rewards agree no rule makes anything; the other group is for itself.
        assert row["mass"] > 0 or row["variance"] == 0 == row["signal"]
        assert row["mass"] == 0 or rows[group, "vanilla"]["mass"] > 0


def test_an_interrupted_measurement_goes_on_to_the_same_records(
    prepared, tmp_path, truth, monkeypatch
):
    class Killed(BaseException):
        pass

    original, done = truth_stage.TruthRecorder.record, []

    def record(self, problems, first):
        if done:
            raise Killed
        done.append(first)
        return original(self, problems, first)

    monkeypatch.setattr(truth_stage.TruthRecorder, "record", record)
    with pytest.raises(Killed):
        run(prepared, tmp_path)
    monkeypatch.setattr(truth_stage.TruthRecorder, "record", original)
    again = run(prepared, tmp_path)
    assert list(again.steps) == list(truth.steps)
    untimed = [[row | {"seconds": 0} for row in one.rules] for one in (again, truth)]
    assert untimed[0] == untimed[1]
    assert not list(tmp_path.glob("*.partial.jsonl"))


def test_a_rule_s_numbers_do_not_depend_on_what_else_is_measured(prepared, tmp_path, truth):
    few = {rule: SETTINGS["rules"][rule] for rule in ("vanilla", "monte_carlo", "random")}
    alone = run(prepared, tmp_path, SETTINGS | {"rules": few})
    for one, other in zip(alone.steps, truth.steps, strict=True):
        assert one["advantage"] == other["advantage"]
        assert one["rules"] == {rule: other["rules"][rule] for rule in few}


def test_rules_that_do_not_fit_are_refused_by_name(prepared, tmp_path):
    rows = [row | {"sentences": None} for row in read_jsonl(prepared / "test.jsonl")]
    path = tmp_path / "bare.jsonl"
    write_jsonl(path, [{k: v for k, v in row.items() if k != "sentences"} for row in rows])
    out = tmp_path / "tiny.steps.jsonl"
    with pytest.raises(UserError, match="measurement.rules: oracle needs problems with sentences"):
        truth_stage.measure_truth(prepared / "model", path, typed(SETTINGS), "untrained", out)
    wrong = SETTINGS["rules"] | {"mine": SETTINGS["rules"]["random"] | {"mode": "nobody's"}}
    with pytest.raises(UserError, match="measurement.rules: mine: unknown mode"):
        run(prepared, tmp_path, SETTINGS | {"rules": wrong})


# Gradients --------------------------------------------------------------------------------------


@pytest.fixture
def rollouts(prepared) -> tuple[object, list[Rollout]]:
    """A model, and two groups of two completions of one prompt."""
    from made_rollouts import make_rollout

    model, tokenizer = load_base(prepared / "model")
    model.requires_grad_(False)
    texts = ["So 3 + 4 = 7.\n#### 7", "#### 8"], ["Now 3 + 4 = 9.\n#### 9", "So 3 + 4 = 7.\n####"]
    made = []
    for pair in texts:
        ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in pair]
        prompts = [tokenizer("Mia has 3 pens and buys 4.")["input_ids"]] * 2
        made.append(
            make_rollout(
                rewards=[1, 0],
                solutions=pair,
                group=2,
                policy=model,
                prompts=prompts,
                completions=ids,
                temperature=0.7,
            )
        )
    return model, made


def test_log_probabilities_of_a_padded_group_are_those_of_each_alone(rollouts):
    model, (one, _) = rollouts
    together = token_log_probabilities(model, one, [0, 1])
    alone = []
    for prompt, ids in zip(one.prompts, one.completions, strict=True):
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0] / 0.7
        logs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        alone.append(logs.gather(1, torch.tensor(ids)[:, None])[:, 0])
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_noise_is_of_the_gradients_of_both_groups(rollouts):
    model, pair = rollouts
    weights = adapted_weights(model)
    names = {name for name, one in model.named_parameters() if any(one is w for w in weights)}
    assert len(weights) == 2 * 7 and all("_proj" in name for name in names)
    given = [[torch.linspace(-1, 1, len(ids)) for ids in one.completions] for one in pair]
    truth = [torch.full((len(ids),), 0.5) for ids in pair[0].completions]
    with differentiable(weights):
        noise = GroupGradients(model, pair, [0, 1], truth).noise(given)
        flat = []
        for one, own in ((pair[0], given[0]), (pair[1], given[1]), (pair[0], truth)):
            total = (token_log_probabilities(model, one, [0, 1]) * torch.cat(own)).sum()
            parts = torch.autograd.grad(total, weights)
            flat.append(torch.cat([part.flatten() for part in parts]).double())
    assert not any(weight.requires_grad for weight in model.parameters())
    g, h, t = flat
    assert noise.variance == pytest.approx(float((g - h).square().sum()) / 2, rel=1e-4)
    assert noise.signal == pytest.approx(float(g @ h), rel=1e-3, abs=1e-4)
    assert noise.square == pytest.approx(float(h @ h), rel=1e-4)
    assert noise.ascent == pytest.approx(float(h @ t), rel=1e-3, abs=1e-4)


def test_a_gradient_of_nothing_is_nothing(rollouts):
    model, pair = rollouts
    weights = adapted_weights(model)
    nothing = [[torch.zeros(len(ids)) for ids in one.completions] for one in pair]
    with differentiable(weights):
        noise = GroupGradients(model, pair, [0, 1]).noise(nothing)
    assert (noise.variance, noise.signal, noise.square, noise.ascent) == (0, 0, 0, None)


def test_the_weights_below_an_adapter_are_the_same_ones(prepared):
    base, _ = load_base(prepared / "model")
    names = len(adapted_weights(base))
    lora = add_lora(base, LoraSettings(r=4, alpha=4, dropout=0.0))
    assert len(adapted_weights(lora)) == names
    assert not any(weight.shape[0] == 4 or weight.shape[1] == 4 for weight in adapted_weights(lora))


def test_the_stage_takes_its_flags(prepared, tmp_path, stage):
    settings = SETTINGS | {
        "measurement": MEASUREMENT | {"prompts": 1, "truth": {"continuations": 2}},
        "rules": {"vanilla": SETTINGS["rules"]["vanilla"]},
    }
    flags = ["--model-dir", prepared / "model", "--problems", prepared / "test.jsonl"]
    flags += ["--policy", "untrained", "--settings", json.dumps(settings)]
    done = stage("measure_truth", *flags, "--out", tmp_path / "tiny.steps.jsonl")
    assert done.returncode == 0 and "1 rules" in done.stdout
    assert (tmp_path / "tiny.rules.jsonl").is_file()
