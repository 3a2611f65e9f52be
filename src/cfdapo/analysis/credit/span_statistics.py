"""Position, length, correctness and distractors of spans (Section 4.3), from measured drops."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from cfdapo.analysis.credit.drop_distribution import NO_EFFECT
from cfdapo.analysis.statistics.clustered import correlation, mean_difference, share_ratio
from cfdapo.analysis.statistics.estimates import Estimate, holm

THIRDS = ("early", "middle", "late")
PAIRS = (("early", "middle"), ("middle", "late"), ("early", "late"))


@dataclass(frozen=True)
class Contrast:
    """A difference of two means (nats) with its p-values by three tests; None is undefined.

    `difference` has an interval between clusters (problems), and its p. `welch` and
    `mann_whitney` take spans for independent, as the paper seems to.
    """

    difference: Estimate
    welch: float | None
    mann_whitney: float | None


def compare_means(first: pd.DataFrame, second: pd.DataFrame) -> Contrast:
    """Compare the drops of two sets of spans (columns `drop`, `problem`)."""
    x, y = first["drop"].to_numpy(float), second["drop"].to_numpy(float)
    difference = mean_difference(x, y, first["problem"], second["problem"])
    if difference.value is None:
        return Contrast(difference, None, None)
    welch = ranks = None
    # Without variance Welch's test divides by zero, and ranks are all the same.
    if min(len(x), len(y)) > 1 and np.ptp(x) + np.ptp(y) > 0:
        welch = float(stats.ttest_ind(x, y, equal_var=False).pvalue)
    if np.ptp(np.concatenate([x, y])) > 0:
        ranks = float(stats.mannwhitneyu(x, y).pvalue)
    return Contrast(difference, welch, ranks)


def by_third(spans: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Spans by the third of the reasoning, answer excluded, that their middle lies in."""
    third = np.clip((spans["position"].to_numpy(float) * 3).astype(int), 0, 2)
    return {name: spans[third == number] for number, name in enumerate(THIRDS)}


def compare_thirds(spans: pd.DataFrame) -> dict[tuple[str, str], Contrast]:
    """Pairwise tests of the thirds' drops; p-values are Holm-adjusted over the pairs, by test."""
    parts = by_third(spans)
    tests = [compare_means(parts[first], parts[second]) for first, second in PAIRS]
    clustered = holm([test.difference.p for test in tests])
    welch = holm([test.welch for test in tests])
    ranks = holm([test.mann_whitney for test in tests])
    return {
        pair: Contrast(
            Estimate(
                test.difference.value,
                test.difference.low,
                test.difference.high,
                p,
                test.difference.reason,
            ),
            *adjusted,
        )
        for pair, test, p, *adjusted in zip(PAIRS, tests, clustered, welch, ranks, strict=True)
    }


def length_correlation(spans: pd.DataFrame, ranked: bool = False) -> Estimate:
    """Correlation of a span's length in tokens with its drop, `statistics.clustered`."""
    length = (spans["token_end"] - spans["token_start"]).to_numpy(float)
    return correlation(length, spans["drop"].to_numpy(float), spans["problem"], ranked)


def distractors(spans: pd.DataFrame) -> Mapping[str, float]:
    """Spans without which the answer is as likely or likelier (drop >= 0).

    Returns:
        `count`, `share` of all spans, `clear` (drops of more than `NO_EFFECT` nats), `incorrect`
        (share of the distractors that lie in incorrect completions) and `all_incorrect` (share
        of all spans there). What has no denominator is absent.
    """
    found = spans[spans["drop"] >= 0]
    values: dict[str, float] = {
        "count": len(found),
        "clear": int((spans["drop"] > NO_EFFECT).sum()),
    }
    if len(spans):
        values["share"] = len(found) / len(spans)
        values["all_incorrect"] = 1 - float(spans["correct"].astype(float).mean())
    if len(found):
        values["incorrect"] = 1 - float(found["correct"].astype(float).mean())
    return values


def distractor_ratio(spans: pd.DataFrame) -> Estimate:
    """Share of distractors in incorrect completions over that in correct ones."""
    right, harmful = spans["correct"].astype(bool), (spans["drop"] >= 0).to_numpy()
    return share_ratio(
        *(harmful[~right], harmful[right]),
        *(spans.loc[~right, "problem"], spans.loc[right, "problem"]),
        names=("incorrect completions'", "correct completions'"),
    )


def strongest_distractor(spans: pd.DataFrame) -> pd.Series | None:
    """The span of the highest drop, if that is above 0; the first of equals."""
    if spans.empty or spans["drop"].max() <= 0:
        return None
    return spans.loc[spans["drop"].idxmax()]
