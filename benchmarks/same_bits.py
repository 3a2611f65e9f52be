"""Whether two results folders hold the same to the bit: adapters, histories, answers, tables.

    python benchmarks/same_bits.py results/tiny other/results/tiny [--same-records]

Two runs of one study took different times, so what wall time decides is left out: seconds in the
histories, and in the tables what is computed from them. Rows of two versions of the code may have
fields that the other has not; these are named and not compared. With `--same-records`, for tables
made twice from the same records, nothing is left out, and the tables' texts are compared too. Every
difference is printed; the exit code is 1 if there is one, or if there was nothing to compare.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from cfdapo.files import sha256_of

# File patterns by what they hold, and how the content that counts is read.
Reader = Callable[[Path], Any]
MOST_SHOWN = 5
# Of Table 8 the one quantity, of the others the columns, that do not depend on wall time.
UNTIMED_COST = "spans_per_completion"
TIMED_COLUMNS = {
    "table11_estimator_cost": [
        *("seconds", "speed_up", "share_of_vanilla_step", "peak_memory_accelerator"),
    ],
    "table13_sample_efficiency": ["minutes"],
    "table18_tournament": ["reached_minutes", "seconds", "credit_seconds"],
}
# What Table 10 quotes from Table 8.
TIMED_SOURCES = ("table8_overhead", "appendixA")


class Rows(list[dict[str, Any]]):
    """The rows of a JSON lines file, of which seconds and fields of one side do not count."""

    @property
    def fields(self) -> set[str]:
        return {key for row in self for key in row if not key.startswith("seconds")}

    def of(self, fields: set[str]) -> list[str]:
        return [json.dumps({key: row[key] for key in sorted(fields & row.keys())}) for row in self]


def rows(path: Path) -> Rows:
    return Rows(map(json.loads, path.read_text(encoding="utf-8").splitlines()))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def trained_adapters(path: Path) -> dict[str, Any]:
    """The hashes of a run's adapters, which stay where the adapters were left out."""
    return json.loads(path.read_text(encoding="utf-8")).get("adapters", {})


def untimed_table(path: Path) -> list[str]:
    """The lines of a table's CSV without what depends on wall time; no digit is read or changed."""
    if path.stem not in ("table8_overhead", "table10_reported_vs_reproduced", *TIMED_COLUMNS):
        return lines(path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if path.stem == "table8_overhead":
        table = table[table["quantity"] == UNTIMED_COST]
    elif path.stem in TIMED_COLUMNS:
        table = table.drop(columns=TIMED_COLUMNS[path.stem])
    else:
        table = table[~table["table"].isin(TIMED_SOURCES)]
    stream = io.StringIO()
    table.to_csv(stream, index=False)
    return stream.getvalue().splitlines()


def kinds(same_records: bool) -> dict[str, tuple[str, Reader]]:
    """What is compared: name -> pattern and reader."""
    table = lines if same_records else untimed_table
    row_reader: Reader = lines if same_records else rows
    found: dict[str, tuple[str, Reader]] = {
        "adapters": ("runs/*/*/seed*/adapters/step*/adapter_*", sha256_of),
        "adapters' hashes": ("runs/*/*/seed*/run.json", trained_adapters),
        "histories": (
            "runs/*/*/seed*/history.jsonl",
            row_reader,
        ),
        "evaluations": ("runs/*/*/seed*/evaluation.jsonl", row_reader),
        "measured credit": ("credit/*.jsonl", row_reader),
        "statistics": ("statistics/*.csv", lines),
        "tables' numbers": ("tables/*.csv", table),
    }
    if same_records:
        found["tables' texts"] = ("tables/*.[mt][de]*", lines)
        found["credit maps"] = ("figures/*.html", lines)
    return found


def compare(first: Path, second: Path, pattern: str, read: Reader) -> tuple[int, list[str]]:
    """How many files both folders have, and a line for every one that differs or is absent.

    Indented lines say more of the one above, or what was not compared.
    """
    files = [
        {path.relative_to(folder) for path in folder.glob(pattern)} for folder in (first, second)
    ]
    differences = [f"{name}: only in {first}" for name in sorted(files[0] - files[1])]
    differences += [f"{name}: only in {second}" for name in sorted(files[1] - files[0])]
    both, alone = sorted(files[0] & files[1]), set()
    for name in both:
        one, other = read(first / name), read(second / name)
        if isinstance(one, Rows):
            shared, alone = one.fields & other.fields, alone | (one.fields ^ other.fields)
            one, other = one.of(shared), other.of(shared)
        if one != other:
            differences.append(f"{name}: differs")
            differences += [f"    {line}" for line in _shown(one, other)]
    if alone:
        differences.insert(0, f"    not compared, in one folder only: {', '.join(sorted(alone))}")
    return len(both), differences


def _shown(one: Any, other: Any) -> Iterator[str]:
    """The first lines that differ, of files of lines."""
    if not isinstance(one, list):
        yield from (f"- {one}", f"+ {other}")
        return
    if len(one) != len(other):
        yield f"{len(one)} lines against {len(other)}"
    odd = [(n, a, b) for n, (a, b) in enumerate(zip(one, other, strict=False), 1) if a != b]
    for number, a, b in odd[:MOST_SHOWN]:
        yield from (f"line {number}", f"- {a[:300]}", f"+ {b[:300]}")
    if len(odd) > MOST_SHOWN:
        yield f"and {len(odd) - MOST_SHOWN} lines more"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path, help="a study's results folder")
    parser.add_argument("second", type=Path, help="another one")
    parser.add_argument(
        "--same-records", action="store_true", help="leave nothing out; compare texts as well"
    )
    given = parser.parse_args()
    compared, found = 0, 0
    for name, (pattern, read) in kinds(given.same_records).items():
        count, differences = compare(given.first, given.second, pattern, read)
        faults = sum(not line.startswith(" ") for line in differences)
        print(f"{name}: {count} files in both, {faults} differ or are absent")
        print("".join(f"  {line}\n" for line in differences), end="")
        compared, found = compared + count, found + faults
    if not compared:
        sys.exit("nothing to compare: neither folder is a study's results, or they share no file")
    print("different" if found else "the same to the bit")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
