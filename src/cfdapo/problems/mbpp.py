"""Load MBPP+ (EvalPlus: Liu et al., 2023; MBPP: Austin et al., 2021) as programming problems.

Version 0.1.0, 399 tasks. A solution passes if it gives what the canonical solution gives for every
base and plus input; what that is, is computed here, in the sandbox, once. EvalPlus's rules of
comparison are followed: a value passes that Python's == calls equal (an int, a Decimal or a
Fraction for a float, a UserList for a list, a dictionary's keys for a set), floats within a
tolerance. There are these exceptions:

- Two special cases, where any or a wrong answer would pass (`ALTERNATIVES`), and Mbpp/115, all of
  whose answers would be True (`_dicts_and_sets`).
- Where a canonical solution divides by /, its whole numbers are rounded beyond 2**53; the exact
  ones pass as well (`_WHOLE_NUMBERS`).
- nan equals nan, and an object's own __eq__ is not asked.
- Lists that are very long (three tasks have some) have to be equal in the types of their items,
  too (`code_tests.digest`).

The data set on the hub, evalplus/mbppplus, is another version (378 tasks, without the inputs as
data), so it cannot stand in for the file.
"""

import hashlib
import json
import math
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cfdapo.files import UserError, read_jsonl
from cfdapo.problems.code_tests import LONGEST, CodeTests, digest
from cfdapo.problems.sandbox.host import Call, Job, Limits, run_many
from cfdapo.problems.sandbox.values import Other, dumps

DATA_VARIABLE = "CFDAPO_DATA"
FILE = "MbppPlus.jsonl"
TASKS = 399
SHA256 = "7c15b10bdbc921ff83134f7ea4936df6be7193302d800f2f16ba42df4af71579"
# Of the tasks, shuffled by the seed, the last fifth is for testing.
SPLITS = {"train": slice(0, 320), "test": slice(320, 399)}

# Lists of which only the items count, and functions of which only the truth of the result counts
# (matches of regular expressions).
SET_TASKS = frozenset({2, 7, 111, 140, 232, 249, 579, 769})
TRUTH_TASKS = frozenset({737, 787, 794})
# Tasks whose canonical solution takes more than a second, and the time that they have instead of
# `CodeTests.cpu_seconds`.
SLOW_TASKS = frozenset({123, 255, 271, 392, 592, 599, 603, 630})
SLOW_SECONDS = 40
# Room for results beside those of the canonical solution.
_OUTPUT_FACTOR = 4


