"""Text of unknown origin, such as completions, as HTML that shows it and can do nothing else."""

import html
import unicodedata
from collections.abc import Callable

# Controls, format characters (bidirectional overrides, zero-width and soft hyphens), separators
# of lines and paragraphs, and halves of surrogate pairs: they have no look of their own.
_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Cs")
# White space that is shown as such, and the joiners that make up one visible character.
_SHOWN = frozenset("\n\t\u200c\u200d")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def as_text(text: str) -> str:
    """HTML whose text is exactly `text`; characters without a look are named beside themselves.

    Each of those stands in a `<span class="unseen">` of its own, which the style sheet isolates, so
    that a bidirectional override turns nothing else around. NUL and halves of surrogate pairs,
    which no HTML file can hold, become U+FFFD.
    """
    return _escape(text, _unseen_element)


def as_attribute(text: str) -> str:
    """`text` for a quoted attribute; characters without a look become their names, [U+202E]."""
    return _escape(text, lambda sign: f"[{_code(sign)}]")


def _escape(text: str, unseen: Callable[[str], str]) -> str:
    return "".join(unseen(sign) if _is_unseen(sign) else html.escape(sign) for sign in text)


def _is_unseen(sign: str) -> bool:
    return sign not in _SHOWN and unicodedata.category(sign) in _UNSEEN


def _code(sign: str) -> str:
    return f"U+{ord(sign):04X}"


def _unseen_element(sign: str) -> str:
    if sign == "\r":
        kept = "&#13;"  # A bare one would be read as a new line.
    elif sign == "\0" or unicodedata.category(sign) == "Cs":
        kept = _REPLACEMENT
    else:
        kept = sign
    return f'<span class="unseen" data-code="{_code(sign)}">{kept}</span>'
