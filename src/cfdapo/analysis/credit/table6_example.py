"""Worked examples, span by span: Table 6."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfdapo.analysis.credit.quantity_rows import in_nats
from cfdapo.analysis.paper.numbers import paper_number, paper_rows
from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.samples import Sample, split_samples
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table
from cfdapo.analysis.rendering.wording import is_code, on_task, tested

# An example of fewer spans shows no order among them.
LEAST_SPANS = 4
DATA_COLUMNS = [
    *("model", "label", "example", "completion", "span", "text", "line"),
    *("drop", "rank", "weight", "span_label"),
]
_NO_LABEL = "labels are known for made problems and for marked solutions only"


@dataclass(frozen=True)
class Example:
    """A chosen completion: why it was chosen, its row, and its spans with their `rank`."""

    model: str
    kind: str
    completion: Mapping[str, Any]
    spans: pd.DataFrame


def choose_examples(samples: Sequence[Sample]) -> list[Example]:
    """For each model a right and a wrong sampled completion, and a gold one for want of a right.

    The rule: the one with the most spans, at least `LEAST_SPANS`; among equals the first in the
    records. It looks at no drop.
    """
    examples = []
    for model in dict.fromkeys(sample.model for sample in samples):
        of_model = {sample.source: sample for sample in samples if sample.model == model}
        sampled = of_model.get("sampled")
        right = _choose(sampled, True, "right") or _choose(of_model.get("gold"), True, "gold")
        examples += [found for found in (right, _choose(sampled, False, "wrong")) if found]
    return examples


def _choose(sample: Sample | None, correct: bool, kind: str) -> Example | None:
    if sample is None:
        return None
    counts = sample.spans["completion"].value_counts()
    fitting = [
        row
        for row in sample.completions
        if row["correct"] == correct and counts.get(row["completion"], 0) >= LEAST_SPANS
    ]
    if not fitting:
        return None
    row = max(fitting, key=lambda row: counts[row["completion"]])
    spans = sample.spans[sample.spans["completion"] == row["completion"]].sort_values("span")
    rank = spans["drop"].rank(method="first").astype(int)
    return Example(sample.model, kind, row, spans.assign(rank=rank))


def table6_example(
    measured: MeasuredCredit, labels: Mapping[str, str], task: str | None = None
) -> Table:
    """Table 6: the spans of completions chosen by a rule, with |drop|, rank, weight and label.

    Args, raises: as `table4_drop_distribution`.
    """
    footnotes = Footnotes()
    examples = choose_examples(split_samples(measured, labels))
    rows, data = [], []
    for example in examples:
        name = f"{labels[example.model]}, {example.kind}"
        for span in example.spans.itertuples():
            rows.append(_cells(name, span, footnotes))
            identity = (example.model, labels[example.model], example.kind)
            data.append((*identity, span.completion, span.span, span.text, span.line, *_row(span)))
    return Table(
        name="table6_example",
        title=f"Spans of example completions{on_task(task)}, in the order of the text.",
        columns=["Example", "Span", "|Δ|", "Drop", "Rank", "Weight", "Label"],
        rows=rows,
        data=pd.DataFrame(data, columns=DATA_COLUMNS),
        notes=[*footnotes.notes(), *_notes(examples, labels, task)],
    )


def _row(span: Any) -> tuple:
    return (span.drop, span.rank, span.weight, None if pd.isna(span.label) else span.label)


def _cells(name: str, span: Any, footnotes: Footnotes) -> list[Cell]:
    top = span.rank == 1
    return [
        Cell(name),
        Cell(" ".join(span.text.split())),
        Cell(in_nats(abs(span.drop)), bold=top),
        Cell(in_nats(span.drop)),
        Cell(str(span.rank), bold=top),
        Cell(f"{span.weight:.2f}"),
        footnotes.dash(_NO_LABEL) if pd.isna(span.label) else Cell(span.label),
    ]


def _notes(
    examples: Sequence[Example], labels: Mapping[str, str], task: str | None
) -> Iterator[Note]:
    yield Note(
        "Chosen by rule, without regard to drops: of each model's sampled completions that are "
        f"right, and of those that are wrong, the one with the most spans (at least {LEAST_SPANS}; "
        "among equals the first in the records). Where none is right, one of the data set's "
        "solutions stands in (gold). |Δ| in nats; rank 1 is the lowest drop."
    )
    for example in examples:
        row = example.completion
        problem = " ".join(row["question"].split())
        said = f"answer {row['extracted']} (right: {row['gold']})"
        said = tested(row) if is_code(task) else said
        yield Note(
            f"{labels[example.model]}, {example.kind}: {row['completion']}, {said}. "
            f"Problem: {problem}"
        )
    if not is_code(task):
        yield Note(f"The paper's example: {_paper_example()}.")


def _paper_example() -> str:
    """Its spans in its order, |Δ| behind each."""
    spans = [
        f"“{span}” {paper_number('table6_example', span, '|Δ|').value:.0f}"
        for span in paper_rows("table6_example")
    ]
    return "; ".join(spans)


def make(results: Results) -> Table:
    """Table 6 of a study."""
    return table6_example(results.credit(), results.labels, results.task)
