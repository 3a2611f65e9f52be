"""Which credit is right? Rules' token advantages against what steps were truly worth (Table 17).

A step is a line of a sampled completion; its true advantage is the gain in the chance of a right
answer, by Monte-Carlo continuations, which leave noise. Intervals resample problems.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cfdapo.analysis.records.truth import Truth
from cfdapo.analysis.statistics.clustered import correlations
from cfdapo.analysis.statistics.estimates import LEVEL, RANKING_RESAMPLES
from cfdapo.analysis.statistics.ranking import (
    Bools,
    Floats,
    Integers,
    estimate,
    mean_of,
    pairs_within,
    resample,
    share_of,
)

# The rule that others' gradients are compared with, and the row of the truth itself.
UNIFORM, ITSELF = "vanilla", "truth"
# Fewer steps have no order worth a correlation.
LEAST_STEPS = 3

AGREEMENT_COLUMNS = [
    *("model", "rule", "metric", "value", "low", "high", "steps", "completions", "problems"),
]


@dataclass(frozen=True)
class Steps:
    """The n steps of one model, in m completions of problems numbered from 0 to `clusters` - 1.

    `truth` and `error`: true advantages and their standard errors, (n,). `halves`: the truth by
    either half of the continuations, (n, 2). `unit`: the number of a step's completion, (n,);
    `cluster` that of a completion's problem, (m,). `first_wrong`: 1 or 0, nan where nobody knows or
    the completion is right, (n,). `mean`, `mass`: by rule, (n,).
    """

    truth: Floats
    error: Floats
    halves: Floats
    unit: Integers
    cluster: Integers
    clusters: int
    first_wrong: Floats
    mean: Mapping[str, Floats]
    mass: Mapping[str, Floats]

    @classmethod
    def of(cls, truth: Truth) -> "Steps":
        frame = pd.DataFrame(list(truth.steps))
        groups = {row["problem"]: row["group"] for row in truth.rules}
        unit, _ = pd.factorize(frame["completion"])
        problems = frame.drop_duplicates("completion")["problem"]
        wrong = frame["first_wrong"].astype(float).where(~frame["correct"].astype(bool))
        return cls(
            truth=frame["advantage"].to_numpy(np.float64),
            error=frame["error"].to_numpy(np.float64),
            halves=np.array(frame["halves"].tolist(), dtype=np.float64),
            unit=unit.astype(np.int64),
            cluster=problems.map(groups).to_numpy(np.int64),
            clusters=len(groups),
            first_wrong=wrong.to_numpy(np.float64),
            mean=_by_rule(truth, "mean"),
            mass=_by_rule(truth, "mass"),
        )

    @property
    def problem(self) -> Integers:
        """The number of each step's problem, (n,)."""
        return self.cluster[self.unit]

    @property
    def idle(self) -> Bools:
        """Whether a step's true advantage is 0 within its error."""
        return np.abs(self.truth) <= stats.norm.ppf((1 + LEVEL) / 2) * self.error

    def counts(self, inside: Bools) -> dict[str, int]:
        """Steps `inside`, and the completions and problems that they are of."""
        units = np.unique(self.unit[inside])
        problems = len(np.unique(self.cluster[units]))
        return {"steps": int(inside.sum()), "completions": len(units), "problems": problems}


def _by_rule(truth: Truth, key: str) -> dict[str, Floats]:
    return {
        name: np.array([row["rules"][name][key] for row in truth.steps], dtype=np.float64)
        for name in truth.names
    }


