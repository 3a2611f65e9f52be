"""The history of a training that runs: what is in it after every step."""

import json
from types import SimpleNamespace

from cfdapo.files import read_jsonl
from cfdapo.policy.progress import GrowingHistory


def logged(step: int) -> dict:
    """What the trainer logs of a step, in which the norm of gradients overflowed."""
    seconds = {"seconds/generation": 1.0, "seconds/credit": 0.5, "step_time": 2.0}
    return {"step": step, "reward": 0.25, "grad_norm": float("inf"), **seconds}


def grow(history: GrowingHistory, log: list[dict], steps: range) -> None:
    for step in steps:
        log.append(logged(step))
        history.on_log(None, SimpleNamespace(log_history=log), None)


def test_a_row_a_step_from_what_the_checkpoint_holds(tmp_path):
    (tmp_path / "history.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "re')
    for stale in ("run.json", "run.json.checksum.json", "history.jsonl.checksum.json"):
        (tmp_path / stale).write_text("{}")
    growing, log = GrowingHistory(tmp_path), [logged(1)]
    growing.on_train_begin(None, SimpleNamespace(log_history=log), None)
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]
    assert len(read_jsonl(growing.path)) == 1
    grow(growing, log, range(2, 5))
    rows = read_jsonl(growing.path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[3] == {**rows[0], "step": 4} and rows[3]["grad_norm"] is None
    # The trainer's summary at the end is no step.
    log.append({"step": 4, "train_runtime": 9.0})
    growing.on_log(None, SimpleNamespace(log_history=log), None)
    assert read_jsonl(growing.path) == rows


def test_a_row_that_cannot_be_written_ends_nothing_and_comes_with_the_next(tmp_path, capsys):
    growing, log = GrowingHistory(tmp_path), []
    growing.on_train_begin(None, SimpleNamespace(log_history=log), None)
    grow(growing, log, range(1, 2))
    growing.path.unlink()
    growing.path.mkdir()
    grow(growing, log, range(2, 3))
    assert f"warning: {growing.path}: cannot be written" in capsys.readouterr().out
    growing.path.rmdir()
    grow(growing, log, range(3, 4))
    lines = growing.path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
