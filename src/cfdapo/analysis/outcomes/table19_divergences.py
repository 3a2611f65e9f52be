"""The penalty's divergence as a choice: accuracy, length, spread, and is it at work (Table 19)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfdapo.analysis.outcomes.divergences import (
    Regularised,
    compare_divergences,
    equal_deviations,
    last_lengths,
    seeds_to_tell,
)
from cfdapo.analysis.records.divergences import DivergencePoint, read_divergences
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import (
    p_text,
    problems_of,
    rows_of,
    score_title,
    seeds_of,
)
from cfdapo.analysis.statistics.estimates import SIGNIFICANT, Estimate
from cfdapo.vocabulary import PAPER_MODES, named_modes

# What arXiv 2602.04380 reports of Qwen3-4B, in %, on GSM8K and MBPP; it has no run without penalty.
REPORTED = {
    "kl": ("81.2", "59.8"),
    "prob_l2": ("86.7", "60.2"),
    "neural_mirror": ("85.1 to 85.5", "60.1 to 60.8"),
}
# And the standard deviations that it reports of a learned mirror and of a drawn one.
REPORTED_DEVIATIONS = (0.2, 0.6)


def table19_divergences(
    found: Sequence[Regularised],
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = PAPER_MODES,
) -> Table:
    """Table 19, of the authors' second paper.

    Args:
        found: what `compare_divergences` made of the same curves.
        curves, labels, task: as for `table1_accuracy`.
        modes: mode -> display name.

    Raises:
        UserError: `labels` names a model without runs.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    names = named_modes(curves["mode"], modes)
    shown = [one for model in models for one in found if one.model == model]
    footnotes = Footnotes()
    return Table(
        name="table19_divergences",
        title=(
            f"{score_title(task)} at step {curves['step'].max()} by divergence from the base "
            f"model; {seeds_of(curves)}, {problems_of(curves)}; differences in points, with 95 % "
            f"intervals. * p < {SIGNIFICANT}."
        ),
        columns=[
            *("Model", "Mode", "Divergence", "Mean (%)", "Δ none [95 %]", "Holm p"),
            *("Δ KL [95 %]", "Holm p", "Tokens", "Tokens to none (%) [95 %]"),
            *("Cost of 0.1 → 0.9", "Of loss (%)", "Of gradient (%)", "SD [95 %]"),
            *("SD / SD of none [95 %]", "Holm p", "Reported: GSM8K", "Reported: MBPP"),
        ],
        rows=[_cells(one, models, names, footnotes) for one in shown],
        data=_data(shown, models),
        notes=[*footnotes.notes(), *_notes(shown, curves, models)],
    )


def _cells(
    one: Regularised, models: Mapping[str, str], names: Mapping[str, str], footnotes: Footnotes
) -> list[Cell]:
    to_none, to_kl = one.to_none, one.to_kl
    return [
        *(Cell(models[one.model]), Cell(names[one.mode]), Cell(_divergence(one))),
        Cell(f"{one.mean:.1f}"),
        _estimate(to_none.accuracy, "+.1f", footnotes),
        _p(to_none.accuracy, to_none.p_holm, footnotes),
        _estimate(to_kl.accuracy, "+.1f", footnotes),
        _p(to_kl.accuracy, to_kl.p_holm, footnotes),
        Cell(f"{one.tokens:.1f}"),
        _estimate(to_none.tokens, "+.1f", footnotes),
        *_penalty(one, footnotes),
        _estimate(one.deviation, ".2f", footnotes),
        _estimate(one.steadier, ".2f", footnotes),
        _p(one.steadier, one.steadier_holm, footnotes),
        *_reported(one, footnotes),
    ]


def _divergence(one: Regularised) -> str:
    if not one.coefficient:
        return one.name
    exact = ", exact" if one.estimator == "exact" else ""
    return f"{one.name}, {one.coefficient:g}{exact}"


def _estimate(estimate: Estimate, style: str, footnotes: Footnotes) -> Cell:
    if estimate.value is None:
        return footnotes.dash(estimate.reason)
    value, mark = signed(estimate.value, style), footnotes.mark(estimate.reason)
    if estimate.low is None or estimate.high is None:
        return Cell(value, mark=mark)
    ends = ", ".join(signed(end, style) for end in (estimate.low, estimate.high))
    return Cell(f"{value} [{ends}]", mark=mark)


def _p(estimate: Estimate, adjusted: float | None, footnotes: Footnotes) -> Cell:
    return footnotes.dash(estimate.reason) if adjusted is None else Cell(p_text(adjusted))


