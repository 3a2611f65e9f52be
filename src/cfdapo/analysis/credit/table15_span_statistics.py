"""The numbers of Section 4.3's text, the paper's beside: Table 15."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import pandas as pd

from cfdapo.analysis.credit.drop_distribution import NO_EFFECT
from cfdapo.analysis.credit.quantity_rows import (
    Number,
    Row,
    count,
    difference,
    estimate,
    heading,
    nats,
    percent,
    tests,
    wide_table,
)
from cfdapo.analysis.credit.span_statistics import (
    PAIRS,
    THIRDS,
    by_third,
    compare_means,
    compare_thirds,
    distractor_ratio,
    distractors,
    length_correlation,
    strongest_distractor,
)
from cfdapo.analysis.credit.weight_rows import weight_notes, weight_rows
from cfdapo.analysis.paper.numbers import paper_number
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import Sample, split_samples
from cfdapo.analysis.rendering.table import Note, Table, signed
from cfdapo.analysis.rendering.wording import on_task

_SAMPLED_ONLY = "gold solutions are right by definition"
_NONE = "no spans there"
_NO_DISTRACTOR = "no drop is above 0"


def table15_span_statistics(
    measured: MeasuredCredit, labels: Mapping[str, str], task: str | None = None
) -> Table:
    """Table 15: position, length, correctness, distractors, token weights, gradient mass.

    Args, raises: as `table4_drop_distribution`.
    """
    samples = split_samples(measured, labels)
    rows = [
        *_sample_rows(samples),
        *_position_rows(samples),
        *_length_rows(samples),
        *_correctness_rows(samples),
        *_distractor_rows(samples),
        *weight_rows(samples),
    ]
    return wide_table(
        name="table15_span_statistics",
        title=f"Statistics of spans and token weights{on_task(task)}, as in Section 4.3.",
        rows=rows,
        samples=samples,
        labels=labels,
        notes=[*_notes(), *weight_notes(), *_strongest(samples, labels)],
    )


def _paper(row: str, column: str, style: str = ",.0f", unit: str = "") -> str:
    return signed(paper_number("section4.3", row, column).value, style) + unit


def _each(samples: Sequence[Sample], measure: Callable[[Sample], Number]) -> list[Number]:
    return [measure(sample) for sample in samples]


def _sample_rows(samples: Sequence[Sample]) -> Iterator[Row]:
    def with_spans(sample: Sample) -> Number:
        return count(sample.spans["completion"].nunique(), len(sample.completions))

    def right(sample: Sample) -> Number:
        if not sample.sampled:
            return Number(reason=_SAMPLED_ONLY)
        return count(sum(row["correct"] for row in sample.completions), len(sample.completions))

    yield Row(
        "Completions",
        _paper("sample", "completions"),
        _each(samples, lambda s: count(len(s.completions))),
    )
    yield Row(
        "Problems",
        "",
        _each(samples, lambda s: count(len({row["problem"] for row in s.completions}))),
    )
    yield Row("Right completions", "", _each(samples, right))
    yield Row("Completions with spans", "", _each(samples, with_spans))
    yield Row("Spans", _paper("sample", "spans"), _each(samples, lambda s: count(len(s.spans))))


def _mean(spans: pd.DataFrame) -> Number:
    if spans.empty:
        return Number(reason=_NONE)
    mean = float(spans["drop"].mean())
    return Number(f"{nats(mean).text} (n {len(spans):,})", mean)


def _position_rows(samples: Sequence[Sample]) -> Iterator[Row]:
    thirds = [by_third(sample.spans) for sample in samples]
    for name in THIRDS:
        yield Row(
            f"Position: mean drop, {name} third",
            _paper("mean drop by position", name, ".0f"),
            [_mean(parts[name]) for parts in thirds],
        )
    contrasts = [compare_thirds(sample.spans) for sample in samples]
    for first, second in PAIRS:
        means = (
            paper_number("section4.3", "mean drop by position", name).value
            for name in (first, second)
        )
        found = [contrast[first, second] for contrast in contrasts]
        gap = next(means) - next(means)
        yield Row(f"Position: {first} − {second}", signed(gap, ".0f"), list(map(difference, found)))
        yield Row(
            f"Position: {first} against {second}, p Welch / Mann-Whitney / clustered",
            f"<{_paper('mean drop by position', 'pairwise', '.0e')}",
            list(map(tests, found)),
        )
    for last, name in ((True, "last line"), (False, "earlier lines")):
        parts = [s.spans[s.spans["last_line"].astype(bool) == last] for s in samples]
        yield Row(f"Position: mean drop, {name} with spans", "", list(map(_mean, parts)))


def _length_rows(samples: Sequence[Sample]) -> Iterator[Row]:
    def before_last(sample: Sample) -> pd.DataFrame:
        return sample.spans[~sample.spans["last_line"].astype(bool)]

    r = f"{_paper('length and drop', 'r', '.2f')}, p <{_paper('length and drop', 'p', '.0e')}"
    for ranked, name, paper in ((False, "Pearson's r", r), (True, "Spearman's ρ", "")):
        yield Row(
            f"Length (tokens) and drop: {name}",
            paper,
            [estimate(length_correlation(s.spans, ranked), ".2f") for s in samples],
        )
    yield Row(
        "Length (tokens) and drop: Pearson's r without the last line",
        "",
        _each(samples, lambda s: estimate(length_correlation(before_last(s)), ".2f")),
    )


def _correctness_rows(samples: Sequence[Sample]) -> Iterator[Row]:
    def side(sample: Sample, correct: bool) -> pd.DataFrame:
        return sample.spans[sample.spans["correct"].astype(bool) == correct]

    def mean_of(correct: bool, sample: Sample) -> Number:
        return _mean(side(sample, correct))

    def only(measure: Callable[[Sample], Number]) -> list[Number]:
        return [measure(s) if s.sampled else Number(reason=_SAMPLED_ONLY) for s in samples]

    for correct, name in ((True, "correct completions"), (False, "incorrect completions")):
        paper = f"{_paper(name, 'mean drop', '.0f')} (n {_paper(name, 'spans')})"
        yield Row(f"Mean drop, {name}", paper, only(partial(mean_of, correct)))
    contrasts = {id(s): compare_means(side(s, True), side(s, False)) for s in samples if s.sampled}
    gap = paper_number("section4.3", "correct completions", "mean drop").value
    gap -= paper_number("section4.3", "incorrect completions", "mean drop").value
    yield Row(
        "Correct − incorrect", signed(gap, ".0f"), only(lambda s: difference(contrasts[id(s)]))
    )
    yield Row(
        "Correct against incorrect, p Welch / Mann-Whitney / clustered",
        _paper("correct against incorrect", "p", ".3f"),
        only(lambda s: tests(contrasts[id(s)])),
    )


def _distractor_rows(samples: Sequence[Sample]) -> Iterator[Row]:
    found = [distractors(sample.spans) for sample in samples]
    sizes = [len(sample.spans) for sample in samples]
    share = f"{_paper('distractors', 'spans')} ({_paper('distractors', 'share', 'g')} %)"
    yield Row(
        "Distractors: drop ≥ 0",
        share,
        [count(int(d["count"]), n) for d, n in zip(found, sizes, strict=True)],
    )
    yield Row(
        f"Clear distractors: drop > {NO_EFFECT}",
        "",
        [count(int(d["clear"]), n) for d, n in zip(found, sizes, strict=True)],
    )

    def where(key: str, reason: str) -> list[Number]:
        return [
            percent(d.get(key), reason) if s.sampled else Number(reason=_SAMPLED_ONLY)
            for s, d in zip(samples, found, strict=True)
        ]

    yield Row(
        "Distractors in incorrect completions",
        _paper("distractors", "in incorrect completions", "g", " %"),
        where("incorrect", _NO_DISTRACTOR),
    )
    spans = paper_number("section4.3", "incorrect completions", "spans").value
    part = spans / paper_number("section4.3", "sample", "spans").value
    yield Row(
        "All spans in incorrect completions",
        f"{100 * part:.1f} %",
        where("all_incorrect", _NONE),
        "computed from the paper's counts of spans",
    )
    yield Row(
        "Share of distractors: incorrect over correct completions",
        f"{_paper_distractor_ratio():.2f}",
        [
            estimate(distractor_ratio(s.spans), ".2f")
            if s.sampled
            else Number(reason=_SAMPLED_ONLY)
            for s in samples
        ],
        "computed from the paper's counts of spans",
    )
    strongest = [strongest_distractor(sample.spans) for sample in samples]
    yield Row(
        "Strongest distractor: drop",
        _paper("distractors", "strongest drop", "+.0f"),
        [nats(None if s is None else float(s["drop"]), _NO_DISTRACTOR) for s in strongest],
    )


def _paper_distractor_ratio() -> float:
    """Distractors' share of the paper's spans in incorrect completions over that in correct."""
    found = paper_number("section4.3", "distractors", "spans").value
    wrong = paper_number("section4.3", "distractors", "in incorrect completions").value / 100
    spans = {
        side: paper_number("section4.3", f"{side} completions", "spans").value
        for side in ("correct", "incorrect")
    }
    return (found * wrong / spans["incorrect"]) / (found * (1 - wrong) / spans["correct"])


def _notes() -> Iterator[Note]:
    yield Note(
        "Drops and differences in nats; brackets: 95 % intervals between problems. Position: the "
        "middle of the span's tokens over the tokens before the answer. Welch's and Mann-Whitney's "
        "tests take spans for independent; the clustered test does not (t on the number of "
        "problems). The p-values of the three pairs of thirds are Holm-adjusted for each test."
    )
    yield Note(
        "Interval of a correlation: bootstrap over problems; its p takes spans for independent. "
        "Right and wrong are by the grader's verdict, never by the advantage's sign."
    )


def _strongest(samples: Sequence[Sample], labels: Mapping[str, str]) -> Iterator[Note]:
    quoted = []
    for sample in samples:
        span = strongest_distractor(sample.spans)
        if span is not None:
            quoted.append(f"{heading(sample, labels)}: “{' '.join(span['text'].split())}”")
    if quoted:
        yield Note(f"Strongest distractors: {'; '.join(quoted)}.")


def make(results: Results) -> Table:
    """Table 15 of a study."""
    return table15_span_statistics(results.credit(), results.labels, results.task)
