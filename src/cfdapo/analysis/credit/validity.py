"""Is the credit right? How well importance finds the spans that are known to be causal (Table 9).

A completion's spans are ranked by importance (-drop) for each intervention and sink, and by
baselines that measure nothing; the ranks are held against the spans' labels. Intervals resample
problems, because completions of one problem are not independent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cfdapo.analysis.records.samples import Sample
from cfdapo.analysis.statistics.estimates import RANKING_RESAMPLES
from cfdapo.analysis.statistics.ranking import (
    Bools,
    Floats,
    Integers,
    average_precision,
    estimate,
    mean_of,
    pairs_within,
    pooled_auroc,
    resample,
)
from cfdapo.vocabulary import COMBINATIONS, PAPERS_COMBINATION

# The study's own drop, where it is none of the combinations (estimated, or of a proxy).
OWN = "study's own"
# What needs no intervention. "later" and "earlier" rank by position, "entropy" and "low entropy" by
# the mean entropy of the policy at the span, "arithmetic" puts calculations in front of sentences.
BASELINES = ("length", "later", "earlier", "entropy", "low entropy", "random", "arithmetic")
# Baselines that are amounts, so that the last line can have a share of them.
AMOUNTS = ("length", "entropy", "random")
# Which spans are ranked: all, none of the last line's, calculations only.
SCOPES = ("all", "without last line", "calculations")
# Two drops are the same measurement up to float32: sums of some hundred logarithms.
SAME = {"rtol": 1e-3, "atol": 1e-3}

VALIDITY_COLUMNS = [
    *("model", "source", "score", "role", "paper", "scope", "metric", "baseline"),
    *("value", "low", "high", "spans", "completions", "problems"),
]
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Ranked:
    """The spans of one model and source, n of them in m completions.

    `unit` is the number of a span's completion, (n,), and `cluster` that of a completion's problem,
    (m,), out of `clusters`.
    """

    frame: pd.DataFrame
    unit: Integers
    cluster: Integers
    clusters: int

    @classmethod
    def of(cls, sample: Sample) -> "Ranked":
        """The spans of a sample, which has at least one."""
        frame = sample.spans.reset_index(drop=True)
        unit, _ = pd.factorize(frame["completion"])
        cluster, names = pd.factorize(frame.drop_duplicates("completion")["problem"])
        return cls(frame, unit.astype(np.int64), cluster.astype(np.int64), len(names))

    @property
    def known(self) -> Bools:
        """Whether a span's label is known."""
        return self.frame["label"].notna().to_numpy(bool)

    @property
    def causal(self) -> Bools:
        return (self.frame["label"] == "causal").to_numpy(bool)

    @property
    def calculation(self) -> Bools:
        """Whether a span is an arithmetic expression or a calculation, not a sentence."""
        return (self.frame["kind"] != "sentence").to_numpy(bool)

    @property
    def last_line(self) -> Bools:
        return self.frame["last_line"].to_numpy(bool)

    def counts(self, inside: Bools) -> Counts:
        """Spans `inside`, and the completions and problems that they are of."""
        units = np.unique(self.unit[inside])
        problems = len(np.unique(self.cluster[units]))
        return {"spans": int(inside.sum()), "completions": len(units), "problems": problems}

    def mean(self, by_unit: Floats, inside: Bools, weights: Integers) -> tuple[Floats, Counts]:
        """Mean over completions under weights, shape (R,); counts where a completion has a value.

        `by_unit` has a value a completion, (m,), nan where it is undefined.
        """
        defined = inside & ~np.isnan(by_unit)[self.unit]
        return mean_of(by_unit, self.cluster, weights), self.counts(defined)


def measure_validity(samples: Sequence[Sample], resamples: int = RANKING_RESAMPLES) -> pd.DataFrame:
    """`VALIDITY_COLUMNS`, a row a (model, source, score, scope, metric).

    Metrics, in [0, 1] but for tau and difference, in [-1, 1]; all but last_line_share are of the
    spans whose label is known:
        within_auroc: mean over completions of a completion's AUROC (ties 1/2).
        auroc, average_precision: over all spans of the scope.
        tau: mean over completions of Kendall's tau between the score and `dependants` among causal
            spans. Pairs of equal dependants are left out, tied scores count 0 (Somers' D).
        last_line_share: mean over completions of the last line's share of all positive importance.
            Negative importance counts as none.
        difference: within_auroc less that of `baseline`, the best one on the data, paired; of drops
            only.

    `spans`, `completions` and `problems` count what entered the metric; `value` is nan where it
    is undefined, the bounds also with one problem only. Samples without spans are absent.
    """
    rows = []
    for sample in samples:
        if len(sample.spans):
            key = {"model": sample.model, "source": sample.source}
            rows += [key | row for row in _rows(Ranked.of(sample), resamples)]
    numbers = dict.fromkeys(("value", "low", "high"), float)
    return pd.DataFrame(rows, columns=VALIDITY_COLUMNS).astype(numbers)


