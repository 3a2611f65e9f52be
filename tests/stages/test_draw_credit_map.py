"""The stage: records in, a page out; what is faulty is named."""

import json

import pytest

CREDIT = {"intervention": "pad", "sink": "answer", "w_min": 0.5, "w_max": 4.0, "w_answer": 1.5}


@pytest.fixture
def flags(credit_folder) -> list[object]:
    return [
        "draw_credit_map",
        *("--spans", credit_folder / "qwen3-tiny.jsonl"),
        *("--completions", credit_folder / "qwen3-tiny.completions.jsonl"),
        *("--study", "tiny", "--label", "Qwen3 <tiny>", "--credit", json.dumps(CREDIT)),
        *("--task", "arithmetic"),
    ]


def test_a_page_is_written(flags, stage, tmp_path):
    done = stage(*flags, "--out", tmp_path / "figures" / "map.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "figures" / "map.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "<h1>Qwen3 &lt;tiny&gt;</h1>" in page


def test_two_processes_write_the_same_bytes(flags, process, tmp_path):
    for number in ("1", "2"):
        done = process(*flags, "--out", tmp_path / number, PYTHONHASHSEED=number)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_absent_records_are_named(flags, stage, credit_folder, tmp_path):
    flags[2] = tmp_path / "none.jsonl"
    done = stage(*flags, "--out", tmp_path / "map.html")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "none.jsonl" in done.stderr
