"""Which lines of a GSM8K solution its answer comes from, by the calculator marks.

The solution's lines are nodes, and an edge leads from the line that computes a value to the line
that uses it. A line is causal if its value reaches the answer. The rules:

Results. A mark "<<expression=result>>" computes its result from the numbers of its expression. In
a line without a mark the number behind the last "=" is the result, and the operands are the numbers
in front of it, from the last comma, colon, full stop, "because" or "means" on. A mark of one number
("<<16=16>>16") repeats an earlier result, or the question, if one is equal; else it is what came
out of algebra, like an unknown that is set to a number ("x = 80"), and its operands are all numbers
of the algebra, and all such results, before it.

Operands. Values are compared without their sign; 20% is also .2 (a factor .01 is skipped), and an
operand with decimals also is a result rounded to as many. 1/n, and a fraction that the question
has, are constants; of n/100 only n counts. An operand is the nearest earlier result that equals it;
the k-th equal operand of a line is the k-th nearest. Where a number of the question (in digits or
words) equals it too, the result is meant if both are written as money and the question's is not;
else, from the last line to the first, by operands that leave no result without a use; the other
operands are the question's. An operand that is neither a result nor in the question may stand in an
earlier line that says nothing by itself (below); then it depends on all numbers of that line.

Labels. The answer is computed by the last calculation whose result equals it; if there is none,
nothing is known. A calculation that reaches it is "causal", another one a "distractor". A line
without calculation is "filler" if it has no number, and a "restatement" if all its numbers are in
the question or computed earlier. Nothing is known (None) of other lines: algebra with an unknown,
or numbers out of nowhere; nor of a calculation that is not seen to reach the answer but stands
before such a line, or before a causal one with a number from nowhere. Sentences are lines; the
line with "####" is none of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from cfdapo.problems.gsm8k import calculator_marks, gold_answer, strip_marks
from cfdapo.problems.labels import Label, Sentence
from cfdapo.problems.numerals import GROUPED

_NUMBER = re.compile(
    rf"(?P<money>[$£€]\s?)?(?P<digits>(?:{GROUPED}|\d[\d,]*)(?:\.\d+)?|\.\d+)\s?(?P<percent>%)?"
)
_WORDS = {
    word: value
    for value, words in {
        2: "two twice double doubled",
        3: "three thrice triple tripled",
        4: "four",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten",
        11: "eleven",
        12: "twelve dozen",
        15: "fifteen",
        20: "twenty",
        30: "thirty",
        40: "forty",
        50: "fifty",
        100: "hundred",
        0.5: "half",
    }.items()
    for word in words.split()
}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_FRACTION = re.compile(r"(?<![\d.,])(\d+)\s*/\s*(\d+)(?![\d.,]|\s*[A-Za-z])")
_CLAUSE = re.compile(r"[,;:]\s|\.\s|\bbecause\b|\bmeans\b", re.IGNORECASE)
_RESULT = re.compile(rf"=\s*-?\s*[$£€]?\s*-?({_NUMBER.pattern})")
# "5 x 3", "4 tubs x $2": a sign, no unknown.
_TIMES = re.compile(r"(?<=[\w)%])\s+[xX]\s+(?=[$£€(]?\.?\d)|(?<=\d)[xX](?=\d)")
# Numbers that a solution may bring along: counts, months, days, hours, minutes, percents.
_COMMON = {*range(1, 13), 0.5, 24, 30, 52, 60, 100, 365, 1000}
# Letters that stand behind a number as a unit are no unknowns.
_UNKNOWN = re.compile(
    r"""\d(?![mghslLkKcdpF]\b)[A-Za-z]\b               # 2x, 12A
      | (?<![\w'’.])[b-hj-z](?![\w'’.])               # x cm
      | (?<![\w'’])[A-HJ-Z]\s*[-+*/=<>^]               # X + 80, B = ...
      | [-+*/^(]\s*[A-HJ-Z](?![\w'’])
      | \bLet\s+[A-Za-z]\b""",
    re.VERBOSE,
)
# An unknown, or something with a one-letter name, that is set to a number.
_ASSIGNMENT = re.compile(r"(?<![\w'’*/+-])(?<![*/+-]\s)[A-Za-z]\s*=\s*(?=[$£€]?\.?\d)")

_Kind = Literal["calculation", "solved", "opaque", "restatement", "filler"]


class _Value(NamedTuple):
    """A number as written."""

    value: float
    decimals: int = 0
    percent: bool = False
    money: bool = False

    def equals(self, operand: "_Value") -> bool:
        """Whether `operand`, standing later, may be this number."""
        own = {abs(self.value), abs(self.value) / 100} if self.percent else {abs(self.value)}
        used = {operand.value, operand.value / 100} if operand.percent else {operand.value}
        close = any(abs(one - two) <= 1e-6 * max(one, two) for one in own for two in used)
        rounded = operand.decimals and round(abs(self.value), operand.decimals) == operand.value
        return close or bool(rounded)


@dataclass
class _Line:
    """A line's `kind`, the values it computes and the numbers it uses.

    `unexplained`: whether one of these comes from nowhere.
    """

    kind: _Kind
    results: list[_Value] = field(default_factory=list)
    operands: list[_Value] = field(default_factory=list)
    unexplained: bool = False


def label_solution(solution: str, question: str) -> list[Sentence]:
    """The lines of a solution, marks removed, of which something is known (see the module).

    `solution` has its marks and its last line "#### answer". `dependants` counts the later causal
    lines that need the line's result, directly or through other lines; 0 where it is not causal.
    """
    sentences, position = [], 0
    labels = label_lines(solution, question)
    for line, label in zip(strip_marks(solution).split("\n"), [*labels, None], strict=True):
        text = line.strip()
        if label:
            start = position + line.index(text)
            sentences.append(Sentence(start, start + len(text), label[0], None, label[1]))
        position += len(line) + 1
    return sentences


def label_lines(solution: str, question: str) -> list[tuple[Label, int] | None]:
    """(label, dependants) of every line but the last, None where nothing is known."""
    lines = _read(solution, question)
    edges = _edges(lines, list(_numbers(question)))
    answer = _Value(float(gold_answer(solution)))
    ends = [
        index
        for index, line in enumerate(lines)
        if line.kind in ("calculation", "solved") and any(r.equals(answer) for r in line.results)
    ]
    if not ends:
        return [None] * len(lines)
    used_by = {index: _reachable(index, edges) for index in range(len(lines))}
    causal = {index for index, later in used_by.items() if ends[-1] in later or index == ends[-1]}
    return [_label(index, lines, causal, used_by[index]) for index in range(len(lines))]


def _label(
    index: int, lines: Sequence[_Line], causal: set[int], later: set[int]
) -> tuple[Label, int] | None:
    kind = lines[index].kind
    if kind == "opaque":
        return None
    if kind in ("restatement", "filler"):
        return kind, 0
    if index in causal:
        return "causal", sum(k in causal and lines[k].kind != "opaque" for k in later)
    after = range(index + 1, len(lines))
    hidden = any(
        bool(lines[k].operands)
        if lines[k].kind == "opaque"
        else lines[k].unexplained and k in causal
        for k in after
    )
    return None if hidden else ("distractor", 0)


def _reachable(start: int, edges: set[tuple[int, int]]) -> set[int]:
    """The lines that need the result of `start`."""
    found: set[int] = set()
    new = {start}
    while new:
        new = {user for source, user in edges if source in new} - found
        found |= new
    return found


def _numbers(text: str) -> Iterator[_Value]:
    """The numbers of a text, in digits and then in words."""
    for match in _NUMBER.finditer(text):
        digits = re.sub(r"[^\d.]", "", match["digits"])
        if digits.count(".") > 1:  # 1.234.567
            digits = digits.replace(".", "")
        _, _, decimals = digits.partition(".")
        percent, money = match["percent"] is not None, match["money"] is not None
        yield _Value(float(digits), len(decimals), percent, money)
    for match in _WORD.finditer(text):
        yield _Value(float(_WORDS[match[0].lower()]))


def _read(solution: str, question: str) -> list[_Line]:
    """What each line but the last computes and uses."""
    given = list(_numbers(question))
    lines: list[_Line] = []
    texts = solution.split("\n")[:-1]
    for text, marks in zip(texts, calculator_marks("\n".join(texts)), strict=True):
        plain = _TIMES.sub(" * ", strip_marks(text))
        known = [result for line in lines for result in line.results]
        line = _marked(plain, marks, question, given, known, lines)
        lines.append(line or _unmarked(plain, question, given, known, lines))
    return lines


def _marked(
    text: str,
    marks: Sequence[tuple[str, str]],
    question: str,
    given: Sequence[_Value],
    known: Sequence[_Value],
    before: Sequence[_Line],
) -> _Line | None:
    """The line as its marks have it; None if they compute nothing."""
    percents = {value.value for value in _numbers(text) if value.percent}
    money = {value.value for value in _numbers(text) if value.money}
    line = _Line("calculation")
    for expression, written in marks:
        (result, *_) = [*_numbers(written), None]
        if result is None:
            continue
        result = result._replace(percent=result.value in percents, money=result.value in money)
        bare = re.fullmatch(r"[\s+$]*[\d.,]+\s*", expression)
        if not bare:
            line.operands += [
                operand._replace(money=operand.value in money)
                for operand in _operands(expression, question)
            ]
        elif any(value.equals(result) for value in [*known, *line.results, *given]):
            continue
        else:
            line.kind = "solved"
            line.operands += _algebra(before)
        line.results.append(result)
    return line if line.results else None


def _operands(expression: str, question: str) -> list[_Value]:
    """The numbers of an expression that may come from somewhere."""

    def constant(match: re.Match[str]) -> str:
        if match[1] == "1" or match[0] in question:
            return " "
        return f"{match[1]} " if match[2] == "100" else match[0]

    numbers = _numbers(_FRACTION.sub(constant, expression))
    return [number for number in numbers if number.value != 0.01]


def _algebra(before: Sequence[_Line]) -> list[_Value]:
    """All numbers that an unknown's value may come from."""
    found = []
    for line in before:
        found += line.operands if line.kind == "opaque" else []
        found += line.results if line.kind == "solved" else []
    return found


def _unmarked(
    text: str,
    question: str,
    given: Sequence[_Value],
    known: Sequence[_Value],
    before: Sequence[_Line],
) -> _Line:
    numbers = list(_numbers(text))
    assigned = _ASSIGNMENT.search(text)
    rest = _ASSIGNMENT.sub("= ", text)
    results = list(_RESULT.finditer(rest))
    if _UNKNOWN.search(rest) or (not numbers and "=" in text):
        return _Line("opaque", operands=numbers)
    if results:
        expression = _CLAUSE.split(rest[: results[-1].start()])[-1]
        (result,) = _numbers(results[-1][1])
        operands = _operands(expression, question)
        if operands:
            return _Line("calculation", [result], operands)
        if assigned and not any(value.equals(result) for value in [*known, *given]):
            return _Line("solved", [result], _algebra(before))
    if not numbers:
        return _Line("filler" if text.strip() else "opaque")
    if all(any(value.equals(number) for value in [*known, *given]) for number in numbers):
        return _Line("restatement")
    return _Line("opaque", operands=numbers)


def _edges(lines: Sequence[_Line], given: Sequence[_Value]) -> set[tuple[int, int]]:
    """(line that computes, line that uses), by the rules for operands; marks the unexplained."""
    edges: set[tuple[int, int]] = set()
    # Operands that the question and an earlier result explain alike: (lines that may be, user).
    doubtful: list[tuple[list[int], int]] = []
    for user, line in enumerate(lines):
        taken: list[int] = []
        for operand in line.operands:
            sources = _sources(operand, lines[:user])
            told = [value for value in given if value.equals(operand)]
            if sources and told and not _as_money(operand, lines[sources[0]], told):
                doubtful.append((sources, user))
            elif sources:
                # Equal operands are different results as long as there are any.
                source = next((index for index in sources if index not in taken), sources[0])
                taken.append(source)
                edges.add((source, user))
            elif not told and line.kind != "opaque":
                mentions = _mentions(operand, lines[:user])
                edges |= {(index, user) for index in mentions[:1]}
                line.unexplained |= not mentions and operand.value not in _COMMON
    for sources, user in reversed(doubtful):
        unused = [index for index in sources if not any(index == source for source, _ in edges)]
        edges |= {(index, user) for index in unused[:1]}
    return edges


def _as_money(operand: _Value, source: _Line, told: Sequence[_Value]) -> bool:
    """Whether the operand and the earlier result are money, and the question's number is not."""
    earned = any(result.money and result.equals(operand) for result in source.results)
    return operand.money and earned and not any(value.money for value in told)


def _sources(operand: _Value, before: Sequence[_Line]) -> list[int]:
    """Earlier lines with a result equal to `operand`, nearest first."""
    return [
        index
        for index in reversed(range(len(before)))
        if any(result.equals(operand) for result in before[index].results)
    ]


def _mentions(operand: _Value, before: Sequence[_Line]) -> list[int]:
    """Earlier lines of which nothing is known that mention `operand`, nearest first."""
    return [
        index
        for index in reversed(range(len(before)))
        if before[index].kind == "opaque" and operand in before[index].operands
    ]