def scores_of(spans: Ranked) -> dict[str, Floats]:
    """Score -> its value for each span, nan where it was not measured: drops, then baselines."""
    frame = spans.frame
    drops = {
        name: np.array([drops.get(name, np.nan) for drops in frame["drops"]], dtype=np.float64)
        for name in COMBINATIONS
    }
    scores = {name: -values for name, values in drops.items() if not np.isnan(values).all()}
    own = frame["importance"].to_numpy(np.float64)
    # Combinations are measured only where labels are known.
    if not any(_same(own[~np.isnan(v)], v[~np.isnan(v)]) for v in scores.values()):
        scores[OWN] = own
    position, entropy = (frame[name].to_numpy(np.float64) for name in ("position", "entropy"))
    return scores | {
        "length": (frame["token_end"] - frame["token_start"]).to_numpy(np.float64),
        "later": position,
        "earlier": -position,
        "entropy": entropy,
        "low entropy": -entropy,
        "random": np.random.default_rng(0).random(len(frame)),
        "arithmetic": spans.calculation.astype(np.float64),
    }


def same_scores(spans: Ranked) -> list[tuple[str, ...]]:
    """Groups of drops that agree in every span, so that they are one measurement."""
    groups: list[list[str]] = []
    scores = {name: v for name, v in scores_of(spans).items() if name not in BASELINES}
    for name, values in scores.items():
        match = next((g for g in groups if _same(scores[g[0]], values)), None)
        if match is None:
            groups.append([name])
        else:
            match.append(name)
    return [tuple(group) for group in groups if len(group) > 1]


def _same(one: Floats, other: Floats) -> bool:
    """Whether two drops are one measurement, and measured at the same spans."""
    return np.allclose(one, other, equal_nan=True, **SAME)


def _rows(spans: Ranked, resamples: int) -> list[dict[str, Any]]:
    weights = resample(spans.clusters, resamples)
    scopes = {
        "all": spans.known,
        "without last line": spans.known & ~spans.last_line,
        "calculations": spans.known & spans.calculation,
    }
    scores, rows, within = scores_of(spans), [], {}
    for name, values in scores.items():
        measured = ~np.isnan(values)
        for scope, inside in scopes.items():
            found = _ranking(spans, values, scope, inside & measured, weights)
            within[name, scope] = found["within_auroc"]
            rows += [_row(name, scope, metric, *result) for metric, result in found.items()]
        more = {"tau": _tau(spans, values, measured, weights)}
        if name not in BASELINES or name in AMOUNTS:
            more["last_line_share"] = _last_line_share(spans, values, measured, weights)
        rows += [_row(name, "all", metric, *result) for metric, result in more.items()]
    return rows + _differences(within, [name for name in scores if name not in BASELINES])


def _row(
    score: str, scope: str, metric: str, samples: Floats, counts: Counts, baseline: str = ""
) -> dict[str, Any]:
    found = estimate(samples)
    return {
        "score": score,
        "role": "baseline" if score in BASELINES else "drop",
        "paper": score == PAPERS_COMBINATION,
        "scope": scope,
        "metric": metric,
        "baseline": baseline,
        **{"value": found.value, "low": found.low, "high": found.high},
        **counts,
    }


def _ranking(
    spans: Ranked, values: Floats, scope: str, inside: Bools, weights: Integers
) -> dict[str, tuple[Floats, Counts]]:
    """The metrics of one scope: samples under the weights, and what entered."""
    causal, unit = spans.causal[inside], spans.unit[inside]
    ranked = (values[inside], causal, spans.cluster[unit], weights)
    pairs = pairs_within(causal.astype(np.float64), unit, len(spans.cluster))
    counts = spans.counts(inside)
    found = {
        "within_auroc": spans.mean(pairs.auroc(values[inside]), inside, weights),
        "auroc": (pooled_auroc(*ranked), counts),
    }
    # Where every span is causal, precision says nothing about the score.
    if scope == "all" and not causal.all():
        found["average_precision"] = (average_precision(*ranked), counts)
    return found


def _tau(
    spans: Ranked, values: Floats, measured: Bools, weights: Integers
) -> tuple[Floats, Counts]:
    later = spans.frame["dependants"].to_numpy(np.float64, na_value=np.nan)
    inside = spans.causal & measured & ~np.isnan(later)
    pairs = pairs_within(later[inside], spans.unit[inside], len(spans.cluster))
    return spans.mean(2 * pairs.auroc(values[inside]) - 1, inside, weights)


def _last_line_share(
    spans: Ranked, values: Floats, measured: Bools, weights: Integers
) -> tuple[Floats, Counts]:
    gain = np.maximum(np.where(measured, values, 0), 0)
    count = len(spans.cluster)
    total = np.bincount(spans.unit, weights=gain, minlength=count)
    of_last = np.bincount(spans.unit, weights=gain * spans.last_line, minlength=count)
    shares = np.divide(of_last, total, out=np.full(count, np.nan), where=total > 0)
    return spans.mean(shares, measured, weights)


def _differences(
    within: Mapping[tuple[str, str], tuple[Floats, Counts]], drops: Sequence[str]
) -> list[dict[str, Any]]:
    """Every drop against the baseline that is best on the data, resampled together."""
    rows = []
    for scope in SCOPES:
        points = {name: within[name, scope][0][0] for name in BASELINES}
        if np.isnan(list(points.values())).all():
            continue
        best = max(points, key=lambda name: np.nan_to_num(points[name], nan=-1.0))
        for name in drops:
            samples, counts = within[name, scope]
            difference = samples - within[best, scope][0]
            rows.append(_row(name, scope, "difference", difference, counts, best))
    return rows
