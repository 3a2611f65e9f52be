r"""Split text into numbers, signs of calculation and words; the numbers as people and models write.

Read as one number each, with its exact value:

- digits of any script, also behind letters: 18美元, 她赚18, USD18, Rs18, "the score was30"; but not
  those of a name such as MP3, x2 or CO2;
- grouped digits: 1,234 and India's 1,00,000; 1{,}234, 1\text{,}234, 1,\!234; with any kind of
  space, 1 234, 1\,234, 1~234; 1'234, 1_234, 1.234.567, 1.234,56. The number "1 234" is two where a
  list, a unit written against it or a hyphen says so: "2 4 64 128", "12 200-kilobyte files";
- decimals (1.5, .5, 18,50 € as a comma is ambiguous elsewhere), powers of ten (1.8 \times 10^4,
  1.8e4), fractions (3/4, \frac{3}{4}, \frac34, ½) whose parts may be dressed
  (\frac{\text{36}}{2}), mixed numbers (1 3/4, 1\frac{3}{4}, 1½, "5 and a half");
- scales: 1.8 million, 2 dozen, 5 lakh, 3万, and after a currency sign $1.2k, $3M, $2bn. Elsewhere a
  letter is a unit: 5k is a run, 3m a length. Behind the result of a calculation a scale is its
  unit where an operand has one too, or where the result is right without: "24 / 12 = 2 dozen" is 2;
- "18 dollars and 50 cents";
- signs: -5, −5, -$5, $-5, "negative 5", and "minus 5" or "- 5" where nothing stands in front that
  it could be subtracted from.

Digits that are joined in another way ("18,50", "5'10") are parts of one expression, so that no
number is ever cut out of them. Work is linear in the text, and no text raises an error.
"""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from cfdapo.problems import number_words

# Longer numerals are kept as text: converting digits to an integer is not linear in their count.
_MAX_NUMERAL = 200
# Longest content of a fraction's braces, for the same reason.
_MAX_GROUP = 80

_MINUS_SIGNS = "‐‑‒–−﹣－➖"
_APOSTROPHES = "‘’ʼ′＇"
# Chinese and Japanese commas and full stops keep their meaning.
_WIDE = dict(zip("＃＄％＊＋．／：＝＾＿￡￥", "#$%*+./:=^_£¥", strict=True))
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


