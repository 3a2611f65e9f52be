"""Measured credit: the schema's rows, from a base model and an adapter, resumed to the byte."""

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
from made_results import write_record

from cfdapo import checksums
from cfdapo.analysis.records.measured_credit import read_completions, read_credit, read_spans
from cfdapo.credit.alignment import token_offsets
from cfdapo.credit.assigner import CreditAssigner
from cfdapo.files import UserError, read_jsonl
from cfdapo.policy.checkpoints import adapter_hash
from cfdapo.policy.models import add_lora, load_base
from cfdapo.problems.answers import extract_answer
from cfdapo.problems.task import Task
from cfdapo.provenance import origin_of
from cfdapo.settings import CreditSettings, LoraSettings, parse, plain
from cfdapo.stages.batches import run_batches
from cfdapo.stages.measure_credit import MeasureSettings, measure_credit
from cfdapo.vocabulary import COMBINATIONS, SPAN_LABELS

MEASUREMENT = {
    "prompts": 3,
    "samples": 4,
    "gold": 5,
    "max_completion_tokens": 60,
    "combinations": "all",
    "padding": [3],
    "batch_size": 4,
    "seed": 0,
}
CREDIT = plain(CreditSettings())
SETTINGS = {
    "task": "arithmetic",
    "chat": {},
    "training": {
        "precision": "float32",
        "temperature": 1.0,
        "top_p": 1.0,
        "max_completion_tokens": 112,
    },
    "credit": CREDIT,
    "measurement": MEASUREMENT,
}


def run(prepared: Path, folder: Path, settings=SETTINGS, **more) -> Path:
    out = folder / "tiny.jsonl"
    arguments = {"policy": "untrained", **more}
    chosen = parse(MeasureSettings, settings)
    measure_credit(prepared / "model", prepared / "test.jsonl", chosen, out=out, **arguments)
    return out


@pytest.fixture(scope="module")
def measured(prepared, tmp_path_factory) -> Path:
    return run(prepared, tmp_path_factory.mktemp("measured"))


def completions_of(path: Path) -> Path:
    return path.with_suffix(".completions.jsonl")


def test_records_are_the_schema_s(measured):
    spans, completions = read_spans(measured), read_completions(completions_of(measured))
    assert [row["source"] for row in completions] == ["sampled"] * 12 + ["gold"] * 5
    assert len({row["completion"] for row in completions}) == 17
    assert not measured.with_suffix(".partial.jsonl").exists()
    assert len(spans) and set(spans["completion"]) <= {row["completion"] for row in completions}
    assert all(set(drops) == set(COMBINATIONS) for drops in spans["drops"])
    assert all(set(drops) == {"3"} for drops in spans["padded_drops"])
    assert set(spans["label"]) <= set(SPAN_LABELS)


def test_spans_lie_where_they_say(measured, prepared):
    _, tokenizer = load_base(prepared / "model")
    by_name = {row["completion"]: row for row in read_completions(completions_of(measured))}
    for span in read_jsonl(measured):
        row = by_name[span["completion"]]
        text, tokens = row["text"], row["tokens"]
        assert text[span["start"] : span["end"]] == span["text"] and span["text"] in span["line"]
        first, last = span["token_start"], span["token_end"] - 1
        assert tokens[first][0] <= span["start"] < tokens[first][1]
        assert tokens[last][0] < span["end"] <= tokens[last][1]
        assert 0 < span["position"] < 1 and span["token_end"] <= row["answer"]["token_start"]
        assert row["weights"][first] == pytest.approx(span["weight"], abs=1e-5)
        assert span["importance"] == -span["drop"]
        assert span["drops"]["pad/answer"] == pytest.approx(span["drop"], abs=1e-4)
        assert span["entropy"] >= 0
    for row in by_name.values():
        ids = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        if row["source"] == "gold":
            offsets = token_offsets(ids, tokenizer)
            assert row["tokens"][:-1] == [list(pair) for pair in offsets]
        assert row["extracted"] == extract_answer(row["text"])
        if row["answer"]:
            assert row["weights"][row["answer"]["token_start"]] == 1.5 or not [
                span for span in read_jsonl(measured) if span["completion"] == row["completion"]
            ]