def measure_agreement(
    measured: Mapping[str, Truth], resamples: int = RANKING_RESAMPLES
) -> pd.DataFrame:
    """`AGREEMENT_COLUMNS`, a row a (model, rule, metric); `value` is nan where it is undefined.

    Of steps, with the mean of a rule's token advantages on a step as its score:
        within_raw: Spearman's correlation of score and truth in a completion of `LEAST_STEPS` or
            more, mean over completions; a score that is the same on all steps ranks nothing, 0.
        pooled_raw: Spearman's correlation over all steps.
        within, pooled: the same over the square root of the truth's reliability, which its two
            halves have: what the correlation with a truth without noise would be, to first order.
        sign: share of the steps whose truth is not 0 within error where the signs agree; a score
            of 0 counts 1/2.
        idle_mass: share of a rule's sum of |A| on steps whose truth is 0 within error.
        first_wrong: in a wrong completion, the chance that its first wrong line has a lower score
            than another line, a tie being 1/2; mean over completions.
    Of the policy gradients of two groups a problem, against those of `UNIFORM`:
        noise: ratio of variances, every rule scaled to the same sum of |A| in all.
        noise_to_signal: ratio of variances over squared lengths of the mean gradients.
        ascent: ratio of what a step along the gradient gains in expected reward to first order, for
            steps of the same length: the mean product with the true gradient, which is another
            group's, over the root of the mean square. Of problems whose first group has a truth.
    Of a completion: passes, generations, seconds. The rule `ITSELF` has the truth's reliability,
    within_raw and pooled_raw, its own first_wrong, and in idle_mass the share of idle steps.
    """
    rows = []
    for model, truth in measured.items():
        rows += [{"model": model} | row for row in _rows(truth, resamples)]
    numbers = dict.fromkeys(("value", "low", "high"), float)
    return pd.DataFrame(rows, columns=AGREEMENT_COLUMNS).astype(numbers)


