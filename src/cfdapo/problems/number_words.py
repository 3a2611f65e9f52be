"""Read numbers in English words: "twenty-one", "a dozen", "two thirds", "five and a half"."""

import re
from fractions import Fraction


def _counted(words: str, first: int, step: int = 1) -> dict[str, int]:
    return {word: first + step * place for place, word in enumerate(words.split())}


_ONES = _counted("zero one two three four five six seven eight nine", 0)
_TEENS = _counted(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10
)
_TENS = _counted("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
# What multiplies the number before it; lakh and crore are India's.
SCALES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "lakh": 10**5,
    "million": 10**6,
    "crore": 10**7,
    "billion": 10**9,
    "trillion": 10**12,
    **{"lac": 10**5, "mln": 10**6, "bln": 10**9, "bn": 10**9},
}
_PARTS = {
    word: value
    for value, words in {
        2: "half halves",
        3: "third thirds",
        4: "quarter quarters fourth fourths",
        5: "fifth fifths",
        6: "sixth sixths",
        7: "seventh sevenths",
        8: "eighth eighths",
        9: "ninth ninths",
        10: "tenth tenths",
    }.items()
    for word in words.split()
}
_COUNTS = "|".join([*_ONES, *_TEENS])
_PART = "|".join(sorted(_PARTS, key=len, reverse=True))
SCALE = rf"(?:{'|'.join(SCALES)})s?"

