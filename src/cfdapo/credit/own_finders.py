"""Spans and answers that a function of one's own finds in a completion, checked before use."""

from collections.abc import Callable, Iterable
from typing import Any

from cfdapo.credit.spans import Span

# Both may give a `Span` or a pair (start, end) of characters of the text.
AnswerFinder = Callable[[str], Any]
SpanFinder = Callable[[str, int, Span], Iterable[Any]]


def own_answer(find: AnswerFinder, text: str) -> Span | None:
    """What `find(text)` gives; None where the text states no answer.

    Raises ValueError where it is no range of the text that holds a character.
    """
    found = find(text)
    return None if found is None else _checked(find, found, "answer", 0, len(text))


def own_spans(find: SpanFinder, text: str, max_spans: int, answer: Span) -> list[Span]:
    """What `find(text, max_spans, answer)` gives, in the text's order.

    Raises ValueError where these are no disjoint ranges before the answer, or more than max_spans.
    """
    pairs = [
        _checked(find, found, "own", 0, answer.start) for found in find(text, max_spans, answer)
    ]
    spans = sorted(pairs, key=lambda span: span.start)
    if len(spans) > max_spans:
        raise ValueError(f"{_name(find)} gave {len(spans)} spans; max_spans is {max_spans}")
    for one, other in zip(spans, spans[1:], strict=False):
        if other.start < one.end:
            raise ValueError(f"{_name(find)} gave spans that overlap: {one} and {other}")
    return spans


def _checked(find: Callable[..., Any], found: Any, kind: str, start: int, end: int) -> Span:
    span = found
    if not isinstance(found, Span):
        try:
            first, last = found
            span = Span(int(first), int(last), kind)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{_name(find)} gave {found!r}; allowed: a Span or a pair (start, end)"
            ) from error
    if not start <= span.start < span.end <= end:
        what = "the text" if kind == "answer" else "the text before the answer"
        raise ValueError(
            f"{_name(find)} gave characters {span.start} to {span.end}; {what} has {start} to {end}"
        )
    return span


def _name(find: Callable[..., Any]) -> str:
    return getattr(find, "__name__", type(find).__name__)
