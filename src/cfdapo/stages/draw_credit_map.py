"""Draw the credit map of one model: a self-contained HTML page of its measured completions."""

import argparse
from pathlib import Path

from cfdapo.analysis.credit_map.page import MapSettings, credit_map
from cfdapo.analysis.records.measured_credit import read_credit
from cfdapo.files import atomic_write
from cfdapo.settings import from_flag
from cfdapo.stages import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=Path, required=True, help="credit/{model}.jsonl")
    parser.add_argument(
        "--completions", type=Path, required=True, help="credit/{model}.completions.jsonl"
    )
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--label", required=True, help="display name of the model")
    parser.add_argument(
        "--credit",
        type=from_flag(MapSettings),
        required=True,
        help="settings of the measured credit that the page names",
    )
    parser.add_argument("--task", help="the study's task")
    parser.add_argument("--out", type=Path, required=True, help="the HTML file")
    given = parser.parse_args()
    spans, completions = read_credit(given.spans, given.completions)
    page = credit_map(spans, completions, given.study, given.label, given.credit, given.task)
    atomic_write(given.out, page)


if __name__ == "__main__":
    run(main)