_NUMBER_WORD = re.compile(
    rf"(?P<joint>[ ]and[ ]|,?[ ]|-)?(?P<word>{'|'.join([*_TEENS, *_TENS, *_ONES])}|{SCALE})\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(rf"an?[ ](?={SCALE}\b)", re.IGNORECASE)
# "three quarters" may be coins and "a quarter" one of them; "three-quarters" is no coin.
_PART_ALONE = re.compile(
    rf"(?:(?P<count>an?|{_COUNTS})[ -])?(?P<part>half|(?!quarters?\b)(?:{_PART})"
    r"|(?<=-)quarters?)\b",
    re.IGNORECASE,
)
_PART_BEHIND = re.compile(
    rf"[ ]and[ ](?:(?P<count>an?|{_COUNTS})[ -])?(?P<part>{_PART})\b(?![ ]of\b)", re.IGNORECASE
)
_SCALE_BEHIND = re.compile(rf"(?:[ ]an?)?[ -](?P<scale>{SCALE})\b", re.IGNORECASE)
# "one of them", "two or three", "three times 5", "one can see that": no number that is stated.
_POINT = re.compile(rf"[ ]point(?P<digits>(?:[ ](?:{'|'.join(_ONES)})\b){{1,20}})", re.IGNORECASE)
_NOUN_BEHIND = re.compile(r"[ ](?!of\b)[^\W\d_]")
_OF_A_THING = re.compile(r"[ ]of[ ](?:the|an?|his|her|its|their|it|them|all)\b", re.IGNORECASE)
_GOES_ON = re.compile(
    r"""-[^\W\d_] | [ ](?:quarters?|of|or|to|and|more|less|fewer|times?|by|plus|minus|over|out
      |from|between|that|which|who|whose|where|when|possible|such|thing|ways?|another
      |can|could|should|may|might|must|will|would|has|have|is|was)\b""",
    re.VERBOSE | re.IGNORECASE,
)

_MONEY_AND = re.compile(r"[ ](?:dollars?|euros?|pounds?|rupees?|pesos?),?[ ](?:and[ ])?", re.I)
_CENTS = re.compile(r"[ ](?:cents?|pence|paise|centavos?)\b", re.I)

Read = tuple[int, Fraction]


def read_number(text: str, start: int, end: int) -> Read | None:
    """Where the number in words that begins at `start` ends, and its value.

    None where no word there is one, or where what follows makes it something else ("one of them",
    "two or three", "three times as many"). Bare quarters are none, as they may be coins.
    """
    if (part := _part(text, start, end)) and _OF_A_THING.match(text, part[0], end):
        return part
    read = part or _whole(text, start, end)
    if read is not None and (money := _MONEY_AND.match(text, read[0], end)):
        cents = _whole(text, money.end(), end)
        if cents and cents[1] < 100 and (unit := _CENTS.match(text, cents[0], end)):
            return unit.end(), read[1] + cents[1] / 100
    if read is None or _GOES_ON.match(text, read[0], end):
        return None
    return read


def read_part(text: str, start: int, end: int) -> Read | None:
    """The fraction in " and a half" or " and three quarters", where a number ends at `start`."""
    if not (match := _PART_BEHIND.match(text, start, end)):
        return None
    value = Fraction(_count(match["count"]), _PARTS[match["part"].lower()])
    return (match.end(), value) if value < 1 else None


def scale_of(word: str) -> int:
    """What "dozen" or "millions" multiplies by."""
    return SCALES[word.lower().removesuffix("s")]


def _count(word: str | None) -> int:
    word = (word or "a").lower()
    return 1 if word in ("a", "an") else {**_ONES, **_TEENS}[word]


def _part(text: str, start: int, end: int) -> Read | None:
    """Fractions alone: "half", "one third", "two-thirds", "half a dozen"."""
    match = _PART_ALONE.match(text, start, end)
    if match is None or (match["count"] is None and match["part"].lower() != "half"):
        return None
    value = Fraction(_count(match["count"]), _PARTS[match["part"].lower()])
    read = _scaled(text, match.end(), end, value)
    # "a third option"
    is_ordinal = (match["count"] or "").lower() in ("a", "an") and value != Fraction(1, 2)
    return None if is_ordinal and _NOUN_BEHIND.match(text, read[0], end) else read


def _scaled(text: str, stop: int, end: int, value: Fraction) -> Read:
    """`value` times a scale that follows: "half a million", "two and a half dozen"."""
    if match := _SCALE_BEHIND.match(text, stop, end):
        return match.end(), value * scale_of(match["scale"])
    return stop, value


def _whole(text: str, start: int, end: int) -> Read | None:
    """Whole numbers, with a fraction behind them if there is one."""
    total, group, last, least = 0, None, "", 10**18
    if article := _ARTICLE.match(text, start, end):
        start, group, last = article.end(), 1, "ones"
    stop = start
    while match := _NUMBER_WORD.match(text, stop, end):
        word, joint = match["word"].lower(), match["joint"] or ""
        if (stop == start) == bool(joint) or ("and" in joint and last not in ("hundred", "scale")):
            break
        kind = _kind(word)
        if not _may_follow(kind, last):
            return None
        if kind == "scale":
            scale = scale_of(word)
            if group is None or scale >= least:
                return None
            total, group, least = total + group * scale, None, scale
        elif kind == "hundred":
            if group is None or group >= 100:
                return None
            group *= 100
        else:
            group = (group or 0) + {**_ONES, **_TEENS, **_TENS}[word]
        stop, last = match.end(), kind
    if stop == start:
        return None
    value = Fraction(total + (group or 0))
    if point := _POINT.match(text, stop, end):
        digits = [_ONES[word] for word in point["digits"].lower().split()]
        return _scaled(text, point.end(), end, Fraction(f"{value}.{''.join(map(str, digits))}"))
    if part := read_part(text, stop, end):
        return _scaled(text, part[0], end, value + part[1])
    return stop, value


def _kind(word: str) -> str:
    if word in _ONES:
        return "ones"
    if word in _TEENS:
        return "teens"
    if word in _TENS:
        return "tens"
    return "hundred" if word.removesuffix("s") == "hundred" else "scale"


def _may_follow(kind: str, last: str) -> bool:
    """Whether English has a word of this kind behind one of kind `last` ("" at the beginning)."""
    return (
        last
        in {
            "ones": ("", "tens", "hundred", "scale"),
            "teens": ("", "hundred", "scale"),
            "tens": ("", "hundred", "scale"),
            "hundred": ("ones", "teens", "tens"),
            "scale": ("ones", "teens", "tens", "hundred"),
        }[kind]
    )