class _Folded(dict[int, str]):
    """The plain character for each code point, found when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Nd":
            plain = str(unicodedata.decimal(character))
        elif category == "Zs" or character in _INVISIBLE:
            plain = " "
        elif character in _MINUS_SIGNS:
            plain = "-"
        elif character in _APOSTROPHES:
            plain = "'"
        else:
            plain = {"٫": ".", "٬": ",", **_WIDE}.get(character, character)
        self[code] = plain
        return plain


_FOLDED = _Folded()


def fold(text: str) -> str:
    """`text` with plain digits, spaces, minus signs and apostrophes, each in its own place."""
    return text if text.isascii() else text.translate(_FOLDED)


_CURRENCIES = "$€£¥₹₩₫₱฿₽₪₦₺₴₿"
CURRENCY = rf"(?:(?:US|AU|CA|NZ|HK|[ACRS])?\\?[{_CURRENCIES}])"
_LATEX_SPACE = (
    r"(?:\\[,;:! ]|~|\\(?:thin|med|thick)space[ ]?|\{\\[,;:! ]\}|\\text\{[ ]\}"
    r"|&(?:nbsp|thinsp);)"
)
_COMMA = (
    r"(?:,(?:\\[!,;: ]|\{\})?|[ ]?\{[ ]?,[ ]?\}"
    r"|\\(?:text|mathord|mathpunct|mathrm|mbox)\{[ ]?,[ ]?\})"
)
# Groups are bounded in number, so that a list of them takes no quadratic work.
_LEAD = r"[1-9][0-9]{0,2}"
# Digits in groups, in a verbose pattern or not.
GROUPED = (
    rf"(?>(?<![0-9],){_LEAD}(?:{_COMMA}[0-9]{{3}}){{1,20}}(?!,?[0-9])"
    rf"|(?<![0-9],)[1-9][0-9]?(?:{_COMMA}[0-9]{{2}}){{1,20}}{_COMMA}[0-9]{{3}}(?!,?[0-9])"
    rf"|{_LEAD}(?:{_LATEX_SPACE}[0-9]{{3}}){{1,20}}(?![0-9])"
    # A group with a zero in front is no number of its own.
    rf"|{_LEAD}(?:[ ][0-9]{{3}}){{0,6}}[ ]{{1,2}}0[0-9]{{2}}(?:[ ][0-9]{{3}}){{0,6}}(?![0-9])"
    rf"|{_LEAD}(?:[ ]?,[ ]?[0-9]{{3}}){{0,6}}[ ]?,[ ]?0[0-9]{{2}}(?:[ ]?,[ ]?[0-9]{{3}}){{0,6}}"
    r"(?!,?[0-9])"
    rf"|(?<![0-9][ ]){_LEAD}(?:[ ][1-9][0-9]{{2}}){{1,6}}(?!-?[^\W\d_]|[0-9]|[ ][0-9])"
    rf"|{_LEAD}(?:'[0-9]{{3}}){{1,20}}(?!'?[0-9])"
    rf"|{_LEAD}(?:\\?_[0-9]{{3}}){{1,20}}(?!_?[0-9])"
    rf"|{_LEAD}(?:\.[0-9]{{3}}){{2,20}}(?!\.?[0-9]))"
)
_NUMERAL = re.compile(
    rf"""(?P<whole>{_LEAD}(?:(?:\.[0-9]{{3}}){{1,20}}|(?:[ ][0-9]{{3}}){{1,6}}))
      ,(?P<cents>[0-9]{{1,2}})(?![0-9,])
    | (?>(?>{GROUPED}|[0-9]+)(?:\.[0-9]+)?|(?<![\w.])\.[0-9]+)
      (?:[eE][-+]?[0-9]{{1,2}}(?![\w.]))?""",
    re.VERBOSE,
)
# Where nothing else is stated: "1, 234".
_SPACED_GROUPS = re.compile(rf"{_LEAD}(?:,[ ][0-9]{{3}})+(?=\W*\Z)")
_DIGITS = re.compile(r"[0-9]+")
_LATIN = r"A-Za-z\u00c0-\u036f\u1e00-\u1eff\ufb00-\ufb06"
_LETTERS_BEFORE = re.compile(rf"[{_LATIN}]+\Z|[^\W\d_{_LATIN}]+\Z")
_LONGEST_GLUING = 12
# What is counted: behind digits it tells them from the end of a name, such as MP3.
_COUNTED_BEHIND = re.compile(
    r"[0-9.,]*+(?:[ ]?(?:dollars?|euros?|cents?|pounds?|rupees?|[$€£¥₹%]|\\%)|[^\W\d_]{2})"
)
_WORD_PART = re.compile(r"(?P<digits>[0-9]+)|[^\W0-9]+|'+")
# With its currency: a comma between two numbers may mean other things.
_CENTS = re.compile(
    r"(?:[€£]|\\\$)[ ]?(?P<money>[0-9]+),(?P<money_cents>[0-9]{2})(?![0-9,.])"
    r"|(?P<whole>[0-9]+),(?P<cents>[0-9]{2})[ ]?(?:€|EUR\b|euros?\b)"
)
_CENTS_BEHIND = re.compile(r"(?:[ ]dollars?)?[ ](?:and[ ])?(?P<cents>[0-9]{1,2})[ ]cents?\b")
_THOUSANDS_OF_MONEY = re.compile(
    rf"{CURRENCY}[ ]?(?P<numeral>[0-9][0-9,.]*+)(?P<letter>[kKMB]|[bm]n)(?![\w$^]|[ ]?[-+*/=])"
)
_LETTERS = {"k": 10**3, "K": 10**3, "M": 10**6, "mn": 10**6, "B": 10**9, "bn": 10**9}
_MYRIADS = {**dict.fromkeys("万萬만", 10**4), **dict.fromkeys("亿億억", 10**8)}

_SLASH = re.compile(r"[ ]?[/⁄∕][ ]?")
_GAP = re.compile(
    r"[ ]and[ ]|[ ]?\\text\{[ ]?and[ ]?\}[ ]?|[ ]{1,2}(?:\\[ ,;:!])?|\\[ ,;:!]|~|\{\}"
)
_FRACTION = re.compile(r"\\(?:[dtcs]?frac|nicefrac)[ ]?")
_VULGAR = re.compile(r"[¼-¾⅐-⅞]")
_GROUP = re.compile(r"[0-9]|\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_UNIT = re.compile(
    r"(?:\\(?:text|mathrm|mbox|textrm|textbf|operatorname)[ ]?\{[^{}0-9\\]*+\}"
    r"|\\[,;:! $%]|\\(?:cdot|times)|[ $€£%.~]|[A-Za-z]{2,}+|[mshgLldt]\b|\^(?:[0-9]|\{[0-9]\}))++"
)
_SPACES = r"(?:\s|\\[,;:!\ ])*+"
_TIMES = r"(?:\\times|\\cdot|[×·⋅*xX]|\\text\{[ ]?[x×][ ]?\})"
_TIMES_TEN = re.compile(rf"{_SPACES}{_TIMES}{_SPACES}(?=10(?!\.?[0-9]))")
_EXPONENT = re.compile(
    r"""10[ ]?(?:(?:\^|\*\*)[ ]?
      (?:\{[ ]?(?P<braced>[-+]?[0-9]{1,2})[ ]?\}|(?P<plain>[-+]?[0-9]{1,2}(?!\.?[0-9])))
    |(?P<raised>[⁺⁻]?[⁰¹²³⁴-⁹]{1,2}))""",
    re.VERBOSE,
)
_PART_GAP = re.compile(r"(?:\\text\{)?(?=[ ]and[ ])")
_SCALE = re.compile(
    rf"(?:[ ]?\\(?:text|mathrm|mbox|textbf|textrm)[ ]?\{{[ ]?|\\[ ,;:]|[ ]{{1,2}}|[-~])"
    rf"(?P<scale>{number_words.SCALE})\b",
    re.IGNORECASE,
)
_ENDS_IN_SCALE = re.compile(
    rf"(?:{number_words.SCALE}|[0-9](?:[kKMB]|[bm]n)|[{''.join(_MYRIADS)}])\Z", re.IGNORECASE
)
_LESSER = re.compile(r"[ ](?:and[ ])?(?P<count>[0-9]{1,3})[ ]thousand\b", re.IGNORECASE)

_NUMBER_START = re.compile(
    rf"[0-9.¼-¾⅐-⅞{_CURRENCIES}-]"
    r"|\\(?:[dtcs]?frac|nicefrac|\$|text\{-\})|\{-\}|[Nn]egative\b|[Mm]inus\b"
)
_SIGN = re.compile(
    r"""(?:-|\{-\}|\\text\{-\})(?P<gap>(?:[ ]|\\[,;:!\ ])*+)
    | (?P<word>[Nn]egative|[Mm]inus)[ ]?\}?[ ]?(?!-)""",
    re.VERBOSE,
)
_CURRENCY_SIGN = re.compile(rf"\$?{CURRENCY}[ ]?")
_CLOCK = re.compile(r"(?<![0-9:])([0-9]{1,2}):([0-9]{2})(?![0-9:])")
_TIMES_SIGN = re.compile(rf"[xX](?=[ ]?{CURRENCY}?[ ]?\.?[0-9])")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<mark>\*\*+|\\(?:[hv]space\*?|[hv]?phantom|label|tag|(?:eq)?ref|(?:text)?color(?:box)?)
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
    " COP PEN US Rs RS rs Re RM Rp Kr kr Tk KSh Ksh Fr zł Kč"
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
)
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


# Where what was read ends, and its value; None where it is too long to be one.
_Read = tuple[int, Fraction | None]


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
    if states and (groups := _SPACED_GROUPS.match(text, start, end)):
        return Token("number", start, groups.end(), _decimal(groups))
    sign = _SIGN.match(text, start, end)
    if sign and not _is_sign(text, sign, before, states):
        return None
    read = _after_sign(text, sign.end(), end, states) if sign else _unsigned(text, start, end)
    if read is None:
        return None
    stop, value = read
    if value is None:
        return Token("opaque", start, stop)
    if cents := _CENTS_BEHIND.match(text, stop, end):
        stop, value = cents.end(), value + Fraction(int(cents["cents"]), 100)
    value = -value if sign else value
    letter = _LETTERS.get(text[stop - 1])
    if letter and text[start] in _CURRENCIES and _is_unit(text, before, value / letter):
        return None  # so that the number stands without its currency and its letter
    scaled = _scaled(text, end, stop, value)
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


def _after_sign(text: str, start: int, end: int, states: bool) -> _Read | None:
    read = _money(text, start, end)
    if read is None:
        currency = _CURRENCY_SIGN.match(text, start, end)
        start = currency.end() if currency else start
        read = _unsigned(text, start, end)
    if read is None and states:
        read = number_words.read_number(text, start, end)
    return read


def _unsigned(text: str, start: int, end: int) -> _Read | None:
    """A number without its sign and scale."""
    if read := _money(text, start, end):
        return read
    read = _latex_fraction(text, start, end) or _vulgar_fraction(text, start, end)
    if read is None:
        numeral = _NUMERAL.match(text, start, end)
        if numeral is None:
            return None
        if len(numeral[0]) > _MAX_NUMERAL:
            return numeral.end(), None
        read = (
            _mixed(text, start, end, numeral)
            or _power_of_ten(text, end, numeral)
            or _quotient(text, end, numeral)
            or (numeral.end(), _decimal(numeral))
        )
    return read


def _decimal(numeral: re.Match[str]) -> Fraction:
    """The exact value of a match of `_NUMERAL` or `_DIGITS`."""
    groups = numeral.groupdict()
    if groups.get("cents"):
        return Fraction(re.sub(r"[^0-9]", "", groups["whole"]) + "." + groups["cents"])
    whole, *decimals = re.sub(r"\\[a-z]+|[^0-9.eE+-]", "", numeral[0]).split(".")
    if len(decimals) > 1:  # 1.234.567
        return Fraction(whole + "".join(decimals))
    return Fraction(".".join([whole, *decimals]))


def _money(text: str, start: int, end: int) -> _Read | None:
    r"""What needs its currency sign to be understood: $1.2k, €18,50."""
    if not text[start : start + 1].isdigit() and (
        match := _THOUSANDS_OF_MONEY.match(text, start, end)
    ):
        numeral = _NUMERAL.fullmatch(match["numeral"])
        if numeral and len(numeral[0]) <= _MAX_NUMERAL:
            return match.end(), _decimal(numeral) * _LETTERS[match["letter"]]
    if match := _CENTS.match(text, start, end):
        whole = match["money"] or match["whole"]
        if len(whole) <= _MAX_NUMERAL:
            return match.end(), Fraction(f"{whole}.{match['money_cents'] or match['cents']}")
    return None


def _vulgar_fraction(text: str, start: int, end: int) -> tuple[int, Fraction] | None:
    if not (match := _VULGAR.match(text, start, end)):
        return None
    over, under = unicodedata.normalize("NFKC", match[0]).split("⁄")
    return match.end(), Fraction(int(over), int(under))


def _latex_fraction(text: str, start: int, end: int) -> tuple[int, Fraction] | None:
    r"""\frac{3}{4}, \frac34, \frac{\text{36}}{2}; of \frac{50 \text{ miles}}{\text{hour}} 50."""
    if not (groups := _fraction_groups(text, start, end)):
        return None
    (over_start, over_end), (under_start, under_end), stop = groups
    over = _only_number(text, over_start, over_end)
    under = _only_number(text, under_start, under_end)
    if under is None and _UNIT.fullmatch(text, under_start, under_end):
        under = Fraction(1)
    return (stop, over / under) if over is not None and under else None


def _fraction_groups(
    text: str, start: int, end: int
) -> tuple[tuple[int, int], tuple[int, int], int] | None:
    """The contents of both groups behind a fraction's command, and where the second ends."""
    if not (command := _FRACTION.match(text, start, end)):
        return None
    if not (over := _group(text, command.end(), end)):
        return None
    second = over[1] + (text[over[1] : over[1] + 1] == " ")
    under = _group(text, second, end)
    return (over[0], under[0], under[1]) if under else None


