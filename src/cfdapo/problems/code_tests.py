"""Grade a completion that is code: run the code in the sandbox, compare what it returns.

The sandboxed code is given arguments, never what is expected of them; the comparison is made here.
"""

import cmath
import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cfdapo.problems.code_places import extract_code
from cfdapo.problems.sandbox.host import Call, Job, Limits, Outcome, run_many
from cfdapo.problems.sandbox.values import dumps, loads

# How a returned value is compared with an accepted one.
RULES = ("equal", "set", "truth")
# Values that are longer as text are kept as hashes.
LONGEST = 1 << 16
# A busy machine may take long over a second of computing.
WALL_SECONDS_PER_CPU_SECOND = 20
# Neither computing nor waiting for a processor: asleep, or waiting for a slow disk, which may pass.
IDLE_SECONDS_PER_CPU_SECOND = 2

# Where floats are expected and the task names no tolerance; and the relative one, always. Both are
# EvalPlus's.
_ATOL, _RTOL = 1e-6, 1e-7


@dataclass(frozen=True)
class CodeTests:
    """What a function must do to pass.

    `calls`: the arguments of every call. `accepted`: for every call the values that pass, one or
    more. `rule`: "equal", "set" (in any order, any number of times), or "truth" (only whether it
    is something: a boolean, or None and not None). Values are equal where Python's == says so of
    their plain types (see `sandbox.values`). `atol`: absolute tolerance of floats. `digests`:
    instead of accepted values, by a call's place, the `digest` of the only one, where that is long;
    there the types of items count, too. `cpu_seconds`, `output_bytes`: what all calls together may
    take.
    """

    function: str
    calls: list[list[Any]]
    accepted: list[list[Any]]
    atol: float = 0.0
    rule: str = "equal"
    digests: dict[int, str] = field(default_factory=dict)
    cpu_seconds: int = 5
    output_bytes: int = 1 << 20

    @property
    def limits(self) -> Limits:
        """What a run of the tests may use."""
        return Limits(
            cpu_seconds=self.cpu_seconds,
            wall_seconds=self.cpu_seconds * WALL_SECONDS_PER_CPU_SECOND,
            idle_seconds=self.cpu_seconds * IDLE_SECONDS_PER_CPU_SECOND,
            output_bytes=self.output_bytes,
        )

    def to_gold(self) -> str:
        """The tests as text, a row's "answer"."""
        return dumps(asdict(self))

    @classmethod
    def from_gold(cls, gold: str) -> "CodeTests":
        """The tests that `to_gold` wrote."""
        return cls(**loads(gold))


def grade_many(completions: Sequence[str], golds: Sequence[str]) -> list[bool]:
    """Whether each completion's code passes its tests, on all cores; equal pairs run once."""
    by_gold = {gold: CodeTests.from_gold(gold) for gold in dict.fromkeys(golds)}
    pairs = [
        (extract_code(text, by_gold[gold].function), gold)
        for text, gold in zip(completions, golds, strict=True)
    ]
    # Completions of one prompt are often equal, and each run costs a process.
    different = list(dict.fromkeys(pairs))
    tests = [by_gold[gold] for _, gold in different]
    jobs = [
        Job(code, one.function, one.calls, one.limits, True, listed=one.rule == "set")
        for (code, _), one in zip(different, tests, strict=True)
    ]
    outcomes = zip(different, run_many(jobs), tests, strict=True)
    passed = {pair: passes(outcome, one) for pair, outcome, one in outcomes}
    return [passed[pair] for pair in pairs]


def passes(outcome: Outcome, tests: CodeTests) -> bool:
    """Whether a run came to its end and returned an accepted value for every call."""
    return (
        outcome.status == "finished"
        and len(outcome.calls) == len(tests.calls)
        and all(_is_right(call, place, tests) for place, call in enumerate(outcome.calls))
    )


def digest(value: Any) -> str:
    """Hash of a value (sha256); equal values of other types (1 and True) have other hashes."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()


def _is_right(call: Call, place: int, tests: CodeTests) -> bool:
    if call.error is not None:
        return False
    found, accepted = call.value, tests.accepted[place]
    if place in tests.digests:
        return digest(found) == tests.digests[place]
    if tests.rule == "set":
        return any(_same_set(found, wanted) for wanted in accepted)
    if tests.rule == "truth":
        return (found if isinstance(found, bool) else found is not None) in accepted
    return any(_same(found, one) or _close(found, one, tests.atol) for one in accepted)


def _same_set(found: Any, wanted: Any) -> bool:
    """Whether two collections hold the same items; `found` may be made to collide in a table."""
    table, seen = set(wanted), set()
    try:
        for item in found:
            if item not in table:
                return False
            seen.add(item)
    except TypeError:
        return False
    return len(seen) == len(table)


def _same(found: Any, wanted: Any) -> bool:
    """Equality as Python has it, but nan equals nan."""
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(found, float) and math.isnan(found)
    if isinstance(wanted, list | tuple) and type(found) is type(wanted):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(_same(found[k], wanted[k]) for k in wanted)
    return bool(found == wanted)


def _close(found: Any, wanted: Any, atol: float) -> bool:
    """Whether numbers, or lists and tuples of them, are equal up to `atol` and rounding.

    Without an `atol` this holds for floats only; a whole number by itself is exact.
    """
    if type(found) is not type(wanted) or isinstance(wanted, int):
        return False
    if not (atol or _is_floats(wanted)):
        return False
    return _all_close(found, wanted, atol or _ATOL)


def _is_floats(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _all_close(found: Any, wanted: Any, atol: float) -> bool:
    if isinstance(wanted, list | tuple):
        return (
            type(found) is type(wanted)
            and len(found) == len(wanted)
            and all(_all_close(one, two, atol) for one, two in zip(found, wanted, strict=True))
        )
    numbers = isinstance(wanted, int | float | complex) and isinstance(found, int | float | complex)
    if _same(found, wanted) or not numbers:
        return _same(found, wanted)
    try:
        # Not with infinities, whose differences and tolerances are infinite, too.
        return cmath.isfinite(wanted) and abs(found - wanted) <= atol + _RTOL * abs(wanted)
    except OverflowError:  # an integer that no float can hold
        return False
