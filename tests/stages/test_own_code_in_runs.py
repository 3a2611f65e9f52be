"""A rule and a finder of one's own in a real run: in its record, its numbers and its identity."""

import sys

import pytest

from cfdapo.analysis.records.compatibility import require_same_settings
from cfdapo.files import UserError, read_json, read_jsonl
from cfdapo.own_code import VARIABLE
from cfdapo.policy.training import RunSettings
from cfdapo.settings import parse
from cfdapo.stages.train import _origin, train
from cfdapo.study import load_document

SOURCE = '''"""Spans of one's own, whose tokens weigh twice."""
from cfdapo.credit.rule import weighted
from cfdapo.credit.weighting import Weighting
from dataclasses import replace

def thirds(text, max_spans, answer):
    return [(0, answer.start // 3)] if answer.start >= 3 else []

def somewhere(text):
    return (len(text) - 2, len(text)) if len(text) > 8 else None

class Twice(Weighting):
    """w_t = 2 in the span that `credit.spans` finds, else 1."""
    measures_drops = True

    def __init__(self, tokenizer, config, proxy=None):
        super().__init__(tokenizer, replace(config, mode="counterfactual", options={}), proxy)

    def assign(self, rollout):
        weights = []
        for credit in super().assign(rollout).credits:
            weights.append(credit.weights.clone().fill_(1.0))
            for span in credit.tokens:
                weights[-1][span] = 2.0
        return weighted(rollout, weights)
'''


@pytest.fixture
def settings(tmp_path, monkeypatch) -> RunSettings:
    (tmp_path / "twice_rules.py").write_text(SOURCE)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    study = load_document("smoke")
    small = {"steps": 2, "checkpoint_every": 2, "batch_size": 8, "group_size": 4}
    long = {"max_completion_tokens": 24, "max_prompt_tokens": 200}
    named = {"spans": "twice_rules:thirds", "answer": "twice_rules:somewhere"}
    return parse(
        RunSettings,
        {
            "task": "arithmetic",
            "chat": {},
            "lora": {"r": 4, "alpha": 4, "dropout": 0.0},
            "training": study["training"] | small | long,
            "credit": study["credit"] | named | {"mode": "twice_rules:Twice"},
        },
    )


def test_a_run_has_its_rule_and_finders_in_its_record_and_a_changed_source_is_another_run(
    prepared, settings, tmp_path
):
    out, problems = tmp_path / "run", prepared / "train.jsonl"
    train("test", prepared / "model", problems, "mine", 0, settings, out)
    record, rows = read_json(out / "run.json"), read_jsonl(out / "history.jsonl")
    assert record["settings"]["credit"]["mode"] == "twice_rules:Twice"
    names = {"twice_rules:Twice", "twice_rules:thirds", "twice_rules:somewhere"}
    assert set(record["origin"]["own"]) == names
    assert len(rows) == 2
    before = _origin(settings, prepared / "model", problems, None)
    assert before == record["origin"]

    (tmp_path / "twice_rules.py").write_text(SOURCE.replace("2.0", "3.0"))
    after = _origin(settings, prepared / "model", problems, None)
    assert after["rule"] != before["rule"] and after["own"] != before["own"]
    assert {key for key in before if before[key] != after[key]} == {"rule", "own"}
    require_same_settings([record, record | {"seed": 1}])
    with pytest.raises(UserError, match="different configurations.*\n.*twice_rules:Twice"):
        require_same_settings([record, record | {"seed": 1, "origin": after}])
