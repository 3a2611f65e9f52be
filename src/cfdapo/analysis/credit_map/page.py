"""Credit maps: a self-contained HTML page of completions whose tokens are coloured by weight.

The page's frame, style and script are the files beside this one with the same name.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

import pandas as pd

from cfdapo.analysis.credit_map.completion import MappedCompletion, label_of, nats, number
from cfdapo.analysis.credit_map.markup import as_text
from cfdapo.analysis.credit_map.shades import RANGES
from cfdapo.analysis.rendering.table import DASH
from cfdapo.settings import may_be_absent
from cfdapo.vocabulary import SPAN_LABELS, TREATMENT

# Most completions of a section, and most bytes of their HTML: a page stays below a megabyte.
MOST_SHOWN = 20
MOST_BYTES = 300_000


@dataclass(frozen=True)
class MapSettings:
    """What a page says of the credit that was measured."""

    intervention: str
    sink: str
    w_min: float
    w_max: float
    w_answer: float
    # The rule that gave the weights; absent: counterfactual.
    mode: str | None = may_be_absent()


@dataclass(frozen=True)
class Section:
    """Completions of one sort: all that were measured, those with spans, those that are shown."""

    name: str
    heading: str
    measured: Sequence[dict[str, Any]]
    with_spans: Sequence[MappedCompletion]
    shown: Sequence[MappedCompletion]


# name -> heading; of scored ones nobody knows whether they are right; gold solutions state the
# right answer, but no policy wrote them.
_SECTIONS = {
    "right": "Right answers",
    "wrong": "Wrong answers",
    "scored": "Completions",
    "gold": "The data set's own solutions",
}


def credit_map(
    spans: pd.DataFrame,
    completions: Sequence[dict[str, Any]],
    study: str,
    model: str,
    credit: MapSettings,
    task: str | None = None,
) -> str:
    """The page of one model; the same records give the same bytes.

    Args:
        spans: rows of `cfdapo.analysis.records.measured_credit.SPAN_COLUMNS`.
        completions: rows of `COMPLETION_COLUMNS`.
        study: name of the study.
        model: display name of the model.
        credit: settings of the measured credit.
        task: the study's task.
    """
    sections = _sections(spans, completions, task)
    style, script = _resource("css"), _resource("js")
    return Template(_resource("html")).substitute(
        study=as_text(study),
        model=as_text(model),
        policy=_policies(completions),
        credit=_settings(credit),
        rule=_rule(credit),
        weight=_weight(credit),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        skip=_skip_links(sections),
        legend=_legend(),
        filters=_filters(sections),
        summary=_summary(sections),
        sections="\n".join(map(_section, sections)),
        choice=_choice(credit),
    )


def _resource(suffix: str) -> str:
    path = resources.files("cfdapo.analysis.credit_map") / f"page.{suffix}"
    return path.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the page's security policy names its own style and script by; it allows no others."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _sections(
    spans: pd.DataFrame, completions: Sequence[dict[str, Any]], task: str | None
) -> list[Section]:
    """The sections that there are measured completions for."""
    found = {name: group.to_dict("records") for name, group in spans.groupby("completion")}
    sections = []
    for name, heading in _SECTIONS.items():
        measured = [row for row in completions if _section_of(row) == name]
        with_spans = [
            MappedCompletion(f"{name}{number}", row, found[row["completion"]], task)
            for number, row in enumerate(measured)
            if row["completion"] in found
        ]
        if measured:
            sections.append(Section(name, heading, measured, with_spans, choose(with_spans)))
    return sections


def _section_of(row: dict[str, Any]) -> str:
    if row["source"] == "gold":
        return "gold"
    if row["correct"] is None:
        return "scored"
    return "right" if row["correct"] else "wrong"


def choose(
    candidates: Sequence[MappedCompletion], most: int = MOST_SHOWN, most_bytes: int = MOST_BYTES
) -> list[MappedCompletion]:
    """Completions to show, in the order of the records.

    The first of every problem, then the second of every problem, and so on, up to `most` and for
    as long as their HTML has no more than `most_bytes`.
    """
    seen: Counter[str] = Counter()
    turns = []
    for index, candidate in enumerate(candidates):
        problem = candidate.completion["problem"]
        turns.append((seen[problem], index))
        seen[problem] += 1
    chosen, size = [], 0
    for _, index in sorted(turns)[:most]:
        size += len(candidates[index].article(0).encode())
        if size > most_bytes:
            break
        chosen.append(index)
    return [candidates[index] for index in sorted(chosen)]


def _choice(credit: MapSettings) -> str:
    flat = "are" if _is_other(credit) else "have weight 1 everywhere and are"
    return (
        f"Shown are at most {MOST_SHOWN} completions of each section: the first of every problem, "
        "then the second of every problem, and so on, in the order of the records. Completions "
        f"without a span or without a stated answer {flat} only counted. "
        "The same records give the same page."
    )


def _policies(completions: Sequence[dict[str, Any]]) -> str:
    names = sorted({row["policy"] for row in completions})
    return ", ".join(
        "the untrained model" if name == "untrained" else as_text(name) for name in names
    )


def _settings(credit: MapSettings) -> str:
    names = {
        "intervention": "intervention",
        "sink": "sink",
        "w_min": "w<sub>min</sub>",
        "w_max": "w<sub>max</sub>",
        "w_answer": "answer's weight",
    }
    found = [f"{text} {as_text(str(getattr(credit, name)))}" for name, text in names.items()]
    return ", ".join(
        [*found, *([f"mode {as_text(str(credit.mode))}"] if _is_other(credit) else [])]
    )


def _is_other(credit: MapSettings) -> bool:
    return credit.mode not in (None, TREATMENT)


def _rule(credit: MapSettings) -> str:
    return f"mode {as_text(str(credit.mode))}" if _is_other(credit) else "counterfactual credit"


def _weight(credit: MapSettings) -> str:
    """What a weight is."""
    if _is_other(credit):
        return f"what {_rule(credit)} gives the tokens of the span on average."
    return (
        "from <var>w</var><sub>min</sub> at 0 to <var>w</var><sub>max</sub> at 1 (equation 7), for "
        "every token of the span. Tokens in no span have 1; the stated answer's have a weight of "
        "their own."
    )


def _skip_links(sections: Sequence[Section]) -> str:
    links = ['<a href="#summary">Skip to the summary</a>']
    links += [f'<a href="#{s.name}">Skip to: {as_text(s.heading)}</a>' for s in sections]
    return "\n".join(links)


def _legend() -> str:
    swatches = "\n".join(
        f'<li><span class="{name}">{as_text(text)}</span></li>' for name, text in RANGES.items()
    )
    answer = '<li class="key"><span class="answer"><b>11</b></span> stated answer</li>'
    return f'<ul class="scale">\n<li class="name">weight</li>\n{swatches}\n{answer}\n</ul>'


def _filters(sections: Sequence[Section]) -> str:
    present = {label_of(span) for s in sections for shown in s.shown for span in shown.spans}
    answers = {"all": "all", **{section.name: section.name for section in sections}}
    if "gold" in answers:
        answers["gold"] = "data set's own"
    # Of one sort that is neither right nor wrong, there is nothing to choose.
    parts = [] if set(answers) == {"all", "scored"} else [_radios("show", "Answers", answers)]
    if present - {"unknown"}:
        labels = {name: name for name in (*SPAN_LABELS, "unknown") if name in present}
        parts.append(_radios("label", "Spans", {"all": "all", **labels}))
    parts.append(
        "<fieldset><legend>Text</legend>"
        '<label><input type="checkbox" id="tokens"> token boundaries</label></fieldset>'
    )
    return "\n".join(parts)


def _radios(name: str, heading: str, choices: Mapping[str, str]) -> str:
    inputs = "".join(
        f'<label><input type="radio" name="{name}" id="{name}-{key}"'
        f"{' checked' if key == 'all' else ''}> {as_text(text)}</label>"
        for key, text in choices.items()
    )
    return f"<fieldset><legend>{heading}</legend>{inputs}</fieldset>"


def _summary(sections: Sequence[Section]) -> str:
    """A row a section: counts, median drop, median weight of the spans of each label."""
    spans = {s.name: [span for shown in s.with_spans for span in shown.spans] for s in sections}
    present = {label_of(span) for found in spans.values() for span in found}
    labels = [label for label in SPAN_LABELS if label in present]
    rows = []
    for section in sections:
        found = spans[section.name]
        counts = [section.measured, section.with_spans, section.shown, found]
        cells = [str(len(counted)) for counted in counts]
        cells += [nats(_median(found, "drop")), number(_median(found, "weight"), 2)]
        for label in labels:
            labelled = [span for span in found if label_of(span) == label]
            cells.append(number(_median(labelled, "weight"), 2))
        rows.append(_summary_row(section, cells))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="summary"><table>\n'
        f"{_summary_head(labels)}\n<tbody>\n"
        + "\n".join(rows)
        + '\n</tbody></table></div>\n<p class="note">Spans and medians are of all measured '
        f"completions, shown or not. {DASH}: there is no such span.</p>"
    )


def _summary_head(labels: Sequence[str]) -> str:
    names = ("completions", "with spans", "shown", "spans", "median drop (nats)")
    if not labels:
        alone = "".join(f'<th scope="col">{name}</th>' for name in (*names, "median weight"))
        return f'<thead><tr><th scope="col" class="left">answers</th>{alone}</tr></thead>'
    above = "".join(f'<th scope="col" rowspan="2">{name}</th>' for name in names)
    below = "".join(f'<th scope="col">{name}</th>' for name in ("all", *labels))
    return (
        f'<thead><tr><th scope="col" rowspan="2" class="left">answers</th>{above}'
        f'<th scope="colgroup" colspan="{1 + len(labels)}" class="group">median weight of spans'
        f"</th></tr>\n<tr>{below}</tr></thead>"
    )


def _summary_row(section: Section, cells: Sequence[str]) -> str:
    heading = f'<a href="#{section.name}">{as_text(section.heading)}</a>'
    return f'<tr><th scope="row">{heading}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'


def _median(spans: Sequence[dict[str, Any]], column: str) -> float:
    return pd.Series([span[column] for span in spans], dtype=float).median()


def _section(section: Section) -> str:
    shown = list(enumerate(section.shown, 1))
    strips = "\n".join(item.strip(number) for number, item in shown)
    articles = "\n".join(item.article(number) for number, item in shown)
    return (
        f'<section class="{section.name}" aria-labelledby="{section.name}">\n'
        f'<h2 id="{section.name}">{as_text(section.heading)}</h2>\n'
        f'<p class="note">{len(shown)} of {len(section.measured)} shown. Each strip is one '
        "completion from its first token to its last.</p>\n"
        f'<ol class="strips">\n{strips}\n</ol>\n'
        '<p class="nothing">No completion here has such a span.</p>\n'
        f"{articles}\n</section>"
    )
