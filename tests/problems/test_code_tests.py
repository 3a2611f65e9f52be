"""Completions that are code are run, and what they return is compared as EvalPlus compares."""

import math
from collections import OrderedDict, deque
from decimal import Decimal
from fractions import Fraction

import pytest

from cfdapo.problems import code_tests
from cfdapo.problems.code_tests import (
    CodeTests,
    digest,
    grade_many,
    passes,
)
from cfdapo.problems.sandbox.host import Call, Job, Outcome, run_many
from cfdapo.problems.task import get_task

DOUBLE = CodeTests("double", [[1], ["ab"], [(1, 2)]], [[2], ["abab"], [(1, 2, 1, 2)]])


def test_tests_survive_as_text():
    tests = CodeTests("f", [[{1}, (2,)]], [[1j, math.inf]], 0.1, "set", {3: "a"}, 7, 9)
    assert CodeTests.from_gold(tests.to_gold()) == tests


def right(found, wanted, atol=0.0, rule="equal", more=()) -> bool:
    tests = CodeTests("f", [[]], [[wanted, *more]], atol, rule)
    return passes(Outcome("finished", [Call(found)]), tests)


@pytest.mark.parametrize(
    ("found", "wanted", "atol", "verdict"),
    [
        (1, 1, 0, True), (1, 2, 0, False), (True, 1, 0, True), (1.0, 1, 0, True),
        ([1, 2], (1, 2), 0, False), ([1], [1, 2], 0, False), ({1, 2}, {2, 1}, 0, True),
        (None, 0, 0, False), ("1", 1, 0, False), ({"a": 1}, {"a": 1.0}, 0, True),
        # Without a tolerance floats have 1e-6 and a relative 1e-7, and integers none.
        (0.3, 0.1 + 0.2, 0, True), (1.0000009, 1.0, 0, True), (1.00001, 1.0, 0, False),
        (1e9 + 99, 1e9, 0, True), (1e9 + 101, 1e9, 0, False), (10**9 + 1, 10**9, 0, False),
        ([0.3, 1.0], [0.1 + 0.2, 1.0], 0, True), ((0.3,), (0.1 + 0.2,), 0, True),
        # Not all are floats: exact.
        ([0.3, 1], [0.1 + 0.2, 1], 0, False),
        (1.00005, 1.0, 1e-4, True), (1.0002, 1.0, 1e-4, False),
        ([(1.00005, "a")], [(1.0, "a")], 1e-4, True), ([(1.00005, "b")], [(1.0, "a")], 1e-4, False),
        ([1.0], [1.0, 1.0], 1e-4, False), (1, 1.00005, 1e-4, False), ([1.0], (1.0,), 1e-4, False),
        (1.00005 + 1j, 1 + 1j, 1e-4, True), (None, 1.0, 1e-4, False), ("a", 1.0, 1e-4, False),
        (math.nan, math.nan, 0, True), (0.0, math.nan, 0, False), (math.nan, 1.0, 1e-4, False),
        ([math.nan], [math.nan], 0, True), (math.inf, math.inf, 0, True),
        (-math.inf, math.inf, 0, False), (math.inf, 1.0, 1e-4, False), (1.0, math.inf, 0, False),
        ({"a": math.nan}, {"a": math.nan}, 0, True), (10**400, 1.0, 1e-4, False),
        # Whole numbers are exact, whatever the tolerance.
        (2**60, float(2**60), 0, True), (2**60 + 1, float(2**60), 0, False),
        (2**60 + 1, float(2**60), 1e-4, False), (10**9 + 1, 10**9, 1e-4, False),
        # What == calls equal.
        (Fraction(1, 2), 0.5, 0, True), (Fraction(1, 3), 1 / 3, 0, False),
        (Fraction(4), 4, 0, True),
        (Decimal("0.5"), 0.5, 0, True), (Decimal("0.1"), 0.1, 0, False), (Decimal(3), 3, 0, True),
        (Decimal("0.1"), 0.1, 1e-4, False), (Decimal("NaN"), math.nan, 0, False),
        ([Fraction(1, 2), Decimal(2)], [0.5, 2], 0, True), ({Decimal(1): 2}, {1: 2}, 0, True),
        ({Fraction(1), 2}, {1, 2}, 0, True), ({True: 1}, {1: 1.0}, 0, True),
        (frozenset({1}), {1}, 0, True), (OrderedDict(b=1, a=2), {"a": 2, "b": 1}, 0, True),
        (deque([1]), [1], 0, False), (b"a", "a", 0, False), (1 + 0j, 1, 0, True),
    ],
)  # fmt: skip
def test_values_are_compared_as_evalplus_compares(found, wanted, atol, verdict):
    assert right(found, wanted, atol) is verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([2, 1, 1], True), ((1, 2), True), ({1, 2}, True), ([1], False), ([1, 2, 3], False),
        ([], False), (None, False), (1, False), ([[1], 2], False),
        # Made to collide in a table; refused at the first.
        ([k * (2**61 - 1) for k in range(1, 10**5)], False),
    ],
)  # fmt: skip
def test_some_tasks_compare_sets(found, verdict):
    assert right(found, [1, 2, 1], rule="set") is verdict


def test_some_tasks_compare_truth():
    assert right("match", True, rule="truth") and right(True, True, rule="truth")
    assert right(None, False, rule="truth") and right(False, False, rule="truth")
    assert not right(False, True, rule="truth") and not right(None, True, rule="truth")
    assert not right("", False, rule="truth")  # something is found


def test_each_accepted_value_passes():
    assert right(3, 2, more=[3]) and right(2, 2, more=[3]) and not right(4, 2, more=[3])


