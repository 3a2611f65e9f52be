"""Tables and figures of measured credit by their command lines, which need no training runs."""

import shutil

import pandas as pd
import pytest


@pytest.fixture
def measured(tmp_path, credit_folder):
    """A results folder that holds credit records and nothing else."""
    shutil.copytree(credit_folder, tmp_path / "credit")
    return tmp_path


def flags(stage_name, kind, name, results):
    return [
        *(stage_name, f"--{kind}", name, "--results", results),
        *("--models", "qwen3-tiny", "llama-tiny", "--modes", "vanilla", "--seeds", 0),
        *("--labels", '{"llama-tiny": "Llama & Co"}', "--out", results / "out"),
    ]


@pytest.mark.parametrize(
    "table",
    ["table4_drop_distribution", "table5_content", "table6_example", "table15_span_statistics"],
)
def test_tables_of_credit(measured, stage, table):
    settings = ["--task", "gsm8k"]
    done = stage(*flags("make_table", "table", table, measured), *settings)
    assert done.returncode == 0, done.stderr
    data = pd.read_csv(measured / "out" / f"{table}.csv")
    assert set(data["label"]) == {"qwen3-tiny", "Llama & Co"}
    assert "GSM8K" in (measured / "out" / f"{table}.md").read_text().splitlines()[0]
    assert r"Llama \& Co" in (measured / "out" / f"{table}.tex").read_text()


def test_a_figure_of_credit(measured, stage):
    done = stage(*flags("plot_figure", "figure", "figure7_weights", measured))
    assert done.returncode == 0, done.stderr
    assert (measured / "out" / "figure7_weights.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_that_was_not_measured_is_named(measured, stage):
    (measured / "credit" / "llama-tiny.completions.jsonl").unlink()
    done = stage(*flags("make_table", "table", "table5_content", measured))
    assert done.returncode == 2 and "llama-tiny.completions.jsonl" in done.stderr