def _penalty(one: Regularised, footnotes: Footnotes) -> list[Cell]:
    """The most that a token costs, and the shares of loss and gradient."""
    if not one.coefficient:
        return [footnotes.dash("no penalty")] * 3
    cells = [
        footnotes.dash("not tabulated") if one.cost is None else Cell(f"{one.cost:.2g}"),
        footnotes.dash("not measured") if one.loss is None else Cell(_share(one.loss)),
    ]
    if one.gradient is None or one.gradient_most is None:
        return [*cells, footnotes.dash("not measured: fewer than ten steps")]
    return [*cells, Cell(f"{_share(one.gradient)} (≤ {_share(one.gradient_most)})")]


def _share(value: float) -> str:
    """A share in %, of two digits at least, which may be a millionth or above 100."""
    percent = 100 * value
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"


def _reported(one: Regularised, footnotes: Footnotes) -> list[Cell]:
    reported = REPORTED.get(one.name)
    if reported is None or one.estimator == "exact":
        return [footnotes.dash("not reported")] * 2
    return [Cell(text) for text in reported]


def _notes(
    shown: Sequence[Regularised], curves: pd.DataFrame, models: Mapping[str, str]
) -> list[Note]:
    learned, drawn = REPORTED_DEVIATIONS
    spread = {model: equal_deviations(curves, model) for model in models}
    tests = "; ".join(
        f"{models[model]} {'undefined' if p is None else p_text(p)}" for model, p in spread.items()
    )
    return [
        Note(
            "Δ: mean over seeds of the paired difference to the mode without a penalty, and to "
            "that with KL, of the same credit; Holm p: of its paired t-test, adjusted over all "
            "models and modes of the column. The library's KL has a correction of its gradient for "
            "drawing tokens by the policy; the others have none. Tokens: mean length of the greedy "
            "completions."
        ),
        Note(
            "Cost of 0.1 → 0.9: coefficient times D of a token whose probability the policy raised "
            "so. Of loss: the penalty over its own amount plus that of the rest of the loss, the "
            "median of all steps; at a ratio of 1 the rest is a mean of advantages, near 0. Of "
            "gradient: norm of the penalty's own gradient over that of the whole, median of every "
            "tenth step (and the largest); it can be above 100 where the two parts oppose."
        ),
        Note(
            "SD: over seeds, with the interval for normal values. Its ratio to that without a "
            "penalty, with p, by Pitman and Morgan's test of paired values. All modes' deviations "
            f"equal, by Brown and Forsythe's test: p = {tests}."
        ),
        Note(
            "Reported: arXiv 2602.04380, Qwen3-4B on other problems, not to be compared with rows "
            f"of other models; SD {learned} with a learned mirror against {drawn} with a drawn "
            "one. By the F-test such a ratio, if it is observed, is significant from "
            f"{seeds_to_tell(drawn / learned)} seeds on."
        ),
    ]


def _data(shown: Sequence[Regularised], models: Mapping[str, str]) -> pd.DataFrame:
    """A row a model and mode."""
    rows = []
    for one in shown:
        row: dict[str, Any] = {"label": models[one.model]}
        row |= {
            key: value
            for key, value in vars(one).items()
            if not isinstance(value, Estimate) and key not in ("to_none", "to_kl")
        }
        for name, versus in (("none", one.to_none), ("kl", one.to_kl)):
            row |= _columns(f"to_{name}", versus.accuracy)
            row |= {f"to_{name}_p_holm": versus.p_holm}
            row |= _columns(f"tokens_to_{name}", versus.tokens)
        row |= _columns("deviation", one.deviation) | _columns("steadier", one.steadier)
        reported = REPORTED.get(one.name, (None, None)) if one.estimator != "exact" else (None,) * 2
        row |= dict(zip(("reported_gsm8k", "reported_mbpp"), reported, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(name: str, estimate: Estimate) -> dict[str, Any]:
    return {f"{name}_{key}": value for key, value in vars(estimate).items()}


def make(results: Results) -> Table:
    """Table 19 of a study."""
    columns = ["loss", "grad_norm", "penalty_loss", "penalty_gradient"]
    history = results.runs.history([], columns)
    points: list[DivergencePoint] = read_divergences(
        results.folder / "statistics" / "divergences.csv"
    )
    curves = results.curves()
    found = compare_divergences(
        curves,
        last_lengths(results.runs.evaluations()),
        history,
        results.runs.descriptions(),
        points,
    )
    return table19_divergences(found, curves, results.labels, results.task, results.modes)
