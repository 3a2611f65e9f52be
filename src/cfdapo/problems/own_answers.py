"""Answers to one's own questions, by kind: a gold answer read, a completion's found and compared.

A prepared row's "answer" is JSON, `Gold`, that says by itself how it is compared, so that rows of
several kinds can stand in one study and every stage needs the row alone.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from string import ascii_uppercase
from typing import Any

from cfdapo.problems import answers, latex
from cfdapo.problems.stated import find_choice, find_statement

_EDGES = " .,;:!*_\"'“”‘’`$"
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf)\s?\{([^{}]*)\}")
_WHOLE_BOX = re.compile(r"\\(?:boxed|fbox)\s?\{(.*)\}", re.DOTALL)
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
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"is {value!r} and must be text or a number")
    text = str(value).strip()
    if kind == "choice":
        return _gold_choice(value, text, options)
    if kind == "number":
        found = answers.normalise(text.rpartition("####")[2])
        try:
            Fraction(found)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"is {value!r} and must be one number") from None
        return Gold(kind, found)
    found = plain_formula(text) if kind == "latex" else normal_text(text)
    if not found:
        raise ValueError(f"is {value!r} and must not be empty")
    if kind == "latex" and not latex.can_read(found):
        raise ValueError(f"is {value!r}, which {latex.LIBRARY} cannot read")
    return Gold(kind, found)


def _gold_choice(value: Any, text: str, options: Sequence[str] | int) -> Gold:
    count = options if isinstance(options, int) else len(options)
    letters = ascii_uppercase[:count]
    letter = text.strip("().: ").upper()
    if isinstance(value, str) and len(letter) == 1 and letter in letters:
        return Gold("choice", letter, count)
    if isinstance(value, str) and not isinstance(options, int) and options.count(text) == 1:
        return Gold("choice", letters[options.index(text)], count)
    allowed = f"a letter from A to {letters[-1]}"
    allowed += "" if isinstance(options, int) else ", or the text of one option"
    raise ValueError(f"is {value!r} and must be {allowed}")


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