def _group(text: str, start: int, end: int) -> tuple[tuple[int, int], int] | None:
    """The content of a group in braces, or of one digit, and where the group ends."""
    opening = _GROUP.match(text, start, end)
    if opening is None:
        return None
    if opening[0] != "{":
        return (start, start + 1), start + 1
    depth = 0
    for brace in _BRACE.finditer(text, start, min(end, start + _MAX_GROUP)):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return (start + 1, brace.start()), brace.end()
    return None


def _only_number(text: str, start: int, end: int) -> Fraction | None:
    """The value of a group that holds one number and at most its unit; no fractions in it."""
    if "frac" in text[start:end]:
        return None
    tokens = lex(text, start, end, states=True)
    numbers = [token.value for token in tokens if token.kind == "number"]
    kinds = {token.kind for token in tokens}
    if len(numbers) != 1 or kinds & {"operator", "equals", "opaque", "pause"}:
        return None
    words = [text[token.start : token.end] for token in tokens if token.kind == "word"]
    return None if any(word in VARIABLES for word in words) else numbers[0]


def _mixed(text: str, start: int, end: int, numeral: re.Match[str]) -> tuple[int, Fraction] | None:
    """A whole number and a proper fraction: "1 1/2", "1\\frac{1}{2}", "1½", "1 and a half"."""
    # "2 125/1000" is not 2,125 of something.
    for whole in (numeral, _DIGITS.match(text, start, end)):
        if whole is None or "." in whole[0] or "," in whole[0][-3:]:
            continue
        read = _proper_fraction(text, whole.end(), end)
        if read and 0 < read[1] < 1:
            return read[0], _decimal(whole) + read[1]
    return None


