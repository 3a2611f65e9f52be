r"""Find where a completion states its answer: boxes, "####", phrases and bold type, by rank.

The ranks are those that `answers` tells of; what a statement's words say is `clauses`' business.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from enum import IntEnum
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

from cfdapo.problems.clauses import (
    Certainty,
    Value,
    begins_reason,
    clause_value,
    is_direct,
    is_sentence,
    numbers,
    results,
    whole_value,
)
from cfdapo.problems.lexing import Token, beside, is_dress, lex
from cfdapo.problems.numerals import fold

_TAG_NAME = r"(?:final[ _-]?)?answer"
# "Answer" and what follows it in other languages that models are asked to answer in.
_FOREIGN = r"""(?:\b(?:respuesta|réponse|antwort|ответ|resposta|risposta|antwoord|odpowiedź|cevap
      |jibu|đáp[ ]án|jawaban)|答案|答え|答|정답|답|उत्तर|উত্তর|คำตอบ|సమాధానం|الإجابة|الجواب)
    [\s*_"]{0,4}(?:[:—]|-(?=\s)|[是为為はが은는]|คือ|হল|है|هي|هو
      |(?:es|est|ist|lautet|é|è|is|to|ni|là|adalah)\b)"""
# The gap in "the answer to the question is" is bounded, so that no text takes quadratic work.
_MARKER = re.compile(
    rf"""^[ \t\#*_>]{{0,12}}(?:[0-9]{{1,2}}[.)][ ])?
      (?P<heading>(?:final[ ])?answer)[ \t*_\#]{{0,6}}$
    | (?P<hashes>\#{{4,}}|(?:\\\#){{4,}})
    | (?P<tag><{_TAG_NAME}>|\[{_TAG_NAME}\])
    | ^[ \t>*]{{0,8}}(?P<letter>(?-i:A))[ \t*]{{0,4}}:
    | (?P<behind>\b(?:is|are|was)\s(?:the|our|my|your)\s(?:(?:final|correct|right|required)\s)?
      answer\b(?!\s?(?:[:=(]|(?:is|to|for|of|in)\b)))
    | (?P<foreign>{_FOREIGN})
    | (?:(?P<final>(?<![^\W_])final[\s_-]{{0,3}})|(?<!/)(?<!\bper\s)(?<![^\W_]))
      (?:answer(?:s(?=\sare\b))?|ans(?![^\W_])\.?|(?<=final[ ])result)
      (?:\s(?P<of>of)(?=[\s*_]{{1,4}}[\\$€£₹(\[]{{0,4}}-?\.?[0-9])
      |(?P<about>\s(?:we|you)\sare\slooking\sfor
        |\s(?:to|for|of|in|here|now|below|above|rounded|we|I|you)\b[^.:=\n?!]{{0,80}}?
        |,\s[^,.:=\n?!]{{1,60}},
        |\s?\([^()\n]{{0,40}}\)
        |,?\s(?:therefore|thus|then|hence),?)?
      (?:["'`*_\s}}]|</?\w{{1,6}}>){{0,6}}
      (?:(?P<colon>[:=→⇒|]|-{{1,2}}>|(?<=\s)-(?=\s))
        |(?<=[\s"'`*_])(?P<copula>(?:(?:is|was|are)
            (?:\sequal\sto|\sgiven\sby|\sas\sfollows|\s(?:found|calculated)\sto\sbe)?
          |equals|comes\sto|comes\sout\sto
          |(?:would|should|will|must)\sbe)(?![^\W\d_])|(?<=')s\b)
          (?!\s{{1,3}}(?:not|never|no\slonger|unlikely|wrong|incorrect)\b)))""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
# "If the answer is 20": what is only supposed is not stated.
_SUPPOSED = re.compile(
    r"\b(?:if|whether|suppose|supposing|assume|assuming|unless)\s(?:that\s)?(?:(?:the|my|our)\s)?"
    r"(?:correct\s)?\Z",
    re.IGNORECASE,
)
_LONGEST_SUPPOSING = 40
# "The answer to part 1 is 9": an answer, but not yet the final one.
_PARTIAL = re.compile(r"\b(?:part|step|sub\w*|first|second|third|previous|intermediate)\b", re.I)
_LEAD = re.compile(r"(?:[\s*_:>\"'`~]|\$(?!\.?[0-9])|\\[\[(])*+")
_CLAUSE_END = re.compile(
    rf"\n|(?i:</{_TAG_NAME}>|\[/{_TAG_NAME}\])|<\|\w{{1,30}}\|>|</s>|(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bRs)(?<!\bMrs)[.!?](?=\s)|[。！？]"
)
_BOX = re.compile(r"(?:boxed|fbox|framebox)\s{0,3}\{|\\(?:boxed|fbox|framebox)[ ]?(?=[^\s{])")
_LONGEST_UNBRACED = 60
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
# An option's letter is an answer, though never a number.
_WORD_ANSWER = re.compile(
    r"\W*+(?:(?P<word>(?i:yes|no|true|false))"
    r"|(?:(?:[Oo]ption|[Cc]hoice)\W++)?(?P<option>[A-J]))"
    r"(?:\W*+|\W++(?:because|since|as|which|where)\b.*+)"
)
_PHRASE_BEGINS = re.compile(
    r"[\s*_]*+(?:(?:so|thus|therefore|hence),?\s)?(?:the\s)?(?:correct\s)?", re.IGNORECASE
)
_LIST_NUMBER = re.compile(r"[ ]{0,4}\*{0,2}[0-9]{1,2}[.):]\*{0,2}(?:[ ]|$)")
_BULLET = re.compile(r"[ ]{0,4}[-*•][ ]")
_REST_OF_LINE = re.compile(r"[ \t]*+[^\s]")
_SECTION = re.compile(r"\W*(?:step|part|case|method|option|problem|question|example)\b", re.I)
_BOLD_OR_NEWLINE = re.compile(r"\*\*|\n")
_PRECISION = re.compile(r"decimals?|significant", re.IGNORECASE)
_MAX_UNIT_WORDS = 3
_LONGEST_BARE = 100

Range = tuple[int, int]


class Rank(IntEnum):
    """How strong a statement is; a stronger one counts wherever it stands."""

    SENTENCE = 1
    PHRASE = 2
    ASKED = 3  # in a form that prompts ask for


class _Statement(NamedTuple):
    rank: Rank
    start: int
    end: int


class Box(NamedTuple):
    """A box's content, without the spaces around it; without braces it is a number."""

    content: Range
    braced: bool


class Phrase(NamedTuple):
    """What a marker introduces; `asked`: in a form that prompts ask for."""

    content: Range
    asked: bool


class _Clause(NamedTuple):
    """A marker, and the characters that it introduces, up to `limit` at the latest."""

    marker: re.Match[str]
    start: int
    end: int
    limit: int


class Completion:
    """What a completion says of its answer, outside of its thinking."""

    def __init__(self, text: str):
        self.text = fold(text)

    def stated(self) -> Range | None:
        """The characters of the value in the statement that counts."""
        phrases = list(self._marked())
        asked = [statement for statement in phrases if statement.rank == Rank.ASKED]
        if box := self._last_boxed():
            asked.append(_Statement(Rank.ASKED, *box))
        if asked:
            return max(asked, key=lambda statement: statement.start)[1:]
        # A marker is read from the last to the first.
        best = max(phrases, key=lambda statement: statement.rank, default=None)
        if best and best.rank == Rank.PHRASE:
            return best[1:]
        return self._bold_conclusion(best) or (best[1:] if best else None)

    def bare(self) -> Range | None:
        """The number that is all of the text: "three", "- 5", "18 dollars"."""
        if len(self.text) > _LONGEST_BARE:
            return None
        tokens = lex(self.text, states=True)
        if not self._is_short(tokens) or any(token.kind == "equals" for token in tokens):
            return None
        value = whole_value(self.text)
        return (value.start, value.end) if value else None

    @cached_property
    def last_number(self) -> Range | None:
        """The last number that may be an answer: no precision, no bound of the answer.

        Read line by line from the end, as no number spans lines.
        """
        silent = [
            (clause.start, clause.end) for clause in self._clauses if self._is_comment(clause)
        ]
        end = len(self.text)
        while end >= 0:
            start = self.text.rfind("\n", 0, end) + 1
            tokens = lex(self.text, start, end)
            for index in reversed(numbers(self.text, tokens)):
                number = tokens[index]
                place = bisect_left(silent, (number.start + 1,)) - 1
                if place >= 0 and number.start < silent[place][1]:
                    continue
                if not self._is_precision(tokens, index):
                    return number.start, number.end
            end = start - 1
        return None

    def _is_precision(self, tokens: list[Token], index: int) -> bool:
        """Whether a number counts digits, as in "rounded to 2 decimal places"."""
        right = beside(tokens, index, 1)
        return right is not None and bool(_PRECISION.match(self.text, right.start, right.end))

    @cached_property
    def _clauses(self) -> list[_Clause]:
        """All markers with what they introduce, in order.

        A clause ends where the next marker begins, so no character is read twice.
        """
        limit, clauses = len(self.text), []
        for marker in reversed(list(_MARKER.finditer(self.text))):
            clauses.append(_Clause(marker, *self._clause(marker, limit), limit))
            limit = marker.start()
        return clauses[::-1]

    def _clause(self, marker: re.Match[str], limit: int) -> Range:
        """To the end of the sentence or line, on the next line if need be."""
        start = marker.end()
        # What stands below a Markdown heading "####" is not its value.
        if not marker["hashes"] and (lead := _LEAD.match(self.text, start, limit)):
            start = lead.end()
        stop = _CLAUSE_END.search(self.text, start, limit)
        return start, (stop.start() if stop else limit)

    def _is_comment(self, clause: _Clause) -> bool:
        """Whether a clause tells of the answer's bounds: "The answer is less than 20"."""
        if not clause.marker["copula"]:
            return False
        value = clause_value(self.text, lex(self.text, clause.start, clause.end, states=True))
        return value is not None and value.certainty == Certainty.BOUND

    def _marked(self) -> Iterator[_Statement]:
        """The statements behind markers ("####", "the answer is", "A:" …), from the last one on.

        Nothing before the last statement of a form that was asked for is read.
        """
        for index in reversed(range(len(self._clauses))):
            clause = self._clauses[index]
            statement = self._statement(clause)
            if statement is None:
                continue
            heads = "####" in clause.marker[0] or self._is_heading(index)
            if statement.rank == Rank.PHRASE and heads:
                statement = statement._replace(rank=Rank.ASKED)
            yield statement
            if statement.rank == Rank.ASKED:
                return

    def _is_heading(self, index: int) -> bool:
        """Whether "####" stands right before a phrase: "#### The answer is 18"."""
        if index == 0 or not self._clauses[index - 1].marker["hashes"]:
            return False
        start, end = self._clauses[index - 1].marker.end(), self._clauses[index].marker.start()
        return _PHRASE_BEGINS.fullmatch(self.text, start, end) is not None

    def _statement(self, clause: _Clause) -> _Statement | None:
        text, marker = self.text, clause.marker
        if marker["behind"]:
            return self._stated_before(marker.start())
        if self._is_supposed(clause):
            return None
        if _BOX.search(text, clause.start, clause.end) or self._is_list(clause):
            return None  # a box is a statement of its own; a list is the solution
        if word := _WORD_ANSWER.fullmatch(text, clause.start, clause.end):
            rank = Rank.PHRASE if self._is_strong(marker) else Rank.SENTENCE
            rank = Rank.ASKED if marker["hashes"] or marker["tag"] else rank
            return _Statement(rank, *word.span("option" if word["option"] else "word"))
        tokens = lex(text, clause.start, clause.end, states=True)
        value = self._bold_value(marker.end(), clause.end, clause.start) or clause_value(
            text, tokens
        )
        if value is None or (marker["foreign"] and self._is_ambiguous(tokens)):
            return None
        if not self._is_strong(marker) and not self._is_short(self._head(marker, tokens)):
            # "Answer:" may introduce a whole solution; then its result is at its end.
            found = results(text, tokens, numbers(text, tokens))
            value = value._replace(token=tokens[found[-1]]) if found else value
        placed = self._rank(clause, tokens, value)
        return _Statement(placed, value.token.start, value.token.end) if placed else None

    def _stated_before(self, end: int) -> _Statement | None:
        """The number in front of "is the answer": "So 18 dollars is the answer"."""
        start = max(0, end - _LONGEST_UNBRACED)
        for stop in _CLAUSE_END.finditer(self.text, start, end):
            start = stop.end()
        tokens = lex(self.text, start, end)
        found = numbers(self.text, tokens)
        if not found or not self._is_short(tokens[found[-1] :]):
            return None
        value = clause_value(self.text, tokens[: found[-1] + 1])
        number = tokens[found[-1]]
        if value is None or value.token != number or value.certainty >= Certainty.NAMED:
            return None
        return _Statement(Rank.PHRASE, number.start, number.end)

    def _is_supposed(self, clause: _Clause) -> bool:
        """Whether a clause only asks or supposes: "Is it that the answer is 20?", "if …"."""
        marker = clause.marker
        if not marker["copula"]:
            return False
        start = max(0, marker.start() - _LONGEST_SUPPOSING)
        supposed = _SUPPOSED.search(self.text[start : marker.start()])
        return supposed is not None or self.text.startswith("?", clause.end)

    def _is_ambiguous(self, tokens: list[Token]) -> bool:
        """Whether a clause has several numbers and no result, in a language not known here."""
        found = numbers(self.text, tokens)
        values = {tokens[index].value for index in found}
        return len(values) > 1 and not results(self.text, tokens, found)

    def _rank(self, clause: _Clause, tokens: list[Token], value: Value) -> Rank | None:
        """How strong a clause with that value is as a statement; None where it is none."""
        marker, direct = clause.marker, is_direct(self.text, tokens)
        if marker["hashes"]:
            return Rank.ASKED if direct else None
        own = value.certainty <= Certainty.NAMED
        if marker["tag"]:
            return Rank.ASKED if own else None
        partial = marker["about"] and _PARTIAL.search(marker["about"])
        if self._is_strong(marker):
            if value.certainty == Certainty.DIRECT and not partial:
                return Rank.PHRASE
            if marker["copula"]:
                return Rank.SENTENCE if own else None
        elif direct and self._is_short(head := self._head(marker, tokens)):
            spoken = is_sentence(self.text, head) or partial
            return Rank.SENTENCE if spoken else Rank.PHRASE
        return Rank.SENTENCE if own and self._concludes(clause) else None

    def _concludes(self, clause: _Clause) -> bool:
        """Whether no number follows; behind "Final answer" only its paragraph is asked."""
        if self._is_strong(clause.marker):
            end = self.text.find("\n\n", clause.end, clause.limit)
            tokens = lex(self.text, clause.end, clause.limit if end < 0 else end)
            return not numbers(self.text, tokens)
        return self.last_number is not None and self.last_number[0] < clause.end

    def _is_strong(self, marker: re.Match[str]) -> bool:
        """Whether a marker introduces nothing but the answer; "Answer:", "A:", "# Answer" may."""
        heading = (marker["heading"] or "").casefold()
        named = marker["of"] or marker["foreign"] or marker["copula"] or marker["final"]
        return bool(named or marker["tag"] or heading[:5] == "final")

    def _head(self, marker: re.Match[str], tokens: list[Token]) -> list[Token]:
        """The tokens behind "Answer:" up to its reason: "Answer: 18 (9 * 2)", "18, because"."""
        if marker["letter"]:
            return tokens
        first = next((i for i, token in enumerate(tokens) if token.kind == "number"), len(tokens))
        behind = takewhile(lambda token: not begins_reason(self.text, token), tokens[first:])
        return [*tokens[:first], *behind]

    def _is_short(self, tokens: list[Token]) -> bool:
        """Whether a clause is one number and at most a unit."""
        words = [t for t in tokens if t.kind == "word" and not is_dress(self.text, t)]
        return (
            sum(token.kind == "number" for token in tokens) == 1 and len(words) <= _MAX_UNIT_WORDS
        )

    def _is_list(self, clause: _Clause) -> bool:
        """Whether a list's first item follows: "#### 1. Count the eggs", "Answer:" above "- 9"."""
        text, (marker, start, _, limit) = self.text, clause
        line_start = text.rfind("\n", marker.end(), start) + 1
        if marker["hashes"]:
            item = _LIST_NUMBER.match(text, start, limit)
        elif line_start:
            item = _LIST_NUMBER.match(text, line_start, limit) or _BULLET.match(
                text, line_start, limit
            )
        else:
            return False
        return item is not None and _REST_OF_LINE.match(text, item.end(), limit) is not None

    def _last_boxed(self) -> Range | None:
        r"""The value of the last closed ``\boxed{}`` that is not empty, or of a ``\boxed 18``."""
        box = self.last_box()
        whole = whole_value(self.text, *box.content) if box and box.braced else None
        return (whole.start, whole.end) if whole else box.content if box else None

    def last_box(self) -> Box | None:
        r"""The last closed ``\boxed{}`` that is not empty, or ``\boxed 18``, whatever it holds."""
        text = self.text
        close_of: dict[int, int] = {}
        opened: list[int] = []
        for brace in _BRACES.finditer(text):
            if brace[0] == "{":
                opened.append(brace.start())
            elif brace[0] == "}" and opened:
                close_of[opened.pop()] = brace.start()
        for box in reversed(list(_BOX.finditer(text))):
            if not box[0].endswith("{"):
                if number := self._unbraced(box.end()):
                    return Box(number, braced=False)
                continue
            start, end = box.end(), close_of.get(box.end() - 1, box.end())
            while start < end and text[start].isspace():
                start += 1
            while end > start and text[end - 1].isspace():
                end -= 1
            if start < end:
                return Box((start, end), braced=True)
        return None

    def phrases(self) -> Iterator[Phrase]:
        """What markers introduce, whatever it is, in order; not what only asks or supposes."""
        for clause in self._clauses:
            marker = clause.marker
            if not (marker["letter"] or marker["behind"] or self._is_supposed(clause)):
                asked = bool(marker["hashes"] or marker["tag"])
                yield Phrase((clause.start, clause.end), asked)

    def _unbraced(self, start: int) -> Range | None:
        """The number that follows a box's command without braces."""
        end = self.text.find("\n", start, start + _LONGEST_UNBRACED)
        end = min(start + _LONGEST_UNBRACED, len(self.text)) if end < 0 else end
        for token in lex(self.text, start, end, states=True):
            if token.kind == "number":
                return token.start, token.end
            if token.kind != "mark":
                break
        return None

    @cached_property
    def _bold(self) -> list[Range]:
        """Ranges of all bold contents, in order; bold type ends with its line at the latest."""
        contents: list[Range] = []
        opened: int | None = None
        for mark in _BOLD_OR_NEWLINE.finditer(self.text):
            if mark[0] == "\n":
                opened = None
            elif opened is None:
                opened = mark.end()
            else:
                contents.append((opened, mark.start()))
                opened = None
        return contents

    def _bold_within(self, start: int, end: int) -> list[Range]:
        """The bold contents that lie in [start, end)."""
        first, last = bisect_left(self._bold, (start, start)), bisect_left(self._bold, (end, end))
        return [content for content in self._bold[first:last] if content[1] <= end]

    def _bold_value(self, start: int, end: int, expected: int) -> Value | None:
        """The value of the first bold type with a number in a clause: that is what it stresses."""
        for content in self._bold_within(start, end):
            begin, stop = content
            lead = _LEAD.match(self.text, expected, begin)
            expected = lead.end() if lead else expected
            if self.text.startswith("-**", begin - 3) and not self.text[begin - 4].isalnum():
                begin -= 3
            # Bold type that a clause begins with is where a value is expected.
            tokens = lex(self.text, begin, stop, states=begin <= expected)
            if value := clause_value(self.text, tokens):
                return value._replace(certainty=Certainty.DIRECT)
        return None

    def _bold_conclusion(self, stated: _Statement | None) -> Range | None:
        """The last bold number of the last line that holds a number, if no statement is there."""
        if self.last_number is None:
            return None
        text = self.text
        line_start = text.rfind("\n", 0, self.last_number[0]) + 1
        if stated and stated.end > line_start:
            return None
        line_end = text.find("\n", self.last_number[1])
        line_end = len(text) if line_end < 0 else line_end
        for start, end in reversed(self._bold_within(line_start, line_end)):
            if self._is_label(start, end, line_end):
                continue
            # "**Total for 5 days: 18**" states what follows the colon.
            colon = text.rfind(": ", start, end)
            # Where it is all of its line, a value is expected.
            alone = start - line_start <= 3 and not text[end + 2 : line_end].strip(" .")
            start = max(start, colon + 1)
            if alone and text.startswith("-**", start - 3):
                start -= 3
            if value := clause_value(text, lex(text, start, end, states=alone)):
                return (value.token.start, value.token.end)
        return None

    def _is_label(self, start: int, end: int, line_end: int) -> bool:
        """Whether bold type names what follows it: "**Step 3:**", "**2.** Add", "**Total**: 18"."""
        content, after = self.text[start:end], self.text[end + 2 : line_end].strip()
        if content.rstrip().endswith(":") or after.startswith(":"):
            return True
        number = _LIST_NUMBER.match(content)
        if number is not None and (number.end() < len(content) or after):
            return True
        return _SECTION.match(content) is not None and "=" not in content and ": " not in content
