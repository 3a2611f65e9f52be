"""Paired tests across seeds: one mode of a study against another (Table 3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from cfdapo.analysis.records.curves import areas, final_accuracy
from cfdapo.analysis.statistics.estimates import holm
from cfdapo.analysis.statistics.paired import (
    bootstrap_interval,
    cohens_d,
    hedges_factor,
    iqm_of_strata,
    stratified_t_test,
    undefined,
)
from cfdapo.vocabulary import CONTROL, PAPER_MODES, TREATMENT, named_modes

# The comparison that the paper tests; all others are explored.
PRIMARY = (TREATMENT, CONTROL)
METRICS = ("accuracy", "auc")
# What stands in `model` of a comparison over all models.
ALL_MODELS = "*"


@dataclass(frozen=True)
class Comparison:
    """Treatment minus baseline, two modes, for one model (or `ALL_MODELS`) and metric.

    `difference` is in percentage points; `p` (two-sided) and `statistic` belong to the paired
    t-test over `seeds` pairs, `p_holm` is Holm-adjusted within `family`. `d_z` is Cohen's, `g_z`
    Hedges' corrected effect size; `low` to `high` is the 95 % bootstrap interval of the
    difference, `iqm` the interquartile mean of the pairs' differences with its interval. What is
    undefined is None; `reason` then says why, and it also names seeds that were left out.
    """

    model: str
    treatment: str
    baseline: str
    metric: str
    difference: float | None
    p: float | None
    statistic: float | None
    seeds: int
    reason: str
    family: str = ""
    p_holm: float | None = None
    d_z: float | None = None
    g_z: float | None = None
    low: float | None = None
    high: float | None = None
    iqm: float | None = None
    iqm_low: float | None = None
    iqm_high: float | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """The treatment and the baseline."""
        return self.treatment, self.baseline


def compare(curves: pd.DataFrame) -> list[Comparison]:
    """Compare modes as `pairs_of` has them, pairing runs by seed.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.

    Returns:
        For each model and pair of modes a row for `accuracy` (last step, %) and one for `auc` (%);
        then, of a study of several models, the same for `ALL_MODELS`: the mean over models, with
        runs drawn within each model and a t-test by strata. Holm's families are the models'
        tests of the primary comparison, and those of all others.
    """
    values, reasons = metric_values(curves)
    found, over_models = [], []
    models = list(dict.fromkeys(curves["model"]))
    for model in models:
        present = curves.loc[curves["model"] == model, "mode"]
        for pair in pairs_of(present):
            for metric, table in values.items():
                pairs = Pairs.of(table, model, pair, reasons[metric])
                found.append(_compare(pairs, model, pair, metric))
    if len(models) > 1:
        for pair in pairs_of(curves["mode"]):
            for metric, table in values.items():
                strata = [Pairs.of(table, model, pair, reasons[metric]) for model in models]
                over_models.append(_aggregate(strata, models, pair, metric))
    return [*_with_holm(found), *over_models]


def metric_values(curves: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Metric -> `model`, `mode`, `seed`, `value` (%), and metric -> why it has no values."""
    values, reasons = {"accuracy": final_accuracy(curves)}, {"accuracy": "", "auc": ""}
    try:
        values["auc"] = areas(curves)
    except ValueError as error:
        values["auc"], reasons["auc"] = values["accuracy"].iloc[:0], str(error)
    return values, reasons


def pairs_of(modes: Iterable[str]) -> list[tuple[str, str]]:
    """The (treatment, baseline) that are compared, of those modes that there are.

    Counterfactual against every other mode, then each of a study's variants against vanilla.
    """
    ordered = list(named_modes(modes))
    variants = [mode for mode in ordered if mode not in PAPER_MODES]
    pairs = [(TREATMENT, mode) for mode in ordered if mode != TREATMENT]
    return pairs + [(mode, CONTROL) for mode in variants if CONTROL in ordered]


