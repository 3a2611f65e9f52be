"""Load GSM8K (Cobbe et al., 2021) as problem rows, checked to be the real data set.

Its solutions carry calculator marks: "48/2 = <<48/2=24>>24" calls a calculator for "48/2".
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from cfdapo.files import UserError, read_jsonl
from cfdapo.problems.answers import normalise

HUB_DATASET = "openai/gsm8k"
HUB_CONFIG = "main"
HUB_REVISION = "e53f048856ff4f594e959d75785d2c2d37b678ee"
DATA_VARIABLE = "CFDAPO_DATA"


class Split(NamedTuple):
    """What a split of GSM8K must hold: its row count and the `content_hash` of its rows."""

    rows: int
    sha256: str


SPLITS = {
    "train": Split(7473, "937e90ecc5698135a95d098621de3388f3b63bec4dbd8fc1b349adf8612890aa"),
    "test": Split(1319, "5b736e25f3d1e6cdeef6b3d89e3dc71a7e3c20288f93f1bda635f6fbeb4f41b5"),
}

_MARK = re.compile(r"<<([^<>]*)=([^<>=]*)>>")


class CalculatorMark(NamedTuple):
    """One "<<expression=result>>" of a solution, both as written."""

    expression: str
    result: str


def load(
    split: str, path: str | Path | None = None, revision: str = HUB_REVISION
) -> list[dict[str, Any]]:
    """Load a split as rows {"id", "question", "answer", "solution"}, in the data set's order.

    The rows come from the folder `path`, else from the folder that the environment variable
    CFDAPO_DATA names, both holding gsm8k/{split}.jsonl or {split}.jsonl; else from the hub at
    `revision`. "answer" is the normalised gold answer; "solution" keeps its calculator marks and
    its last line "#### <answer>". Raises `UserError` for an unknown split, a missing folder or
    file, and content that is not GSM8K's.
    """
    if split not in SPLITS:
        raise UserError(f"split {split!r}: GSM8K has no such split; allowed: {', '.join(SPLITS)}")
    folder = path or os.environ.get(DATA_VARIABLE)
    if folder:
        file = _find_file(Path(folder), split, "the path given" if path else f"${DATA_VARIABLE}")
        source, records = str(file), read_jsonl(file)
    else:
        source = f"{HUB_DATASET} ({HUB_CONFIG}, revision {revision}, {split})"
        records = _download(split, revision)
    _check(records, split, source)
    return [_problem(record, split, number) for number, record in enumerate(records)]


def content_hash(records: list[dict[str, str]]) -> str:
    """Hash questions and answers alone (sha256): the same for the jsonl and the Parquet files."""
    digest = hashlib.sha256()
    for record in records:
        row = json.dumps([record["question"], record["answer"]], ensure_ascii=True)
        digest.update(f"{row}\n".encode("ascii"))
    return digest.hexdigest()


def gold_answer(solution: str) -> str:
    """Return what follows "####", normalised; raises `ValueError` without a "####"."""
    _, mark, answer = solution.rpartition("####")
    if not mark or not answer.strip():
        raise ValueError('a GSM8K solution ends in "#### <answer>"')
    return normalise(answer)


def strip_marks(text: str) -> str:
    """Remove the calculator marks: "= <<48/2=24>>24" becomes "= 24"."""
    return _MARK.sub("", text)


def calculator_marks(solution: str) -> list[list[CalculatorMark]]:
    """The marks of each line of a solution: a list a line, empty where a line has none."""
    return [
        [CalculatorMark(*mark.groups()) for mark in _MARK.finditer(line)]
        for line in solution.split("\n")
    ]


def _find_file(folder: Path, split: str, named_by: str) -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (named by {named_by})")
    candidates = [folder / "gsm8k" / f"{split}.jsonl", folder / f"{split}.jsonl"]
    for file in candidates:
        if file.is_file():
            return file
    raise UserError(
        f"{folder} (named by {named_by}): no GSM8K {split} split; "
        f"expected {candidates[0]} or {candidates[1]}"
    )


def _download(split: str, revision: str) -> list[dict[str, str]]:
    try:
        # Imported here: it takes seconds, and a study with local data does not need it.
        from datasets import load_dataset

        return load_dataset(HUB_DATASET, HUB_CONFIG, split=split, revision=revision).to_list()
    except (ImportError, OSError, ValueError) as error:
        raise UserError(
            f"{HUB_DATASET} (revision {revision}): cannot be loaded from the hub ({error}); "
            f"without network, name a folder with gsm8k/{split}.jsonl in the config or in "
            f"{DATA_VARIABLE}"
        ) from error


def _check(records: list[dict[str, Any]], split: str, source: str) -> None:
    expected = SPLITS[split]
    for number, record in enumerate(records, start=1):
        for key in ("question", "answer"):
            if not (isinstance(record, dict) and isinstance(record.get(key), str)):
                raise UserError(f"{source}, row {number}: no text under {key!r}")
    if len(records) != expected.rows:
        raise UserError(
            f"{source}: GSM8K's {split} split has {expected.rows:,} rows, found {len(records):,}"
        )
    found = content_hash(records)
    if found != expected.sha256:
        raise UserError(
            f"{source}: not GSM8K's {split} split; at least one byte has changed (sha256 of "
            f"questions and answers: expected {expected.sha256}, found {found})"
        )


def _problem(record: dict[str, str], split: str, number: int) -> dict[str, Any]:
    return {
        "id": f"gsm8k-{split}-{number}",
        "question": record["question"],
        "answer": gold_answer(record["answer"]),
        "solution": record["answer"],
    }
