"""Whether CF > DAPO >= Random > Inverted holds, pair by pair and as a whole (Table 14)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cfdapo.analysis.outcomes.ordering import AT_LEAST, Ordering, Pair, find_orderings
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import (
    counted,
    p_text,
    problems_of,
    rows_of,
    score_title,
    seeds_of,
)
from cfdapo.analysis.statistics.estimates import RUN_RESAMPLES, SIGNIFICANT
from cfdapo.vocabulary import PAPER_MODES

_WHOLE = "the ordering as a whole has no difference and no t-test"
_NO_GROUP = "fewer than two of the modes have runs on a common seed"


def table14_ordering(
    curves: pd.DataFrame,
    groups: Mapping[str, Mapping[str, str]],
    labels: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 14, not in the paper: the ordering that it reports, tested at the last step.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        groups: as for `cfdapo.analysis.outcomes.ordering.find_orderings`.
        labels, task: as for `table1_accuracy`.

    Raises:
        UserError: `labels` names a model without runs.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    orderings = find_orderings(curves, groups)
    footnotes = Footnotes()
    rows = []
    for model, label in models.items():
        of_model = [ordering for ordering in orderings if ordering.model == model]
        for ordering in of_model:
            rows += _rows(label, ordering, footnotes)
        if not of_model:
            rows.append([Cell(label), *(footnotes.dash(_NO_GROUP) for _ in range(7))])
    return Table(
        name="table14_ordering",
        title=(
            f"{score_title(task)} at step {curves['step'].max()}: does the ordering of the "
            f"weightings hold? {seeds_of(curves)}, {problems_of(curves)}; differences in points. "
            f"* p < {SIGNIFICANT}."
        ),
        columns=[
            *("Model", "Weights", "Claim", "Means (%)", "Δ", "p", "Holm p", "Holds in (%)"),
        ],
        rows=rows,
        data=_data(orderings, models),
        notes=[
            *footnotes.notes(),
            Note(
                "p: two-sided paired t-test over seeds that all modes of the claim have, so that a "
                "small p beside a negative Δ speaks against the claim. Holm: adjusted for the "
                "pairs of one model and kind of weights."
            ),
            Note(
                f"Holds in: share of {RUN_RESAMPLES:,} bootstrap draws of whole seeds in which the "
                "means are in the claimed order; four modes that do not differ give 4 % for the "
                "whole and 50 % for a pair on average. It is no p-value: with few seeds, 100 % "
                "only says that every seed is in this order."
            ),
            Note(
                "Weights: raw as equation 7 gives them, or divided by their mean in every "
                "completion (mean 1); DAPO's are 1 in either."
            ),
        ],
    )


def _rows(label: str, ordering: Ordering, footnotes: Footnotes) -> list[list[Cell]]:
    rows = []
    lost = ", ".join(map(str, ordering.left_out))
    few = f"{counted(ordering.seeds, 'seed')} of all its modes; some lack {lost}" if lost else ""
    named = Cell(label, mark=footnotes.mark(few))
    if len(ordering.modes) > 2:
        means = ", ".join(f"{value:.1f}" for value in ordering.means.values())
        rows.append(
            [
                *(named, Cell(ordering.weights), Cell(_claim(list(ordering.modes)))),
                Cell(means),
                *(footnotes.dash(_WHOLE) for _ in range(3)),
                _share(ordering.holds, ordering.reason, footnotes),
            ]
        )
    return rows + [_pair_row(named, ordering, pair, footnotes) for pair in ordering.pairs]


def _pair_row(named: Cell, ordering: Ordering, pair: Pair, footnotes: Footnotes) -> list[Cell]:
    tests = [
        footnotes.dash(pair.reason) if p is None else Cell(p_text(p)) for p in (pair.p, pair.p_holm)
    ]
    means = f"{ordering.means[pair.first]:.1f}, {ordering.means[pair.second]:.1f}"
    return [
        *(named, Cell(ordering.weights), Cell(_claim([pair.first, pair.second]))),
        *(Cell(means), Cell(signed(pair.difference, "+.2f")), *tests),
        _share(pair.holds, ordering.reason, footnotes),
    ]


def _claim(weightings: Sequence[str]) -> str:
    """As in "CF > DAPO ≥ Random"."""
    text = PAPER_MODES[weightings[0]]
    for first, second in zip(weightings, weightings[1:], strict=False):
        text += f" {'≥' if (first, second) in AT_LEAST else '>'} {PAPER_MODES[second]}"
    return text


def _share(holds: float | None, reason: str, footnotes: Footnotes) -> Cell:
    return footnotes.dash(reason) if holds is None else Cell(f"{100 * holds:.1f}")


def _data(orderings: Sequence[Ordering], models: Mapping[str, str]) -> pd.DataFrame:
    """A row an ordering (`second` empty) and a row a pair."""
    rows = []
    for o in orderings:
        named = {"label": models[o.model], "model": o.model, "weights": o.weights}
        shared = {**named, "seeds": o.seeds}
        claim = _claim(list(o.modes))
        rows.append({**shared, "claim": claim, "as_measured": o.as_measured, "holds": o.holds})
        for pair in o.pairs:
            row = {**shared, **vars(pair), "claim": _claim([pair.first, pair.second])}
            row |= {"first": o.modes[pair.first], "second": o.modes[pair.second]}
            row |= {"first_mean": o.means[pair.first], "second_mean": o.means[pair.second]}
            rows.append(row)
    columns = [
        *("label", "model", "weights", "seeds", "claim", "first", "second", "first_mean"),
        *("second_mean", "difference", "p", "p_holm", "as_measured", "holds", "reason"),
    ]
    return pd.DataFrame(rows, columns=columns)


def make(results: Results) -> Table:
    """Table 14 of a study."""
    return table14_ordering(results.curves(), results.weight_groups, results.labels, results.task)