def load(split: str, path: str | Path | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Load a split as rows {"id", "question", "answer", "solution"}, in the order of the shuffle.

    The file is {folder}/mbpp/MbppPlus.jsonl or {folder}/MbppPlus.jsonl, in the folder `path`, else
    in the one that the environment variable CFDAPO_DATA names. "answer" is `CodeTests.to_gold`;
    "question" ends in the task's first test, which names the function. Runs the canonical
    solutions of the split (seconds). Raises `UserError` for an unknown split, a missing file and
    content that is not MBPP+'s, and where this machine has no sandbox.
    """
    if split not in SPLITS:
        raise UserError(f"split {split!r}: MBPP+ has no such split; allowed: {', '.join(SPLITS)}")
    tasks = read_tasks(path)
    random.Random(seed).shuffle(tasks)
    return make_rows(tasks[SPLITS[split]])


def read_tasks(path: str | Path | None = None) -> list[dict[str, Any]]:
    """The 399 tasks as EvalPlus publishes them, checked; see `load` for where, and for errors."""
    folder = path or os.environ.get(DATA_VARIABLE)
    if not folder:
        raise UserError(
            f"MBPP+: name a folder with mbpp/{FILE} under data.path or in {DATA_VARIABLE} (MBPP+ "
            "v0.1.0, as in EvalPlus's repository at commit 767efcc; the hub has another version)"
        )
    candidates = [Path(folder) / "mbpp" / FILE, Path(folder) / FILE]
    found = [file for file in candidates if file.is_file()]
    if not found:
        raise UserError(f"{folder}: no MBPP+; expected {candidates[0]} or {candidates[1]}")
    tasks = read_jsonl(found[0])
    if (content := content_hash(tasks)) != SHA256:
        raise UserError(
            f"{found[0]}: not MBPP+ v0.1.0 with its {TASKS} tasks (sha256 of the content: expected "
            f"{SHA256}, found {content})"
        )
    return tasks


def content_hash(tasks: Sequence[dict[str, Any]]) -> str:
    """Hash of the tasks' content (sha256), whatever the order of keys and the spaces between."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(json.dumps(task, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def make_rows(tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the tasks, with what their canonical solutions return.

    An input is left out that the canonical solution rejects, by raising, or whose whole number it
    calls infinite. `UserError` where a canonical solution does not run to its end.
    """
    inputs = [arguments(task) for task in tasks]
    jobs = [
        Job(task["canonical_solution"], task["entry_point"], calls, _CANONICAL_LIMITS)
        for task, calls in zip(tasks, inputs, strict=True)
    ]
    rows = []
    for task, calls, outcome in zip(tasks, inputs, run_many(jobs), strict=True):
        if outcome.status != "finished":
            raise UserError(
                f"{task['task_id']}: its canonical solution does not run to its end "
                f"({outcome.status} {outcome.detail})"
            )
        rows.append(make_row(task, calls, outcome.calls))
    return rows


def arguments(task: dict[str, Any]) -> list[list[Any]]:
    """The arguments of every base and plus input, with the types that JSON lacks restored."""
    # A task without plus inputs has {} there.
    inputs = [*task["base_input"], *task["plus_input"]]
    converters = _CONVERTERS.get(_number(task), [_same])
    # The last converter is for all further arguments as well.
    return [
        [converters[min(place, len(converters) - 1)](value) for place, value in enumerate(one)]
        for one in inputs
    ]


def make_row(task: dict[str, Any], calls: list[list[Any]], results: list[Call]) -> dict[str, Any]:
    """The row of a task from what its canonical solution returned for each of `calls`."""
    number = _number(task)
    rule = "set" if number in SET_TASKS else "truth" if number in TRUTH_TASKS else "equal"
    kept = [
        (call, one.value)
        for call, one in zip(calls, results, strict=True)
        if not one.error and not (number in _WHOLE_NUMBERS and one.value == math.inf)
    ]
    texts = [dumps(value) for _, value in kept]
    long = {place for place, text in enumerate(texts) if rule == "equal" and len(text) > LONGEST}
    tests = CodeTests(
        task["entry_point"],
        [call for call, _ in kept],
        [
            [] if place in long else _accepted(number, rule, call, value)
            for place, (call, value) in enumerate(kept)
        ],
        task["atol"],
        rule,
        {place: digest(kept[place][1]) for place in sorted(long)},
        SLOW_SECONDS if number in SLOW_TASKS else CodeTests.cpu_seconds,
        max(_OUTPUT_FACTOR * sum(map(len, texts)), CodeTests.output_bytes),
    )
    return {
        "id": f"mbpp-{number}",
        "question": f"{_description(task)}\n\n{first_test(task)}",
        "answer": tests.to_gold(),
        "solution": task["canonical_solution"].strip(),
    }


def _accepted(number: int, rule: str, call: list[Any], value: Any) -> list[Any]:
    if rule == "truth":
        return [value if isinstance(value, bool) else value is not None]
    if isinstance(value, Other):
        raise UserError(f"Mbpp/{number}: its canonical solution returns {value}")
    accepted = [value, *([ALTERNATIVES[number](*call)] if number in ALTERNATIVES else [])]
    if number in _WHOLE_NUMBERS:
        over, under = _WHOLE_NUMBERS[number](*call)
        if isinstance(over, int) and over % under == 0 and over // under != value:
            accepted.append(over // under)
    return accepted


def _description(task: dict[str, Any]) -> str:
    return task["prompt"].strip().strip("'\"").strip()


def first_test(task: dict[str, Any]) -> str:
    """The first assertion of MBPP's own, which shows the function's name and what it takes."""
    lines = task["assertion"].split("\n")
    return next(line.strip() for line in lines if line.lstrip().startswith("assert "))


def _number(task: dict[str, Any]) -> int:
    return int(task["task_id"].removeprefix("Mbpp/"))


def _same(value: Any) -> Any:
    return value


def _list_of_tuples(value: list[Any]) -> list[Any]:
    return [tuple(item) for item in value]


def _tuple_of_tuples(value: list[Any]) -> tuple[Any, ...]:
    return tuple(_list_of_tuples(value))


def _outer_two(value: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


def _tuples_throughout(value: Any) -> Any:
    return tuple(map(_tuples_throughout, value)) if isinstance(value, list) else value


def _dicts_and_sets(value: list[Any]) -> list[Any]:
    """Lists were sets, and empty ones dictionaries; EvalPlus takes all else for {}, too."""
    return [(set(item) or {}) if isinstance(item, list) else item for item in value]


def _dict_of_tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(item) for key, item in value.items()}


# What JSON made lists and strings of, by EvalPlus's reading of its own file; the tests compare with
# the arguments as MBPP's own assertions have them.
_SHAPES: list[tuple[list[Callable[[Any], Any]], tuple[int, ...]]] = [
    ([tuple], (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616)),
    ([tuple], (630, 726, 740, 744, 809)),
    ([_list_of_tuples], (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    ([_list_of_tuples, _same], (75, 413, 444, 753)),
    ([_same, tuple], (106, 750)),
    ([tuple, _same], (250, 307, 405, 446, 617, 720, 763, 808)),
    ([_tuple_of_tuples], (259, 401, 445)),
    ([_outer_two], (278,)),
    ([_tuples_throughout], (580, 615, 791)),
    ([_dicts_and_sets], (115,)),
    ([_dict_of_tuples, _same], (722,)),
    ([float, complex], (124,)),
    ([complex], (252,)),
]
_CANONICAL_LIMITS = Limits(
    cpu_seconds=SLOW_SECONDS, wall_seconds=1200.0, idle_seconds=SLOW_SECONDS, output_bytes=1 << 28
)
_CONVERTERS = {number: shape for shape, numbers in _SHAPES for number in numbers}


def _proper_divisors(number: int) -> int:
    return sum(n for n in range(1, number // 2 + 1) if number % n == 0)


def _padded_digit_distance(one: int, two: int) -> int:
    width = max(len(str(one)), len(str(two)))
    pairs = zip(str(one).zfill(width), str(two).zfill(width), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)


def _pyramid_surface(base: float, height: float) -> int:
    return round(base**2 + 2 * base * math.hypot(base / 2, height))


# Answers that pass beside the canonical ones. 558 and 581: the other reading of the task, as
# EvalPlus accepts it. 164 and 295: the right answer, where the canonical solution has a mistake in
# it; EvalPlus passes whatever is returned (164) or any 0 (295), which no reward may.
ALTERNATIVES: dict[int, Callable[..., Any]] = {
    164: lambda one, two: _proper_divisors(one) == _proper_divisors(two),
    295: _proper_divisors,
    558: _padded_digit_distance,
    581: _pyramid_surface,
}

# Numerator and denominator of what the tasks ask for whose canonical solutions divide by / and
# give whole numbers beyond 2**53: all of these 399 that do.
_WHOLE_NUMBERS: dict[int, Callable[..., tuple[Any, int]]] = {
    14: lambda length, base, height: (length * base * height, 2),
    98: lambda numbers: (math.prod(numbers), len(numbers)),
    267: lambda n: (n * (4 * n * n - 1), 3),
    287: lambda n: (2 * n * (n + 1) * (2 * n + 1), 3),
    300: lambda n: (math.comb(2 * n, n), 1),
}
