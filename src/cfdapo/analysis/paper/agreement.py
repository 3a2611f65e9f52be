"""Whether a study's number agrees with the paper's, by criteria that fit what is comparable."""

from cfdapo.analysis.paper.counterparts import Ours
from cfdapo.analysis.paper.numbers import PaperNumber
from cfdapo.analysis.paper.rounding import half_digit
from cfdapo.analysis.statistics.estimates import SIGNIFICANT

NOT_COMPARABLE = "not comparable"
ONE_SEED = "one seed: no verdict"


def judge(entry: PaperNumber, ours: Ours, same_setting: bool) -> str:
    """A verdict in words; empty where there is no number of ours.

    In the paper's setting (`same_setting`: its model on its data): within the paper's standard
    deviation or range, or whether our interval holds the paper's number; of a p-value the side of
    0.05 or of the paper's bound. In another setting, and where no spread is known, only what does
    not depend on scale: the sign of a difference, a correlation or a drop, and on which side of 1
    a ratio is. Of what was trained with one seed there is no verdict: another could have the other.
    """
    if ours.value is None:
        return ""
    if ours.seeds is not None and ours.seeds < 2:
        return ONE_SEED
    if same_setting:
        verdict = _by_spread(entry, ours, ours.value) or _by_p(entry, ours.value)
        if verdict:
            return verdict
    return _by_side(entry, ours.value) or NOT_COMPARABLE


def _by_spread(entry: PaperNumber, ours: Ours, value: float) -> str:
    if entry.column in ("minimum", "maximum"):
        slack = half_digit(entry)
        beyond = (
            value < entry.value - slack
            if entry.column == "minimum"
            else value > entry.value + slack
        )
        return "outside the paper's range" if beyond else "within the paper's range"
    if entry.std is not None:
        # Both are rounded; sums of decimals are not exact in binary.
        reach = entry.std + 2 * half_digit(entry) + 1e-9
        inside = abs(value - entry.value) <= reach
        return f"{'within' if inside else 'outside'} the paper's std"
    if ours.low is not None and ours.high is not None:
        slack = half_digit(entry)
        inside = ours.low - slack <= entry.value <= ours.high + slack
        return "in our interval" if inside else "outside our interval"
    return ""


def _by_p(entry: PaperNumber, value: float) -> str:
    if entry.unit == "p <":
        return "bound holds" if value < entry.value else "bound does not hold"
    if entry.unit == "p":
        same = (value < SIGNIFICANT) == (entry.value < SIGNIFICANT)
        return f"{'same' if same else 'other'} side of {SIGNIFICANT}"
    return ""


def _by_side(entry: PaperNumber, value: float) -> str:
    if entry.unit == "x" and entry.column in ("Enrich.", "ratio"):
        return f"{'same' if (value > 1) == (entry.value > 1) else 'other'} side of 1"
    signed = entry.unit in ("points", "r") or entry.column in (
        "skewness",
        "early",
        "middle",
        "late",
    )
    if (signed and entry.row != "noise") or entry.column in ("mean drop", "difference"):
        if value == 0:
            return "no difference"
        return "same sign" if value * entry.value > 0 else "opposite sign"
    return ""
