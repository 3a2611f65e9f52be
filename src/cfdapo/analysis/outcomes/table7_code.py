"""Pass rates of programs over training, counterfactual credit against DAPO: Table 7."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cfdapo.analysis.outcomes.accuracy_by_mode import mode_cells, spread
from cfdapo.analysis.outcomes.significance import Pairs
from cfdapo.analysis.paper.notes import as_printed
from cfdapo.analysis.paper.numbers import paper_columns, paper_number, paper_rows
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.runs import RUN_COLUMNS
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import rows_of, score_title
from cfdapo.analysis.statistics.paired import t_interval, undefined
from cfdapo.vocabulary import CONTROL, PAPER_CODE_TASK, PAPER_MODES, TREATMENT, named_modes

NAME = "table7_code"
# What `history` holds beside the run and the step.
HISTORY_COLUMNS = ["spans_per_completion", "zero_advantage_groups"]
# A study of more evaluated steps shows some; the CSV has all.
MOST_STEPS = 8
DATA_COLUMNS = [
    *("label", "model", "step", "quantity", "mode", "baseline", "value", "std", "low", "high"),
    *("seeds", "unit", "problems", "paper", "reason"),
]
# The paper's headings of what it reports of a mode, and of its difference.
_PAPERS = {TREATMENT: "CF", CONTROL: "Vanilla"}
_PAPERS_GAP = "Δ"


@dataclass(frozen=True)
class Gap:
    """A counterfactual mode less vanilla at one step, in points, paired over `seeds`.

    `low` to `high` is the 95 % t-interval. What is undefined is None, and `reason` says why; it
    also names seeds that were left out.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int
    reason: str


def gap_of(at_step: pd.DataFrame, model: str, mode: str) -> Gap:
    """The difference from `at_step`, the rows of one step of the curves."""
    values = at_step.rename(columns={"accuracy": "value"})[[*RUN_COLUMNS, "value"]]
    pairs = Pairs.of(values, model, (mode, CONTROL), "")
    differences = pairs.differences
    if not differences:
        return Gap(None, None, None, 0, pairs.note)
    mean = sum(differences) / len(differences)
    fault = undefined(differences)
    low, high = (None, None) if fault else t_interval(differences)
    reason = "; ".join(filter(None, [fault, pairs.note]))
    return Gap(mean, low, high, len(differences), reason)


def spans_found(history: pd.DataFrame) -> pd.DataFrame:
    """Spans a completion of training by `model` and `mode`: `mean` and `std` over seeds, `count`.

    A step in which no group taught anything is left out: nobody looked for spans there.
    """
    looked = history[history["zero_advantage_groups"] < 1].dropna(subset="spans_per_completion")
    of_runs = looked.groupby(RUN_COLUMNS)["spans_per_completion"].mean()
    return of_runs.groupby(["model", "mode"]).agg(["mean", "std", "count"])


