"""Answers to one's own questions, by kind: a gold answer read, a completion's found and compared.

A prepared row's "answer" is JSON, `Gold`, that says by itself how it is compared, so that rows of
several kinds can stand in one study and every stage needs the row alone.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from string import ascii_uppercase
from typing import Any

from cfdapo.problems import answers, latex
from cfdapo.problems.clauses import whole_value
from cfdapo.problems.numerals import fold
from cfdapo.problems.stated import find_choice, find_statement

_EDGES = " .,;:!*_\"'“”‘’`$"
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf)\s?\{([^{}]*)\}")
_WHOLE_BOX = re.compile(r"\\(?:boxed|fbox)\s?\{(.*)\}", re.DOTALL)
# Beside a number in the data's answer: what makes it another number, a bound or an estimate. Only
# dress, a currency or a unit may stand there. A completion's answer is read more kindly.
_NOT_BEFORE = re.compile(
    r"[<>≤≥≈~√±|=]|\\(?:leq?|geq?|approx|sim|pm)\b"
    r"|(?<![\\A-Za-z])(?!(?:[A-Z]{2,3}|Rs)(?![A-Za-z]))[^\W\d_]"
)
_NOT_BEHIND = re.compile(
    r"[!<>≤≥≈±…|+=]|\.\.|\\(?:l|c)?dots\b|\\pm\b|[^\W\d_]\d\d"
    r"|\A(?:[eExXbo][-+]?\d|(?:[bkKMBTieExXπ]|[bmt]n)(?![^\W\d_]))"
    r"|\b(?:or|and|more|less|fewer|times|plus|minus|squared|cubed|factorial)\b"
)
# Far more digits than a completion can state; a number of JSON may ask for millions.
_MOST_DIGITS = 400
_FORMULA = re.compile(r"\$\$?(.*?)\$\$?|\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL)


@dataclass(frozen=True)
class Gold:
    """The right answer of a question, of `kind`; with `letters` of a choice's options."""

    kind: str
    answer: str
    letters: int = 0

    def to_text(self) -> str:
        """As a row's "answer" has it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Gold":
        """What `to_text` gave."""
        return cls(**json.loads(text))


def read_gold(kind: str, value: Any, options: Sequence[str] | int) -> Gold:
    """A row's right answer as it is compared; `options` of a choice are texts, or how many.

    Raises ValueError saying what an answer of that kind must be.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"is {said(value)} and must be text or a number")
    text = str(value).strip()
    if kind == "choice":
        return _gold_choice(value, text, options)
    if kind == "number":
        found = _gold_number(value) if isinstance(value, str) else _spelled(text)
        # One that no completion can state, as of hundreds of digits, would never be right.
        if found is None or answers.extract_answer(f"#### {found}") != found:
            raise ValueError(f"is {said(value)} and must be one number, with a unit at most")
        return Gold(kind, found)
    found = plain_formula(text) if kind == "latex" else normal_text(text)
    if not found:
        raise ValueError(f"is {said(value)} and must not be empty")
    if kind == "latex" and not latex.can_read(found):
        raise ValueError(f"is {said(value)}, which {latex.LIBRARY} cannot read")
    return Gold(kind, found)


def said(value: Any) -> str:
    """A value of a record, as messages show it."""
    return str(value) if isinstance(value, Decimal) else repr(value)


def _spelled(number: str) -> str | None:
    """A number of JSON, exactly, as answers are spelled; None where it is none, or too long."""
    value = Decimal(number)
    if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS:
        return None
    return answers.spell(Fraction(value))


def _gold_number(text: str) -> str | None:
    """The one number that a text is, as answers are spelled, or None."""
    text = fold(text.rpartition("####")[2])
    found = whole_value(text)
    if found is None or found.value is None:
        return None
    beside = _NOT_BEFORE.search(text[: found.start]) or _NOT_BEHIND.search(text[found.end :])
    return None if beside else answers.spell(found.value)


def _gold_choice(value: Any, text: str, options: Sequence[str] | int) -> Gold:
    count = options if isinstance(options, int) else len(options)
    letters = ascii_uppercase[:count]
    letter = text.strip("().: ").upper()
    if isinstance(value, str) and len(letter) == 1 and letter in letters:
        if (
            not isinstance(options, int)
            and text in options
            and options.index(text) != letters.index(letter)
        ):
            raise ValueError(
                f"is {said(value)}, which is a letter and also the text of another option"
            )
        return Gold("choice", letter, count)
    if isinstance(value, str) and not isinstance(options, int) and options.count(text) == 1:
        return Gold("choice", letters[options.index(text)], count)
    allowed = f"a letter from A to {letters[-1]}"
    allowed += "" if isinstance(options, int) else ", or the text of one option"
    raise ValueError(f"is {said(value)} and must be {allowed}")


def normal_text(value: str) -> str:
    """Text as `exact` compares it: Unicode's NFKC, one space, no case, no marks at its ends."""
    text = _TEXT_COMMAND.sub(r"\1", unicodedata.normalize("NFKC", value))
    return " ".join(text.split()).strip(_EDGES).casefold()


def plain_formula(value: str) -> str:
    r"""A formula without the marks around it: $…$, \(…\), \[…\] or \boxed{…}."""
    text = value.strip().rstrip(".")
    for pattern in (_FORMULA, _WHOLE_BOX):
        if found := pattern.fullmatch(text):
            text = next(group for group in found.groups() if group is not None).strip()
    return text


def extract(completion: str, kind: str) -> str | None:
    """A completion's answer as it is compared, or None where it states none of that kind."""
    if kind == "number":
        return answers.extract_answer(completion)
    found = (find_choice if kind == "choice" else find_statement)(completion)
    if found is None:
        return None
    stated = completion[slice(*found)]
    return _FORMS[kind](stated) or None


_FORMS: dict[str, Callable[[str], str]] = {
    "choice": str.upper,
    "latex": plain_formula,
    "exact": normal_text,
}


def is_correct(completion: str, gold: Gold) -> bool:
    """Whether a completion's answer is the gold one (equations 1 and 2: the binary reward)."""
    found = extract(completion, gold.kind)
    if found is None:
        return False
    return latex.equal(gold.answer, found) if gold.kind == "latex" else found == gold.answer
