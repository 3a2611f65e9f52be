"""Split text into tokens: numbers with their values, signs of calculation, words and marks.

What is a number by itself, `numerals` says. Here come

- its sign: -5, −5, -$5, $-5, "negative 5", and "minus 5" or "- 5" where nothing stands in front
  that it could be subtracted from;
- its scale: "2 dozen" is 24; but behind the result of a calculation a scale is the unit of all of
  it where an operand has one too, or where the result is right without: "24 / 12 = 2 dozen" is 2;
- letters before it: 赚18, USD18, Rs18, "the score was30" hold a number; MP3, x2 and CO2 are names.

Digits that are joined in another way ("18,50", "5'10") are operands of one expression, so that no
number is ever cut out of them. Work is linear in the text, and no text raises an error.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from cfdapo.problems import number_words
from cfdapo.problems.numerals import (
    CURRENCIES,
    CURRENCY,
    MYRIADS,
    SCALE_LETTERS,
    Read,
    read_money,
    read_scaled,
    read_spaced_groups,
    read_unsigned,
    unit_fraction_end,
)

_LATIN = r"A-Za-z\u00c0-\u036f\u1e00-\u1eff\ufb00-\ufb06"
_LETTERS_BEFORE = re.compile(rf"[{_LATIN}]+\Z|[^\W\d_{_LATIN}]+\Z")
_LONGEST_GLUING = 12
# What is counted: behind digits it tells them from the end of a name, such as MP3.
_COUNTED_BEHIND = re.compile(
    r"[0-9.,]*+(?:[ ]?(?:dollars?|euros?|cents?|pounds?|rupees?|[$€£¥₹%]|\\%)|[^\W\d_]{2})"
)
_WORD_PART = re.compile(r"(?P<digits>[0-9]+)|[^\W0-9]+|'+")
_ENDS_IN_SCALE = re.compile(
    rf"(?:{number_words.SCALE}|[0-9](?:[kKMB]|[bm]n)|[{''.join(MYRIADS)}])\Z", re.IGNORECASE
)
_NUMBER_START = re.compile(
    rf"[0-9.¼-¾⅐-⅞{CURRENCIES}-]"
    r"|\\(?:[dtcs]?frac|nicefrac|\$|text\{-\})|\{-\}|(?i:negative|minus)\b"
)
_SIGN = re.compile(
    r"""(?:-|\{-\}|\\text\{-\})(?P<gap>(?:[ ~]|\\[,;:!\ ])*+)
    | (?P<word>(?i:negative|minus))[ ]?\}?[ ]?(?!-)""",
    re.VERBOSE,
)
_CURRENCY_SIGN = re.compile(rf"\$?{CURRENCY}[ ]?")
_CLOCK = re.compile(r"(?<![0-9:])([0-9]{1,2}):([0-9]{2})(?![0-9:])")
_TIMES_SIGN = re.compile(rf"[xX](?=[ ]?{CURRENCY}?[ ]?\.?[0-9])")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<mark>\*\*+
        |</?(?:b|i|u|em|p|br|h[1-6]|strong|span|div|mark|code|center)(?:\s+[\w-]+=[^<>\n]{0,40})?\s?/?>
        |\\(?:[hv]space\*?|[hv]?phantom|label|tag|(?:eq)?ref|(?:text)?color(?:box)?)
        [ ]?\{[^{}\n]{0,40}\}|\\\\\[[0-9.]+(?:pt|em|ex|mm|cm)\])
    | (?P<equals>=+>?|[≈≅→⇒])
    | (?P<operator>[-+*/×·⋅∗÷^]|(?<=[0-9])[:,.'_](?=[0-9])
      |(?i:plus|minus|times|(?:multiplied|divided)[ ]by)\b)
    | (?P<command>\\[A-Za-z]+)
    | (?P<escape>\\.)
    | (?P<word>[^\W\d_])
    | (?P<pause>[,;](?=\s)|[—，、；。])
    | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMAND_KINDS = {
    **dict.fromkeys(("approx", "simeq", "Rightarrow", "rightarrow", "implies"), "equals"),
    **dict.fromkeys(("times", "cdot", "div", "ast"), "operator"),
    # What stands beside one of these is part of an expression, not a number of its own.
    **dict.fromkeys(("frac", "dfrac", "tfrac", "cfrac", "binom", "sqrt"), "opaque"),
    **dict.fromkeys(("pi", "pm", "log", "ln", "sin", "cos", "tan", "sum", "infty"), "opaque"),
}


def word_set(words: str) -> frozenset[str]:
    """The words of a list with spaces between them."""
    return frozenset(words.split())


# Digits written against one of these are a number of their own.
_CURRENCY_CODES = word_set(
    "USD EUR GBP INR JPY CNY RMB CAD AUD NZD HKD SGD CHF SEK NOK DKK PLN CZK HUF RUB UAH TRY ZAR"
    " NGN KES GHS EGP AED SAR QAR ILS PKR BDT LKR NPR IDR MYR PHP THB VND KRW TWD MXN BRL ARS CLP"
    " COP PEN US Php Rs RS rs Re RM Rp Kr kr Tk KSh Ksh Fr zł Kč"
)
_GLUING_WORDS = word_set(
    "is are was were be been has have had of to for from by at in on with and or so because since"
    " than make makes made earn earns cost costs pay pays get gets give gives gave need needs left"
    " total equals only about sell sells sold spend spends spent save saves buy buys bought him her"
    " them it that answer"
)
# A number may follow one of these, but nothing that it could be subtracted from.
_COPULAS = word_set(
    "is are was were be to of equals at about approximately exactly becomes gives than"
)
# These may stand between the words that announce a value and the value.
_DRESS = word_set(
    "a an about approximately approx around roughly nearly almost exactly precisely only just"
    " simply total of equal equals is be that therefore thus hence still indeed clearly"
    " positive then now always actually definitely"
)
# What may stand between a sign and its number, where a value is expected: -(5), -**5**, -Rs 5.
_CODES = "|".join(sorted(_CURRENCY_CODES, key=len, reverse=True))
_BEHIND_SIGN = re.compile(rf"(?:\*{{1,3}})?(?P<bracket>\()?(?:(?:{_CODES})\.?[ ]?)?")
_OPERATIONS = {
    **dict.fromkeys(("+", "plus"), "+"),
    **dict.fromkeys(("-", "minus"), "-"),
    **dict.fromkeys(("*", "×", "·", "⋅", "∗", "x", "X", "times", "multiplied by"), "*"),
    **dict.fromkeys((r"\times", r"\cdot", r"\ast"), "*"),
    **dict.fromkeys(("/", "÷", r"\div", "divided by"), "/"),
}
_LONGEST_CALCULATION = 40
VARIABLES = frozenset("xyznXYZN")


class Token(NamedTuple):
    """Characters `start` to `end` (exclusive) and what they are; a number has its `value`."""

    kind: str  # number, operator, equals, opaque, word, pause or mark (a mark has no meaning)
    start: int
    end: int
    value: Fraction | None = None


def lex(text: str, start: int = 0, end: int | None = None, states: bool = False) -> list[Token]:
    """Split text[start:end], folded, into tokens; whitespace is left out.

    `states`: where a value is expected at the beginning; there it may also be in words, and have a
    minus sign with a space behind it.
    """
    end = len(text) if end is None else end
    tokens: list[Token] = []
    while start < end:
        token = (
            (_number_word_at(text, start, end) if states else None)
            or _number_at(text, start, end, tokens, states)
            or _symbol_at(text, start, end, tokens)
        )
        if token.kind != "space":
            tokens.append(token)
            states = states and is_dress(text, token)
        start = token.end
    return tokens


def is_dress(text: str, token: Token) -> bool:
    """Whether a token may stand between the words that announce a value and the value."""
    if token.kind == "word":
        word = text[token.start : token.end]
        return word.casefold() in _DRESS or word in _CURRENCY_CODES
    return token.kind in ("mark", "equals")


def beside(tokens: list[Token], index: int, step: int, skip: int = 0) -> Token | None:
    """The nearest token that is no mark, to the left (step -1) or right (+1) of `index`."""
    index += step
    while 0 <= index < len(tokens):
        if tokens[index].kind != "mark":
            if skip == 0:
                return tokens[index]
            skip -= 1
        index += step
    return None


def _number_word_at(text: str, start: int, end: int) -> Token | None:
    read = number_words.read_number(text, start, end) if text[start].isalpha() else None
    return Token("number", start, *read) if read else None


def _number_at(text: str, start: int, end: int, before: list[Token], states: bool) -> Token | None:
    if not _NUMBER_START.match(text, start, end):
        return None  # most tokens are words: this saves the other patterns for each
    if clock := _CLOCK.match(text, start, end):
        hour, minute = clock.groups()
        if minute == "00":  # "at what time?" has the whole hour as its answer
            return Token("number", start, clock.end(), Fraction(int(hour)))
        return Token("opaque", start, clock.end())
    if states and (read := read_spaced_groups(text, start, end)):
        return Token("number", start, *read)
    sign = _SIGN.match(text, start, end)
    if sign and not _is_sign(text, sign, before, states):
        return None
    read = _after_sign(text, sign.end(), end, states) if sign else read_unsigned(text, start, end)
    if read is None:
        return None
    stop, value = read
    if value is None:
        return Token("opaque", start, stop)
    value = -value if sign else value
    letter = SCALE_LETTERS.get(text[stop - 1]) or SCALE_LETTERS.get(text[stop - 2 : stop])
    if letter and text[start] in CURRENCIES and _is_unit(text, before, value / letter):
        return None  # so that the number stands without its currency and its letter
    scaled = read_scaled(text, stop, end, value)
    if scaled[0] != stop and not _is_unit(text, before, value):
        stop, value = scaled
    return Token("number", start, stop, value)


def _is_unit(text: str, before: list[Token], result: Fraction) -> bool:
    """Whether the scale behind a calculation's result is the unit that all of it is in.

    So where an operand has a scale, or the result is right without one: "24 / 12 = 2 dozen".
    """
    terms = _calculation(text, before)
    in_scale = any(_ENDS_IN_SCALE.search(text[term.start : term.end]) for term in terms)
    return in_scale or (bool(terms) and _evaluated(text, terms) == result)


def _calculation(text: str, before: list[Token]) -> list[Token]:
    """The numbers, and operators between them, of the calculation whose equals sign is last."""
    tokens = [t for t in before[-_LONGEST_CALCULATION:] if t.kind not in ("mark", "word")]
    if not tokens or tokens.pop().kind != "equals":
        return []
    terms: list[Token] = []  # from the last to the first
    for token in reversed(tokens):
        if token.kind != ("operator" if len(terms) % 2 else "number"):
            break
        terms.append(token)
    return terms[::-1][1 - len(terms) % 2 :]


def _evaluated(text: str, terms: list[Token]) -> Fraction | None:
    """The value of numbers with operators between them; None with brackets, powers and the like."""
    if "(" in text[terms[0].start : terms[-1].end]:
        return None
    total, product = Fraction(0), terms[0].value or Fraction(0)
    for operator, term in zip(terms[1::2], terms[2::2], strict=True):
        kind = _OPERATIONS.get(text[operator.start : operator.end])
        value = term.value or Fraction(0)
        if kind is None or (kind == "/" and value == 0):
            return None
        if kind in "+-":
            total, product = total + product, value if kind == "+" else -value
        else:
            product = product * value if kind == "*" else product / value
    return total + product


def _is_sign(text: str, sign: re.Match[str], before: list[Token], states: bool) -> bool:
    """Whether a minus is a sign, not the operator of "16-3", "5 -3", "(2)-1" or "5 minus 3"."""
    start, left = sign.start(), beside(before, len(before), -1)
    if sign["word"] and sign["word"][0] in "nN":
        return text[start - 1 : start] != "-"
    if sign["word"] or sign["gap"]:
        if left is None:
            return states
        named = text[left.end : start].rstrip().endswith(":")
        return left.kind == "equals" or named or text[left.start : left.end].lower() in _COPULAS
    if start and text[start - 1].isalnum():
        code = before and text[before[-1].start : before[-1].end] in _CURRENCY_CODES
        if not code and not _is_spaceless(text[start - 1]):
            return False
    if start and text[start - 1] in ")]}%":
        return False
    return left is None or left.kind != "number" or "\n" in text[left.end : start]


def _is_spaceless(letter: str) -> bool:
    """Whether a letter's script puts no spaces between words (Chinese, Japanese, Thai ...).

    Korean counts, as its particles are written against a word.
    """
    return (
        "\u0e00" <= letter <= "\u109f"
        or "\u1780" <= letter <= "\u17ff"
        or ("\u3040" <= letter <= "\ud7ff" or letter >= "\U00020000")
    )


def _after_sign(text: str, start: int, end: int, states: bool) -> Read | None:
    dress = _BEHIND_SIGN.match(text, start, end) if states else None
    if dress and dress.end() > start:
        read = _after_sign(text, dress.end(), end, states=False)
        closes = read and dress["bracket"] and text.startswith(")", read[0], end)
        return (read[0] + 1, read[1]) if read and closes else read
    read = read_money(text, start, end)
    if read is None:
        currency = _CURRENCY_SIGN.match(text, start, end)
        start = currency.end() if currency else start
        read = read_unsigned(text, start, end)
    if read is None and states:
        read = number_words.read_number(text, start, end)
    return read


def _symbol_at(text: str, start: int, end: int, before: list[Token]) -> Token:
    previous = before[-1] if before else None
    if previous and previous.kind == "number" and _TIMES_SIGN.match(text, start, end):
        return Token("operator", start, start + 1)
    match = _TOKEN.match(text, start, end)
    if match is None:  # a lone backslash at the end of the range
        return Token("mark", start, start + 1)
    kind = match.lastgroup or "mark"
    if kind == "command":
        if unit_end := unit_fraction_end(text, start, end):
            return Token("mark", start, unit_end)
        kind = _COMMAND_KINDS.get(match[0][1:], "mark")
    elif kind == "word":
        return Token(kind, start, _word_end(text, start, end))
    elif kind in ("escape", "other"):
        kind = "mark"
    return Token(kind, start, match.end())


def _word_end(text: str, start: int, end: int) -> int:
    """Where a word ends: its digits belong to it unless they are a number of their own."""
    stop = start
    while part := _WORD_PART.match(text, stop, end):
        if part["digits"]:
            earliest = max(start, stop - _LONGEST_GLUING)
            letters = _LETTERS_BEFORE.search(text, earliest, stop)
            counted = _COUNTED_BEHIND.match(text, stop, end)
            if letters and _splits(letters[0], counted is not None):
                break
        stop = part.end()
    return stop


def _splits(letters: str, counted: bool) -> bool:
    """Whether digits behind these letters are a number: USD18, was30 and 赚18, not MP3 or π2.

    `counted`: whether they say how many there are of something, as in "gagne18dollars".
    """
    if counted and len(letters) > 2:
        return True
    if re.match(rf"[{_LATIN}]", letters):
        code = letters.upper() if len(letters) > 2 else letters
        known = letters in _CURRENCY_CODES or code in _CURRENCY_CODES
        return known or letters.casefold() in _GLUING_WORDS
    return len(letters) > 1 or letters > "\u03ff"