@dataclass(frozen=True)
class Pairs:
    """Values of two modes by common seed, or why there are none."""

    first: list[float]
    second: list[float]
    note: str

    @classmethod
    def of(cls, values: pd.DataFrame, model: str, pair: tuple[str, str], reason: str) -> "Pairs":
        if reason:
            return cls([], [], reason)
        rows = values[values["model"] == model]
        treated, control = (
            rows[rows["mode"] == mode].set_index("seed")["value"].to_dict() for mode in pair
        )
        common = sorted(treated.keys() & control.keys())
        if not common:
            return cls([], [], f"no seed has {pair[0]} and {pair[1]} runs")
        note = left_out(treated.keys() ^ control.keys(), common)
        return cls([treated[s] for s in common], [control[s] for s in common], note)

    @property
    def differences(self) -> list[float]:
        return np.subtract(self.first, self.second).tolist()


def _compare(pairs: Pairs, model: str, pair: tuple[str, str], metric: str) -> Comparison:
    differences = pairs.differences
    comparison = Comparison(model, *pair, metric, None, None, None, len(differences), pairs.note)
    if not differences:
        return comparison
    statistic, p, reason = paired_t_test(pairs.first, pairs.second)
    comparison = replace(
        comparison,
        difference=float(np.mean(differences)),
        p=p,
        statistic=statistic,
        reason="; ".join(filter(None, [reason, pairs.note])),
    )
    if reason:
        return comparison
    effect = cohens_d(differences)
    corrected = hedges_factor(len(differences) - 1) * effect if len(differences) > 2 else None
    return _with_intervals(replace(comparison, d_z=effect, g_z=corrected), [differences])


def _aggregate(
    strata: Sequence[Pairs], models: Sequence[str], pair: tuple[str, str], metric: str
) -> Comparison:
    """Over the models that have both modes, each with the same weight."""
    usable = [pairs.differences for pairs in strata if pairs.first]
    without = [model for model, pairs in zip(models, strata, strict=True) if not pairs.first]
    missing = f"without {', '.join(without)}: {strata[0].note or 'a mode lacks'}" if without else ""
    partly = zip(models, strata, strict=True)
    notes = [f"{model}: {pairs.note}" for model, pairs in partly if pairs.first and pairs.note]
    missing = "; ".join(filter(None, [missing, *notes]))
    comparison = Comparison(
        ALL_MODELS, *pair, metric, None, None, None, sum(map(len, usable)), missing
    )
    if not usable:
        return comparison
    comparison = replace(
        comparison, difference=float(np.mean([np.mean(values) for values in usable]))
    )
    if any(len(values) < 2 for values in usable):
        return replace(comparison, reason="a model has one seed: no spread within it")
    if all(undefined(values) for values in usable):
        return replace(comparison, reason="no model's differences vary")
    statistic, p, _ = stratified_t_test(usable)
    return _with_intervals(replace(comparison, statistic=statistic, p=p), usable)


def _with_intervals(comparison: Comparison, strata: Sequence[Sequence[float]]) -> Comparison:
    low, high = bootstrap_interval(strata)
    iqm_low, iqm_high = bootstrap_interval(strata, iqm_of_strata)
    iqm = float(iqm_of_strata([np.asarray(values) for values in strata]))
    return replace(comparison, low=low, high=high, iqm=iqm, iqm_low=iqm_low, iqm_high=iqm_high)


def _with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """With the p-values adjusted, each family by itself; tests without p are none."""
    found = [replace(c, family="primary" if c.pair == PRIMARY else "others") for c in comparisons]
    for family in ("primary", "others"):
        members = [i for i, c in enumerate(found) if c.family == family]
        for index, p in zip(members, holm([found[i].p for i in members]), strict=True):
            found[index] = replace(found[index], p_holm=p)
    return found


def left_out(seeds: set[int], common: Sequence[int]) -> str:
    """What to say of `seeds` that one mode of a pair lacks, paired on the `common` ones."""
    if not seeds:
        return ""
    return (
        f"paired on seeds {', '.join(map(str, common))} only: "
        f"one mode lacks {', '.join(map(str, sorted(seeds)))}"
    )


def paired_t_test(
    first: Sequence[float] | NDArray[np.float64], second: Sequence[float] | NDArray[np.float64]
) -> tuple[float | None, float | None, str]:
    """Two-sided paired t-test; (statistic, p, reason), None and a reason where undefined.

    Args:
        first, second: paired values in %, shape (n,); n - 1 degrees of freedom.

    Raises:
        ValueError: the shapes differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    reason = undefined(np.subtract(first, second))
    if reason:
        return None, None, reason
    result = stats.ttest_rel(first, second)
    return float(result.statistic), float(result.pvalue), ""