def table7_code(
    curves: pd.DataFrame,
    history: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = PAPER_MODES,
    counterfactual: Sequence[str] = (TREATMENT,),
) -> Table:
    """Table 7: pass rate (%) by step, and every counterfactual mode less vanilla, in points.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        history: long table of `collect_history` with `HISTORY_COLUMNS`, of the counterfactual runs.
        labels, modes: as for `table1_accuracy`.
        task: the study's task; the paper's values stand beside those of mbpp.
        counterfactual: modes of that weighting, in the order of columns.

    Raises:
        UserError: `labels` names a model without runs.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    names = named_modes(curves["mode"], modes)
    steps = sorted(map(int, curves["step"].unique()))
    papers = paper_rows(NAME) if task == PAPER_CODE_TASK else []
    headings = paper_columns(NAME, papers[0]) if papers else []
    rates = _rates(curves, models, steps, names)
    by_step = dict(list(rates.groupby(["model", "step"])))
    gaps = {
        (model, step, mode): gap_of(rows, model, mode)
        for step, rows in curves.groupby("step")
        for model in models
        for mode in counterfactual
    }
    found = spans_found(history)
    footnotes, rows = Footnotes(), []
    for model, label in models.items():
        for step in shown_steps(steps, papers):
            row = [Cell(label), Cell(str(step))]
            row += mode_cells(by_step[model, step], rates["count"].max(), footnotes)
            row += [_gap_cell(gaps[model, step, mode], footnotes) for mode in counterfactual]
            row += [_paper_cell(step, heading, papers, footnotes) for heading in headings]
            rows.append(row)
    return Table(
        name=NAME,
        title=f"{score_title(task)} (%) by training step. {spread(curves)} Best in bold.",
        columns=[
            *("Model", "Step", *names.values()),
            *(f"{names.get(m, m)} − {PAPER_MODES[CONTROL]} [95 %]" for m in counterfactual),
            *(f"Paper: {heading}" for heading in headings),
        ],
        rows=rows,
        data=pd.DataFrame(
            [
                *_rate_numbers(rates, models, curves, papers),
                *_gap_numbers(gaps, models, curves, papers),
                *_span_numbers(found, models),
            ],
            columns=DATA_COLUMNS,
        ).astype({"step": "Int64", "problems": "Int64"}),
        notes=[*footnotes.notes(), *_notes(steps, papers, found, models, names)],
    )


def shown_steps(steps: Sequence[int], papers: Sequence[str]) -> list[int]:
    """Steps that readers see: all if few; else the first, the last, and the paper's or even ones.

    Args:
        steps: evaluated steps, ascending.
        papers: steps of the paper's Table 7 as printed; empty where it is another task's.
    """
    if len(steps) <= MOST_STEPS:
        return list(steps)
    inner = [step for step in steps if str(step) in papers]
    if not papers:
        apart = (len(steps) - 1) / (MOST_STEPS - 1)
        inner = [steps[round(number * apart)] for number in range(MOST_STEPS)]
    return sorted({steps[0], *inner, steps[-1]})


def _rates(
    curves: pd.DataFrame, models: Mapping[str, str], steps: Sequence[int], names: Mapping[str, str]
) -> pd.DataFrame:
    """`mean`, `std` and `count` of seeds by model, step and mode; nan where there are no runs."""
    keys = ["model", "step", "mode"]
    rates = curves.groupby(keys)["accuracy"].agg(["mean", "std", "count"])
    every = pd.MultiIndex.from_product([list(models), steps, list(names)], names=keys)
    return rates.reindex(every)


def _gap_cell(gap: Gap, footnotes: Footnotes) -> Cell:
    if gap.value is None:
        return footnotes.dash(gap.reason)
    text, mark = signed(gap.value, "+.1f"), footnotes.mark(gap.reason)
    if gap.low is None or gap.high is None:
        return Cell(text, mark=mark)
    return Cell(f"{text} [{signed(gap.low, '+.1f')}, {signed(gap.high, '+.1f')}]", mark=mark)


def _paper_cell(step: int, heading: str, papers: Sequence[str], footnotes: Footnotes) -> Cell:
    if str(step) not in papers:
        return footnotes.dash("not in the paper's table")
    style = "+.1f" if heading == _PAPERS_GAP else ".1f"
    return Cell(signed(paper_number(NAME, str(step), heading).value, style))


def _paper_value(step: int, heading: str | None, papers: Sequence[str]) -> float | None:
    if heading is None or str(step) not in papers:
        return None
    return paper_number(NAME, str(step), heading).value


def _rate_numbers(
    rates: pd.DataFrame, models: Mapping[str, str], curves: pd.DataFrame, papers: Sequence[str]
) -> Iterator[dict]:
    for (model, step, mode), row in rates.dropna(subset="mean").iterrows():
        yield {
            **{"label": models[model], "model": model, "step": step, "quantity": "pass rate"},
            **{"mode": mode, "value": row["mean"], "std": row["std"], "seeds": int(row["count"])},
            **{"unit": "%", "problems": curves["problems"].max()},
            "paper": _paper_value(step, _PAPERS.get(mode), papers),
        }


def _gap_numbers(
    gaps: Mapping[tuple[str, int, str], Gap],
    models: Mapping[str, str],
    curves: pd.DataFrame,
    papers: Sequence[str],
) -> Iterator[dict]:
    for (model, step, mode), gap in gaps.items():
        yield {
            **{"label": models[model], "model": model, "step": step, "quantity": "difference"},
            **{"mode": mode, "baseline": CONTROL, **vars(gap)},
            **{"unit": "points", "problems": curves["problems"].max()},
            "paper": _paper_value(step, _PAPERS_GAP if mode == TREATMENT else None, papers),
        }


def _span_numbers(found: pd.DataFrame, models: Mapping[str, str]) -> Iterator[dict]:
    for (model, mode), row in found.iterrows():
        yield {
            **{"label": models[model], "model": model, "quantity": "spans per completion"},
            **{"mode": mode, "value": row["mean"], "std": row["std"], "seeds": int(row["count"])},
            "unit": "spans",
        }


def _notes(
    steps: Sequence[int],
    papers: Sequence[str],
    found: pd.DataFrame,
    models: Mapping[str, str],
    names: Mapping[str, str],
) -> Iterator[Note]:
    if len(shown_steps(steps, papers)) < len(steps):
        yield Note(
            f"Evaluated at steps {steps[0]}, {steps[1]}, … {steps[-1]}; the CSV has all of them."
        )
    yield Note(
        "Differences: percentage points, paired over seeds, with the 95 % interval by Student's t "
        "across seeds. Every step is looked at by itself: of twenty such intervals, one is off by "
        "chance."
    )
    counts = [
        f"{label}, {names[mode]}: {_mean_std(found.loc[(model, mode)])}"
        for model, label in models.items()
        for mode in names
        if (model, mode) in found.index
    ]
    if counts:
        yield Note(
            "Spans found in a completion of training, mean ± std over seeds of the mean over steps "
            f"in which a group taught anything: {'; '.join(counts)}. The paper explains its result "
            "by arithmetic patterns that do not see code; a completion without spans has weight "
            "1 throughout, as in DAPO."
        )
    if papers:
        best = (
            as_printed(paper_number("section4.4", "best checkpoint", mode))
            for mode in _PAPERS.values()
        )
        ahead = as_printed(paper_number("section4.4", "vanilla ahead from", "step"))
        yield Note(
            "Paper: its Table 7, which names neither model nor seeds nor test problems and has no "
            "spread: its setting may be another. Its text has, at the best checkpoint, "
            f"{', '.join(best)}; and vanilla ahead from {ahead}."
        )


def _mean_std(row: pd.Series) -> str:
    """With two digits: patterns that find nothing find a few hundredths."""
    return f"{row['mean']:.2f}" + ("" if pd.isna(row["std"]) else f" ± {row['std']:.2f}")


def make(results: Results) -> Table:
    """Table 7 of a study: every mode whose weights are counterfactual, against DAPO."""
    weighted = {group.get(TREATMENT) for group in results.weight_groups.values()}
    runs = results.runs.of_modes(mode for mode in results.modes if mode in weighted)
    history = runs.history(HISTORY_COLUMNS)
    return table7_code(
        *(results.curves(), history, results.labels, results.task, results.modes), runs.modes
    )
