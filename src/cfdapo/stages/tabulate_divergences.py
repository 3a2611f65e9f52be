"""Tabulate h, h' and D of every divergence that a study trains with: statistics/divergences.csv."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from cfdapo.analysis.records.divergences import GRID, REFERENCES, DivergencePoint
from cfdapo.analysis.records.typed_csv import write_rows
from cfdapo.policy.divergences import get_divergence, potential
from cfdapo.policy.evolution import found_map
from cfdapo.settings import DivergenceSettings, parse
from cfdapo.stages import run
from cfdapo.stages.flags import json_object


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", required=True, help="models, in the tables' order")
    parser.add_argument(
        "--divergences",
        type=json_object,
        required=True,
        help='each mode\'s, as {"mode": {"name": …}}',
    )
    parser.add_argument(
        "--mirrors", type=Path, nargs="+", help="what was evolved, a file a model, in that order"
    )
    parser.add_argument("--out", type=Path, required=True, help="divergences.csv")
    given = parser.parse_args()
    divergences = {
        mode: parse(DivergenceSettings, settings) for mode, settings in given.divergences.items()
    }
    found = map(found_map, given.mirrors) if given.mirrors else [None] * len(given.models)
    mirrors = dict(zip(given.models, found, strict=True))
    write_rows(given.out, DivergencePoint, tabulate(mirrors, divergences))


def tabulate(
    mirrors: Mapping[str, Sequence[float] | None], divergences: Mapping[str, DivergenceSettings]
) -> list[DivergencePoint]:
    """A row a model, mode and probability of `GRID`; modes without a penalty have none.

    `mirrors`: model -> the parameters of its neural mirror, where one was evolved.
    """
    return [
        point
        for model, mirror in mirrors.items()
        for mode, settings in divergences.items()
        for point in _points(model, mode, settings, mirror)
    ]


def _points(
    model: str, mode: str, settings: DivergenceSettings, mirror: Sequence[float] | None
) -> list[DivergencePoint]:
    divergence = get_divergence(settings, mirror)
    if divergence is None:
        return []
    p = torch.tensor(GRID, dtype=torch.float64)
    h, slope = potential(divergence, p)
    reached = [
        divergence(p.log(), torch.full_like(p, q).log()).tolist() for q in REFERENCES.values()
    ]
    return [
        DivergencePoint(model, mode, settings.name, settings.estimator, settings.coefficient, *row)
        for row in zip(GRID, h, slope, *reached, strict=True)
    ]


if __name__ == "__main__":
    run(main)
