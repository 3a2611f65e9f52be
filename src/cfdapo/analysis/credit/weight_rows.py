"""Rows of Table 15 about token weights and gradient mass."""

from collections.abc import Iterator, Sequence

from cfdapo.analysis.credit.drop_distribution import NO_EFFECT
from cfdapo.analysis.credit.quantity_rows import Number, Row, count, number, percent
from cfdapo.analysis.credit.token_weights import BANDS, collect_tokens, concentration, weight_shares
from cfdapo.analysis.paper.numbers import paper_number
from cfdapo.analysis.records.samples import Sample
from cfdapo.analysis.rendering.table import Note

_BAND_NAMES = {
    "high": "high (> 0.8)",
    "medium": "medium (0.5 to 0.8]",
    "low": "low (≤ 0.5)",
    "outside": "outside spans",
    "answer": "answer",
    "folded low": "low, outside and answer together",
}
# Rows of the paper that bands are compared with; it names no band for tokens outside spans, and
# its two shares leave too little room for them, so that they are likely to be among the low.
_PAPER_BANDS = {"high": "high importance", "folded low": "low importance"}
_NO_ADVANTAGE = "gold solutions have no advantage"
_EQUAL_REWARDS = "every group has equal rewards"
_NO_TOKENS = "no token there"


def weight_rows(samples: Sequence[Sample]) -> Iterator[Row]:
    """Shares of tokens by weight, then shares of tokens and of mass by band of importance."""
    tokens = [collect_tokens(sample) for sample in samples]
    paper = f"{paper_number('section4.3', 'sample', 'tokens').value:,.0f}"
    yield Row("Tokens", paper, [count(len(frame)) for frame in tokens])
    shares = [weight_shares(frame) for frame in tokens]
    lowest, highest = (
        f"{paper_number('section4.3', 'tokens at a weight limit', end).value:g} %"
        for end in ("minimum", "maximum")
    )
    yield Row("Tokens: at w_min", lowest, [percent(s["at w_min"]) for s in shares])
    yield Row(
        "Tokens: at w_max",
        highest,
        [percent(s["at w_max"]) for s in shares],
        "the paper counts the answer's tokens here, though its w_ans is 1.5 and its w_max 4",
    )
    yield Row("Tokens: answer", "", [percent(s["answer"]) for s in shares])
    yield Row("Tokens: outside spans", "", [percent(s["outside"]) for s in shares])
    for key in ("mean", "std"):
        yield Row(f"Token weights: {key}", "", [number(s[key], ".2f") for s in shares])
    yield Row(
        f"Completions with spans, none with drop < −{NO_EFFECT}",
        "",
        [_without_effect(sample) for sample in samples],
    )
    yield from _mass_rows([concentration(frame) for frame in tokens], "Gradient mass", "")
    reason = [_EQUAL_REWARDS if sample.sampled else _NO_ADVANTAGE for sample in samples]
    by_advantage = [
        concentration(frame, advantage=True) if sample.sampled else {}
        for frame, sample in zip(tokens, samples, strict=True)
    ]
    yield from _mass_rows(by_advantage, "Gradient mass with |A|", reason)


def _without_effect(sample: Sample) -> Number:
    """Completions whose weights range over differences that change nothing (equation 6)."""
    lowest = sample.spans.groupby("completion")["drop"].min()
    return count(int((lowest >= -NO_EFFECT).sum()), len(lowest))


def _mass_rows(found: Sequence, title: str, reasons: str | Sequence[str]) -> Iterator[Row]:
    """A row a band; |A| counts nothing in the paper, which is quoted beside the plain mass."""
    reasons = [reasons] * len(found) if isinstance(reasons, str) else reasons
    for band in (*BANDS, "folded low"):
        paper, remark = "", ""
        if band in _PAPER_BANDS and title == "Gradient mass":
            values = [
                paper_number("section4.3", _PAPER_BANDS[band], column).value
                for column in ("tokens", "gradient mass", "ratio")
            ]
            paper = f"{values[0]:g} % → {values[1]:g} %, {values[2]:g}×"
            if band == "folded low":
                remark = "the paper names no band for tokens outside spans; they may be among low"
        numbers = [
            _mass(shares.get(band), reason) for shares, reason in zip(found, reasons, strict=True)
        ]
        yield Row(f"{title}: {_BAND_NAMES[band]}", paper, numbers, remark)
    paper = ""
    if title == "Gradient mass":
        paper = f"{paper_number('section4.3', 'high against low importance', 'ratio').value:g}×"
    for low in ("low", "folded low"):
        shown = paper if low == "folded low" else ""
        yield Row(
            f"{title}: ratio of high over ratio of {_BAND_NAMES[low].removesuffix(' (≤ 0.5)')}",
            shown,
            [
                _shift(shares.get("high"), shares.get(low), reason)
                for shares, reason in zip(found, reasons, strict=True)
            ],
        )


def _mass(band: tuple | None, reason: str) -> Number:
    """A band's share of tokens and of mass and their ratio; `value` is the ratio."""
    if band is None:
        return Number(reason=reason)
    plain, weighted, ratio = band
    if ratio is None:
        return Number(reason=_NO_TOKENS)
    text = f"{100 * plain:.1f} % → {100 * weighted:.1f} %, {ratio:.2f}×"
    return Number(text, ratio, more={"share_of_tokens": plain, "share_of_mass": weighted})


def _shift(high: tuple | None, low: tuple | None, reason: str) -> Number:
    """The ratio of one band over that of another, both as `_mass` has them."""
    if high is None or low is None:
        return Number(reason=reason)
    if high[2] is None or not low[2]:
        return Number(reason=_NO_TOKENS)
    return number(high[2] / low[2], ".2f")


def weight_notes() -> Iterator[Note]:
    """What the rows above mean."""
    yield Note(
        "Token weights are those of mode counterfactual. A token is at w_min or w_max if its "
        "span's normalized importance is within 0.01 of 0 or 1; a completion's only span has 0. "
        "Gradient mass: share of tokens → share of the sum of weights, and their ratio; uniform "
        "weights have ratio 1. With |A|, both are weighted by the advantage's size (equation 8), "
        "so that groups of equal rewards count nothing. Completions without spans count their "
        "tokens (weight 1). Equation 6 spreads every completion's spans over the whole range, "
        f"also where no drop is below −{NO_EFFECT}."
    )
