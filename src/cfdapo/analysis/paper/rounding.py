"""The paper's printed numbers as intervals: what a number was before it was rounded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cfdapo.analysis.paper.numbers import PAPER_NUMBERS, PaperNumber

# Sums of decimals that are equal on paper differ by so much in binary.
_BINARY = 1e-9


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`; arithmetic gives what any of them can give."""

    low: float
    high: float

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, self.high + other.high)

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def __sub__(self, other: "Interval") -> "Interval":
        return self + -other

    def __mul__(self, other: "Interval") -> "Interval":
        products = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(products), max(products))

    def __truediv__(self, other: "Interval") -> "Interval":
        if other.low <= 0 <= other.high:
            raise ZeroDivisionError(f"{other} may be 0")
        return self * Interval(1 / other.high, 1 / other.low)

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    def meets(self, other: "Interval") -> bool:
        """Whether some number is in both."""
        return self.low <= other.high + _BINARY and other.low <= self.high + _BINARY

    def within(self, low: float, high: float) -> bool:
        """Whether some number of it is from `low` to `high`."""
        return self.meets(Interval(low, high))


def exactly(value: float) -> Interval:
    """A number that was not rounded."""
    return Interval(value, value)


def hull(intervals: Sequence[Interval]) -> tuple[Interval, Interval]:
    """What the least and the greatest of several rounded numbers can be."""
    lows, highs = [i.low for i in intervals], [i.high for i in intervals]
    return Interval(min(lows), min(highs)), Interval(max(lows), max(highs))


# Half of the last printed digit by table and column, else by unit. Counts, steps and numbers quoted
# as bounds are exact.
_HALVES = {
    ("table3_significance", "p@500"): 0.0005,
    ("table3_significance", "p AUC"): 0.0005,
    ("table3_significance", "Δ@500"): 0.005,
    ("table3_significance", "ΔAUC"): 0.005,
    ("section4.3", "p"): 0.0005,
    ("section4.3", "difference"): 0.5,
    ("table6_example", "|Δ|"): 0.5,
    ("appendixA", "standard pass"): 0.005,
    ("appendixA", "gradient-free pass"): 0.005,
}
_HALVES_BY_UNIT = {
    **{"%": 0.05, "points": 0.05, "x": 0.05, "min": 0.5, "+%": 0.5, "s": 0.05, "nats": 0.5},
    "": 0.005,
}
# Decided by size: 11.2 and 0.37 have three and two digits.
_RATIO = 1.0


class Paper:
    """The paper's numbers by table, row and column, as intervals."""

    def __init__(self, entries: Iterable[PaperNumber] = PAPER_NUMBERS):
        self.entries = {(e.table, e.row, e.column): e for e in entries}

    def __call__(self, table: str, row: str, column: str) -> Interval:
        """What the number was before it was rounded.

        Raises:
            KeyError: the paper has no such number.
        """
        entry = self.entries[table, row, column]
        return _around(entry.value, half_digit(entry))

    def std(self, table: str, row: str, column: str) -> Interval:
        """The same of a number's standard deviation, which is printed with the same digits."""
        entry = self.entries[table, row, column]
        if entry.std is None:
            raise ValueError(f"{table}, {row}, {column}: no standard deviation is printed")
        return _around(entry.std, half_digit(entry))

    def exact(self, table: str, row: str, column: str) -> float:
        """The number as printed."""
        return self.entries[table, row, column].value

    def rows(self, table: str) -> list[str]:
        """Rows of a table, in the paper's order."""
        return list(dict.fromkeys(row for name, row, _ in self.entries if name == table))


def half_digit(entry: PaperNumber) -> float:
    """Half a unit of the last digit that the paper prints of a number."""
    if entry.unit == "p <":
        return 0.0
    if entry.unit == "x" and entry.value < _RATIO:
        return 0.05 if entry.table == "section4.3" else 0.005
    if entry.table == "appendixA" and entry.unit == "%":
        return 0.5
    return _HALVES.get((entry.table, entry.column), _HALVES_BY_UNIT.get(entry.unit, 0.0))


def _around(value: float, half: float) -> Interval:
    return Interval(value - half, value + half)