def test_long_values_are_kept_as_hashes():
    value = [(number, str(number)) for number in range(1000)]
    tests = CodeTests("f", [[]], [[]], digests={0: digest(value)})
    assert passes(Outcome("finished", [Call(list(value))]), tests)
    assert not passes(Outcome("finished", [Call(value[1:])]), tests)


def test_every_call_has_to_return():
    tests = CodeTests("f", [[], []], [[1], [1]])
    assert passes(Outcome("finished", [Call(1), Call(1)]), tests)
    assert not passes(Outcome("finished", [Call(1), Call(error="ValueError: ")]), tests)
    assert not passes(Outcome("finished", [Call(1)]), tests)
    for status in ("undefined", "time", "output", "died", "garbled"):
        assert not passes(Outcome(status, [Call(1), Call(1)]), tests)
    # None is a value.
    assert passes(Outcome("finished", [Call(None)]), CodeTests("f", [[]], [[None]]))


# What a function of Mbpp/2's kind may give, and what == makes of it elsewhere.
RESULTS = {
    "[1, 2, 2]": (True, False), "(2, 1)": (True, False), "iter([1, 2])": (True, False),
    "map(abs, [-1, -2])": (True, False), "(x for x in (1, 2))": (True, False),
    "{1: 'a', 2: 'b'}.keys()": (True, True), "{'a': 1, 'b': 2}.values()": (True, False),
    "{1: 'a', 2: 'b'}": (True, False), "range(1, 3)": (True, False), "{1.0, 2}": (True, True),
    "UserList([1, 2])": (True, False), "array('i', [1, 2])": (True, False),
    "[Fraction(1), Decimal(2)]": (True, False), "{Fraction(1), Decimal(2)}": (True, True),
    "filter(None, [0, 1])": (False, False), "iter([[1], 2])": (False, False),
    "None": (False, False), "12": (False, False), "Liar()": (False, False),
}  # fmt: skip
PREFIX = """
from array import array
from collections import UserList
from decimal import Decimal
from fractions import Fraction
class Liar:
    __eq__ = lambda self, other: True
    __hash__ = lambda self: 1
"""


def test_iterators_pass_where_items_count_and_sets_where_equality_does():
    completions = [f"{PREFIX}def f(): return {result}" for result in RESULTS]
    golds = [CodeTests("f", [[]], [[{1, 2}]], rule=rule).to_gold() for rule in ("set", "equal")]
    found = zip(
        *(grade_many(completions, [gold] * len(completions)) for gold in golds), strict=True
    )
    assert dict(zip(RESULTS, found, strict=True)) == RESULTS


def test_a_sleeper_costs_a_few_times_what_a_loop_costs():
    """The limit of time that it meets is not the wall's, which is there for busy machines."""
    limits = CodeTests("f", [], [], cpu_seconds=3).limits
    assert limits.cpu_seconds < limits.idle_seconds < 10 < limits.wall_seconds
    tests = CodeTests("f", [[]], [[1]], cpu_seconds=1)
    job = Job("import time\ndef f(): time.sleep(600)", "f", [[]], tests.limits)
    (outcome,) = run_many([job])
    assert (outcome.status, outcome.detail) == ("time", "asleep") and not passes(outcome, tests)


def test_an_endless_iterator_ends():
    code = "import itertools\ndef f(): return itertools.count()"
    assert grade_many([code], [CodeTests("f", [[]], [[{1}]], rule="set").to_gold()]) == [False]


COMPLETIONS = {
    "So:\n```python\ndef double(x):\n    return x + x\n```": True,
    "def double(x): return x * 2": True,
    "def double(x): return 2": False,
    "def double(x): return x + x +": False,
    "def twice(x): return x + x": False,
    "": False,
    "double = lambda x: x + x": True,
    "print('passed')\nimport os\nos._exit(0)": False,
    "class Any:\n    __eq__ = lambda s, o: True\ndef double(x): return Any()": False,
    "def double(x):\n    while True: pass": False,
}


def test_completions_are_graded_in_the_sandbox():
    task = get_task("mbpp")
    tests = CodeTests(DOUBLE.function, DOUBLE.calls, DOUBLE.accepted, cpu_seconds=1)
    gold = tests.to_gold()
    graded = grade_many(list(COMPLETIONS), [gold] * len(COMPLETIONS))
    assert dict(zip(COMPLETIONS, graded, strict=True)) == COMPLETIONS
    first = next(iter(COMPLETIONS))
    assert task.grade(first, gold) is True
    assert task.extract(first) == "def double(x):\n    return x + x"
    assert task.gold_to_show(gold) == "double"


def test_equal_codes_run_once_for_each_of_their_tests(monkeypatch):
    ran = []

    def count(jobs):
        ran.extend(jobs)
        return run_many(jobs)

    monkeypatch.setattr(code_tests, "run_many", count)
    other = CodeTests("double", [[1]], [[3]]).to_gold()
    code, fenced = "def double(x): return x + x", "```\ndef double(x): return x + x\n```"
    texts, golds = [code, fenced, code, code], [DOUBLE.to_gold()] * 3 + [other]
    assert grade_many(texts, golds) == [True, True, True, False]
    assert [job.code for job in ran] == [code, code] and ran[0].calls != ran[1].calls


def test_other_tasks_are_graded_as_before():
    task = get_task("gsm8k")
    assert task.grade_many(["#### 7", "#### 8"], ["7", "7"]) == [True, False]
    assert task.extract("#### 7") == "7" and task.gold_to_show("7") == "7"
