"""Is CF > Vanilla >= Random > Inverted? Every pair tested, and the whole ordering resampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cfdapo.analysis.outcomes.significance import paired_t_test
from cfdapo.analysis.records.curves import final_accuracy
from cfdapo.analysis.statistics.estimates import RUN_RESAMPLES, holm
from cfdapo.analysis.statistics.paired import GENERATOR_SEED, SAME
from cfdapo.vocabulary import PAPER_MODES

# The paper's ordering, best first; of two neighbours the first is at least as good, or better.
ORDERING = tuple(PAPER_MODES)
AT_LEAST = {("vanilla", "random")}


@dataclass(frozen=True)
class Pair:
    """Two weightings of an ordering: the first should do better.

    `difference` (points) is first minus second over seeds; `p` its two-sided paired t-test,
    `p_holm` adjusted within the ordering's pairs; `holds` the share of resamples in which the first
    is above. Undefined is None with a `reason`.
    """

    first: str
    second: str
    difference: float
    p: float | None
    p_holm: float | None
    holds: float | None
    reason: str


@dataclass(frozen=True)
class Ordering:
    """One model and kind of weights: modes by weighting, their means (%), pairs, and the whole.

    `seeds` counts those that all of the modes have; some of them lack the seeds `left_out`."""

    model: str
    weights: str
    modes: dict[str, str]
    means: dict[str, float]
    seeds: int
    pairs: list[Pair]
    as_measured: bool
    holds: float | None
    reason: str
    left_out: Sequence[int] = ()


def find_orderings(curves: pd.DataFrame, groups: Mapping[str, Mapping[str, str]]) -> list[Ordering]:
    """Every model's ordering at the last step, for every kind of weights that the study has.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        groups: kind of weights -> weighting -> mode of the study (`cfdapo.study.weight_groups`).

    Returns:
        An ordering a model and group, over the weightings that have runs on common seeds; none of
        fewer than two.
    """
    last = final_accuracy(curves)
    found = []
    for model in dict.fromkeys(curves["model"]):
        wide = last[last["model"] == model].pivot(index="seed", columns="mode", values="value")
        for weights, group in groups.items():
            modes = {w: group[w] for w in ORDERING if group.get(w) in wide.columns}
            if len(modes) < 2:
                continue
            own = wide[list(modes.values())].dropna(how="all")
            values = own.dropna()
            if len(values):
                lost = sorted(set(own.index) - set(values.index))
                ordering = _ordering(model, weights, modes, values.to_numpy())
                found.append(replace(ordering, left_out=[int(seed) for seed in lost]))
    return found


def _ordering(model: str, weights: str, modes: dict[str, str], values: NDArray) -> Ordering:
    """`values` (%), shape (seeds, modes), in the ordering's order."""
    names = list(modes)
    means = values.mean(axis=0)
    generator = np.random.default_rng(GENERATOR_SEED)
    seeds = len(values)
    # Whole seeds are drawn, so that runs of a seed stay together.
    resampled = values[generator.integers(seeds, size=(RUN_RESAMPLES, seeds))].mean(axis=1)
    reason = "one seed: nothing to draw from" if seeds < 2 else ""
    neighbours = list(zip(names, names[1:], strict=False))
    whole = _holds(resampled, names, neighbours)
    return Ordering(
        model=model,
        weights=weights,
        modes=modes,
        means=dict(zip(names, means.tolist(), strict=True)),
        seeds=seeds,
        pairs=_pairs(values, names, None if reason else resampled),
        as_measured=bool(_holds(means[None], names, neighbours)[0]),
        holds=None if reason else float(whole.mean()),
        reason=reason,
    )


def _pairs(values: NDArray, names: list[str], resampled: NDArray | None) -> list[Pair]:
    pairs = []
    for first, second in combinations(names, 2):
        a, b = values[:, names.index(first)], values[:, names.index(second)]
        _, p, reason = paired_t_test(a, b)
        holds = None
        if resampled is not None:
            holds = float(_holds(resampled, names, [(first, second)]).mean())
        pairs.append(Pair(first, second, float((a - b).mean()), p, None, holds, reason))
    adjusted = holm([pair.p for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]


def _holds(means: NDArray, names: list[str], claims: list[tuple[str, str]]) -> NDArray:
    """Whether every claim is true of each row of means; shape (rows,)."""
    true = np.ones(len(means), dtype=bool)
    for first, second in claims:
        ahead = means[:, names.index(first)] - means[:, names.index(second)]
        true &= ahead > (-SAME if (first, second) in AT_LEAST else SAME)
    return true
