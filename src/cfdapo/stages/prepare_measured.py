"""Prepare the problems that credit is measured on: the first of the test split, with solutions."""

import argparse
from dataclasses import replace
from pathlib import Path

from cfdapo.checksums import finish
from cfdapo.files import UserError, as_jsonl
from cfdapo.problems.task import get_task
from cfdapo.settings import DataSettings, from_flag
from cfdapo.stages import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=from_flag(DataSettings), required=True, help="the study's data settings"
    )
    parser.add_argument("--problems", type=int, required=True, help="how many")
    parser.add_argument("--out", type=Path, required=True, help="measured.jsonl")
    arguments = parser.parse_args()
    # Their number is the measurement's own: evaluation may read fewer, or more.
    data: DataSettings = replace(arguments.data, test_problems=arguments.problems)
    rows = get_task(data.task).load("test", data)
    if len(rows) < arguments.problems:
        raise UserError(
            f"measurement: asks for {arguments.problems} problems, the test split has {len(rows)}"
        )
    finish(arguments.out, as_jsonl(rows))
    print(f"{data.task}: {len(rows)} problems")


if __name__ == "__main__":
    run(main)
