"""gpu.py in pieces: what a unit finds, how it ends, and what is left of a run that is cut."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from multiprocessing import get_context
from types import SimpleNamespace

import gpu
import gpu_tables
import pytest
import torch
import units
from floor import floor, least_tokens, scored_tokens
from gpu_parts import cost, exactness, hotspots, modes, resume, step_of_paper
from inputs import random_requests
from methods import agreement, run
from safetensors.torch import save_file
from shapes import PAPER, shaped_model
from step import as_trained
from units import Clock, Machine, OutOfTime, Unit, attempt, run_unit

from cfdapo.files import read_json, write_jsonl
from cfdapo.study import ROOT

TINY = Machine("cpu", tiny=True, method="fork")
LONG = Clock(math.inf)


@pytest.fixture(scope="module")
def policy() -> torch.nn.Module:
    return as_trained(shaped_model("tiny", torch.float32, "cpu"))


@pytest.fixture(scope="module")
def requests() -> list:
    sizes = {"completions": 3, "prompts": 2, "spans": 3, "prompt_length": 8, "length": 24}
    return random_requests(**sizes, vocabulary=512)


@pytest.mark.parametrize("shape", PAPER)
def test_prefix_is_exact_at_every_shape(shape, emit, found):
    exactness.run(emit, LONG, TINY, shape)
    assert [name for name, values in found.items() if not values["agrees"]] == []
    assert len(found) == 1 + 2 + 8  # the way; precisions; interventions and sinks
    # In bfloat16 there is something to round, so "agrees" says something.
    assert found["bfloat16"]["serial from float32, rms"] > 1e-4


def test_a_wrong_drop_does_not_agree():
    drops = [torch.tensor([-1.0, -2.0, -3.0])]
    wrong = [drops[0] + torch.tensor([0.0, 0.0, 0.002])]
    four = dict.fromkeys(("serial", "prefix", "prefix again", "prefix in small passes"), drops)
    assert exactness.verdict("float32", four, drops)["agrees"]
    for method in ("prefix", "prefix in small passes"):
        assert not exactness.verdict("float32", four | {method: wrong}, drops)["agrees"]
    # In fewer bits it is held against what serial is off by, here nothing.
    assert not exactness.verdict("bfloat16", four | {"prefix": wrong}, drops)["agrees"]
    assert exactness.verdict("bfloat16", four | {"serial": wrong, "prefix": wrong}, drops)["agrees"]


def test_batches_give_the_same_drops_and_the_policy_is_no_idle_one(policy, requests):
    serial = run("serial", policy, requests, 0, 4096)
    batched = run("batched", policy, requests, 0, 64)
    assert agreement(batched.drops, serial.drops)["max diff"] < 1e-4
    assert batched.passes < serial.passes
    # A LoRA's second matrices begin as zeros, which could be quicker.
    assert all(w.abs().min() > 0 for name, w in policy.named_parameters() if "lora_B" in name)


def test_the_floor_counts_every_token_once_and_the_head_where_it_scores(policy, requests):
    tokens = sum(r.answer.stop - 1 for r in requests) + sum(
        r.answer.stop - 1 - span.start for r in requests for span in r.spans
    )
    assert least_tokens(requests) == 2 * 8 + tokens
    assert scored_tokens(requests) == 3 * 3 * 4
    head = policy.get_output_embeddings().weight
    inner = sum(
        w.numel() for name, w in policy.named_parameters() if "embed" not in name and w is not head
    )
    expected = 2 * (inner * (2 * 8 + tokens) + head.numel() * 3 * 3 * 4)
    assert floor(policy, requests)["operations"] == expected


def test_modes_work_also_where_a_rule_generates(emit, found, monkeypatch):
    kinds = [("monte_carlo", {"mode": "monte_carlo", "options": {"continuations": 1}})]
    monkeypatch.setattr(modes, "_kinds", lambda precision: [*kinds, ("random", {"mode": "random"})])
    modes.run(emit, LONG, TINY, "float32")
    assert found["monte_carlo"]["works"] and found["random"]["works"]
    # Both trained on the made completions, whatever was generated before.
    assert found["monte_carlo"]["completion_tokens"] == found["random"]["completion_tokens"] > 30
    assert found["random"]["spans_per_completion"] == 4


def test_credit_has_its_place_in_a_step(emit, found):
    cost.run(emit, LONG, TINY, "qwen2.5-3b")
    assert found["serial"]["speed-up"] == 1 and found["serial"]["turns"] == 1
    for method in ("prefix", "batched", "serial"):
        seconds = found[method]["seconds"]
        rest = found["generation"]["seconds"] + found["update"]["seconds"]
        assert found[method]["of a step"] == pytest.approx(seconds / (seconds + rest))
        assert found[method]["max diff"] < 1e-4
    assert found["paper"]["of a step"] == pytest.approx(36.4 / 85.9)


def test_an_update_that_does_not_fit_is_tried_with_fewer_completions(
    emit, found, policy, requests, monkeypatch
):
    phase = cost._phase

    def small_memory(name, policy, short, requests, batch):
        if name == "update" and batch > 4:
            raise torch.OutOfMemoryError(f"tried to allocate {batch} GiB")
        return phase(name, policy, short, requests, batch)

    monkeypatch.setattr(cost, "_phase", small_memory)
    assert set(cost.measure_phases(emit, policy, requests)) == {"generation", "update"}
    assert found["update"]["completions a pass"] == 4 and found["update"]["seconds"] > 0
    assert found["update"]["error"] == "OutOfMemoryError: tried to allocate 8 GiB"


def test_a_step_has_its_phases_also_with_checkpointing(emit, found):
    step_of_paper.run(emit, LONG, TINY, "qwen3-1.7b", generate=True, checkpointing=True)
    assert {"generation", "credit", "update"} <= set(found["step 1"])
    assert {"other", "credit", "update"} <= set(found["step 2"])
    assert all(found[step]["by the trainer"]["grad_norm"] > 0 for step in ("step 1", "step 2"))
    assert found["step 1"]["spans"] == 8 * 4 and found["setting"]["gradient_checkpointing"]
    assert found["step 1"]["generation"]["seconds"] > found["step 2"]["other"]["seconds"]


def test_what_does_not_fit_is_told_with_the_phase(emit, found, monkeypatch):
    def too_much(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    monkeypatch.setattr(step_of_paper.CFDAPOTrainer, "compute_loss", too_much)
    step_of_paper.run(emit, LONG, TINY, "qwen3-1.7b")
    error = "OutOfMemoryError: tried to allocate 9 GiB"
    assert found["failed"] == {"error": error, "phase": "update", "step": 1}
    assert found["step 1"]["credit"]["seconds"] > 0 and "update" not in found["step 1"]


def test_hotspots_have_kinds_and_variants(emit, found):
    hotspots.run(emit, LONG, TINY, "llama3.2-3b")
    kinds = {*hotspots.KINDS.values(), hotspots.OUTSIDE}
    assert set(found["kinds"]) == kinds
    assert sum(found["kinds"].values()) == pytest.approx(found["profile"]["seconds"])
    merged = found["the LoRA merged into the weights"]
    assert merged["max diff"] < 1e-3 < found["without the LoRA, another policy"]["max diff"]
    assert found["token budget 128"]["passes"] > found["as it is"]["passes"]


def test_runs_are_compared_to_the_bit_and_by_distance(tmp_path):
    for name, weight, loss in (("one", 0.5, 1.0), ("same", 0.5, 1.0), ("other", 0.75, 1.25)):
        _write_run(tmp_path / name, weight, loss)
    alike = resume.compare(tmp_path / "one", tmp_path / "same")
    assert alike["same bits"] and alike["max difference"] == 0 and alike["from step"] is None
    apart = resume.compare(tmp_path / "one", tmp_path / "other")
    assert not apart["same bits"] and apart["max difference"] == 0.25
    assert apart["from step"] == 2 and apart["columns"] == ["loss"]


def test_operations_without_a_deterministic_form_are_told(tmp_path, monkeypatch):
    def train(model, *, out, settings, **_):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert settings.training.precision == "bfloat16"
        warnings.warn(f"{out.name} does not have a deterministic implementation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(resume, "train", train)
    monkeypatch.setattr(resume.training, "_reward", None)  # put back afterwards
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    outs = [tmp_path / name for name in ("index_put", "cumsum")]
    try:
        for out in [*outs, outs[0]]:
            resume.run_training(tmp_path, out, "bfloat16", deterministic=True, tiny=True)
    finally:
        torch.use_deterministic_algorithms(False)
    ending = "does not have a deterministic implementation"
    assert resume.warned_of(outs) == [f"cumsum {ending}", f"index_put {ending}"]


def _write_run(out, weight: float, loss: float) -> None:
    folder = out / "adapters" / f"step{resume.STEPS}"
    folder.mkdir(parents=True)
    save_file({"weight": torch.tensor([-0.5, weight])}, folder / "adapter_model.safetensors")
    # Times differ between any two runs, and count for nothing.
    rows = [{"step": 1, "loss": 0.0}, {"step": 2, "loss": loss, "seconds_step": loss}]
    write_jsonl(out / "history.jsonl", rows)


@pytest.fixture
def bounded(monkeypatch, tmp_path, emit):
    """Runs a function as a unit in a process of its own; how it ended."""

    def run_bounded(function, seconds: float = 20) -> units.Outcome:
        monkeypatch.setitem(sys.modules, "gpu_parts.made_up", SimpleNamespace(run=function))
        unit = Unit("part", "unit", "made_up", 1)
        return run_unit(get_context("fork"), unit, TINY, tmp_path / "log", seconds, emit)

    return run_bounded


def test_a_unit_that_fails_leaves_what_it_had_and_says_where(bounded, found, tmp_path):
    def run(emit, clock, machine):
        emit("first", {"seconds": 1})
        os.write(1, b"to be read in the log")
        raise RuntimeError("no kernel image\nfor this device")

    outcome = bounded(run)
    assert (outcome.status, outcome.error) == ("failed", "RuntimeError: no kernel image")
    assert "for this device" in outcome.traceback and found == {"first": {"seconds": 1}}
    assert "to be read in the log" in (tmp_path / "log").read_text()


def test_a_unit_that_dies_is_a_failure(bounded, found):
    def run(emit, clock, machine):
        emit("first", {"seconds": 1})
        os.kill(os.getpid(), signal.SIGKILL)

    assert bounded(run).error == f"the process ended with code -{signal.SIGKILL:d}"
    assert found == {"first": {"seconds": 1}}


def test_a_unit_is_ended_when_its_time_is_up(bounded, found):
    def run(emit, clock, machine):
        emit("process", {"id": os.getpid(), "left": clock.left})
        signal.pause()

    assert bounded(run, seconds=0.5).status == "cut"
    # It was told to be done before that.
    assert 0 < found["process"]["left"] < 0.5
    with pytest.raises(ProcessLookupError):
        os.kill(found["process"]["id"], 0)


def test_a_unit_that_stops_itself_is_cut_and_not_done(bounded):
    outcome = bounded(lambda emit, clock, machine: Clock(-math.inf).check())
    assert outcome.status == "cut"


def test_an_attempt_turns_errors_into_data_but_not_the_end_of_time(emit, found):
    assert attempt(emit, "division", lambda: 1 / 0) is None
    assert found == {"division": {"error": "ZeroDivisionError: division by zero"}}
    with pytest.raises(OutOfTime):
        attempt(emit, "clock", Clock(-math.inf).check)


def test_a_cut_keeps_what_was_measured(tmp_path):
    """SIGKILL while a unit runs: the file is whole, and no process is left."""
    out = tmp_path / "gpu.json"
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--tiny"]
    command += ["--minutes", "5", "--parts", "machine", "cost", "--out", out]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    while "prefix" not in _results(out, "cost", "qwen2.5-3b"):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    content = read_json(out)
    assert content["parts"]["machine"]["units"]["cpu"]["status"] == "done"
    assert content["parts"]["machine"]["units"]["cpu"]["results"]["hardware"]["cores"] > 0
    states = {name: unit["status"] for name, unit in content["parts"]["cost"]["units"].items()}
    assert states["qwen2.5-3b"] in ("running", "done") and states["llama3.2-3b"] == "not begun"
    assert content["versions"]["torch"] and content["command"][-1] == str(out)
    _wait_until_gone(process.pid)
    tables = "\n".join(gpu_tables.document(content))
    assert "| qwen2.5-3b | prefix |" in tables and "- llama3.2-3b: not begun" in tables


def _results(out, part: str, unit: str) -> dict:
    if not out.is_file():
        return {}
    return read_json(out)["parts"][part]["units"][unit].get("results", {})


def _wait_until_gone(group: int) -> None:
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process of the run goes on")


def test_nothing_is_written_over(tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    out.write_text("kept")
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2 and out.read_text() == "kept"
    assert f"{out} exists" in capsys.readouterr().err


def test_the_record_is_json_also_for_numbers_that_json_has_not(tmp_path):
    unit = Unit("cost", "shape", "cost", 1)
    record = gpu.Record(tmp_path / "gpu.json", {}, [unit])
    record.emit(unit, "prefix", {"within": math.nan, "seconds": [1.5, math.inf]})
    record.emit(unit, "prefix", {"passes": 2, "dtype": torch.float32})
    text = (tmp_path / "gpu.json").read_text()
    found = json.loads(text, parse_constant=pytest.fail)["parts"]["cost"]["units"]["shape"]
    rest = {"passes": 2, "dtype": "torch.float32"}
    assert found["results"]["prefix"] == {"within": None, "seconds": [1.5, None], **rest}


def test_what_failed_or_disagrees_within_a_piece_is_complained_of():
    results = {
        "float32": {"agrees": True, "max diff": 0.0},
        "tf32": {"agrees": False},
        "vanilla": {"works": False},
        "batched": {"error": "OutOfMemoryError: tried to allocate 9 GiB"},
    }
    content = {"parts": {"exactness": {"units": {"a": {"results": results}, "b": {}}}}}
    assert gpu.complaints(content) == [
        "exactness: a: tf32: does not do what it is to do",
        "exactness: a: vanilla: does not do what it is to do",
        "exactness: a: batched: OutOfMemoryError: tried to allocate 9 GiB",
    ]


@pytest.mark.parametrize(
    ("reserved", "allocated", "failed", "expected"),
    [
        (20, 18, False, ["yes", "yes", "yes", "yes"]),
        (30, 20, False, ["tight", "yes", "yes", "yes"]),
        (60, 50, False, ["no", "no", "no", "yes"]),
        (78, 70, True, ["no", "no", "no", "no"]),
    ],
)
def test_what_fits_which_card(reserved, allocated, failed, expected):
    """Beside torch's own a process takes 1 GiB, on a card of 79.6 GiB."""
    gib = gpu_tables.GIB
    results = {"memory": {"beside torch's": gib, "total bytes": 79.6 * gib}}
    results |= {"failed": {"error": "OutOfMemoryError"}} if failed else {}
    phases = [{"reserved bytes": reserved * gib, "allocated bytes": allocated * gib}]
    cards = gpu_tables.CARDS.values()
    assert [gpu_tables.fits(results, phases, size) for size in cards] == expected
    # Where even a smaller card was too small, nothing is known of a larger one.
    small = {"memory": {"beside torch's": gib, "total bytes": 22.4 * gib}, "failed": {}}
    assert [gpu_tables.fits(small, phases, size) for size in cards] == ["no", None, None, None]
