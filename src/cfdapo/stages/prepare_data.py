"""Prepare the study's problems: make, read or download them, check them, write them down."""

import argparse
from pathlib import Path

from cfdapo.checksums import finish
from cfdapo.files import UserError, as_json, as_jsonl
from cfdapo.problems.task import get_task
from cfdapo.provenance import MANIFEST, environment
from cfdapo.settings import DataSettings, from_flag, plain
from cfdapo.stages import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=from_flag(DataSettings), required=True, help="the study's data settings"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for train.jsonl and others")
    arguments = parser.parse_args()
    data: DataSettings = arguments.data
    task = get_task(data.task)
    splits = {split: task.load(split, data) for split in ("train", "test")}
    shared = {row["question"] for row in splits["train"]} & {
        row["question"] for row in splits["test"]
    }
    if shared:
        raise UserError(f"data: {len(shared)} questions are both in train and in test")
    manifest = {
        "settings": plain(data),
        "template": task.template,
        **(task.describe(data) if task.describe else {}),
        "rows": {split: len(rows) for split, rows in splits.items()},
        "sha256": {
            split: finish(arguments.out / f"{split}.jsonl", as_jsonl(rows))
            for split, rows in splits.items()
        },
        **environment(("datasets",)),
    }
    finish(arguments.out / MANIFEST, as_json(manifest))
    print(f"{task.name}: " + ", ".join(f"{len(rows)} {split}" for split, rows in splits.items()))


if __name__ == "__main__":
    run(main)
