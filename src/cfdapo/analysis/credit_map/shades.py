"""The colour scale of credit maps: which of nine shades, diverging around 1, a weight has."""

import math
from bisect import bisect_right

# Weights at which the next shade begins; the middle one is 1 as it is printed, 1.00.
_EDGES = (0.75, 0.995, 1.005, 1.5, 2.0, 2.5, 3.0, 3.5)
SHADES = tuple(f"w{number}" for number in range(len(_EDGES) + 1))
NEUTRAL = "w2"
# What the legend says of each.
RANGES = dict(
    zip(
        SHADES,
        ("<0.75", "0.75–1", "1", "1–1.5", "1.5–2", "2–2.5", "2.5–3", "3–3.5", "≥3.5"),
        strict=True,
    )
)


def shade(weight: float) -> str:
    """The class of a token with this weight; one that is no finite number has that of 1."""
    return SHADES[bisect_right(_EDGES, weight)] if math.isfinite(weight) else NEUTRAL
