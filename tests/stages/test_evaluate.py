"""Evaluation: a record a problem and step, resumed to the byte, damaged adapters refused."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest
from made_results import write_record

import cfdapo
from cfdapo import checksums
from cfdapo.files import UserError, read_jsonl, sha256_of, write_json
from cfdapo.integrity import Parents, read_evaluation, read_run
from cfdapo.policy import generation
from cfdapo.policy.checkpoints import adapter_hashes
from cfdapo.policy.models import add_lora, load_base
from cfdapo.problems.task import Task
from cfdapo.provenance import origin_of
from cfdapo.settings import LoraSettings, parse
from cfdapo.stages.evaluate import EvaluateSettings, _finished, _identity, evaluate
from cfdapo.study import load_document

SETTINGS = {
    "task": "arithmetic",
    "chat": {},
    "training": load_document("smoke")["training"]
    | {"steps": 2, "checkpoint_every": 1, "max_completion_tokens": 12},
    "evaluation": {"batch_size": 4},
}


def run(prepared: Path, run_dir: Path) -> bytes:
    out = run_dir / "evaluation.jsonl"
    settings = parse(EvaluateSettings, SETTINGS)
    evaluate(prepared / "model", prepared / "test.jsonl", run_dir, settings, out)
    return out.read_bytes()


def test_a_record_for_every_step_and_problem(prepared, run_dir):
    run(prepared, run_dir)
    rows = read_jsonl(run_dir / "evaluation.jsonl")
    problems = read_jsonl(prepared / "test.jsonl")
    assert [(row["step"], row["problem"]) for row in rows] == [
        (step, problem["id"]) for step in (0, 1, 2) for problem in problems
    ]
    hashes = adapter_hashes(run_dir / "adapters", [1, 2])
    assert {(row["step"], row["adapter"]) for row in rows} == {
        (0, None), (1, hashes["1"]), (2, hashes["2"])
    }  # fmt: skip
    by_step = [[row["completion"] for row in rows if row["step"] == step] for step in (0, 1, 2)]
    assert by_step[0] != by_step[1] != by_step[2]
    assert all(
        row["gold"] == problem["answer"] for row, problem in zip(rows, problems, strict=False)
    )


def test_an_engine_that_is_not_there_is_refused_by_name(prepared, run_dir):
    if importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed")
    asked = parse(EvaluateSettings, SETTINGS | {"evaluation": {"batch_size": 4, "engine": "vllm"}})
    with pytest.raises(UserError, match=r"evaluation\.engine: vllm needs the package vllm"):
        evaluate(
            prepared / "model", prepared / "test.jsonl", run_dir, asked, run_dir / "eval.jsonl"
        )
    assert not (run_dir / "eval.jsonl").exists()


def test_a_batch_is_graded_once_and_at_once(prepared, run_dir, monkeypatch):
    graded, grade = [], Task.grade_many

    def grade_many(self, texts, golds):
        graded.append(len(texts))
        return grade(self, texts, golds)

    monkeypatch.setattr(Task, "grade_many", grade_many)
    run(prepared, run_dir)
    assert graded == [4, 4, 2] * 3


def test_a_batch_is_of_prompts_of_like_length(prepared, run_dir, monkeypatch):
    asked, together = [], generation._batch

    def batch(model, tokenizer, rows, config):
        asked.append([len(ids) for ids in rows])
        return together(model, tokenizer, rows, config)

    monkeypatch.setattr(generation, "_batch", batch)
    run(prepared, run_dir)
    lengths = [length for batch in asked[:3] for length in batch]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) > 1
    assert asked[:3] == asked[3:6] == asked[6:]


# 10 problems in batches of 4, 4 and 2: within a batch, at its end, within and at the end of a step.
@pytest.mark.parametrize("records", [0, 3, 4, 9, 10, 17, 30])
@pytest.mark.parametrize("torn", [b"", b'{"step": 1, "prob'])
def test_interrupted_evaluation_goes_on_to_the_same_bytes(prepared, run_dir, records, torn):
    whole = run(prepared, run_dir)
    lines = whole.splitlines(keepends=True)
    (run_dir / "evaluation.jsonl").unlink()
    partial, mark = begin(prepared, run_dir, b"".join(lines[:records]) + torn)
    assert run(prepared, run_dir) == whole
    assert not partial.exists() and not mark.exists()


def begin(prepared: Path, run_dir: Path, content: bytes) -> tuple[Path, Path]:
    """An interrupted evaluation that left `content`; its records and what they are of."""
    partial, mark = run_dir / "evaluation.partial.jsonl", run_dir / "evaluation.partial.json"
    settings = parse(EvaluateSettings, SETTINGS)
    identity = _identity(prepared / "model", prepared / "test.jsonl", run_dir, settings)
    write_json(mark, identity)
    partial.write_bytes(content)
    return partial, mark


def test_records_of_another_adapter_are_not_gone_on_from(prepared, run_dir):
    whole = run(prepared, run_dir)
    begin(prepared, run_dir, whole[: len(whole) // 2])
    base, _ = load_base(prepared / "model")
    folder = run_dir / "adapters" / "step1"
    add_lora(base, LoraSettings(4, 4, 0.0)).save_pretrained(folder)
    changed = run(prepared, run_dir)
    steps = [[row for row in read_jsonl(run_dir / "evaluation.jsonl") if row["step"] == step]
             for step in (0, 1)]  # fmt: skip
    # The new adapter does nothing yet.
    assert [row["completion"] for row in steps[0]] == [row["completion"] for row in steps[1]]
    assert changed != whole
    before = {row["step"]: row["adapter"] for row in map(json.loads, whole.splitlines())}
    assert before[1] != steps[1][0]["adapter"]


def test_killed_evaluation_goes_on_to_the_same_bytes(prepared, run_dir):
    """Killed from outside as soon as there are two batches, wherever it is then."""
    whole = run(prepared, run_dir)
    (run_dir / "evaluation.jsonl").unlink()
    flags = ["--model-dir", prepared / "model", "--problems", prepared / "test.jsonl"]
    flags += ["--run-dir", run_dir, "--settings", json.dumps(SETTINGS)]
    flags += ["--out", run_dir / "evaluation.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cfdapo.stages.evaluate", *map(str, flags)],
        env=os.environ | {"PYTHONPATH": str(Path(cfdapo.__file__).parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    partial = run_dir / "evaluation.partial.jsonl"
    while process.poll() is None and not (partial.is_file() and partial.stat().st_size > 1000):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = partial.read_bytes()
    # In the order of evaluation, which is by length.
    assert 1000 < len(kept) < len(whole)
    assert set(kept.split(b"\n")[:-1]) < set(whole.split(b"\n"))
    assert run(prepared, run_dir) == whole


def test_adapters_that_are_not_the_runs_own_are_named_before_anything_is_evaluated(
    prepared, run_dir
):
    hashes = adapter_hashes(run_dir / "adapters", [1, 2])
    key, base = ("test", "random", 0), origin_of(prepared / "model")
    write_record(run_dir, key, SETTINGS, hashes, base)
    run(prepared, run_dir)
    (run_dir / "evaluation.jsonl").unlink()
    swapped = run_dir / "adapters" / "step1" / "adapter_model.safetensors"
    shutil.copy(run_dir / "adapters" / "step2" / "adapter_model.safetensors", swapped)
    with pytest.raises(UserError, match="adapters: step 1: not what this training ended with"):
        run(prepared, run_dir)
    write_record(run_dir, key, SETTINGS, adapter_hashes(run_dir / "adapters", [1, 2]), {"id": "x"})
    with pytest.raises(UserError, match="run.json: was trained from another base model than this"):
        run(prepared, run_dir)
    assert not (run_dir / "evaluation.partial.jsonl").exists()


def test_an_evaluation_passes_its_readers_with_what_it_was_made_from(prepared, run_dir):
    run(prepared, run_dir)
    path = run_dir / "evaluation.jsonl"
    made_from = checksums.check(path).made_from
    assert made_from["problems"] == sha256_of(prepared / "test.jsonl")
    assert made_from["model"] == origin_of(prepared / "model")
    hashes = adapter_hashes(run_dir / "adapters", [1, 2])
    write_record(run_dir, ("test", "random", 0), SETTINGS, hashes, made_from["model"])
    record = read_run(run_dir / "run.json")
    assert len(read_evaluation(path, record, Parents(run_dir / "nothing"))) == 30


def test_damaged_records_of_an_interrupted_evaluation_are_cut_off(prepared, run_dir):
    whole = run(prepared, run_dir)
    (run_dir / "evaluation.jsonl").unlink()
    lines = whole.splitlines(keepends=True)
    names = [row["id"] for row in read_jsonl(prepared / "test.jsonl")]
    expected = list(product((0, 1, 2), names))
    # Line 7 is in the second batch of 4, 4 and 2.
    before, line, behind = lines[:6], lines[6], lines[7:]
    for damaged in (
        [*before, *behind],
        [*before, lines[3], *behind],
        [*before, b"[1, 2]\n", *behind],
        [*before, b"\xff\n", *behind],
        [*before, line.replace(b'"step": 0', b'"step": "0"'), *behind],
    ):
        partial, _ = begin(prepared, run_dir, b"".join(damaged))
        assert _finished(partial, expected, len(names), 4) == 4
        assert partial.read_bytes() == b"".join(lines[:4])
    partial, _ = begin(prepared, run_dir, whole + line)
    assert _finished(partial, expected, len(names), 4) == 30
    assert run(prepared, run_dir) == whole


def test_missing_adapter_is_named(prepared, run_dir):
    (run_dir / "adapters" / "step2" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="step2.*missing adapter"):
        run(prepared, run_dir)


def test_a_full_disk_is_an_error_that_names_the_records(prepared, run_dir):
    partial, _ = begin(prepared, run_dir, b"")
    partial.unlink()
    partial.symlink_to("/dev/full")
    with pytest.raises(UserError, match="evaluation.partial.jsonl: cannot be written"):
        run(prepared, run_dir)
