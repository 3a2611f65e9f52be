"""How drops are distributed (Table 4): moments, classes, quantiles, concentration."""

import math

import numpy as np
import pandas as pd
from scipy import stats

# Table 4's lower ends, in nats: a class reaches from its own to that of the row above.
PAPER_CLASSES = {
    "Critical": -math.inf,
    "Important": -500.0,
    "Moderate": -200.0,
    "Low": -50.0,
    "Distractor": 0.0,
}
# A drop nearer to 0 changes the answer's probability by less than 1 %.
NO_EFFECT = 0.01
# Parts of the spans with drops below 0 that are compared where no threshold in nats fits.
QUARTER = 0.25


def moments(drops: np.ndarray) -> dict[str, float]:
    """Mean, median, extremes, skewness and both kurtoses of drops (nats), shape (n,).

    Skewness and kurtosis are those of the sample (divided by n), and nan where drops are equal.
    """
    if len(drops) == 0:
        return {}
    equal = np.ptp(drops) == 0
    kurtosis = math.nan if equal else float(stats.kurtosis(drops))
    return {
        "mean": float(np.mean(drops)),
        "median": float(np.median(drops)),
        "minimum": float(np.min(drops)),
        "maximum": float(np.max(drops)),
        "skewness": math.nan if equal else float(stats.skew(drops)),
        "kurtosis": kurtosis + 3,
        "excess kurtosis": kurtosis,
    }


def count_classes(drops: np.ndarray) -> dict[str, int]:
    """Spans in each of the paper's classes; a drop on a boundary is in the class above it."""
    edges = [*PAPER_CLASSES.values(), math.inf]
    places = np.searchsorted(edges, drops, side="right") - 1
    counts = np.bincount(places, minlength=len(PAPER_CLASSES))
    return dict(zip(PAPER_CLASSES, counts.tolist(), strict=True))


def importance_held(drops: np.ndarray, part: float) -> float:
    """Share of all positive importance (sum of -drop over drops below 0) in the top `part`.

    The top part is the ceil(part * n) spans of lowest drop; nan where no drop is below 0.
    """
    importance = np.sort(np.maximum(-drops, 0.0))[::-1]
    total = importance.sum()
    # 0.1 * 30 is a little more than 3 in binary.
    top = math.ceil(part * len(importance) - 1e-9)
    return float(importance[:top].sum() / total) if total > 0 else math.nan


def split_quarters(spans: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(critical, low): the most and the least important quarter of the spans that lower the answer.

    The paper's two classes are fixed in nats, which no answer-only drop reaches. As there,
    distractors (drop >= 0) are in neither. Each quarter has floor(n / 4) rows; equal drops stay in
    the order of the records.
    """
    lowering = spans[spans["drop"] < 0].sort_values("drop", kind="stable")
    size = int(len(lowering) * QUARTER)
    return lowering.iloc[:size], lowering.iloc[len(lowering) - size :]
