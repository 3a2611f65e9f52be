"""Find the reasoning spans and the stated final answer in a completion's text.

Section 3.2 names three patterns: arithmetic expressions, intermediate calculations and sentence
boundaries. What a span is, here and everywhere in the project:

- The expression itself is the span, not its line: Section 3.2 calls "23 + 45 = 68" the span, and
  credit is meant for it and not for the words around it. (Table 6 prints whole lines.)
- A calculation in words runs from its first number or operation to its result.
- A sentence with neither is a span as a whole. The words around a calculation are in no span, so
  that no passes are spent on fragments such as "clips in May"; they keep weight 1.
- The words that only announce the answer ("The final answer is") are no reasoning and no span.

Everything is a single scan over the text, in linear time; no text raises an error.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cfdapo.credit.expressions import count_operations, find_expressions
from cfdapo.problems.answers import find_stated_answer
from cfdapo.problems.numerals import GROUPED, fold
from cfdapo.problems.stated import find_choice, find_statement
from cfdapo.problems.thinking import outside_thinking

# Kinds of reasoning span, in the paper's order.
REASONING_KINDS = ("arithmetic", "calculation", "sentence")
# Which of them are measured (Appendix A, third improvement).
SELECTIONS = ("all", "longest", "arithmetic")

_LONGEST_ABBREVIATION = 12
_ABBREVIATIONS = re.compile(
    r"mrs?|ms|dr|prof|st|rev|gen|sen|gov|capt|lt|sgt|vs|e\.?g|i\.?e|cf|approx|fig|eq", re.IGNORECASE
)
_BOUNDARY = re.compile(
    r"""\n\s*+ | (?P<stop>(?<![.!?…])[.!?…]++)["'”’)\]*_]*+(?=\s) | [。！？]++["'”’」』）]*+""",
    re.VERBOSE,
)
_LEADING_MARKS = re.compile(r"(?:\s++|[-*•#>|_]++|[0-9]{1,2}[.)]\s)*+")
_TRAILING_MARKS = frozenset("*_|#")
# A letter that belongs to neither a LaTeX command nor the name of an environment.
_WORD = re.compile(r"(?<![\\A-Za-z])(?<!\\begin\{)(?<!\\end\{)[^\W\d_]")
_ANSWER_HEADING = re.compile(r"(?:(?:the\s)?final\s)?answer(?:\sis)?[\s*_:]*", re.IGNORECASE)
_CLAUSE_BOUNDARY = re.compile(
    r"[;:]\s|,\s(?=(?:and|but|so|then|which|thus|therefore|leaving|giving|making)\s)"
)

_NUMERALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand"
).replace(" ", "|")
# A number in digits or words, and the letter in "2x".
_NUMBER = (
    rf"(?:(?<![\w.,])\\?[$£€]?(?:{GROUPED}(?:\.[0-9]++)?|[0-9]++(?:[.,][0-9]++)*+)\\?%?"
    rf"|\b(?:{_NUMERALS})\b(?!\stimes))(?:[A-Za-z]\b)?"
)
_FUNCTION_WORDS = (
    "a|an|and|as|at|because|but|by|each|every|for|from|he|her|if|in|into|is|it|less|more|of|on|or|"
    "per|she|since|so|than|that|the|then|they|to|was|when|which|who|with"
)
# The word that says what is counted.
_COUNTED = rf"(?:\s(?!(?:{_FUNCTION_WORDS})\b)[^\W\d_][\w'’-]*+)?"
_FEW_WORDS = r"(?:[^\W\d][\w'’-]*+\s++){0,3}"
_QUANTITY = re.compile(_NUMBER, re.IGNORECASE)
_OPERATION = re.compile(
    r"""\b(?: half | (?:a|one|two|three|four)\W(?:third|quarter|fourth|fifth)s? | twice | thrice
      | doubl(?:e[sd]?|ing)
      | tripl(?:e[sd]?|ing) | times | plus | minus | (?:divid|multipl)(?:es?|ed|y|ies|ied|ing)
      | add(?:s|ed|ing)? | subtract(?:s|ed|ing)? | sum | difference | product | quotient | percent
      | (?:more|less|fewer)\sthan | combined | together )\b | %""",
    re.VERBOSE | re.IGNORECASE,
)
_RESULT = re.compile(
    rf"\b(?:is|are|was|were|equals?|gives?|makes?|gets?|becomes?|be|has|have|had|or)\s++"
    rf"{_FEW_WORDS}{_NUMBER}{_COUNTED}",
    re.IGNORECASE,
)
_QUANTITY_RESULT = re.compile(
    rf"\b(?:a\stotal\sof|totals|total(?:\sof|l?ing)|leav(?:es?|ing)|comes?\sto|adds?\sup\sto"
    rf"|amounts?\sto|results?\sin|equals?|altogether|in\stotal|in\sall),?\s++"
    rf"{_FEW_WORDS}{_NUMBER}{_COUNTED}",
    re.IGNORECASE,
)
_QUANTITY_LEFT = re.compile(
    rf"{_NUMBER}\s++{_FEW_WORDS}"
    r"(?:left(?:\sover)?|remain(?:s|ing)?|altogether|in\stotal|in\sall)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` (exclusive) of a completion's text.

    `kind` is "arithmetic", "calculation" (in words), "sentence" or "answer"; in code one of
    `code_spans.CODE_KINDS` or "answer"; "own" where a function of one's own found it.
    """

    start: int
    end: int
    kind: str


def find_answer(text: str) -> Span | None:
    """The characters of the stated final answer's value, by the grader's own rule.

    None if the text states no answer; a last number that the grader falls back on is not stated.
    """
    return _answer_at(find_stated_answer(text))


def find_stated_letter(text: str) -> Span | None:
    """The letter of the option that a text chooses, by the grader's own rule."""
    return _answer_at(find_choice(text))


def find_stated_text(text: str) -> Span | None:
    """What a text states as its answer, words or LaTeX, by the grader's own rule."""
    return _answer_at(find_statement(text))


def _answer_at(found: tuple[int, int] | None) -> Span | None:
    return Span(*found, "answer") if found and found[0] < found[1] else None


def find_spans(text: str, max_spans: int = 10, answer: Span | None = None) -> list[Span]:
    """At most `max_spans` reasoning spans, sorted, disjoint, and before the answer if any.

    `answer` is by default the stated one. Only what stands behind the thinking is searched.
    Where there are more than K_max = `max_spans`, arithmetic goes before calculations in words,
    and those before sentences; within a kind, what stands first in the text goes first.
    """
    answer = answer or find_answer(text)
    start, end = outside_thinking(text)
    reasoning = text[start : answer.start if answer else end]
    spans = [
        Span(start + span.start, start + span.end, span.kind)
        for span in _reasoning_spans(fold(reasoning), bool(answer))
    ]
    chosen = sorted(spans, key=lambda span: (REASONING_KINDS.index(span.kind), span.start))
    return sorted(chosen[: max(max_spans, 0)], key=lambda span: span.start)


def select_spans(text: str, spans: Sequence[Span], select: str = "all", k: int = 3) -> list[Span]:
    """The spans worth measuring, sorted: all, or the `k` that are "longest" or most "arithmetic".

    "longest" counts characters, "arithmetic" operations; among equals what stands first in the
    text goes first. Raises `ValueError` for an unknown `select`.
    """
    if select not in SELECTIONS:
        raise ValueError(f"unknown select {select!r}; allowed: {', '.join(SELECTIONS)}")
    if select == "all":
        return list(spans)

    def worth(span: Span) -> int:
        if select == "longest":
            return span.end - span.start
        return count_operations(text[span.start : span.end])

    best = sorted(spans, key=lambda span: (-worth(span), span.start))
    return sorted(best[:k], key=lambda span: span.start)


def _reasoning_spans(text: str, answer_follows: bool) -> list[Span]:
    """All spans of `text`, sorted and disjoint."""
    expressions = [
        Span(start, end, "calculation" if spoken else "arithmetic")
        for start, end, spoken in find_expressions(text)
    ]
    spans = list(expressions)
    next_expression = 0
    for start, end in _sentences(text):
        while next_expression < len(expressions) and expressions[next_expression].end <= start:
            next_expression += 1
        inside = next_expression
        while inside < len(expressions) and expressions[inside].start < end:
            inside += 1
        taken = expressions[next_expression:inside]
        calculations = list(_find_calculations(text, start, end, taken))
        spans += calculations
        announces_answer = answer_follows and end == len(text)
        if not taken and not calculations and not announces_answer:
            trimmed = _trim_sentence(text, start, end)
            spans += [trimmed] if trimmed else []
    return sorted(spans, key=lambda span: span.start)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Ranges of the sentences and lines that `text` consists of; the last ends where it ends."""
    start = 0
    for match in _BOUNDARY.finditer(text):
        if match["stop"] and not _ends_sentence(text, start, match):
            continue
        yield start, match.end()
        start = match.end()
    yield start, len(text)


def _ends_sentence(text: str, start: int, stop: re.Match[str]) -> bool:
    """Whether the stop ends a sentence, and not an abbreviation or a list's number."""
    if stop["stop"].strip(".…"):
        return True
    following = text[stop.end() : stop.end() + 2].lstrip()
    if following[:1].islower():
        return False
    if stop["stop"] != ".":
        return True
    before = text[max(start, stop.start() - _LONGEST_ABBREVIATION) : stop.start()]
    word = re.findall(r"[\w.]*\Z", before)[0]
    if word == "No" and following[:1].isdigit():
        return False
    if re.fullmatch(r"[A-Z]|(?:[A-Za-z]\.)+[A-Z]", word) and word != "I":
        return False
    is_list_number = word.isdigit() and not text[start : stop.start()].strip(" *#>-" + word)
    return not is_list_number and not _ABBREVIATIONS.fullmatch(word)


def _trim_sentence(text: str, start: int, end: int) -> Span | None:
    """The sentence without list marks and the spaces around it.

    None if it holds no word, or only announces the answer.
    """
    while end > start and (text[end - 1].isspace() or text[end - 1] in _TRAILING_MARKS):
        end -= 1
    if marks := _LEADING_MARKS.match(text, start, end):
        start = marks.end()
    if not _WORD.search(text, start, end) or _ANSWER_HEADING.fullmatch(text, start, end):
        return None
    return Span(start, end, "sentence")


def _find_calculations(text: str, start: int, end: int, expressions: list[Span]) -> Iterator[Span]:
    """Calculations in words in the clauses of a sentence that hold no arithmetic expression."""
    index = 0
    for clause_start, clause_end in _clauses(text, start, end):
        while index < len(expressions) and expressions[index].end <= clause_start:
            index += 1
        if index < len(expressions) and expressions[index].start < clause_end:
            continue
        if span := _calculation(text, clause_start, clause_end):
            yield span


def _clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _CLAUSE_BOUNDARY.finditer(text, start, end):
        yield start, match.start()
        start = match.end()
    yield start, end


def _calculation(text: str, start: int, end: int) -> Span | None:
    """The calculation in words in a clause, from its first number or operation to its result."""
    begins, ends = [], []
    operation = _OPERATION.search(text, start, end)
    if operation and (result := _RESULT.search(text, operation.end(), end)):
        begins.append(operation.start())
        ends.append(result.end())
    for pattern in (_QUANTITY_RESULT, _QUANTITY_LEFT):
        if found := pattern.search(text, start, end):
            begins.append(found.start())
            ends.append(found.end())
    if not begins:
        return None
    if first_number := _QUANTITY.search(text, start, end):
        begins.append(first_number.start())
    return Span(min(begins), max(ends), "calculation")
