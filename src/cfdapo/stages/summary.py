"""Say in a few lines what a study found, and which of its files to open.

python -m cfdapo.stages.summary --results results/smoke
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from cfdapo.files import UserError
from cfdapo.stages import guarded
from cfdapo.vocabulary import PAPER_MODES

# As `statistics.estimates` has it, which needs scipy; the workflow's environment may have none.
_SIGNIFICANT = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    given = parser.parse_args()
    print("\n".join(to_open(given.results)))


def to_open(results: Path) -> list[str]:
    """Three lines: the table, the figure and the page that a newcomer opens first.

    Raises:
        UserError: there are no tables.
    """
    table = results / "tables" / "table1_accuracy.html"
    if not table.is_file():
        raise UserError(f"{results}: has no tables yet; make status says how far its runs are")
    maps = sorted(results.glob("figures/credit_map_*.html"))
    others = f"; {maps[0]} shows each token's credit" if maps else ""
    return [
        f"open {table}: accuracy by mode; every other table lies beside it",
        f"open {results}/figures/figure1_training_curves.png: accuracy over training{others}",
        f"make report STUDY={results.name}: all of it in {results}/report.zip, with captions",
    ]


def found(results: Path) -> list[str]:
    """What a study found, a sentence each, out of Tables 1 and 3; none where these are not made.

    Of one seed no winner is named: nothing says whether another would have the same. What was found
    on further test sets comes last.
    """
    sentences = _found_in(results)
    for table in sorted(results.glob("sets/*/tables/table1_accuracy.csv")):
        folder = table.parents[1]
        sentences += [f"On test set {folder.name}, {one}" for one in _found_in(folder)]
    return sentences


def _found_in(results: Path) -> list[str]:
    accuracy = _rows(results / "tables" / "table1_accuracy.csv")
    tests = _rows(results / "tables" / "table3_significance.csv")
    sentences = []
    for label in dict.fromkeys(row["label"] for row in accuracy):
        modes = [row for row in accuracy if row["label"] == label]
        sentences.append(_accuracies(label, modes))
        of_model = [row for row in tests if row["label"] == label and row["metric"] == "accuracy"]
        sentences += [_difference(row) for row in of_model if row["difference"]]
    return sentences


def _accuracies(label: str, modes: Sequence[dict[str, str]]) -> str:
    values = ", ".join(
        f"{PAPER_MODES.get(row['mode'], row['mode'])} {float(row['mean']):.1f} %" for row in modes
    )
    counts = sorted({int(row["seeds"]) for row in modes})
    seeds = " to ".join(map(str, [counts[0], *counts[1:][-1:]]))
    first = modes[0]
    return (
        f"{label} at step {first['step']}, mean of {seeds} seed{'s' if seeds != '1' else ''} on "
        f"{first['problems']} problems: {values}."
    )


def _difference(row: dict[str, str]) -> str:
    seeds, difference = int(row["seeds"]), float(row["difference"])
    # The minus of a number, and not the hyphen of a model's name.
    value = f"{difference:+.1f}".replace("-", "−")
    told = f"{row['label']}: CF less DAPO is {value} points"
    if seeds < 2:
        return f"{told} in one seed, which does not tell which of them is better."
    if not row["p"]:
        return f"{told} over {seeds} seeds; no test: {row['reason']}."
    p = float(row["p"])
    text = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    apart = "" if p < _SIGNIFICANT else ", so the two are not told apart"
    return f"{told} over {seeds} seeds (paired t-test, {text}{apart})."


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    guarded(main)