def _rows(truth: Truth, resamples: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    groups = len({row["group"] for row in truth.rules})
    weights = resample(groups, resamples)
    if truth.steps:
        rows += _of_steps(Steps.of(truth), truth.names, weights)
    return rows + _of_gradients(truth, groups, weights) + _of_costs(truth)


def _row(rule: str, metric: str, samples: Floats, counts: Mapping[str, int]) -> dict[str, Any]:
    # One problem alone cannot vary, and what is the same in all samples has no interval.
    known = samples[~np.isnan(samples)]
    varies = counts["problems"] > 1 and len(known) > 0 and known.max() > known.min()
    found = estimate(samples if varies else samples[:1])
    interval = {"value": found.value, "low": found.low, "high": found.high}
    return {"rule": rule, "metric": metric, **interval, **counts}


# Steps.


def _of_steps(steps: Steps, rules: list[str], weights: Integers) -> list[dict[str, Any]]:
    long = np.bincount(steps.unit)[steps.unit] >= LEAST_STEPS
    everywhere = np.ones_like(long)
    within, pooled = _reliability(steps, long, weights)
    rows = [
        _row(ITSELF, "within_raw", within, steps.counts(long)),
        _row(ITSELF, "pooled_raw", pooled, steps.counts(everywhere)),
        _row(
            ITSELF,
            "idle_mass",
            mean_of(steps.idle.astype(float), steps.problem, weights),
            steps.counts(everywhere),
        ),
        _first_wrong(steps, ITSELF, steps.truth, weights),
    ]
    for rule in rules:
        score = steps.mean[rule]
        raw = _mean_within(steps, score, steps.truth, long, weights)
        rows += [
            _row(rule, "within_raw", raw, steps.counts(long)),
            _row(rule, "within", _corrected(raw, within), steps.counts(long)),
        ]
        raw = _ranked(score, steps.truth, steps.problem, weights)
        rows += [
            _row(rule, "pooled_raw", raw, steps.counts(everywhere)),
            _row(rule, "pooled", _corrected(raw, pooled), steps.counts(everywhere)),
            _sign(steps, rule, weights),
            _idle_mass(steps, rule, weights),
            _first_wrong(steps, rule, score, weights),
        ]
    return rows


def _reliability(steps: Steps, long: Bools, weights: Integers) -> tuple[Floats, Floats]:
    """Of the truth within completions and pooled, by Spearman and Brown's formula, (R,) each."""
    one, other = steps.halves.T
    within = _mean_within(steps, one, other, long, weights)
    pooled = _ranked(one, other, steps.problem, weights)
    return _stepped_up(within), _stepped_up(pooled)


def _stepped_up(halves: Floats) -> Floats:
    """What twice as many continuations as either half make of the halves' correlation."""
    return np.where(halves > 0, 2 * halves / (1 + halves), np.nan)


def _corrected(raw: Floats, reliability: Floats) -> Floats:
    return raw / np.sqrt(reliability)


def _mean_within(
    steps: Steps, score: Floats, truth: Floats, inside: Bools, weights: Integers
) -> Floats:
    """Mean over completions of Spearman's correlation in one, under weights, (R,)."""
    found = np.full(len(steps.cluster), np.nan)
    for unit in np.unique(steps.unit[inside]):
        own = steps.unit == unit
        if np.ptp(truth[own]) > 0:
            varies = np.ptp(score[own]) > 0
            found[unit] = stats.spearmanr(score[own], truth[own])[0] if varies else 0.0
    return mean_of(found, steps.cluster, weights)


def _ranked(score: Floats, truth: Floats, clusters: Integers, weights: Integers) -> Floats:
    """Spearman's correlation, by the ranks in the whole sample, under weights, (R,)."""
    if np.ptp(truth) == 0 or np.ptp(score) == 0:
        return np.full(len(weights), np.nan)
    return correlations(stats.rankdata(score), stats.rankdata(truth), clusters, weights)


def _sign(steps: Steps, rule: str, weights: Integers) -> dict[str, Any]:
    inside = ~steps.idle
    agreement = (1 + np.sign(steps.mean[rule]) * np.sign(steps.truth)) / 2
    values = np.where(inside, agreement, np.nan)
    return _row(rule, "sign", mean_of(values, steps.problem, weights), steps.counts(inside))


def _idle_mass(steps: Steps, rule: str, weights: Integers) -> dict[str, Any]:
    mass = steps.mass[rule]
    samples = share_of(mass * steps.idle, mass, steps.problem, weights)
    return _row(rule, "idle_mass", samples, steps.counts(mass > 0))


def _first_wrong(steps: Steps, rule: str, score: Floats, weights: Integers) -> dict[str, Any]:
    inside = ~np.isnan(steps.first_wrong)
    pairs = pairs_within(steps.first_wrong[inside], steps.unit[inside], len(steps.cluster))
    by_unit = pairs.auroc(-score[inside])
    counts = steps.counts(~np.isnan(by_unit)[steps.unit])
    return _row(rule, "first_wrong", mean_of(by_unit, steps.cluster, weights), counts)


# Gradients and costs.


def _of_gradients(truth: Truth, groups: int, weights: Integers) -> list[dict[str, Any]]:
    """Totals over problems under weights; where nothing was learned there are none to compare."""

    def totals(rule: str, key: str) -> Floats:
        own = [row for row in truth.rules if row["rule"] == rule]
        values = np.zeros(groups)
        values[[row["group"] for row in own]] = [_known(row, key) for row in own]
        return weights @ values

    rows = []
    mass, variance, signal = (totals(UNIFORM, key) for key in ("mass", "variance", "signal"))
    uniform = _over(totals(UNIFORM, "ascent"), np.sqrt(totals(UNIFORM, "known_square")))
    taught = [row for row in truth.rules if row["rule"] == UNIFORM and row["variance"] > 0]
    counts = {
        "completions": sum(row["completions"] for row in taught),
        "problems": len(taught),
    }
    for rule in truth.names:
        own_mass, own_variance, own_signal = (
            totals(rule, key) for key in ("mass", "variance", "signal")
        )
        ascent = _over(totals(rule, "ascent"), np.sqrt(totals(rule, "known_square")))
        noise = _over(own_variance * mass**2, variance * own_mass**2)
        known = np.where((signal > 0) & (own_signal > 0), 1.0, np.nan)
        to_signal = known * _over(own_variance * signal, variance * own_signal)
        rows += [
            _row(rule, "noise", noise, counts),
            _row(rule, "noise_to_signal", to_signal, counts),
            _row(rule, "ascent", _over(ascent, np.where(uniform > 0, uniform, 0.0)), counts),
        ]
    return rows


def _known(row: Mapping[str, Any], key: str) -> float:
    """A number of a row; what is measured against the truth is 0 where there is none."""
    if key == "known_square":
        return 0.0 if row["ascent"] is None else row["square"]
    return row[key] or 0.0


def _over(numerator: Floats, denominator: Floats) -> Floats:
    undefined = np.full_like(numerator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator != 0)


def _of_costs(truth: Truth) -> list[dict[str, Any]]:
    rows = []
    for rule in truth.names:
        own = [row for row in truth.rules if row["rule"] == rule]
        completions = sum(row["completions"] for row in own)
        rows += [
            {"rule": rule, "metric": key, "value": sum(row[key] for row in own) / completions}
            for key in ("passes", "generations", "seconds")
        ]
    return rows
