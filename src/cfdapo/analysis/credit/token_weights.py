"""Where token weights and gradient mass go (Section 4.3): bands of importance, by tokens."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cfdapo.analysis.records.samples import Sample

# A token's band: that of its span's normalized importance (the paper's limits), or none of them.
BANDS = ("high", "medium", "low", "outside", "answer")
HIGH, MEDIUM = 0.8, 0.5
# A weight is at a limit of [w_min, w_max] if it is within this share of the range: equation 6's
# epsilon keeps even the most important span a little below w_max.
AT_LIMIT = 0.01


def collect_tokens(sample: Sample) -> pd.DataFrame:
    """A row a token of the sample's completions, those without spans included.

    Columns: `weight`, `band`, `normalized` (of its span, nan outside), `advantage` (|A|, nan where
    the completion has no group). The answer's tokens are in band answer, whatever spans they touch.
    """
    spans = dict(list(sample.spans.groupby("completion", sort=False)))
    parts = []
    for row in sample.completions:
        length = len(row["weights"])
        normalized = np.full(length, np.nan)
        band = np.full(length, BANDS.index("outside"))
        for span in spans.get(row["completion"], pd.DataFrame()).itertuples():
            inside = slice(span.token_start, span.token_end)
            normalized[inside] = span.normalized
            band[inside] = BANDS.index(band_of(span.normalized))
        if row["answer"]:
            inside = slice(row["answer"]["token_start"], row["answer"]["token_end"])
            band[inside], normalized[inside] = BANDS.index("answer"), np.nan
        advantage = np.nan if row["advantage"] is None else abs(row["advantage"])
        parts.append((row["weights"], band, normalized, np.full(length, advantage)))
    weight, band, normalized, advantage = (
        np.concatenate([np.asarray(part, dtype=float) for part in column])
        for column in zip(*parts, strict=True)
    )
    return pd.DataFrame(
        {
            "weight": weight,
            "band": pd.Categorical.from_codes(band.astype(int), BANDS),
            "normalized": normalized,
            "advantage": advantage,
        }
    )


def band_of(normalized: float) -> str:
    """The paper's band of a normalized importance: high above 0.8, low up to 0.5."""
    return "high" if normalized > HIGH else "medium" if normalized > MEDIUM else "low"


def weight_shares(tokens: pd.DataFrame) -> dict[str, float]:
    """Shares of tokens at w_min and w_max, of the answer and outside spans; mean and std."""
    weights = tokens["weight"]
    return {
        "at w_min": float((tokens["normalized"] <= AT_LIMIT).mean()),
        "at w_max": float((tokens["normalized"] >= 1 - AT_LIMIT).mean()),
        "answer": float((tokens["band"] == "answer").mean()),
        "outside": float((tokens["band"] == "outside").mean()),
        "mean": float(weights.mean()),
        "std": float(weights.std(ddof=0)),
    }


def concentration(tokens: pd.DataFrame, advantage: bool = False) -> Mapping[str, tuple]:
    """Band -> (share under uniform weights, share under credit, ratio), and "folded low".

    Uniform weights give each token 1, credit gives it its weight; with `advantage` both are
    multiplied by |A|, which makes them the factors of equations 2 and 8, so that a group of equal
    rewards counts nothing. "folded low" is every token that is neither high nor medium. A band
    without uniform mass has ratio None; no mass at all is an empty mapping.
    """
    factor = tokens["advantage"] if advantage else pd.Series(1.0, index=tokens.index)
    if factor.isna().any() or (factor * tokens["weight"]).sum() == 0:
        return {}
    uniform = factor.groupby(tokens["band"], observed=False).sum() / factor.sum()
    mass = factor * tokens["weight"]
    credit = mass.groupby(tokens["band"], observed=False).sum() / mass.sum()
    shares = {band: (float(uniform[band]), float(credit[band])) for band in BANDS}
    rest = [shares[band] for band in BANDS if band not in ("high", "medium")]
    shares["folded low"] = sum(plain for plain, _ in rest), sum(weighted for _, weighted in rest)
    return {
        band: (plain, weighted, weighted / plain if plain > 0 else None)
        for band, (plain, weighted) in shares.items()
    }
