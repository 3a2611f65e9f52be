"""Test counterfactual against every other mode, and variants against vanilla (Table 3)."""

import argparse
from pathlib import Path

from cfdapo.analysis.curves import read_curves
from cfdapo.analysis.significance import compare, write_comparisons
from cfdapo.stages import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=Path, required=True, help="curves.csv")
    parser.add_argument("--out", type=Path, required=True, help="significance.csv")
    given = parser.parse_args()
    write_comparisons(given.out, compare(read_curves(given.curves)))


if __name__ == "__main__":
    run(main)
