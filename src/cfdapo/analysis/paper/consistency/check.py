"""One recomputation of a printed number, and how it is judged."""

from dataclasses import dataclass

from cfdapo.analysis.paper.rounding import Interval

MODELS = ("Qwen3-1.7B", "Qwen2.5-3B", "Llama3.2-3B")


@dataclass(frozen=True)
class Check:
    """One recomputation.

    `claim` is the printed number and where it stands, `source` what it was recomputed from.
    `computed` is the range that rounding allows, in `unit`; None for claims about an order, which
    `found` puts in words. `remark` says what else was seen.
    """

    claim: str
    printed: str
    source: str
    unit: str
    computed: Interval | None
    found: str
    consistent: bool
    remark: str = ""


def compare(
    claim: str,
    printed: Interval,
    source: str,
    computed: Interval,
    unit: str,
    remark: str = "",
) -> Check:
    """A check of a printed number: consistent if it and `computed` have a number in common."""
    text = number((printed.low + printed.high) / 2)
    return Check(claim, text, source, unit, computed, "", printed.meets(computed), remark)


def number(value: float) -> str:
    """A printed number as text."""
    return f"{round(value, 4):g}".replace("-", "−")
