r"""Find, normalise and compare final answers: the one grader of training and evaluation.

An answer is *stated* by ``#### x``, ``\boxed{x}``, "the answer is x", "Final answer: x",
"Answer: x", "A: x", ``<answer>x</answer>``, or by bold type in the last line that holds a number.
The last statement in the text counts; a text without one is graded by its last number.
Numbers are compared exactly, as fractions. Every function takes any text, never raises, and does
work linear in the text's length.
"""

import re
import unicodedata
from bisect import bisect_left
from fractions import Fraction
from typing import NamedTuple

# Longer numerals are kept as text: converting digits to an integer is not linear in their count.
_MAX_NUMERAL = 200

_MINUS = "-−–"
_SLASH = "[/⁄∕]"
_CURRENCY = r"\\?[$€£¥₹]"
# Thousands separators: 1,234  1{,}234  1,\!234  1\,234 and the two thin spaces.
_SEPARATOR = r"(?:,\\!|\{,\}|,|\\,|[\u202f\u2009])"
_INTEGER = rf"(?>[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])|[0-9]+)"
_DECIMAL = rf"(?>(?:{_INTEGER}(?:\.[0-9]+)?|(?<![\w.])\.[0-9]+)(?:[eE][-+]?[0-9]{{1,2}}(?![\w.]))?)"
_BRACED = rf"\{{[ ]?(?P<{{name}}>[{_MINUS}]?{_DECIMAL})[ ]?\}}|(?P<{{name}}_digit>[0-9])"
_LATEX_FRACTION = (
    rf"\\[dtc]?frac[ ]?(?:{_BRACED.replace('{name}', 'over')})"
    rf"[ ]?(?:{_BRACED.replace('{name}', 'under')})"
)
_PLAIN_FRACTION = rf"(?P<top>{_DECIMAL})[ ]?{_SLASH}[ ]?(?P<bottom>{_DECIMAL})"
_GAP = r"(?:[ \u00a0]{1,2}|\\[ ,;]|~|[ ]and[ ])"
_SIGN = rf"(?:(?P<sign>[{_MINUS}])(?:{_CURRENCY})?)?"
_FRACTION = re.compile(
    rf"{_SIGN}(?:(?:(?P<whole>{_INTEGER}){_GAP})?{_PLAIN_FRACTION}"
    rf"|(?:(?P<units>{_INTEGER}){_GAP}?)?(?:{_LATEX_FRACTION}|(?P<vulgar>[¼-¾⅐-⅞])))"
)
_PLAIN_NUMBER = re.compile(rf"{_SIGN}(?P<decimal>{_DECIMAL})")
_NUMBER_START = re.compile(rf"[0-9.¼-¾⅐-⅞{_MINUS}]|\\[dtc]?frac")
_CLOCK = re.compile(r"(?<![0-9:])([0-9]{1,2}):([0-9]{2})(?![0-9:])")
_TIMES_SIGN = re.compile(rf"[xX](?=[ ]?(?:{_CURRENCY})?[ ]?\.?[0-9])")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<mark>\*\*+)
    | (?P<equals>=+>?|[≈≅→⇒])
    | (?P<operator>[-+*/×·⋅∗÷^−–]|(?<=[0-9]):(?=[0-9]))
    | (?P<command>\\[A-Za-z]+)
    | (?P<escape>\\.)
    | (?P<word>[^\W\d_][\w'’]*)
    | (?P<pause>[,;](?=\s)|—)
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
_VARIABLES = frozenset("xyznXYZN")
# A clause "18, because 3 * 6 = 18" is no equation chain: these words end the chain's left side.
_CHAIN_STOPS = frozenset(
    ("because", "since", "which", "as", "so", "by", "where", "if", "when", "with", "from")
    + ("after", "given", "for", "and", "but")
)

# The gap in "the answer to the question is" is bounded, so that no text takes quadratic work.
_MARKER = re.compile(
    r"""(?P<hashes>\#{4,})
    | (?P<tag><answer>)
    | ^[ \t>*]{0,8}(?P<letter>(?-i:A))[ \t*]{0,4}:
    | ^[ \t\#*_>]{0,12}(?P<heading>(?:final[ ])?answer)[ \t*_\#]{0,6}$
    | (?P<final>\bfinal\s{1,3})?(?<!/)(?<!\bper\s)\banswer(?:s(?=\sare\b))?
      (?:\s(?:to|for|of|in)\b[^.:=\n?!]{0,80}?|\s?\([^()\n]{0,40}\)
        |,?\s(?:therefore|thus|then|hence),?)?
      ["'`*_\s]{0,6}
      (?:(?P<colon>[:=：])
        |(?<=[\s"'`*_])(?P<copula>is|are|equals|comes\sto|comes\sout\sto
          |(?:would|should|will|must)\sbe)\b(?!\s{1,3}not\b))""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_LEAD = re.compile(r"(?:[\s*_:>\"'`~$]|\\[\[(])*+")
_CLAUSE_END = re.compile(
    r"\n|</answer>|(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bRs)(?<!\bMrs)[.!?](?=\s)"
)
_BOX = re.compile(r"(?:boxed|fbox)\s{0,3}\{")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_WORD_ANSWER = re.compile(r"\W*+(yes|no|true|false)\W*+", re.IGNORECASE)
_LIST_NUMBER = re.compile(r"[ ]{0,4}\*{0,2}[0-9]{1,2}[.):]\*{0,2}(?:[ ]|$)")
_BULLET = re.compile(r"[ ]{0,4}[-*•][ ]")
_REST_OF_LINE = re.compile(r"[ \t]*+[^\s]")
_SECTION = re.compile(r"\W*(?:step|part|case|method|option|problem|question|example)\b", re.I)
_BOLD_OR_NEWLINE = re.compile(r"\*\*|\n")
_MAX_UNIT_WORDS = 3

Range = tuple[int, int]


def extract_answer(text: str) -> str | None:
    """The normalised final answer: the stated one, else the last number, else None."""
    found = find_stated_answer(text) or _last_number(text)
    return (normalise(text[slice(*found)]) or None) if found else None


def is_correct(text: str, gold: str) -> bool:
    """Whether the final answer of `text` equals `gold` (equations 1 and 2: the binary reward)."""
    extracted = extract_answer(text)
    return extracted is not None and equal(extracted, gold)


def equal(a: str, b: str) -> bool:
    """Whether two answers are the same number exactly, or else the same text."""
    return normalise(a) == normalise(b)


def normalise(value: str) -> str:
    r"""One spelling for each answer; idempotent.

    Units, currency, percent signs, thousands separators and LaTeX dress are dropped: a number
    becomes "18", "-5", "0.5" where the decimal ends and "1/3" where it does not. What is not one
    number ("x+1", "yes", "3 \times 4") becomes stripped, casefolded text.
    """
    number = _whole_value(value)
    if number is not None and number.value is not None:
        return _spell(number.value)
    return " ".join(value.split()).strip(" $.").casefold()


def find_stated_answer(text: str) -> Range | None:
    r"""Characters [start, end) of the value in the last statement of the answer, or None.

    A number's range holds its sign, but neither a leading currency sign nor its unit ("18.00" of
    "#### $18.00 a day"); any other boxed answer is the box's content. A marker that nothing
    parseable follows, as where a completion was cut, is no statement.
    """
    last_number = _last_number(text)
    bold = _bold_contents(text)
    explicit = [_last_boxed(text), _last_marked(text, bold, last_number)]
    stated = max((found for found in explicit if found), default=None)
    return _bold_conclusion(text, bold, last_number, stated) or stated


class _Token(NamedTuple):
    kind: str  # number, operator, equals, opaque, word, pause or mark (a mark has no meaning)
    start: int
    end: int
    value: Fraction | None = None


def _lex(text: str, start: int = 0, end: int | None = None) -> list[_Token]:
    """Split text[start:end] into tokens; whitespace is left out."""
    end = len(text) if end is None else end
    tokens: list[_Token] = []
    while start < end:
        token = _number_at(text, start, end, tokens) or _symbol_at(text, start, end, tokens)
        if token.kind != "space":
            tokens.append(token)
        start = token.end
    return tokens


def _number_at(text: str, start: int, end: int, before: list[_Token]) -> _Token | None:
    if not _NUMBER_START.match(text, start, end):
        return None  # most tokens are words: this saves three patterns for each
    if clock := _CLOCK.match(text, start, end):
        hour, minute = clock.groups()
        if minute == "00":  # "at what time?" has the whole hour as its answer
            return _Token("number", start, clock.end(), Fraction(int(hour)))
        return _Token("opaque", start, clock.end())
    for pattern in (_FRACTION, _PLAIN_NUMBER):
        match = pattern.match(text, start, end)
        if match is None or (match["sign"] and not _may_be_signed(text, start, before)):
            continue
        if match.end() - start > _MAX_NUMERAL:
            return _Token("opaque", start, match.end())
        value = _value_of(match)
        if value is not None:
            return _Token("number", start, match.end(), value)
    return None


def _may_be_signed(text: str, start: int, before: list[_Token]) -> bool:
    """Whether a minus at `start` is a sign, not the operator of "16-3", "5 -3" or "(2)-1"."""
    if start and (text[start - 1].isalnum() or text[start - 1] in ")]}%"):
        return False
    left = _beside(before, len(before), -1)
    return left is None or left.kind != "number" or "\n" in text[left.end : start]


def _value_of(match: re.Match[str]) -> Fraction | None:
    """The exact value of a numeral, or None: a zero denominator, "48 48/2" as a mixed number."""
    groups = match.groupdict()
    sign = -1 if groups["sign"] else 1
    if "decimal" in groups:
        return sign * _decimal(groups["decimal"])
    if groups["vulgar"]:
        over, under = unicodedata.normalize("NFKC", groups["vulgar"]).split("⁄")
    else:
        over = groups["top"] or groups["over"] or groups["over_digit"]
        under = groups["bottom"] or groups["under"] or groups["under_digit"]
    denominator = _decimal(under)
    if denominator == 0:
        return None
    part = _decimal(over) / denominator
    whole = groups["whole"] or groups["units"]
    if whole is None:
        return sign * part
    return sign * (_decimal(whole) + part) if 0 < part < 1 else None


def _decimal(numeral: str) -> Fraction:
    plain = re.sub(r"[^0-9.eE+\-−–]", "", numeral)
    return Fraction(plain.replace("−", "-").replace("–", "-"))


def _symbol_at(text: str, start: int, end: int, before: list[_Token]) -> _Token:
    previous = before[-1] if before else None
    if previous and previous.kind == "number" and _TIMES_SIGN.match(text, start, end):
        return _Token("operator", start, start + 1)
    match = _TOKEN.match(text, start, end)
    if match is None:  # a lone backslash at the end of the range
        return _Token("mark", start, start + 1)
    kind = match.lastgroup or "mark"
    if kind == "command":
        kind = _COMMAND_KINDS.get(match[0][1:], "mark")
    elif kind in ("escape", "other"):
        kind = "mark"
    return _Token(kind, start, match.end())


def _spell(value: Fraction) -> str:
    """Spell a number as "18", as "0.5" where its decimal ends, else as "1/3"."""
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places == 0:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _beside(tokens: list[_Token], index: int, step: int, skip: int = 0) -> _Token | None:
    """The nearest token that is no mark, to the left (step -1) or right (+1) of `index`."""
    index += step
    while 0 <= index < len(tokens):
        if tokens[index].kind != "mark":
            if skip == 0:
                return tokens[index]
            skip -= 1
        index += step
    return None


def _in_expression(text: str, tokens: list[_Token], index: int) -> bool:
    """Whether the number at `index` is an operand, as 3 and 4 of "3 * 4" or 2 of "2x"."""

    def is_operand(token: _Token | None) -> bool:
        return token is not None and (
            token.kind == "number"
            or (token.kind == "word" and text[token.start : token.end] in _VARIABLES)
        )

    for step in (-1, 1):
        near, far = _beside(tokens, index, step), _beside(tokens, index, step, skip=1)
        if near is None:
            continue
        if near.kind == "opaque" or (near.kind == "operator" and is_operand(far)):
            return True
        if step == 1 and near.start == tokens[index].end and is_operand(near):
            return True
    return False


def _numbers(text: str, tokens: list[_Token]) -> list[int]:
    """Indices of the numbers that are not exponents (the 2 of "15 cm^2")."""

    def is_exponent(index: int) -> bool:
        left = _beside(tokens, index, -1)
        return left is not None and text[left.start : left.end] == "^"

    return [i for i, token in enumerate(tokens) if token.kind == "number" and not is_exponent(i)]


def _results(text: str, tokens: list[_Token], numbers: list[int]) -> list[int]:
    """Indices of the numbers that follow an equals sign and are no operand."""
    results = []
    for index in numbers:
        left = _beside(tokens, index, -1)
        if left is not None and left.kind == "equals" and not _in_expression(text, tokens, index):
            results.append(index)
    return results


def _is_chain(text: str, tokens: list[_Token], first: int) -> bool:
    """Whether the first number of a clause belongs to the left side of its first equation."""
    for index, token in enumerate(tokens):
        if token.kind == "equals":
            return True
        word = text[token.start : token.end].casefold()
        if index > first and (token.kind == "pause" or word in _CHAIN_STOPS):
            return False
    return False


def _clause_value(text: str, tokens: list[_Token]) -> _Token | None:
    """The number that a clause states: its equation's last result, else its first number.

    A clause that only holds an unevaluated expression states that expression, as text.
    """
    numbers = _numbers(text, tokens)
    if not numbers:
        return None
    results = _results(text, tokens, numbers)
    if results and _is_chain(text, tokens, numbers[0]):
        return tokens[results[-1]]
    for index in numbers:
        if not _in_expression(text, tokens, index):
            return tokens[index]
    last = max(i for i, token in enumerate(tokens) if token.kind == "number")
    return _Token("opaque", tokens[numbers[0]].start, tokens[last].end)


def _whole_value(text: str, start: int = 0, end: int | None = None) -> _Token | None:
    """The one number that a value (a box's content, a gold answer) consists of, or None."""
    tokens = _lex(text, start, end)
    kinds = {token.kind for token in tokens}
    numbers = _numbers(text, tokens)
    results = _results(text, tokens, numbers)
    if results and "pause" not in kinds:
        return tokens[results[-1]]
    if "opaque" in kinds or len(numbers) != 1 or _in_expression(text, tokens, numbers[0]):
        return None
    number = tokens[numbers[0]]
    left = _beside(tokens, numbers[0], -1)
    spaced_minus = left is not None and text[left.start : left.end] in tuple(_MINUS)
    if left is not None and spaced_minus and _beside(tokens, numbers[0], -1, skip=1) is None:
        return number._replace(start=left.start, value=-(number.value or 0))
    return number


def _last_number(text: str) -> Range | None:
    """The last number in the text; read line by line from the end, as no number spans lines."""
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        tokens = _lex(text, start, end)
        if numbers := _numbers(text, tokens):
            return tokens[numbers[-1]].start, tokens[numbers[-1]].end
        end = start - 1
    return None


def _last_boxed(text: str) -> Range | None:
    r"""The value of the last closed ``\boxed{}`` that is not empty."""
    close_of: dict[int, int] = {}
    opened: list[int] = []
    for brace in _BRACES.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            close_of[opened.pop()] = brace.start()
    for box in reversed(list(_BOX.finditer(text))):
        start, end = box.end(), close_of.get(box.end() - 1, box.end())
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start < end:
            number = _whole_value(text, start, end)
            return (number.start, number.end) if number else (start, end)
    return None


def _last_marked(text: str, bold: list[Range], last_number: Range | None) -> Range | None:
    """The value after the last marker ("####", "the answer is", "A:" …) that states one."""
    limit = len(text)
    for marker in reversed(list(_MARKER.finditer(text))):
        if found := _after_marker(text, marker, limit, bold, last_number):
            return found
        # A clause ends where the next marker begins, so no character is read twice.
        limit = marker.start()
    return None


def _after_marker(
    text: str, marker: re.Match[str], limit: int, bold: list[Range], last_number: Range | None
) -> Range | None:
    start, end = _clause(text, marker, limit)
    if _BOX.search(text, start, end) or _is_list(text, marker, start, limit):
        return None  # a box is a statement of its own; a list is the solution
    if word := _WORD_ANSWER.fullmatch(text, start, end):
        return word.span(1)
    tokens = _lex(text, start, end)
    value = _bold_value(text, bold, marker.end(), end) or _clause_value(text, tokens)
    if value is None:
        return None
    if marker["hashes"]:
        is_statement = _is_direct(tokens)
    elif _is_strong(marker) or (_is_direct(tokens) and _is_short(tokens)):
        is_statement = True
    else:
        # "Answer:" may introduce a whole solution; then its first sentence states nothing.
        is_statement = last_number is not None and last_number[0] < end
        results = _results(text, tokens, _numbers(text, tokens))
        value = tokens[results[-1]] if results else value
    return (value.start, value.end) if is_statement else None


def _clause(text: str, marker: re.Match[str], limit: int) -> Range:
    """What a marker introduces: to the end of the sentence or line, on the next line if need be."""
    start = marker.end()
    # What stands below a Markdown heading "####" is not its value.
    if not marker["hashes"] and (lead := _LEAD.match(text, start, limit)):
        start = lead.end()
    stop = _CLAUSE_END.search(text, start, limit)
    return start, (stop.start() if stop else limit)


def _is_strong(marker: re.Match[str]) -> bool:
    """Whether a marker introduces nothing but the answer: not so "Answer:", "A:", "# Answer"."""
    heading = (marker["heading"] or "").casefold()
    return bool(marker["copula"] or marker["final"] or marker["tag"] or heading[:5] == "final")


def _is_direct(tokens: list[_Token]) -> bool:
    """Whether a number comes before any word."""
    kinds = [token.kind for token in tokens if token.kind in ("number", "word")]
    return bool(kinds) and kinds[0] == "number"


def _is_short(tokens: list[_Token]) -> bool:
    """Whether a clause is one number and at most a unit."""
    kinds = [token.kind for token in tokens]
    return kinds.count("number") == 1 and kinds.count("word") <= _MAX_UNIT_WORDS


def _is_list(text: str, marker: re.Match[str], start: int, limit: int) -> bool:
    """Whether a list's first item follows: "#### 1. Count the eggs", "Answer:" above "- 9 eggs"."""
    line_start = text.rfind("\n", marker.end(), start) + 1
    if marker["hashes"]:
        item = _LIST_NUMBER.match(text, start, limit)
    elif line_start:
        item = _LIST_NUMBER.match(text, line_start, limit) or _BULLET.match(text, line_start, limit)
    else:
        return False
    return item is not None and _REST_OF_LINE.match(text, item.end(), limit) is not None


def _bold_contents(text: str) -> list[Range]:
    """Ranges of all bold contents, in order; bold type ends with its line at the latest."""
    contents: list[Range] = []
    opened: int | None = None
    for mark in _BOLD_OR_NEWLINE.finditer(text):
        if mark[0] == "\n":
            opened = None
        elif opened is None:
            opened = mark.end()
        else:
            contents.append((opened, mark.start()))
            opened = None
    return contents


def _bold_within(bold: list[Range], start: int, end: int) -> list[Range]:
    """The bold contents that lie in [start, end)."""
    first, last = bisect_left(bold, (start, start)), bisect_left(bold, (end, end))
    return [content for content in bold[first:last] if content[1] <= end]


def _bold_value(text: str, bold: list[Range], start: int, end: int) -> _Token | None:
    """The value of the first bold type with a number in a clause: that is what it stresses."""
    for content in _bold_within(bold, start, end):
        if value := _clause_value(text, _lex(text, *content)):
            return value
    return None


def _bold_conclusion(
    text: str, bold: list[Range], last_number: Range | None, stated: Range | None
) -> Range | None:
    """The last bold number of the last line that holds a number, if no statement is there."""
    if last_number is None:
        return None
    line_start = text.rfind("\n", 0, last_number[0]) + 1
    if stated and stated[1] > line_start:
        return None
    line_end = text.find("\n", last_number[1])
    line_end = len(text) if line_end < 0 else line_end
    for start, end in reversed(_bold_within(bold, line_start, line_end)):
        if _is_label(text, start, end, line_end):
            continue
        # "**Total for 5 days: 18**" states what follows the colon.
        colon = text.rfind(": ", start, end)
        if value := _clause_value(text, _lex(text, max(start, colon + 1), end)):
            return (value.start, value.end)
    return None


def _is_label(text: str, start: int, end: int, line_end: int) -> bool:
    """Whether bold type names what follows it: "**Step 3:**", "**2.** Add", "**Total**: 18"."""
    content, after = text[start:end], text[end + 2 : line_end].strip()
    if content.rstrip().endswith(":") or after.startswith(":"):
        return True
    number = _LIST_NUMBER.match(content)
    if number is not None and (number.end() < len(content) or after):
        return True
    return _SECTION.match(content) is not None and "=" not in content and ": " not in content
