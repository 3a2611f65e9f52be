"""One completion of a credit map as HTML: coloured tokens, its spans' numbers, a strip of weights.

A completion is a row of `COMPLETION_COLUMNS`, its spans are rows of `SPAN_COLUMNS`, in the order of
the text.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from cfdapo.analysis.credit_map.markup import as_attribute, as_text
from cfdapo.analysis.credit_map.shades import NEUTRAL, shade
from cfdapo.analysis.rendering.table import DASH, signed
from cfdapo.analysis.rendering.wording import is_code, tested
from cfdapo.vocabulary import SPAN_LABELS

# Longest text of a span in its row and in what a screen reader says.
_LONGEST_QUOTE = 120
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class MappedCompletion:
    """A completion, its spans and the id of its element, from which all others in it follow.

    `task` is the study's, of which some run what is answered.
    """

    key: str
    completion: dict[str, Any]
    spans: Sequence[dict[str, Any]]
    task: str | None = None

    def classes(self) -> str:
        """The labels of its spans, for the filters."""
        found = {label_of(span) for span in self.spans}
        return " ".join(["item", *(label for label in (*SPAN_LABELS, _UNKNOWN) if label in found)])

    def article(self, number: int) -> str:
        """The whole: heading, question, text and numbers."""
        row = self.completion
        return (
            f'<article id="{self.key}" class="{self.classes()}" aria-labelledby="{self.key}h">\n'
            f'<header><h3 id="{self.key}h">{number}<span class="id"> · '
            f"{as_text(row['completion'])}</span></h3>{self._verdict()}{self._noise()}</header>\n"
            f'<p class="question">{as_text(row["question"])}</p>\n'
            f'<div class="text" dir="auto" translate="no">{self.text()}</div>\n'
            f"{self.numbers()}</article>"
        )

    def _verdict(self) -> str:
        row = self.completion
        if row["correct"] is None:
            return f'<p class="verdict">states {as_text(str(row["extracted"]))}</p>'
        head = "<b>✓ right</b>" if row["correct"] else "<b>✗ wrong</b>"
        said = "states no answer" if row["extracted"] is None else f"states {row['extracted']}"
        if is_code(self.task):
            said = tested(row)
        elif not row["correct"]:
            said += f", right is {row['gold']}"
        return f'<p class="verdict">{head}: {as_text(said)}</p>'

    def _noise(self) -> str:
        if not self.completion["noise"]:
            return ""
        return '<p class="noise">⚠ no drop is beyond rounding: the weights here say nothing</p>'

    def text(self) -> str:
        """The completion's text, a token an element, a span a link to its row of numbers.

        Its text content is the completion's text, whatever the tokens' characters are.
        """
        parts = []
        for owner, group in groupby(self._pieces(), key=lambda piece: piece[0]):
            runs = groupby(group, key=lambda piece: piece[1])
            coloured = (_coloured(name, "".join(piece[2] for piece in run)) for name, run in runs)
            parts.append(self._wrapped(owner, "".join(coloured)))
        return "".join(parts)

    def _pieces(self) -> Iterator[tuple[int | str | None, str, str]]:
        """(owner, shade, HTML) of every token with characters of its own, and of other text."""
        row, owners = self.completion, self._owners()
        cursor, before, name = 0, None, NEUTRAL
        for index, ((start, end), weight) in enumerate(
            zip(row["tokens"], row["weights"], strict=True)
        ):
            owner = owners.get(index)
            if start > cursor:
                # Within one span the text between its tokens is the span's as well.
                between = (owner, name) if owner == before else (None, NEUTRAL)
                yield *between, as_text(row["text"][cursor:start])
                cursor = start
            # A piece of a character has none of its own: start is end, or lies behind the cursor.
            if end > cursor:
                name = shade(weight)
                yield owner, name, f"<i>{as_text(row['text'][cursor:end])}</i>"
                cursor = end
            before = owner
        if cursor < len(row["text"]):
            yield None, NEUTRAL, as_text(row["text"][cursor:])

    def _owners(self) -> dict[int, int | str]:
        """Token -> index of the span, or "answer", that it belongs to."""
        owners: dict[int, int | str] = {}
        for index, span in enumerate(self.spans):
            for token in range(span["token_start"], span["token_end"]):
                owners.setdefault(token, index)
        answer = self.completion["answer"]
        if answer:
            for token in range(answer["token_start"], answer["token_end"]):
                owners.setdefault(token, "answer")
        return owners

    def _wrapped(self, owner: int | str | None, html: str) -> str:
        if owner is None:
            return html
        if owner == "answer":
            weight = number(self._weight(self.completion["answer"]), 2)
            title = f"stated answer, weight {weight}"
            return (
                f'<span class="answer" title="{title}" data-weight="{weight} answer">'
                f"<b>{html}</b></span>"
            )
        span = self.spans[int(owner)]
        weight = number(self._weight(span), 2)
        label = label_of(span)
        shown = f"{weight} {label}" if label != _UNKNOWN else weight
        return (
            f'<a class="span {label}" id="{self.key}s{owner}" href="#{self.key}n{owner}"'
            f' aria-label="{as_attribute(self._spoken(span))}" data-weight="{shown}"'
            f' data-tip="{as_attribute(self._tip(span))}">{html}</a>'
        )

    def _weight(self, part: dict[str, Any]) -> float:
        """Mean weight of the tokens of a span or of the answer; after any rescaling."""
        weights = self.completion["weights"][part["token_start"] : part["token_end"]]
        return sum(weights) / len(weights) if weights else math.nan

    def _facts(self, span: dict[str, Any]) -> list[tuple[str, str, str]]:
        """(name, value, unit) of what was measured at a span."""
        facts = [
            ("drop", nats(span["drop"]), "nats"),
            ("importance", nats(span["importance"]), "nats"),
            ("normalised", number(span["normalized"]), ""),
            ("weight", number(span["weight"]), ""),
        ]
        rescaled = number(self._weight(span))
        if rescaled != facts[-1][1]:
            facts.append(("rescaled to", rescaled, ""))
        facts.append(("label", label_of(span), ""))
        if (dependants := _dependants(span)) is not None:
            unit = "later step" if dependants == 1 else "later steps"
            facts.append(("needed by", str(dependants), unit))
        return facts

    def _tip(self, span: dict[str, Any]) -> str:
        head = f"span {span['span'] + 1} of {len(self.spans)}, {span['kind']}"
        # Decimals end in one column; words and counts begin where the longest of them does.
        lines = [
            f"{name:<12}{value:>{9 if '.' in value else 0}} {unit}".rstrip()
            for name, value, unit in self._facts(span)
        ]
        return "\n".join([head, *lines])

    def _spoken(self, span: dict[str, Any]) -> str:
        facts = ", ".join(" ".join(fact).strip() for fact in self._facts(span))
        return f"{_quote(span)}: {facts}; span {span['span'] + 1} of {len(self.spans)}"

    def numbers(self) -> str:
        """The spans as a table, folded away on screens."""
        columns = [(name, of) for name, of in _COLUMNS if any(map(of, self.spans))]
        head = "".join(f'<th scope="col">{name}</th>' for name, _ in columns)
        rows = "\n".join(
            f'<tr id="{self.key}n{index}"><td>'
            f'<a href="#{self.key}s{index}" aria-label="to span {index + 1} in the text">'
            f'{index + 1}</a></td><th scope="row">{as_text(_quote(span))}</th>'
            + "".join(f"<td>{of(span) or DASH}</td>" for _, of in columns)
            + "</tr>"
            for index, span in enumerate(self.spans)
        )
        drops = [span["drop"] for span in self.spans]
        summary = f"{len(drops)} spans, drops {number(min(drops))} to {number(max(drops))} nats"
        if len(drops) == 1:
            summary = f"1 span, drop {number(drops[0])} nats"
        return (
            f"<details><summary>{summary}</summary>\n"
            f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{self.key}h">\n'
            f'<table><thead><tr><th scope="col">#</th><th scope="col" class="left">span</th>{head}'
            f"</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div></details>\n"
        )

    def strip(self, number: int) -> str:
        """A link to the completion that shows the weights of its tokens from first to last."""
        runs, start = [], 0
        for name, group in groupby(map(shade, self.completion["weights"])):
            width = len(list(group))
            runs.append(f'<rect class="{name}" x="{start}" width="{width}" height="1"/>')
            start += width
        return (
            f'<li class="{self.classes()}"><a href="#{self.key}"><b>{number}</b>'
            f'<svg viewBox="0 0 {max(start, 1)} 1" preserveAspectRatio="none"'
            f' shape-rendering="crispEdges" aria-hidden="true">{"".join(runs)}</svg></a></li>'
        )


def _coloured(name: str, html: str) -> str:
    return html if name == NEUTRAL else f'<span class="{name}">{html}</span>'


def label_of(span: dict[str, Any]) -> str:
    """The span's label, "unknown" where there is none."""
    return span["label"] if span["label"] in SPAN_LABELS else _UNKNOWN


