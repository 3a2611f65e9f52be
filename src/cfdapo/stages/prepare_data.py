"""Prepare the study's problems: make, read or download them, check them, write them down."""

import argparse
import json
from pathlib import Path

from cfdapo.files import UserError, sha256_of, write_json, write_jsonl
from cfdapo.problems.task import get_task
from cfdapo.provenance import environment
from cfdapo.stages import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=json.loads, required=True, help="the study's data settings")
    parser.add_argument("--out", type=Path, required=True, help="folder for train.jsonl and others")
    arguments = parser.parse_args()
    task = get_task(arguments.data["task"])
    splits = {split: task.load(split, arguments.data) for split in ("train", "test")}
    shared = {row["question"] for row in splits["train"]} & {
        row["question"] for row in splits["test"]
    }
    if shared:
        raise UserError(f"data: {len(shared)} questions are both in train and in test")
    for split, rows in splits.items():
        write_jsonl(arguments.out / f"{split}.jsonl", rows)
    write_json(
        arguments.out / "manifest.json",
        {
            "settings": arguments.data,
            "template": task.template,
            "rows": {split: len(rows) for split, rows in splits.items()},
            "sha256": {split: sha256_of(arguments.out / f"{split}.jsonl") for split in splits},
            **environment(("datasets",)),
        },
    )
    print(f"{task.name}: " + ", ".join(f"{len(rows)} {split}" for split, rows in splits.items()))


if __name__ == "__main__":
    run(main)
