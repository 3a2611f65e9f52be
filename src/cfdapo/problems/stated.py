r"""Find what a text states as its answer where that need be no number: words, LaTeX, or a letter.

Where it is stated is `statements`' business: the last of ``\boxed{x}``, ``#### x`` and
``<answer>x</answer>`` counts, else the last phrase ("The answer is x"). Only what stands behind a
completion's thinking counts. Every function takes any text and never raises.
"""

import re

from cfdapo.problems.statements import Completion, Range
from cfdapo.problems.thinking import outside_thinking

# Dress around a statement; in LaTeX both ends of a formula.
_BEFORE = re.compile(r"(?:[\s*_\"'“‘`~:]|\$+|\\[\[(])*+")
_AFTER = re.compile(r"[\s*_\"'”’`~.,;$]|\\[\])]")
# What may stand before a choice's letter, and what may not follow, as "A lot" and "B or C".
_LEAD = re.compile(
    r"(?:[\s*_\"'`~$({\[]|\\(?:text|textbf|textit|mathrm|mathbf|mathsf)\s?\{"
    r"|(?i:the|correct|right|best|option|choice|letter|answer|is)\b[\s:]*)*+"
)
_LETTER = re.compile(
    r"(?P<letter>[A-Z]|[a-z](?=[\s)\]}.*_$]*\Z))(?![\w'’])[*_)\]}\"'`$.,:;]*+"
    r"(?!\s*(?:or|and|nor|/|&)\s*[(*]*[A-Z](?!\w))(?!\s*[(*]*[A-Z](?:\W|\Z))"
    r"(?=\Z|\s*[^\w\s]|\s+(?:[A-Z0-9]|(?:because|since|as|which|where|for|with)\b)|(?<=[)\]}:.,*])\s)"
)
# "B is the correct answer", "(B) is right".
_BEHIND = re.compile(
    r"(?<![\w'’])\(?(?P<letter>[A-Z])[)*\"'”]*\s+is\s+(?:the\s+)?(?:only\s+)?"
    r"(?:(?:correct|right|best|most\s\w+)(?:\s+(?:answer|option|choice|one))?|answer)\b"
)
_NAMED = re.compile(
    r"\b(?:correct|right|best|final|my)\s+(?:option|choice|letter)\s*(?:is|:|would\sbe)|"
    r"\b(?:I|we)\s+(?:choose|pick|select)\b",
    re.IGNORECASE,
)
_LAST_LINE = re.compile(r"(?:\A|\n)[\s*_(]*(?P<letter>[A-Z])[\s*_).]*\Z")
_LINE_OF_CHOICE = re.compile(r"\s*\(?(?P<letter>[A-Z])\s?[).:][^\n]*\s*\Z")
_LONGEST_LINE = 200


def find_statement(text: str) -> Range | None:
    """Characters [start, end) of what a text states as its answer, without the dress around it.

    A text of one line that states nothing is all an answer.
    """
    start, end = outside_thinking(text)
    found = _stated(text[start:end])
    return (start + found[0], start + found[1]) if found else None


def find_choice(text: str) -> Range | None:
    """The one character [start, end) that is the letter of the option that a text chooses.

    A text that states none chooses by its last line, where that is a letter alone, or, where it is
    all of the text, an option: "(B) 12".
    """
    start, end = outside_thinking(text)
    place = _chosen(text[start:end])
    return None if place is None else (start + place, start + place + 1)


def _stated(text: str) -> Range | None:
    completion = Completion(text)
    box, phrases = completion.last_box(), list(completion.phrases())
    asked = [phrase.content for phrase in phrases if phrase.asked]
    asked += [box.content] if box else []
    # A box that a phrase introduces is the statement.
    for start, end in sorted(asked, reverse=True) or [p.content for p in reversed(phrases)]:
        if (stripped := _strip(text, start, end)) is not None:
            return stripped
    line = _strip(text, 0, len(text))
    return line if line and "\n" not in text[slice(*line)] and not phrases else None


def _strip(text: str, start: int, end: int) -> Range | None:
    """A range without the dress at its ends; None where nothing is left."""
    if before := _BEFORE.match(text, start, end):
        start = before.end()
    while end > start:
        for length in (2, 1):
            if end - length >= start and _AFTER.fullmatch(text, end - length, end):
                end -= length
                break
        else:
            return start, end
    return None


def _chosen(text: str) -> int | None:
    completion = Completion(text)
    box = completion.last_box()
    asked = [phrase.content for phrase in completion.phrases() if phrase.asked]
    asked += [box.content] if box else []
    if asked:
        return _letter(text, *max(asked))
    places = [(start, _letter(text, start, end)) for (start, end), _ in completion.phrases()]
    places += [(found.start(), found.start("letter")) for found in _BEHIND.finditer(text)]
    for found in _NAMED.finditer(text):
        end = text.find("\n", found.end())
        place = _letter(text, found.end(), len(text) if end < 0 else end)
        places.append((found.start(), place))
    if stated := [(at, place) for at, place in places if place is not None]:
        return max(stated)[1]
    last = _LAST_LINE.search(text, max(0, len(text) - _LONGEST_LINE))
    alone = _LINE_OF_CHOICE.match(text) if len(text) <= _LONGEST_LINE else None
    line = last or alone
    return line.start("letter") if line else None


def _letter(text: str, start: int, end: int) -> int | None:
    """Where the letter of an option is that text [start, end) begins with."""
    lead = _LEAD.match(text, start, end)
    found = _LETTER.match(text, lead.end() if lead else start, end)
    return found.start() if found else None