def _dependants(span: dict[str, Any]) -> int | None:
    return None if pd.isna(span["dependants"]) else int(span["dependants"])


def _needed_by(span: dict[str, Any]) -> str:
    dependants = _dependants(span)
    return "" if dependants is None else str(dependants)


def _known_label(span: dict[str, Any]) -> str:
    label = label_of(span)
    return "" if label == _UNKNOWN else label


def _quote(span: dict[str, Any]) -> str:
    text = span["text"]
    return text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 1]}…"


def number(value: float | None, digits: int = 3) -> str:
    """A number for readers; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    return signed(round(value, digits) + 0.0, f".{digits}f")  # Not −0.000.


def nats(value: float | None) -> str:
    """A drop or an importance; one that would be printed as 0.000 is printed as 1.2e−05."""
    if value is None or not math.isfinite(value) or not 0 < abs(value) < 0.0005:
        return number(value)
    return signed(value, ".1e")


# Columns of the table of numbers; one that is empty for every span is left out.
_COLUMNS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("drop", lambda span: nats(span["drop"])),
    ("importance", lambda span: nats(span["importance"])),
    ("normalised", lambda span: number(span["normalized"])),
    ("weight", lambda span: number(span["weight"])),
    ("label", _known_label),
    ("needed by", _needed_by),
    ("kind", lambda span: span["kind"]),
    ("entropy", lambda span: number(span["entropy"])),
)