def _proper_fraction(text: str, start: int, end: int) -> tuple[int, Fraction] | None:
    gap = _GAP.match(text, start, end)
    if gap and (numeral := _NUMERAL.match(text, gap.end(), end)):
        return _quotient(text, end, numeral)
    behind = gap.end() if gap else start
    fraction = _latex_fraction(text, behind, end) or _vulgar_fraction(text, behind, end)
    if fraction:
        return fraction
    words = _PART_GAP.match(text, start, end)
    return number_words.read_part(text, words.end(), end) if words else None


def _power_of_ten(text: str, end: int, numeral: re.Match[str]) -> tuple[int, Fraction] | None:
    r"""1.8 \times 10^4, 1.8*10**4, 1.8×10⁴, and 10^4 alone."""
    times = _TIMES_TEN.match(text, numeral.end(), end)
    factor, ten = (_decimal(numeral), times.end()) if times else (Fraction(1), numeral.start())
    if not times and numeral[0] != "10":
        return None
    power = _EXPONENT.match(text, ten, end)
    if power is None:
        return None
    raised = unicodedata.normalize("NFKC", power["raised"] or "").replace("−", "-")
    exponent = int(power["braced"] or power["plain"] or raised)
    return power.end(), factor * Fraction(10) ** exponent


def _quotient(text: str, end: int, over: re.Match[str]) -> tuple[int, Fraction] | None:
    """3/4; None where nothing is divided, or by zero."""
    slash = _SLASH.match(text, over.end(), end)
    under = slash and _NUMERAL.match(text, slash.end(), end)
    if not under or max(len(over[0]), len(under[0])) > _MAX_NUMERAL:
        return None
    divisor = _decimal(under)
    return (under.end(), _decimal(over) / divisor) if divisor else None


