r"""Find arithmetic expressions such as "23 + 45 = 68" or "\frac{1}{6} \times 36 = 6" in text.

The text is cut into tokens, and an expression is the longest run of them that the grammar
"operand (operator or equals sign, operand)*" allows, where an operand is a number, a LaTeX
fraction, a one-letter variable or a bracketed expression, with a unit of a few words behind it
("3 apples + 4 apples = 7 apples"). One scan, linear in the text's length, never an error.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from cfdapo.problems.numerals import GROUPED, fold

_CURRENCY = r"\\?[$£€¥₹¢]"
_VULGAR = "[¼-¾⅐-⅞]"
_NUMBER = rf"""
    (?:{_CURRENCY}[ ]?)?
    (?:[0-9]++[ ](?!0)[0-9]{{1,2}}+/[0-9]++
      |{GROUPED}(?:\.[0-9]+)?
      |[0-9]++(?::[0-9]{{2}}|\.[0-9]++)?{_VULGAR}?
      |\.[0-9]++
      |{_VULGAR})
    (?:[ ]?\\?%|[°¢²³]|-[A-Za-z]{{2,}})?"""
# Inside "1 (Samuel) + 4 siblings = 5": no digits and no operators.
_REMARK = r"[^()\n0-9+*/×÷=]{0,60}?"
_TOKEN = re.compile(
    rf"""(?P<number>{_NUMBER})
    | (?P<fraction>\\[dtc]?frac\s?(?:\{{[^{{}}\n]{{1,60}}\}}\s?\{{[^{{}}\n]{{1,60}}\}}|[0-9]{{2}})
      |\\sqrt\{{[^{{}}\n]{{1,60}}\}})
    | (?P<unit>\\(?:text(?:bf|rm|it)?|mathrm|mbox|operatorname)\s?\{{[^{{}}\n]{{0,60}}\}}
      |\({_REMARK}[A-Za-z]{{2}}{_REMARK}\))
    | (?P<glue><<[^<>\n]{{0,200}}>>|[ \t\u00a0\u2009\u202f]++|[ \t]*+\n[ \t&]*+(?=[=≈])
      |\\[,;:!\ ()\[\]]|\\q?quad(?![A-Za-z])|\\(?:left|right)(?![A-Za-z])\.?|[&~]|{_CURRENCY}
      |(?<![\s0-9])\*\*|\*\*(?![\s0-9])|(?<=\s)\*\*(?=[0-9])|(?<=[0-9])\*\*(?=\s))
    | (?P<equals>(?:equals|is\ equal\ to|is)(?!\w)|=+|[＝≈≅]|\\(?:approx|equiv|simeq)(?![A-Za-z]))
    | (?P<operator>\\(?:times|cdot|div|ast|pm)(?![A-Za-z])|\*\*|[-+＋×·÷⋅∗*⁄∕^−–]|//?)
    | (?P<article>(?:a|A|I)(?!\w)(?!\s?[-+*×÷/^=)]))
    | (?P<spoken>(?:plus|minus|times|multiplied\ by|divided\ by|of)(?![\w]))
    | (?P<open>[(\[{{])
    | (?P<close>[)\]}}])
    | (?P<word>(?:sq|cu|ft|lbs?|oz|hrs?|mins?)\.(?=\s?[a-z+*×÷/=)–-])
      |[^\W\d_]++(?:['’-][^\W\d_]++)*+)
    | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_OPERANDS = frozenset(("number", "fraction", "close", "variable"))
_WORDS = frozenset(("word", "unit", "article"))
_BETWEEN = frozenset(("operator", "spoken", "equals", "open"))
_MAX_UNIT_WORDS = 8
# A clause begins with one of these: what follows is no unit of the number before it.
_CLAUSE_WORDS = re.compile(
    r"(?:are|was|were|be|been|has|have|had|does|did|will|would|can|could|gets?|gives?|means"
    r"|so|then|which|because|since|as|if|when|where|while|therefore|thus|hence|but"
    r"|i|we|he|she|they|it|you|there|this|these|those)",
    re.IGNORECASE,
)
# A unit does not end with one of these.
_LINKING_WORDS = re.compile(
    r"of|per|for|in|on|at|to|from|and|the|an?|by|with|each|every|more|less", re.IGNORECASE
)


class Expression(NamedTuple):
    """Characters `start` to `end` (exclusive); `spoken` if no part of it is a symbol: 5 plus 3."""

    start: int
    end: int
    spoken: bool


class Side(NamedTuple):
    """One side of an equation, characters `start` to `end` (exclusive).

    `computes`: whether it holds an operation, and is no number or variable alone.
    """

    start: int
    end: int
    computes: bool


class _Token(NamedTuple):
    kind: str
    start: int
    end: int
    text: str


def find_expressions(text: str) -> list[Expression]:
    r"""The arithmetic expressions in `text`, sorted and disjoint.

    An expression has an operation on at least one number. With an equals sign, or "is", any
    operation will do ("48/2 = 24"); without one it must be a sum, product or division sign, as
    "2-3 days", "3/4 cup" and "5 of 7" are quantities and no calculations. An unfinished "48/2 ="
    counts; one in words needs its result ("20% of 50 is 10").
    """
    found = []
    text = fold(text)
    for run in _runs(text):
        if complete := _calculation(run):
            start = complete[0].start
            spoken = all(_is_spoken(token) for token in complete)
            found.append(Expression(start - _has_sign(text, start), complete[-1].end, spoken))
    return found


def find_equations(text: str) -> list[list[Side]]:
    """The sides, from left to right, of each of `find_expressions` that has an equals sign.

    "3 + 4 = 7 = 14 / 2" has three. Numbers have their signs, and a unit counts as an operation
    where it is one letter against its number, as in "3x".
    """
    text = fold(text)
    equations = (_sides(text, _calculation(run)) for run in _runs(text))
    return [sides for sides in equations if len(sides) > 1]


def count_operations(text: str) -> int:
    """How many operations the expressions in `text` hold; equals signs are none.

    "4 + 3 + 2 = 9" has two, a fraction is one, and text without an expression has none.
    """
    complete = map(_calculation, _runs(fold(text)))
    return sum(
        _is_operation(tokens, index, equals=True)
        for tokens in complete
        for index in range(len(tokens))
    )


def _sides(text: str, tokens: list[_Token]) -> list[Side]:
    sides: list[Side] = []
    follows = False  # whether the token goes on with the last side
    for index, token in enumerate(tokens):
        if token.kind == "equals":
            follows = False
            continue
        start = sides.pop() if follows else Side(token.start, token.end, False)
        computes = start.computes or _is_operation(tokens, index, equals=True)
        computes = computes or token.kind == "number" and token.text[-1] in "²³"
        sides.append(Side(start.start, token.end, computes))
        follows = True
    if sides:
        sides[0] = sides[0]._replace(start=sides[0].start - _has_sign(text, sides[0].start))
    return sides


def _has_sign(text: str, start: int) -> bool:
    """Whether a minus sign of its own stands before `start`, and not a list mark or a hyphen."""
    return text[start - 1 : start] in ("-", "−") and not text[max(start - 2, 0) : start - 1].strip()


def _runs(text: str) -> Iterator[list[_Token]]:
    """Maximal runs of tokens that an expression may consist of."""
    run: list[_Token] = []
    depth = 0
    for match in _TOKEN.finditer(text):
        token = _Token(match.lastgroup or "other", match.start(), match.end(), match[0])
        if token.kind == "glue":
            continue
        extended = _extend(run, token, depth) if run else None
        if extended is None:
            if run:
                yield run
            extended, depth = _begin(token), 0
        run = extended
        if run:
            depth += (token.kind == "open") - (token.kind == "close")
    if run:
        yield run


def _begin(token: _Token) -> list[_Token]:
    """The run that `token` begins, empty if it begins none."""
    if token.kind in ("number", "fraction", "open"):
        return [token]
    return [token._replace(kind="variable")] if _is_variable(token) else []


def _is_variable(token: _Token) -> bool:
    return token.kind == "word" and len(token.text) == 1 and token.text.isascii()


def _extend(run: list[_Token], token: _Token, depth: int) -> list[_Token] | None:
    """`run` with `token` behind it (changed in place), None where the grammar forbids it."""
    if run[-1].kind in _BETWEEN:
        accepted = _after_operator(run, token)
    else:
        accepted = _after_operand(run, token, depth)
    if accepted is None:
        return None
    run.append(accepted)
    return run


def _is_unit_x(token: _Token) -> bool:
    """Whether `token` is the x of "6 x 36", which at first looks like a unit."""
    return token.kind == "unit" and token.text in ("x", "X")


def _after_operator(run: list[_Token], token: _Token) -> _Token | None:
    last = run[-1]
    if token.kind in ("number", "fraction", "open") or token.kind == last.kind == "equals":
        return token
    if _is_variable(token):
        return token._replace(kind="variable")
    if last.text in ("/", "of", "times") and run[-2:-1] and run[-2].kind not in _BETWEEN:
        # "$3/hour", "2 cups of flour" and "10 times = 110": units, not operations.
        run[-1] = last._replace(kind="unit")
        return _after_operand(run, token, depth=0)
    if token.kind == "operator" and token.text in "-−–+" and last.kind != "spoken":
        # A sign, but not a second one.
        is_second = run[-2:-1] and run[-2].kind in _BETWEEN and last.kind == "operator"
        return None if is_second else token
    return None


def _after_operand(run: list[_Token], token: _Token, depth: int) -> _Token | None:
    last = run[-1]
    if token.kind == "equals" and token.text == "is":
        return token if any(_is_operation(run, index, True) for index in range(len(run))) else None
    if token.kind in ("operator", "spoken", "equals"):
        return token
    if token.kind == "close":
        return token if depth > 0 else None
    if token.kind in _WORDS and last.kind != "variable":
        clause_begins = _CLAUSE_WORDS.fullmatch(token.text)
        return None if clause_begins or _too_long(run) else token._replace(kind="unit")
    if token.kind in ("number", "fraction", "open") and _is_unit_x(last):
        run[-1] = last._replace(kind="operator")
        return token
    if token.kind == "open" and last.kind != "unit" and last.end == token.start:
        return token
    return None


def _too_long(run: list[_Token]) -> bool:
    tail = run[-_MAX_UNIT_WORDS:]
    return len(tail) == _MAX_UNIT_WORDS and all(token.kind == "unit" for token in tail)


def _calculation(run: list[_Token]) -> list[_Token]:
    """The tokens of the calculation in `run`, empty if it holds none."""
    complete = _trim(run)
    # What is said in words is a calculation only with its result: "one of 3 is red" is none.
    stated = complete if all(_is_spoken(token) for token in run) else run
    equals = any(token.kind == "equals" for token in stated)
    numbers = any(token.kind in ("number", "fraction") for token in complete)
    operations = any(_is_operation(complete, index, equals) for index in range(len(complete)))
    return complete if numbers and operations else []


def _is_spoken(token: _Token) -> bool:
    """Whether `token` is no symbol of an operation or of equality."""
    if token.kind == "equals":
        return token.text[0].isalpha()
    return token.kind not in ("operator", "open", "fraction")


def _trim(run: list[_Token]) -> list[_Token]:
    """`run` without leading brackets that never close and without what follows its last operand.

    Behind the last operand a unit stays if it is written against it or was named before.
    """
    end = len(run)
    while end and run[end - 1].kind not in _OPERANDS:
        end -= 1
    named = {_singular(token.text) for token in run[:end] if token.kind == "unit"}
    while end < len(run) and run[end].kind == "unit":
        if run[end].start != run[end - 1].end and _singular(run[end].text) not in named:
            break
        end += 1
    while end and run[end - 1].kind == "unit" and _LINKING_WORDS.fullmatch(run[end - 1].text):
        end -= 1
    opened = 0
    for token in run[:end]:
        opened += (token.kind == "open") - (token.kind == "close")
    start = 0
    while start < end and opened > 0 and run[start].kind == "open":
        start, opened = start + 1, opened - 1
    return run[start:end]


def _singular(word: str) -> str:
    return word.lower().removesuffix("s")


def _is_operation(run: list[_Token], index: int, equals: bool) -> bool:
    """Whether token `index` of `run` is an operation that makes it a calculation."""
    token = run[index]
    before = run[index - 1] if index else None
    if before is None or before.kind in _BETWEEN:
        return equals and token.kind == "fraction"
    if token.kind == "open":
        return True
    if token.kind == "unit":
        # "3x = 12"
        return equals and before.end == token.start and len(token.text) == 1
    if token.kind == "fraction":
        return equals
    if token.kind in ("operator", "spoken"):
        return equals or (
            token.kind == "operator" and token.text not in ("-", "−", "–", "/", "//", "⁄", "∕", "^")
        )
    return False
