"""Spans and answers that a function of one's own finds in a completion, checked before use."""

from collections.abc import Callable, Iterable
from typing import Any

from cfdapo.credit.spans import Span
from cfdapo.files import UserError
from cfdapo.own_code import is_own, load

# Both may give a `Span` or a pair (start, end) of characters of the text.
AnswerFinder = Callable[[str], Any]
SpanFinder = Callable[[str, int, Span], Iterable[Any]]


class WrongRange(UserError, ValueError):
    """A finder of one's own gave what is no span, or no answer, of the text."""


def finder(named: Any) -> Callable[..., Any]:
    """A function of one's own, itself or by its path, as mypackage.spans:find.

    Raises UserError where the path names nothing that can be called.
    """
    found = load(named) if is_own(named) else named
    if not callable(found):
        raise UserError(f"{named}: is no function")
    return found


def own_answer(find: AnswerFinder, text: str) -> Span | None:
    """What `find(text)` gives; None where the text states no answer.

    Raises WrongRange where it is no range of the text that holds a character.
    """
    found = find(text)
    return None if found is None else _checked(find, found, "answer", 0, len(text))


def own_spans(find: SpanFinder, text: str, max_spans: int, answer: Span) -> list[Span]:
    """What `find(text, max_spans, answer)` gives, in the text's order.

    Raises WrongRange where these are no disjoint ranges before the answer, or more than max_spans.
    """
    given = find(text, max_spans, answer)
    if not isinstance(given, Iterable):
        raise WrongRange(
            f"{_name(find)} gave {given!r}; allowed: a list of spans, which may be empty"
        )
    pairs = [_checked(find, found, "own", 0, answer.start) for found in given]
    spans = sorted(pairs, key=lambda span: span.start)
    if len(spans) > max_spans:
        raise WrongRange(f"{_name(find)} gave {len(spans)} spans; max_spans is {max_spans}")
    for one, other in zip(spans, spans[1:], strict=False):
        if other.start < one.end:
            raise WrongRange(f"{_name(find)} gave spans that overlap: {one} and {other}")
    return spans


def _checked(find: Callable[..., Any], found: Any, kind: str, start: int, end: int) -> Span:
    span = found
    if not isinstance(found, Span):
        try:
            first, last = found
            span = Span(int(first), int(last), kind)
        except (TypeError, ValueError) as error:
            raise WrongRange(
                f"{_name(find)} gave {found!r}; allowed: a Span or a pair (start, end)"
            ) from error
    if not start <= span.start < span.end <= end:
        what = "the text" if kind == "answer" else "the text before the answer"
        raise WrongRange(
            f"{_name(find)} gave characters {span.start} to {span.end}; {what} has {start} to {end}"
        )
    return span


def _name(find: Callable[..., Any]) -> str:
    return getattr(find, "__name__", type(find).__name__)
