"""The view of a study: a line a run, totals, and why runs ended too early."""

from pathlib import Path

import pytest
from made_results import write_run

from cfdapo.files import write_jsonl
from cfdapo.locks import only_one
from cfdapo.vocabulary import PAPER_MODES

MODEL = "qwen3-tiny"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """Of the smoke study's four runs one is finished, one failed, one stopped, one not begun."""
    shape = {"problems": ["a", "b"], "steps": 4, "every": 2}
    write_run(tmp_path, MODEL, "counterfactual", 0, lambda step: step > 2, **shape)
    for mode, log in (("vanilla", "error: no such thing\n"), ("random", "starting at step 0\n")):
        run = tmp_path / "runs" / MODEL / mode / "seed0"
        write_jsonl(run / "history.jsonl", [{"step": 1, "reward": 0.25, "seconds_step": 60.0}])
        path = tmp_path / "logs" / "train" / MODEL / mode / "seed0.log"
        path.parent.mkdir(parents=True)
        path.write_text(log)
    return tmp_path


def test_before_anything_ran_all_runs_wait(stage, tmp_path):
    done = stage("status", "--study", "smoke", "--results", tmp_path / "none")
    assert done.returncode == 0 and not done.stderr
    lines = done.stdout.splitlines()  # the environment, then a title
    assert [cells(line)[:3] for line in lines[4:8]] == [
        [f"{MODEL}/{mode}/seed0", "waiting", "0/4"] for mode in PAPER_MODES
    ]
    assert "4 runs: 4 waiting; 0 of 16 steps trained" in lines
    assert not (tmp_path / "none").exists()


def test_a_line_a_run_then_totals_then_what_failed(stage, half):
    before = sorted(half.rglob("*"))
    done = stage("status", "--study", "smoke", "--results", half)
    lines = {cells(line)[0]: cells(line)[1:] for line in done.stdout.splitlines() if line}
    assert lines[f"{MODEL}/counterfactual/seed0"][:4] == ["finished", "4/4", "0.500", "100.0 @4"]
    assert lines[f"{MODEL}/vanilla/seed0"] == ["failed", "1/4", "0.250", "–", "60.0", "3 min"]
    assert lines[f"{MODEL}/random/seed0"][0] == "stale"
    # Of its own it has no pace: the finished run's 3 s and the others' 60 s have 60 s as median.
    assert lines[f"{MODEL}/inverted/seed0"] == ["waiting", "0/4", "–", "–", "–", "4 min"]
    assert "4 runs: 1 failed, 1 stale, 1 waiting, 1 finished; 6 of 16 steps trained" in done.stdout
    assert "training left: 10 min of one job after the other" in done.stdout
    log = half / "logs" / "train" / MODEL / "vanilla" / "seed0.log"
    assert f"failed: {MODEL}/vanilla/seed0, train: {log}\n  error: no such thing\n" in done.stdout
    assert sorted(half.rglob("*")) == before


def test_a_further_test_set_has_a_line(stage, tmp_path):
    run = tmp_path / "sets/math500/runs/qwen3-1.7b/vanilla/seed0"
    write_jsonl(run / "evaluation.jsonl", [])
    done = stage("status", "--study", "svamp", "--results", tmp_path)
    assert "test set math500: 1 of 6 runs evaluated" in done.stdout.splitlines()
    with only_one(run.with_name("seed1") / ".evaluation.lock", "evaluation"):
        done = stage("status", "--study", "svamp", "--results", tmp_path)
    assert "test set math500: 1 of 6 runs evaluated, 1 being evaluated" in done.stdout


def test_an_unknown_study_is_named(stage, tmp_path):
    done = stage("status", "--study", "nothing", "--results", tmp_path)
    assert done.returncode == 2 and "unknown study 'nothing'; there are: " in done.stderr