def test_gold_solutions_are_right_and_have_the_data_s_labels(measured, prepared):
    problems = {row["id"]: row for row in read_jsonl(prepared / "test.jsonl")}
    gold = [row for row in read_completions(completions_of(measured)) if row["source"] == "gold"]
    names = {row["completion"]: problems[row["problem"]] for row in gold}
    assert all(row["correct"] and row["group"] is None for row in gold)
    assert [row["text"] for row in gold] == [row["solution"] for row in names.values()]
    found = 0
    for span in read_jsonl(measured):
        if span["source"] == "gold":
            (sentence,) = [
                s
                for s in names[span["completion"]]["sentences"]
                if s["start"] <= span["start"] < s["end"]
            ]
            assert (span["label"], span["dependants"]) == (
                sentence["label"],
                sentence["dependants"],
            )
            found += 1
    assert found > 5


def test_last_line_marks_the_last_line_with_a_span(measured):
    rows = read_jsonl(measured)
    for name in {row["completion"] for row in rows}:
        own = [row for row in rows if row["completion"] == name]
        assert own[-1]["last_line"]
        assert all(row["last_line"] == (row["line"] == own[-1]["line"]) for row in own)


def test_a_group_shares_its_problem_and_its_advantages_add_up_to_nothing(measured):
    rows = [row for row in read_completions(completions_of(measured)) if row["source"] == "sampled"]
    for group in range(3):
        own = [row for row in rows if row["group"] == group]
        assert len(own) == 4 and len({row["problem"] for row in own}) == 1
        assert sum(row["advantage"] for row in own) == pytest.approx(0)
        for row in own:
            assert (row["advantage"] > 0) <= row["correct"]


# One batch for each of 3 prompts, then 4 gold solutions and 1.
@pytest.mark.parametrize(
    ("batches", "torn"), [(0, b""), (1, b'{"spans": [{"compl'), (3, b""), (4, b'{"spans"')]
)
def test_interrupted_measurement_goes_on_to_the_same_bytes(
    prepared, tmp_path, measured, monkeypatch, batches, torn
):
    class Killed(BaseException):
        pass

    import cfdapo.stages.measure_credit as stage

    original, done = stage.Recorder.record, []

    def record(self, batch):
        if len(done) == batches:
            raise Killed
        done.append(batch)
        return original(self, batch)

    monkeypatch.setattr(stage.Recorder, "record", record)
    with pytest.raises(Killed):
        run(prepared, tmp_path)
    partial = tmp_path / "tiny.partial.jsonl"
    assert len(partial.read_bytes().splitlines()) == batches + 1
    partial.write_bytes(partial.read_bytes() + torn)
    counted = []
    monkeypatch.setattr(
        stage.Recorder, "record", lambda self, b: counted.append(b) or original(self, b)
    )
    out = run(prepared, tmp_path)
    assert len(counted) == 5 - batches
    assert out.read_bytes() == measured.read_bytes()
    assert completions_of(out).read_bytes() == completions_of(measured).read_bytes()
    assert not out.with_suffix(".partial.jsonl").exists()


def test_records_of_another_configuration_are_not_taken_over(prepared, tmp_path, measured, capsys):
    partial = tmp_path / "tiny.partial.jsonl"
    partial.write_text(json.dumps({"identity": "other"}) + '\n{"spans": [], "completions": []}\n')
    assert run(prepared, tmp_path).read_bytes() == measured.read_bytes()
    assert "of another configuration; starting anew" in capsys.readouterr().out


def test_a_trained_policy_is_measured_by_its_adapter(prepared, tmp_path, measured):
    torch.manual_seed(0)
    base, _ = load_base(prepared / "model")
    lora = add_lora(base, LoraSettings(4, 4, 0.0))
    for name, parameter in lora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    lora.save_pretrained(tmp_path / "adapter")
    out = run(prepared, tmp_path, adapter=tmp_path / "adapter", policy="vanilla/seed0/step2")
    rows = read_completions(completions_of(out))
    assert {row["policy"] for row in rows} == {"vanilla/seed0/step2"}
    own = {(s["completion"], s["span"]): s["drop"] for s in read_jsonl(out)}
    base_drops = {(s["completion"], s["span"]): s["drop"] for s in read_jsonl(measured)}
    gold = [key for key in own if key[0].startswith("gold")]
    assert gold and all(abs(own[key] - base_drops[key]) > 0 for key in gold)


