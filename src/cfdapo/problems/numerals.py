r"""Read numbers as people and models write them, with their exact values.

Read as one number each:

- digits of any script: 18, １８, १८;
- grouped digits: 1,234 and India's 1,00,000; 1{,}234, 1\text{,}234, 1,\!234, 1{,}{234}; with any
  kind of space, 1 234, 1\,234, 1~234, 1\hspace{1pt}234; 1'234, 1_234, 1.234.567, 1.234,56. The
  number "1 234" is two where a list, a unit written against it or a hyphen says so: "2 4 64 128",
  "12 200-kilobyte files";
- decimals (1.5, .5; 18,50 € with its currency only), powers of ten (1.8 \times 10^4, 1.8e4),
  fractions (3/4, \frac{3}{4}, \frac34, ½) whose parts may be dressed (\frac{\text{36}}{2}), mixed
  numbers (1 3/4, 1\frac{3}{4}, 1½, "5 and a half"), "18 dollars and 50 cents";
- scales: 1.8 million, 2 dozen, 5 lakh, 3万, and after a currency sign $1.2k, $3M, $2bn. Elsewhere a
  letter is a unit: 5k is a run, 3m a length.
"""

import re
import unicodedata
from fractions import Fraction

from cfdapo.problems import number_words

# Longer numerals are kept as text: converting digits to an integer is not linear in their count.
_MAX_NUMERAL = 200
# Longest content of a fraction's braces, for the same reason.
_MAX_GROUP = 80

_MINUS_SIGNS = "‐‑‒–−﹣－➖"
_APOSTROPHES = "‘’ʼ′´＇"
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


