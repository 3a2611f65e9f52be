"""The records of measured credit: what is written is what is read, and a faulty row is named."""

import json

import pytest

from cfdapo.analysis.records.measured_credit import (
    COMPLETION_COLUMNS,
    SPAN_COLUMNS,
    read_completions,
    read_spans,
)
from cfdapo.files import UserError, read_jsonl, write_jsonl


def test_records_are_read_as_they_were_written(credit_folder):
    rows = read_jsonl(credit_folder / "qwen3-tiny.jsonl")
    spans = read_spans(credit_folder / "qwen3-tiny.jsonl")
    assert list(spans.columns) == list(SPAN_COLUMNS) and len(spans) == len(rows) > 50
    assert spans["drop"].tolist() == [row["drop"] for row in rows]
    completions = read_completions(credit_folder / "qwen3-tiny.completions.jsonl")
    assert set(spans["completion"]) <= {row["completion"] for row in completions}
    assert set(completions[0]) == set(COMPLETION_COLUMNS)


def test_unknown_labels_and_dependants_are_missing_values(credit_folder, tmp_path):
    row = read_jsonl(credit_folder / "qwen3-tiny.jsonl")[0]
    write_jsonl(tmp_path / "m.jsonl", [row, row | {"label": None, "dependants": None}])
    spans = read_spans(tmp_path / "m.jsonl")
    assert spans["label"].isna().tolist() == spans["dependants"].isna().tolist() == [False, True]
    assert spans["dependants"].dtype == "Int64"


def test_no_spans_are_an_empty_table(tmp_path):
    write_jsonl(tmp_path / "m.jsonl", [])
    assert list(read_spans(tmp_path / "m.jsonl").columns) == list(SPAN_COLUMNS)


@pytest.mark.parametrize("change", ["drop", "extra"])
def test_a_row_with_other_columns_is_named(credit_folder, tmp_path, change):
    row = read_jsonl(credit_folder / "qwen3-tiny.jsonl")[0]
    row = {k: v for k, v in row.items() if k != change} | (
        {"extra": 1} if change == "extra" else {}
    )
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=f"line 1 lacks or should not have {change}"):
        read_spans(tmp_path / "m.jsonl")
