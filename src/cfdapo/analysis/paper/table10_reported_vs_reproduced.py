"""Every number that the paper reports, beside the study's: Table 10."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from cfdapo.analysis.paper.agreement import NOT_COMPARABLE, judge
from cfdapo.analysis.paper.counterparts import PAPER_MODELS, Ours, StudyTables, model_of, query_of
from cfdapo.analysis.paper.numbers import PAPER_NUMBERS, PaperNumber
from cfdapo.analysis.paper.rounding import half_digit
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import on_task
from cfdapo.vocabulary import PAPER_TASK

DATA_COLUMNS = [
    *("table", "row", "column", "unit", "paper", "paper_std", "note"),
    *("model", "label", "same_setting", "value", "std", "low", "high", "agreement", "reason"),
]
_UNITS = {"%": " %", "+%": " %", "x": "×", "min": " min", "s": " s", "GB": " GB", "nats": " nats"}
_OTHER_MODEL = "a number of another model"
_GIB = "ours in GiB, as the accelerator reports it"


def table10_reported_vs_reproduced(
    study: StudyTables,
    labels: Mapping[str, str],
    numbers: Sequence[PaperNumber] = tuple(PAPER_NUMBERS),
) -> Table:
    """Table 10, not in the paper: its every number beside the study's.

    A study of the paper's models on the paper's data has its numbers in the rows of the same
    model. Every other study is another setting: its models have a column each, in which numbers of
    the paper's models stand for the same quantity of the study's own model.

    Args:
        study: the study's other tables; what was not made is a dash.
        labels: model -> display name; its order is the order of columns.
        numbers: the paper's.
    """
    footnotes, rows, data = Footnotes(), [], []
    papers = {
        model: study.task == PAPER_TASK and label in PAPER_MODELS for model, label in labels.items()
    }
    for entry in numbers:
        found = {
            model: _look_up(entry, study, model, labels[model], papers[model]) for model in labels
        }
        verdicts = {model: judge(entry, ours, papers[model]) for model, ours in found.items()}
        rows.append(_cells(entry, found, verdicts, footnotes))
        data += [
            _numbers(entry, model, labels[model], papers[model], found[model], verdicts[model])
            for model in labels
        ]
    headings = [
        label if papers[model] else f"{label} (another setting)" for model, label in labels.items()
    ]
    return Table(
        name="table10_reported_vs_reproduced",
        title=f"Every number that the paper reports, beside this study's{on_task(study.task)}.",
        columns=["Where", "Quantity", "Paper", *headings, "Agreement"],
        rows=rows,
        data=pd.DataFrame(data, columns=DATA_COLUMNS),
        notes=[*footnotes.notes(), *_notes(all(papers.values()))],
    )


def _look_up(
    entry: PaperNumber, study: StudyTables, model: str, label: str, same_setting: bool
) -> Ours:
    if same_setting and model_of(entry) not in (None, label):
        return Ours(reason=_OTHER_MODEL)
    query = query_of(entry)
    return Ours(reason=query) if isinstance(query, str) else query(study, model)


def _cells(
    entry: PaperNumber,
    found: Mapping[str, Ours],
    verdicts: Mapping[str, str],
    footnotes: Footnotes,
) -> list[Cell]:
    return [
        Cell(where(entry.table)),
        Cell(f"{entry.row}, {entry.column}"),
        Cell(_printed(entry), mark=footnotes.mark(entry.note)),
        *(_ours(entry, ours, footnotes) for ours in found.values()),
        _agreement(verdicts, footnotes),
    ]


def where(table: str) -> str:
    """A table's or section's name as readers know it: Table 4, Section 4.3, Appendix A."""
    if table.startswith("table"):
        return f"Table {table.removeprefix('table').split('_')[0]}"
    return table.replace("section", "Section ").replace("appendix", "Appendix ")


def _printed(entry: PaperNumber) -> str:
    style = {0.05: ".1f", 0.005: ".2f", 0.0005: ".3f", 0.5: ".0f"}.get(half_digit(entry), ",g")
    sign = "+" if entry.unit in ("points", "+%") else ""
    text = signed(entry.value, sign + style)
    if entry.std is not None:
        text += f" ± {entry.std:{style}}"
    return ("< " if entry.unit == "p <" else "") + text + _UNITS.get(entry.unit, "")


def _ours(entry: PaperNumber, ours: Ours, footnotes: Footnotes) -> Cell:
    if ours.value is None:
        return footnotes.dash(ours.reason)
    sign = "+" if entry.unit in ("points", "+%") else ""
    text = signed(ours.value, sign + _style(ours.value, entry.unit))
    if entry.unit in ("p", "p <") and ours.value < 0.001:
        text = "<0.001"
    if ours.std is not None:
        text += f" ± {ours.std:{_style(ours.value, entry.unit)}}"
    elif ours.low is not None and ours.high is not None:
        ends = (signed(end, _style(end, entry.unit)) for end in (ours.low, ours.high))
        text += f" [{', '.join(ends)}]"
    return Cell(text, mark=footnotes.mark(_GIB if entry.unit == "GB" else ""))


def _style(value: float, unit: str) -> str:
    """Digits enough to see a number, whatever its scale."""
    if unit in ("spans", "completions", "tokens", "steps") and value == int(value):
        return ",.0f"
    if unit in ("%", "+%", "points"):
        return ".2f" if unit == "points" else ".1f"
    return ".0f" if abs(value) >= 100 else ".1f" if abs(value) >= 10 else ".3g"


def _agreement(verdicts: Mapping[str, str], footnotes: Footnotes) -> Cell:
    counts = Counter(verdict for verdict in verdicts.values() if verdict)
    if not counts:
        return footnotes.dash("no number of ours")
    if len(counts) == 1:
        return Cell(next(iter(counts)))
    return Cell(", ".join(f"{verdict}: {number}" for verdict, number in counts.items()))


def _numbers(
    entry: PaperNumber, model: str, label: str, same_setting: bool, ours: Ours, verdict: str
) -> tuple:
    paper = (entry.table, entry.row, entry.column, entry.unit, entry.value, entry.std, entry.note)
    return (
        *paper,
        *(model, label, same_setting, ours.value, ours.std, ours.low, ours.high),
        verdict or NOT_COMPARABLE,
        ours.reason,
    )


def _notes(papers_setting: bool) -> list[Note]:
    notes = [
        Note(
            "Agreement, in the paper's setting: whether ours is within the paper's standard "
            "deviation (its rounding added), whether our 95 % interval holds the paper's number, "
            "or whether ours is within the range that the paper gives. Where no spread is known, "
            "and in another setting, only what does not depend on scale is compared: the sign of "
            "a difference, a correlation or a drop, and the side of 1 on which a ratio lies; of "
            "p-values, in the paper's setting, the side of 0.05 or of the paper's bound. All else "
            "is not comparable; and of what one seed was trained with there is no verdict."
        ),
        Note(
            "Brackets: 95 % intervals; ±: sample standard deviation over seeds. Section 4.3 and "
            "Tables 4 and 5: sampled completions; ours in Table 5 are the quarters of the lowest "
            "and of the highest drops below 0. Kurtosis: 3 if normal. Pairwise: the greatest of "
            "three p-values. Low importance: with the tokens outside spans and the answer's."
        ),
    ]
    if not papers_setting:
        notes.append(
            Note(
                "Another setting: not the paper's models on the paper's data. Its numbers show "
                "that every quantity is measured, and stand beside each of the paper's models; "
                "they neither confirm nor refute the paper's."
            )
        )
    return notes


def make(results: Results) -> Table:
    """Table 10 of a study."""
    return table10_reported_vs_reproduced(StudyTables(results.folder, results.task), results.labels)
