"""How far runs are, told from what they leave while they run, are killed or fail."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_results import write_run

from cfdapo.analysis.records import progress
from cfdapo.analysis.records.progress import (
    EVALUATION,
    FAILED,
    FINISHED,
    RUNNING,
    STALE,
    TRAINING,
    WAITING,
    failed_logs,
    last_line,
    progress_of,
    strangers,
    with_paces,
)
from cfdapo.files import write_json, write_jsonl

KEY = ("qwen3-tiny", "vanilla", 0)
NAME = "qwen3-tiny/vanilla/seed0"
HOLDER = (
    "import sys; from cfdapo.locks import only_one\n"
    "with only_one(sys.argv[1], 'it'): print(flush=True); sys.stdin.read()"
)


def seen(results: Path, steps: int = 20) -> progress.Progress:
    return progress_of(results, *KEY, steps)


def run_of(results: Path) -> Path:
    run = results / "runs" / NAME
    run.mkdir(parents=True, exist_ok=True)
    return run


def train(results: Path, steps: int, log: str = "starting at step 0\n", job: str = "train") -> Path:
    """A training of so many steps whose last one was torn while it was written."""
    run = run_of(results)
    rows = [{"step": n, "reward": n / 10, "seconds_step": 2.0 * n} for n in range(1, steps + 1)]
    write_jsonl(run / "history.jsonl", rows)
    with open(run / "history.jsonl", "a") as stream:
        stream.write('{"step": 99, "rew')
    write_log(results, log, job)
    (run / ".train.lock").write_text(f"{socket.gethostname()}\n")
    return run


def write_log(results: Path, text: str, job: str = "train") -> Path:
    path = results / "logs" / job / f"{NAME}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def holder():
    """A process that holds a lock, to be killed."""
    processes = []

    def hold(path: Path) -> subprocess.Popen:
        source = str(Path(progress.__file__).parents[3])
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            env=os.environ | {"PYTHONPATH": source},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline()
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_nothing_there_is_waiting(tmp_path):
    found = seen(tmp_path / "absent")
    assert (found.state, found.job, found.step) == (WAITING, TRAINING, 0)
    assert found.left is None and found.accuracy is None


def test_running_as_long_as_it_holds_its_lock_and_stale_once_killed(tmp_path, holder):
    run = train(tmp_path, 5)
    process = holder(run / ".train.lock")
    old = time.time() - 2 * progress.QUIET_SECONDS
    for path in (run / "history.jsonl", tmp_path / "logs/train" / f"{NAME}.log"):
        os.utime(path, (old, old))
    found = seen(tmp_path)
    # A step of the torn last line is none; the pace is the median of 2, 4, 6, 8 and 10 s.
    assert (found.state, found.step, found.reward, found.seconds) == (RUNNING, 5, 0.5, 6.0)
    assert found.left == 15 * 6.0 and not found.said
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = seen(tmp_path)
    assert (found.state, found.step, found.said) == (STALE, 5, "starting at step 0")


@pytest.mark.parametrize(
    ("log", "state", "said"),
    [
        ("environment: {}\nerror: no prompt is that short\n", FAILED, "error: no prompt"),
        ("Traceback (most recent call last):\n  File\nValueError: no\n\n", FAILED, "ValueError"),
        ("usage: train\ntrain.py: error: argument --seed\n", FAILED, "train.py: error"),
        (" 10%|#  |\r 20%|## |\rTraceback (most recent call last):\nOSError: x", FAILED, "OSError"),
        ("starting at step 0\nsaved after step 3\ninterrupted; run again\n", STALE, "inter"),
        ("Traceback (most recent call last):\n  x\nKeyboardInterrupt\n", STALE, "Keyboard"),
        ("starting at step 0\n 10%|#  |\r 20%|## |", STALE, "20%|## |"),
        ("\xff\x00\n", STALE, ""),
    ],
)  # fmt: skip
def test_what_a_log_ends_with_says_why_it_ended(tmp_path, log, state, said):
    train(tmp_path, 3, log)
    lock = run_of(tmp_path) / ".train.lock"
    os.utime(lock)
    found = seen(tmp_path)
    assert (found.state, found.step) == (state, 3) and found.said.startswith(said)


@pytest.mark.parametrize(("quiet", "state"), [(60, RUNNING), (2000, STALE)])
def test_of_another_machine_the_last_sign_of_life_decides(tmp_path, quiet, state):
    """Its lock may not be seen from here."""
    run = train(tmp_path, 4)
    (run / ".train.lock").write_text("another-node\n")
    then = time.time() - quiet
    for path in (run / "history.jsonl", tmp_path / "logs/train" / f"{NAME}.log"):
        os.utime(path, (then, then))
    assert seen(tmp_path).state == state


def test_a_job_that_imports_its_libraries_is_running(tmp_path):
    run = run_of(tmp_path)
    (run / ".train.lock").write_text(f"{socket.gethostname()}\n")
    os.utime(run / ".train.lock", (1, 1))
    write_log(tmp_path, "")
    assert seen(tmp_path).state == RUNNING


def test_where_the_workflow_took_the_history_away_the_checkpoint_says_the_step(tmp_path):
    state = run_of(tmp_path) / "state"
    for step in (4, 12):
        log = [{"step": n, "reward": n / 20, "step_time": 3.0} for n in range(1, step + 1)]
        saved = state / f"checkpoint-{step}" / "trainer_state.json"
        write_json(saved, {"log_history": [*log, {"step": step, "train_loss": 0.0}]})
        os.utime(saved, (step, step))
    write_log(tmp_path, "error: /disk: cannot be written\n")
    found = seen(tmp_path)
    assert (found.state, found.step, found.reward, found.seconds) == (FAILED, 12, 0.6, 3.0)


def test_trained_then_evaluated_then_finished(tmp_path):
    run = write_run(tmp_path, *KEY, lambda step: step > 0, problems=["a", "b"])
    found = seen(tmp_path)
    assert (found.state, found.accuracy, found.evaluated) == (FINISHED, 100.0, 20)
    rows = (run / "evaluation.jsonl").read_text().splitlines()
    (run / "evaluation.jsonl").unlink()
    found = seen(tmp_path)
    assert (found.state, found.job, found.step, found.left) == (WAITING, EVALUATION, 20, 0.0)
    # Step 0 is whole, of step 10 a line is torn.
    (run / "evaluation.partial.jsonl").write_text("\n".join([*rows[:3], rows[3][:20]]))
    write_log(tmp_path, "Traceback (most recent call last):\nMemoryError\n", EVALUATION)
    found = seen(tmp_path)
    assert (found.state, found.job, found.said) == (FAILED, EVALUATION, "MemoryError")
    assert (found.accuracy, found.evaluated) == (0.0, 0)


def test_a_long_evaluation_is_read_from_its_end(tmp_path):
    run = run_of(tmp_path)
    answers = [(0, i % 2 == 0) for i in range(4000)] + [(5, i % 4 == 0) for i in range(4000)]
    rows = [{"step": step, "completion": "x" * 100, "correct": right} for step, right in answers]
    write_jsonl(run / "evaluation.jsonl", rows)
    write_json(run / "run.json", {"model": "qwen3-tiny"})
    found = seen(tmp_path)
    assert (found.accuracy, found.evaluated) == (25.0, 5)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"step": "x"}\n[1]\nnull\n{"step": [2]}', "\x00"])
def test_odd_files_are_no_news(tmp_path, text):
    run = run_of(tmp_path)
    names = (
        "history.jsonl",
        "run.json",
        "evaluation.jsonl",
        "state/checkpoint-3/trainer_state.json",
    )
    for name in names:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text)
    found = seen(tmp_path)
    assert (found.step, found.reward, found.accuracy) == (0, None, None)
    for name in names:
        (run / name).unlink()
        (run / name).mkdir()
    assert seen(tmp_path).step == 0
    assert seen(run / "run.json").state == WAITING


def test_numbers_that_are_none_are_none(tmp_path):
    run = run_of(tmp_path)
    row = {"step": 2, "reward": None, "seconds_step": float("nan")}
    (run / "history.jsonl").write_text(json.dumps(row) + "\n")
    found = seen(tmp_path)
    assert (found.step, found.reward, found.seconds) == (2, None, None)


def test_who_has_no_pace_has_that_of_those_alike():
    def one(model: str, mode: str, seconds: float | None) -> progress.Progress:
        return progress.Progress(model, mode, 0, WAITING, TRAINING, 0, 10, seconds=seconds)

    runs = [one("a", "x", 4.0), one("a", "y", 2.0), one("a", "x", None), one("a", "z", None)]
    runs += [one("b", "x", None)]
    assert [run.seconds for run in with_paces(runs)] == [4.0, 2.0, 4.0, 3.0, 3.0]
    assert with_paces(runs[2:])[0].seconds is None


def test_other_jobs_that_failed_and_other_studies_runs(tmp_path):
    (tmp_path / "logs/train").mkdir(parents=True)
    (tmp_path / "logs/prepare_data.log").write_text("error: no data\n")
    (tmp_path / "logs/table1.log").write_text("environment: {}\n")
    (tmp_path / "logs/train/x.log").write_text("error: of a run\n")
    assert failed_logs(tmp_path) == [tmp_path / "logs/prepare_data.log"]
    assert last_line(tmp_path / "logs/prepare_data.log") == "error: no data"
    run_of(tmp_path)
    (tmp_path / "runs/old/vanilla/seed9").mkdir(parents=True)
    assert strangers(tmp_path, [seen(tmp_path)]) == ["old/vanilla/seed9"]
