"""A notation for Python values that is safe to read from a hostile writer: JSON with tags.

None, booleans, strings, integers below 2**53 and finite floats are JSON's own. Everything else is a
list whose first item names what it is: ["list", ...], ["tuple", ...], ["set", ...],
["frozenset", ...], ["deque", ...], ["dict", [key, value], ...], ["int", hexadecimal],
["float", "nan"], ["complex", real, imaginary], ["bytes", hexadecimal], ["decimal", digits],
["fraction", hexadecimal, hexadecimal] and ["other", type name] for values of other types, which
equal nothing. Subclasses are written as what they inherit from, and what Python's library makes to
equal a value of a type with a notation (UserList, a dictionary's keys, memoryview) as that value.
"""

import contextlib
import json
import math
import sys
import types
from collections import ChainMap, UserDict, UserList, UserString, deque
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100
# Hash tables are filled with a writer's own items: so many may share a hash before it is an attack.
MAX_COLLISIONS = 64
_EXACT_IN_JSON = 2**53
# Longer ones are other values: to make a fraction of two numbers takes time that grows faster than
# their digits.
_MOST_HEX_DIGITS, _MOST_DECIMAL_DIGITS = 10_000, 10_000
_VIEWS: tuple[type[Any], ...] = (type({}.keys()), type({}.items()))
_COLLECTIONS: tuple[Any, ...] = (list, tuple, set, frozenset, deque)


class Other:
    """Stands for a value of a type that has no notation; equal to nothing, not even itself."""

    def __init__(self, name: str):
        self.name = name

    def __eq__(self, other: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{self.name}>"


def dumps(value: Any) -> str:
    """One line of ASCII for `value`; ValueError where it is nested too deeply (or in itself)."""
    return json.dumps(_tag(value, MAX_DEPTH), separators=(",", ":"), allow_nan=False)


def loads(text: str | bytes) -> Any:
    """The value that `dumps` wrote; ValueError for anything that it cannot have written.

    Takes time linear in the text (times the logarithm of its length), whoever wrote it.
    """
    try:
        return _untag(
            json.loads(text, object_pairs_hook=_refuse, parse_constant=_refuse), MAX_DEPTH
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _tag(value: Any, depth: int) -> Any:
    if depth < 0:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if abs(value) < _EXACT_IN_JSON else ["int", hex(value)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else ["float", repr(float(value))]
    if isinstance(value, complex):
        return ["complex", _tag(value.real, 0), _tag(value.imag, 0)]
    if isinstance(value, bytes | bytearray | memoryview):
        return ["bytes", value.hex()]
    if isinstance(value, dict):
        pairs = list(dict.items(value))
        return ["dict", *([_tag(k, depth - 1), _tag(v, depth - 1)] for k, v in pairs)]
    for kind in _COLLECTIONS:
        if isinstance(value, kind):
            return [kind.__name__, *(_tag(item, depth - 1) for item in kind.__iter__(value))]
    return _tag_exact(value) or _tag_equal(value, depth)


def _tag_exact(value: Any) -> list[str] | None:
    """A Decimal or a Fraction, which only a program has that imports their modules."""
    decimal, fractions = sys.modules.get("decimal"), sys.modules.get("fractions")
    if decimal and isinstance(value, decimal.Decimal) and not value.is_snan():
        text = str(decimal.Decimal(value))
        return ["decimal", text] if len(text) <= _MOST_DECIMAL_DIGITS else None
    if fractions and isinstance(value, fractions.Fraction):
        parts = [hex(value.numerator), hex(value.denominator)]
        return ["fraction", *parts] if max(map(len, parts)) <= _MOST_HEX_DIGITS else None
    return None


def _tag_equal(value: Any, depth: int) -> list[Any]:
    """What equals a value of another type, as that; all else as other."""
    plain: Any = None
    if isinstance(value, UserList | UserString):
        plain = value.data
    elif isinstance(value, UserDict | ChainMap | types.MappingProxyType):
        plain = dict(value)
    elif isinstance(value, _VIEWS):
        with contextlib.suppress(TypeError):  # items that cannot be hashed equal no set
            plain = set(value)
    if isinstance(plain, list | str | dict | set):
        return _tag(plain, depth - 1)
    return ["other", str(type(value).__name__)]


def _untag(value: Any, depth: int) -> Any:
    if not isinstance(value, list):
        return value
    if depth < 0 or not value:
        raise ValueError("nested too deeply" if value else "a list without a tag")
    tag, *items = value
    if tag in ("list", "tuple", "set", "frozenset", "deque"):
        return _collect(tag, [_untag(item, depth - 1) for item in items])
    if tag == "dict":
        if not all(isinstance(item, list) and len(item) == 2 for item in items):
            raise ValueError("a dictionary's items are pairs")
        pairs = [(_untag(k, depth - 1), _untag(v, depth - 1)) for k, v in items]
        _check_hashes(key for key, _ in pairs)
        return dict(pairs)
    return _scalar(tag, items)


def _collect(tag: str, items: list[Any]) -> Any:
    if tag in ("set", "frozenset"):
        _check_hashes(items)
    kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
    return kinds[tag](items)


def _scalar(tag: Any, items: list[Any]) -> Any:
    if tag == "complex" and len(items) == 2:
        parts = [_untag(item, 0) for item in items]
        if all(type(part) in (int, float) for part in parts):
            return complex(*parts)
    elif tag == "fraction" and len(items) == 2:
        return _fraction(*items)
    elif len(items) == 1 and isinstance(items[0], str):
        (text,) = items
        if tag == "int":
            return int(text, 16)
        if tag == "float" and text in ("nan", "inf", "-inf"):
            return float(text)
        if tag == "bytes":
            return bytes.fromhex(text)
        if tag == "decimal":
            return _decimal(text)
        if tag == "other":
            return Other(text)
    raise ValueError(f"no value is written as {str(tag)[:20]!r} with {len(items)} items")


def _fraction(numerator: Any, denominator: Any) -> Any:
    from fractions import Fraction  # slow to load, and hardly ever needed in a fresh interpreter

    for part in (numerator, denominator):
        if not isinstance(part, str) or len(part) > _MOST_HEX_DIGITS:
            raise ValueError("a fraction has two hexadecimal numbers")
    if (below := int(denominator, 16)) <= 0:
        raise ValueError("a fraction is of a positive number")
    return Fraction(int(numerator, 16), below)


def _decimal(text: str) -> Any:
    from decimal import Decimal, InvalidOperation

    try:
        value = Decimal(text) if len(text) <= _MOST_DECIMAL_DIGITS else Decimal("sNaN")
    except InvalidOperation:
        value = Decimal("sNaN")
    if value.is_snan():  # which cannot even be compared
        raise ValueError("no decimal number")
    return value


def _check_hashes(items: Iterable[Any]) -> None:
    """Refuse items that cannot be hashed, and those made to collide: filling a table with n of them
    takes n**2 steps."""
    try:
        hashes = sorted(map(hash, items))
    except TypeError as error:
        raise ValueError(str(error)) from None
    run = 0
    for one, two in zip(hashes, hashes[1:], strict=False):
        run = run + 1 if one == two else 0
        if run > MAX_COLLISIONS:
            raise ValueError("too many items share a hash")


def _refuse(found: Any) -> Any:
    raise ValueError(f"not part of the notation: {str(found)[:40]}")
