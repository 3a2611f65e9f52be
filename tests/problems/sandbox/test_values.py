"""The notation of values: what is written comes back, and hostile text is refused, fast."""

import contextlib
import decimal
import json
import math
import types
from collections import (
    ChainMap,
    Counter,
    OrderedDict,
    UserDict,
    UserList,
    UserString,
    defaultdict,
    deque,
    namedtuple,
)
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfdapo.problems.sandbox.values import MAX_DEPTH, dumps, loads

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.complex_numbers() | st.fractions() | st.decimals().filter(lambda x: not x.is_snan())
)  # fmt: skip
HASHABLE = st.recursive(SCALARS.filter(lambda x: x == x), lambda s: st.tuples(s, s), max_leaves=4)
VALUES = st.recursive(
    SCALARS | st.sets(HASHABLE) | st.frozensets(HASHABLE),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(HASHABLE, inner),
    max_leaves=20,
)


def shape(value):
    """With types, and equal for nan and signed zeros alike."""
    if isinstance(value, list | tuple):
        return type(value), [shape(item) for item in value]
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, value))
    return type(value), repr(value)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_what_is_written_comes_back(value):
    line = dumps(value)
    assert line.isascii() and "\n" not in line
    assert shape(loads(line)) == shape(value)


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary() | VALUES.map(lambda v: json.dumps(repr(v))))
def test_any_text_is_a_value_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        loads(text)


def test_subclasses_are_what_they_inherit_from():
    point = namedtuple("point", "x y")
    for value, plain in (
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (point(1, 2), (1, 2)),
    ):
        assert loads(dumps(value)) == plain and type(loads(dumps(value))) is type(plain)
    assert loads(dumps(deque([1]))) == deque([1]) != [1]


def test_what_python_makes_to_equal_a_plain_value_is_written_as_that():
    for value, plain in (
        (UserList([1, UserList()]), [1, []]),
        (UserDict(a=UserDict()), {"a": {}}),
        (UserString("a"), "a"),
        (ChainMap({"a": 1}, {"a": 2, "b": 3}), {"a": 1, "b": 3}),
        (types.MappingProxyType({1: 2}), {1: 2}),
        ({1: 2}.keys(), {1}),
        ({1: 2}.items(), {(1, 2)}),
        (memoryview(b"ab"), b"ab"),
        (bytearray(b"ab"), b"ab"),
    ):
        assert value == plain
        assert loads(dumps(value)) == plain and type(loads(dumps(value))) is type(plain)


def test_exact_numbers_stay_exact():
    for value in (Fraction(-1, 3), decimal.Decimal("0.10"), decimal.Decimal("-Infinity")):
        assert loads(dumps(value)) == value and type(loads(dumps(value))) is type(value)
    assert loads(dumps(decimal.Decimal("NaN"))).is_nan()
    # Too long to be worth it, or not even comparable.
    huge = Fraction(1, 10**20_000), decimal.Decimal(10**20_000), decimal.Decimal("sNaN")
    for value in huge:
        assert repr(loads(dumps(value))) == f"<{type(value).__name__}>"


def test_other_types_equal_nothing():
    class Equal:
        def __eq__(self, other):
            return True

    views = {1: [2]}.items(), {1: 2}.values(), iter([1])
    for value in (range(3), object(), map(str, []), len, int, NotImplemented, Equal(), *views):
        read = loads(dumps(value))
        assert read != value and read != read and repr(read) == f"<{type(value).__name__}>"


def test_nesting_has_an_end():
    value = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert loads(dumps(value)) == value
    with pytest.raises(ValueError, match="nested"):
        dumps([value])
    for depth in (MAX_DEPTH + 2, 10**6):
        with pytest.raises(ValueError):
            loads('["list",' * depth + "1" + "]" * depth)


# hash(k * (2**61 - 1)) is 0 for every k.
COLLIDING = [k * (2**61 - 1) for k in range(1, 20_000)]


@pytest.mark.parametrize("tag", ["set", "frozenset", "dict"])
def test_items_made_to_collide_are_refused(tag):
    """A set of these would take 2 * 10**8 comparisons, and ten times as many a hundred times as
    long."""
    items = [["int", hex(number)] for number in COLLIDING]
    items = [[item, 1] for item in items] if tag == "dict" else items
    with pytest.raises(ValueError, match="share a hash"):
        loads(json.dumps([tag, *items]))


def test_what_is_not_the_notation_is_refused():
    for text in (
        "", "[", "[]", "{}", '{"a":1}', "NaN", "Infinity", "[1]", '["ok",1]', '["list",[]]',
        '["set",["list"]]', '["dict",1]', '["dict",["list",1,2]]', '["int"]', '["int","x"]',
        '["int",1]', '["float","1"]', '["bytes","0"]', '["complex",1]', '["complex",1,"a"]',
        '["complex",true,1]', "1" * 5000, '["list",' + "9" * 5000 + "]", '["other",1]', "\xff",
        '["fraction","1"]', '["fraction","1","0"]', '["fraction","1","-2"]', '["fraction",1,2]',
        '["fraction","' + "1" * 20_000 + '","1"]', '["decimal","' + "1" * 20_000 + '"]',
        '["decimal","x"]', '["decimal","sNaN"]', '["decimal",1]',
    ):  # fmt: skip
        with pytest.raises(ValueError):
            loads(text)


def test_floats_keep_their_bits():
    for number in (0.1, -0.0, 1e-320, math.pi, math.inf, -math.inf):
        assert math.copysign(1, loads(dumps(number))) == math.copysign(1, number)
        assert loads(dumps(number)) == number
    assert math.isnan(loads(dumps(math.nan)))