CURRENCIES = "$€£¥₹₩₫₱฿₽₪₦₺₴₿"
CURRENCY = rf"(?:(?:US|AU|CA|NZ|HK|[ACRS])?\\?[{CURRENCIES}])"
_SPACE_COMMAND = (
    r"(?:\\[,;:!> ]|~|\\(?:thin|med|thick|neg(?:thin)?)space\b[ ]?"
    r"|\\(?:hspace|hskip|kern|mkern|mskip)"
    r"(?:\{[^{}\n]{1,12}\}|[ ]?-?[0-9.]{1,4}(?:mu|pt|em|ex)[ ]?)|\{(?:\\[,;:!> ]|[ ~])\}"
    r"|\\(?:text|mathrm|mbox)\{(?:[ ~]|\\[,;:!> ])\}|&(?:nbsp|thinsp|\#160|\#8239|\#x(?:A0|202F));)"
)
# A plain space beside one belongs to it: "1 \, 000".
_LATEX_SPACE = rf"(?:[ ]?(?:{_SPACE_COMMAND}[ ]?){{1,3}})"
_COMMA = (
    rf"(?:{_SPACE_COMMAND}{{0,2}}(?:,(?:{_SPACE_COMMAND}{{1,2}}|\{{\}})?|[ ]?\{{[ ]?,[ ]?\}}"
    rf"|\\(?:text\w*|math[a-z]+|mbox)\{{[ ]?,[ ]?\}}|&comma;){_SPACE_COMMAND}{{0,2}})"
)
# Groups are bounded in number, so that a list of them takes no quadratic work.
_LEAD = r"[1-9][0-9]{0,2}"
_GROUP_OF_3 = r"(?:[0-9]{3}|\{[0-9]{3}\})"
# Digits in groups, in a verbose pattern or not.
GROUPED = (
    rf"(?>(?<![0-9],){_LEAD}(?:{_COMMA}{_GROUP_OF_3}){{1,20}}(?!,?[0-9])"
    rf"|(?<![0-9],)[1-9][0-9]?(?:{_COMMA}[0-9]{{2}}){{1,20}}{_COMMA}[0-9]{{3}}(?!,?[0-9])"
    rf"|{_LEAD}(?:{_LATEX_SPACE}{_GROUP_OF_3}){{1,20}}(?![0-9])"
    # A group with a zero in front is no number of its own.
    rf"|{_LEAD}(?:[ ][0-9]{{3}}){{0,6}}[ ]{{1,2}}0[0-9]{{2}}(?:[ ][0-9]{{3}}){{0,6}}(?![0-9])"
    rf"|{_LEAD}(?:[ ]?[,，][ ]?[0-9]{{3}}){{0,6}}[ ]?[,，][ ]?0[0-9]{{2}}"
    r"(?:[ ]?[,，][ ]?[0-9]{3}){0,6}"
    r"(?!,?[0-9])"
    rf"|(?<![0-9][ ]){_LEAD}(?:[ ][1-9][0-9]{{2}}){{1,6}}(?!-?[^\W\d_]|[0-9]|[ ][0-9])"
    rf"|{_LEAD}(?:['`][0-9]{{3}}){{1,20}}(?!['`]?[0-9])"
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
_SPACED_GROUPS = re.compile(rf"{_LEAD}(?:,[ ][0-9]{{3}}){{1,20}}(?=\W*\Z)")
_DIGITS = re.compile(r"[0-9]+")
_BETWEEN_GROUPS = re.compile(rf"{_LATEX_SPACE}|{_COMMA}")
# With its currency: a comma between two numbers may mean other things.
_CENTS = re.compile(
    r"(?:[€£]|\\\$)[ ]?(?P<money>[0-9]+),(?P<money_cents>[0-9]{2})(?![,.]?[0-9])"
    r"|(?P<whole>[0-9]+),(?P<cents>[0-9]{2})[ ]?(?:€|EUR\b|euros?\b)"
)
_CENTS_BEHIND = re.compile(
    r"(?:[ ](?:dollars?|euros?|pounds?|rupees?|pesos?|reais|real)\b)?,?[ ](?:and[ ])?"
    r"(?P<cents>[0-9]{1,2})(?:[ ](?:cents?|pence|paise|centavos?)|¢)(?!\w)"
)
_THOUSANDS_OF_MONEY = re.compile(
    rf"{CURRENCY}[ ]?(?P<numeral>[0-9][0-9,.]*+)(?P<letter>[kKMB]|[bm]n|[ ](?:M|[bm]n)(?![):]))"
    r"(?![\w$^]|[ ]?[-+*/=])"
)
SCALE_LETTERS = {"k": 10**3, "K": 10**3, "M": 10**6, "mn": 10**6, "B": 10**9, "bn": 10**9}
MYRIADS = {**dict.fromkeys("万萬만", 10**4), **dict.fromkeys("亿億억", 10**8)}

_SLASH = re.compile(r"[ ]?(?:[/⁄∕]|\\over(?![A-Za-z]))[ ]?")
_GAP = re.compile(
    r"[ ]and[ ]|[ ]?\\text\{[ ]?and[ ]?\}[ ]?|[ ]{1,2}(?:\\[ ,;:!])?|\\[ ,;:!]|~|\{\}"
)
_FRACTION = re.compile(r"\\(?:[dtcs]?frac|nicefrac)[ ]?")
_VULGAR = re.compile(r"[¼-¾⅐-⅞]")
_GROUP = re.compile(r"[0-9]|\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DRESS = r"\\(?:text|mathrm|mbox|textrm|textbf|mathbf|operatorname)[ ]?\{"
_UNIT_PART = (
    rf"(?:{_DRESS}[^{{}}0-9\\]*+\}}|\\[,;:! $%]|\\(?:cdot|times)|[ $€£%.~]"
    r"|[A-Za-z]{2,}+|[mshgLldt]\b|\^(?:[0-9]|\{[0-9]\}))"
)
_UNIT = re.compile(rf"{_UNIT_PART}++")
_OPENING = re.compile(rf"(?:{_DRESS}|[ {{{CURRENCIES}]|\\[,;:! $])*+")
_CLOSING = re.compile(rf"(?!\^)(?:\}}|{_UNIT_PART})*+")
_SPACES = r"(?:\s|\\[,;:!\ ]|\{\})*+"
_TIMES = r"(?:\\times|\\cdot|[×·⋅*xX]|\\text\{[ ]?[x×][ ]?\})"
_TIMES_TEN = re.compile(rf"{_SPACES}{_TIMES}{_SPACES}(?=\{{?10(?!\.?[0-9]))")
_EXPONENT = re.compile(
    r"""(?:10|\{10\})[ ]?(?:(?:\^|\*\*)[ ]?
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
_LESSER = re.compile(r"[ ](?:and[ ])?(?P<count>[0-9]{1,3})[ ]thousand\b", re.IGNORECASE)

# Where what was read ends, and its value; no value where it is too long to be one.
Read = tuple[int, Fraction | None]


def read_unsigned(text: str, start: int, end: int) -> Read | None:
    """The number that begins at `start`, without its sign and scale; None if there is none."""
    if read := read_money(text, start, end):
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
    if cents := _CENTS_BEHIND.match(text, read[0], end):
        return cents.end(), read[1] + Fraction(int(cents["cents"]), 100)
    return read


def read_spaced_groups(text: str, start: int, end: int) -> Read | None:
    """A number in groups with a comma and a space, where nothing else follows: "1, 234"."""
    groups = _SPACED_GROUPS.match(text, start, end)
    return (groups.end(), _decimal(groups)) if groups else None


def _decimal(numeral: re.Match[str]) -> Fraction:
    """The exact value of a match of `_NUMERAL` or `_DIGITS`."""
    groups = numeral.groupdict()
    if groups.get("cents"):
        return Fraction(re.sub(r"[^0-9]", "", groups["whole"]) + "." + groups["cents"])
    whole, *decimals = re.sub(r"[^0-9.eE+-]", "", _BETWEEN_GROUPS.sub("", numeral[0])).split(".")
    if len(decimals) > 1:  # 1.234.567
        return Fraction(whole + "".join(decimals))
    return Fraction(".".join([whole, *decimals]))


def read_money(text: str, start: int, end: int) -> Read | None:
    r"""A number that needs its currency sign to be understood: $1.2k, €18,50."""
    if not text[start : start + 1].isdigit() and (
        match := _THOUSANDS_OF_MONEY.match(text, start, end)
    ):
        numeral = _NUMERAL.fullmatch(match["numeral"])
        if numeral and len(numeral[0]) <= _MAX_NUMERAL:
            return match.end(), _decimal(numeral) * SCALE_LETTERS[match["letter"].strip()]
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


def unit_fraction_end(text: str, start: int, end: int) -> int | None:
    r"""Where \frac{\text{miles}}{\text{hour}} ends."""
    if groups := _fraction_groups(text, start, end):
        over, under, stop = groups
        if _UNIT.fullmatch(text, *over) and _UNIT.fullmatch(text, *under):
            return stop
    return None


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
    """The value of a group that holds one number and at most its dress and unit."""
    opening = _OPENING.match(text, start, end)
    start = opening.end() if opening else start
    negative = start < end and text[start] == "-"
    numeral = _NUMERAL.match(text, start + negative, end)
    if numeral is None or len(numeral[0]) > _MAX_NUMERAL:
        return None
    if not _CLOSING.fullmatch(text, numeral.end(), end):
        return None
    return -_decimal(numeral) if negative else _decimal(numeral)


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


def read_scaled(text: str, stop: int, end: int, value: Fraction) -> tuple[int, Fraction]:
    """A number that ends at `stop` with its scale: 1.8 million, 2 million 500 thousand, 3万."""
    for _ in range(2):
        if scale := _SCALE.match(text, stop, end):
            size = number_words.scale_of(scale["scale"])
            stop, value = scale.end(), value * size
            if (lesser := _LESSER.match(text, stop, end)) and size > 1000:
                stop, value = lesser.end(), value + 1000 * int(lesser["count"])
        elif stop < end and text[stop] in MYRIADS:
            stop, value = stop + 1, value * MYRIADS[text[stop]]
    return stop, value