def test_another_mode_s_adapter_in_the_run_s_place_is_named(prepared, tmp_path, measured):
    """Refused before anything is measured, and again by whoever reads credit of another adapter."""
    runs = tmp_path / "runs" / "tiny"
    hashes = {}
    for seed, mode in enumerate(("counterfactual", "vanilla")):
        torch.manual_seed(seed)
        adapter = runs / mode / "seed0" / "adapters" / "step2"
        lora = add_lora(load_base(prepared / "model")[0], LoraSettings(4, 4, 0.0))
        lora.save_pretrained(adapter)
        hashes[mode] = adapter_hash(adapter)
        training = SETTINGS | {"training": {"steps": 2, "checkpoint_every": 2}}
        key, base = ("tiny", mode, 0), origin_of(prepared / "model")
        write_record(adapter.parent.parent, key, training, {"2": hashes[mode]}, base)
    own, other = (runs / mode / "seed0" / "adapters" / "step2" for mode in hashes)
    settings = SETTINGS | {"measurement": MEASUREMENT | {"prompts": 0, "gold": 1}}
    policy = "counterfactual/seed0/step2"
    (tmp_path / "credit").mkdir()
    out = run(prepared, tmp_path / "credit", settings, adapter=own, policy=policy)
    read_credit(out, completions_of(out))
    shutil.copy(other / "adapter_model.safetensors", own)
    with pytest.raises(UserError, match="counterfactual/seed0/adapters: step 2: not what this"):
        run(prepared, tmp_path / "credit", settings, adapter=own, policy=policy)
    out = run(prepared, tmp_path / "credit", settings, adapter=other, policy=policy)
    with pytest.raises(UserError, match="is of another adapter than that of tiny/counterfactual"):
        read_credit(out, completions_of(out))


def test_measured_credit_passes_its_reader(measured):
    spans, completions = read_credit(measured, completions_of(measured))
    assert len(spans) == len(read_jsonl(measured)) and len(completions) == 17
    assert checksums.check(measured).made_from["policy"] == "untrained"


@pytest.mark.parametrize("damage", [b"0.5", b"[1]", b"\xff"], ids=["digits", "array", "binary"])
def test_batches_from_a_damaged_one_on_are_measured_anew(tmp_path, damage):
    partial, done = tmp_path / "partial.jsonl", []

    def batch(number: int) -> dict:
        done.append(number)
        return {"spans": [{"drop": number + 0.25}], "completions": ["é\u2028"]}

    def work() -> list[dict]:
        return list(run_batches(partial, "work", [functools.partial(batch, n) for n in range(4)]))

    whole = work()
    lines = partial.read_bytes().splitlines(keepends=True)
    partial.write_bytes(b"".join(lines).replace(b"2.25", damage))
    done.clear()
    assert work() == whole and done == [2, 3]
    assert partial.read_bytes() == b"".join(lines)
    done.clear()
    assert work() == whole and not done


def test_every_completion_is_graded_and_searched_once(prepared, tmp_path, measured, monkeypatch):
    """Of code a verdict is a run in the sandbox; a batch's are made at once, on all cores."""
    graded, located = [], []
    grade, locate = Task.grade_many, CreditAssigner.locate

    def grade_many(self, texts, golds):
        graded.append(len(texts))
        return grade(self, texts, golds)

    def counted(self, *given):
        located.append(given)
        return locate(self, *given)

    monkeypatch.setattr(Task, "grade_many", grade_many)
    monkeypatch.setattr(CreditAssigner, "locate", counted)
    assert run(prepared, tmp_path).read_bytes() == measured.read_bytes()
    assert graded == [4, 4, 4, 4, 1] and len(located) == 17


def test_the_study_s_own_combination_alone(prepared, tmp_path):
    measurement = MEASUREMENT | {"prompts": 0, "gold": 2, "combinations": "study", "padding": []}
    credit = CREDIT | {"intervention": "attention", "sink": "rest"}
    out = run(prepared, tmp_path, SETTINGS | {"measurement": measurement, "credit": credit})
    for span in read_jsonl(out):
        assert span["drops"] == {"attention/rest": pytest.approx(span["drop"], abs=1e-4)}
        assert span["padded_drops"] == {}


def test_a_proxy_measures_where_the_study_has_one(prepared, tmp_path, measured):
    measurement = MEASUREMENT | {"prompts": 0, "gold": 2, "padding": []}
    settings = SETTINGS | {
        "measurement": measurement,
        "credit": CREDIT | {"proxy": "other"},
        "proxy_chat": {},
    }
    out = run(prepared, tmp_path, settings, proxy_dir=prepared / "model")
    # The proxy is the same model here, so that its drops are the policy's own.
    expected = {(s["completion"], s["span"]): s["drop"] for s in read_jsonl(measured)}
    for span in read_jsonl(out):
        drop = expected[span["completion"], span["span"]]
        assert span["drop"] == pytest.approx(drop, abs=1e-4)
        assert span["drops"]["pad/answer"] == pytest.approx(drop, abs=1e-4)
    with pytest.raises(UserError, match="credit.proxy: other needs its prepared folder"):
        run(prepared, tmp_path, settings)