def _scaled(text: str, end: int, stop: int, value: Fraction) -> tuple[int, Fraction]:
    """1.8 million, 2 hundred thousand, 2 million 500 thousand, 3万."""
    for _ in range(2):
        if scale := _SCALE.match(text, stop, end):
            size = number_words.scale_of(scale["scale"])
            stop, value = scale.end(), value * size
            if (lesser := _LESSER.match(text, stop, end)) and size > 1000:
                stop, value = lesser.end(), value + 1000 * int(lesser["count"])
        elif stop < end and text[stop] in _MYRIADS:
            stop, value = stop + 1, value * _MYRIADS[text[stop]]
    return stop, value


def _symbol_at(text: str, start: int, end: int, before: list[Token]) -> Token:
    previous = before[-1] if before else None
    if previous and previous.kind == "number" and _TIMES_SIGN.match(text, start, end):
        return Token("operator", start, start + 1)
    match = _TOKEN.match(text, start, end)
    if match is None:  # a lone backslash at the end of the range
        return Token("mark", start, start + 1)
    kind = match.lastgroup or "mark"
    if kind == "command":
        if unit_end := _unit_fraction_end(text, start, end):
            return Token("mark", start, unit_end)
        kind = _COMMAND_KINDS.get(match[0][1:], "mark")
    elif kind == "word":
        return Token(kind, start, _word_end(text, start, end))
    elif kind in ("escape", "other"):
        kind = "mark"
    return Token(kind, start, match.end())


def _unit_fraction_end(text: str, start: int, end: int) -> int | None:
    r"""Where \frac{\text{miles}}{\text{hour}} ends."""
    if groups := _fraction_groups(text, start, end):
        over, under, stop = groups
        if _UNIT.fullmatch(text, *over) and _UNIT.fullmatch(text, *under):
            return stop
    return None


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
        return letters in _CURRENCY_CODES or letters.casefold() in _GLUING_WORDS
    return len(letters) > 1 or letters > "\u03ff"
