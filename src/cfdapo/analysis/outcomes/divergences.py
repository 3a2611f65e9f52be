"""What modes of different divergences end with, how far apart, how steady, and is it at work."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cfdapo.analysis.outcomes.significance import Pairs, paired_t_test
from cfdapo.analysis.records.curves import final_accuracy
from cfdapo.analysis.records.divergences import DivergencePoint
from cfdapo.analysis.records.runs import Run
from cfdapo.analysis.statistics.estimates import LEVEL, SIGNIFICANT, Estimate, holm
from cfdapo.analysis.statistics.paired import SAME, t_interval
from cfdapo.analysis.statistics.power import deviation_interval
from cfdapo.vocabulary import named_modes

NONE, KL = "none", "kl"
_ITSELF = "what the others are compared with"


@dataclass(frozen=True)
class Versus:
    """A mode less another that differs in its divergence alone, over the seeds of both.

    `accuracy` is in points, `tokens` in % of the other's mean length; `p_holm` is of `accuracy`.
    """

    accuracy: Estimate
    tokens: Estimate
    p_holm: float | None = None


@dataclass(frozen=True)
class Regularised:
    """One model's mode with its divergence, after the last step.

    `deviation` is over seeds, with its exact interval for normal values; `steadier` tests it
    against that of the mode without a penalty. `cost` is the coefficient times D of a token whose
    probability went from 0.1 to 0.9. Of the penalty's shares `loss` is of |penalty| + |the rest of
    the loss|, the median of all steps; `gradient` is its norm over that of the whole gradient,
    the median of the steps that measured it, and `gradient_most` the largest of them.
    """

    model: str
    mode: str
    name: str
    estimator: str
    coefficient: float
    seeds: int
    mean: float
    deviation: Estimate
    tokens: float
    to_none: Versus
    to_kl: Versus
    steadier: Estimate
    cost: float | None = None
    loss: float | None = None
    gradient: float | None = None
    gradient_most: float | None = None
    steadier_holm: float | None = None


def last_lengths(runs: Iterable[Run]) -> pd.DataFrame:
    """Mean tokens of each run's greedy completions at its last step: model, mode, seed, value."""
    rows = []
    for run in runs:
        last = max(row["step"] for row in run.rows)
        tokens = [row["tokens"] for row in run.rows if row["step"] == last]
        rows.append((run.model, run.mode, run.seed, float(np.mean(tokens))))
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "value"])


def compare_divergences(
    curves: pd.DataFrame,
    lengths: pd.DataFrame,
    history: pd.DataFrame,
    descriptions: Sequence[Mapping[str, Any]],
    points: Sequence[DivergencePoint],
) -> list[Regularised]:
    """Every model's modes, each held against `none` and `kl` of the same credit.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        lengths: as `last_lengths` gives them.
        history: long table of `collect_history` with `loss`, `grad_norm` and, nan where a run has
            no penalty, `penalty_loss` and `penalty_gradient`.
        descriptions: every run's `run.json`, which names its divergence.
        points: the divergences, tabulated.

    Holm's families are, over all models and modes, the tests against `none`, those against `kl`,
    and those of the deviations.
    """
    accuracy = final_accuracy(curves)
    chosen = {(run["model"], run["mode"]): (_divergence(run), _others(run)) for run in descriptions}
    found = []
    for model in dict.fromkeys(curves["model"]):
        present = accuracy.loc[accuracy["model"] == model, "mode"]
        for mode in named_modes(present):
            found.append(_of_mode(model, mode, chosen, accuracy, lengths))
    shares = _shares(history)
    costs = {(point.model, point.mode): point for point in points if point.p == 0.9}
    found = [_with_penalty(one, shares, costs.get((one.model, one.mode))) for one in found]
    return _with_holm(found)


def _divergence(run: Mapping[str, Any]) -> Mapping[str, Any]:
    training = run["settings"]["training"]
    known: Mapping[str, Any] | None = training.get("divergence")
    if known:
        return known
    coefficient = training.get("kl_coefficient", 0.0)
    name = KL if coefficient else NONE
    return {"name": name, "coefficient": coefficient, "estimator": "sampled"}


def _others(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """What else a mode has of its own."""
    settings = run["settings"]
    return settings["credit"], settings["training"].get("learning_rate")


def _of_mode(
    model: str,
    mode: str,
    chosen: Mapping[tuple[str, str], tuple[Mapping[str, Any], Any]],
    accuracy: pd.DataFrame,
    lengths: pd.DataFrame,
) -> Regularised:
    divergence, others = chosen[model, mode]
    control = {
        name: next(
            (
                rival
                for (of, rival), (own, rest) in chosen.items()
                if of == model and own["name"] == name and rest == others
            ),
            None,
        )
        for name in (NONE, KL)
    }
    values = accuracy.loc[(accuracy["model"] == model) & (accuracy["mode"] == mode), "value"]
    tokens = lengths.loc[(lengths["model"] == model) & (lengths["mode"] == mode), "value"]
    to_none, to_kl = (
        Versus(
            _difference(accuracy, model, mode, control[name], name),
            _relative(lengths, model, mode, control[name], name),
        )
        for name in (NONE, KL)
    )
    return Regularised(
        model=model,
        mode=mode,
        name=divergence["name"],
        estimator=divergence["estimator"],
        coefficient=divergence["coefficient"],
        seeds=len(values),
        mean=float(values.mean()),
        deviation=_deviation(values),
        tokens=float(tokens.mean()),
        to_none=to_none,
        to_kl=to_kl,
        steadier=_steadier(accuracy, model, mode, control[NONE]),
    )


def _deviation(values: pd.Series) -> Estimate:
    if len(values) < 2:
        return Estimate(None, reason="one seed: no spread")
    if np.ptp(values) < SAME:
        return Estimate(0.0, reason="equal values in every seed")
    deviation = float(values.std())
    return Estimate(deviation, *deviation_interval(deviation, len(values) - 1))


def _pairs(
    values: pd.DataFrame, model: str, mode: str, control: str | None, name: str
) -> Pairs | Estimate:
    """Both modes' values by seed, or an estimate that says why there are none."""
    if control is None:
        return Estimate(None, reason=f"no runs of {name} with the same credit")
    if control == mode:
        return Estimate(None, reason=f"{name}: {_ITSELF}")
    pairs = Pairs.of(values, model, (mode, control), "")
    return pairs if pairs.first else Estimate(None, reason=pairs.note)


def _difference(*given: Any) -> Estimate:
    pairs = _pairs(*given)
    if isinstance(pairs, Estimate):
        return pairs
    difference = float(np.mean(pairs.differences))
    _, p, undefined = paired_t_test(pairs.first, pairs.second)
    if p is None:
        return Estimate(difference, reason=undefined)
    return Estimate(difference, *t_interval(pairs.differences), p, pairs.note)


def _relative(*given: Any) -> Estimate:
    """The difference in % of the other's mean, which is taken for exact."""
    found = _difference(*given)
    pairs = _pairs(*given)
    if isinstance(pairs, Estimate) or found.value is None:
        return found
    scale = 100 / float(np.mean(pairs.second))
    low, high = (None if end is None else scale * end for end in (found.low, found.high))
    return Estimate(scale * found.value, low, high, found.p, found.reason)


def _steadier(values: pd.DataFrame, model: str, mode: str, control: str | None) -> Estimate:
    """Ratio of standard deviations to the control's, by Pitman and Morgan's test of paired values.

    Runs of one seed share their data and the adapter's start, so that their values are paired: two
    variances are equal where the sums and the differences of the pairs do not correlate (r). The
    interval of the ratio is that of the same test.
    """
    pairs = _pairs(values, model, mode, control, NONE)
    if isinstance(pairs, Estimate):
        return pairs
    first, second = (np.asarray(one) for one in (pairs.first, pairs.second))
    if len(first) < 3:
        return Estimate(None, reason="a test for variances needs three seeds")
    if min(np.ptp(first), np.ptp(second)) < SAME:
        return Estimate(None, reason="a variance of 0")
    ratio = float(first.std() / second.std())
    if min(np.ptp(first - second), np.ptp(first + second)) < SAME:
        # Nothing is left by chance for a test: the values move together, or apart, in every seed.
        return Estimate(ratio, reason="the same difference, or sum, in every seed")
    p = float(stats.pearsonr(first + second, first - second).pvalue)
    together = float(stats.pearsonr(first, second).statistic)
    quantile = stats.t.isf((1 - LEVEL) / 2, len(first) - 2)
    # The roots of the test's statistic in the ratio of variances.
    shift = 1 + 2 * quantile**2 * (1 - together**2) / (len(first) - 2)
    spread = np.sqrt(shift**2 - 1)
    low, high = (float(ratio * np.sqrt(shift + sign * spread)) for sign in (-1, 1))
    return Estimate(ratio, low, high, p, pairs.note)


def _shares(history: pd.DataFrame) -> dict[tuple[str, str], tuple[float | None, ...]]:
    """By model and mode, the penalty's shares of loss and gradient, as `Regularised` has them."""
    penalty = history["penalty_loss"]
    rest = (history["loss"] - penalty).abs()
    loss = penalty.abs() / (penalty.abs() + rest)
    gradient = history["penalty_gradient"] / history["grad_norm"]
    frame = history[["model", "mode"]].assign(loss=loss, gradient=gradient)
    found = {}
    for (model, mode), rows in frame.groupby(["model", "mode"]):
        numbers = (rows["loss"].median(), rows["gradient"].median(), rows["gradient"].max())
        found[str(model), str(mode)] = tuple(
            None if np.isnan(number) else float(number) for number in numbers
        )
    return found


def _with_penalty(
    one: Regularised,
    shares: Mapping[tuple[str, str], tuple[float | None, ...]],
    point: DivergencePoint | None,
) -> Regularised:
    loss, gradient, most = shares.get((one.model, one.mode), (None, None, None))
    cost = None if point is None else point.coefficient * point.from_low
    return replace(one, cost=cost, loss=loss, gradient=gradient, gradient_most=most)


def _with_holm(found: Sequence[Regularised]) -> list[Regularised]:
    none, kl, steadier = (
        holm([one.to_none.accuracy.p for one in found]),
        holm([one.to_kl.accuracy.p for one in found]),
        holm([one.steadier.p for one in found]),
    )
    return [
        replace(
            one,
            to_none=replace(one.to_none, p_holm=none[number]),
            to_kl=replace(one.to_kl, p_holm=kl[number]),
            steadier_holm=steadier[number],
        )
        for number, one in enumerate(found)
    ]


def equal_deviations(curves: pd.DataFrame, model: str) -> float | None:
    """p of Brown and Forsythe's test that all modes of a model vary alike; None where undefined."""
    values = final_accuracy(curves)
    by_mode = [rows["value"] for _, rows in values[values["model"] == model].groupby("mode")]
    usable = [rows for rows in by_mode if len(rows) > 2]
    if len(usable) < 2 or all(rows.nunique() == 1 for rows in usable):
        return None
    p = float(stats.levene(*usable, center="median").pvalue)
    return None if np.isnan(p) else p  # where a mode's values are all as far from their median


def seeds_to_tell(ratio: float) -> int:
    """The fewest seeds at which an observed ratio of deviations is significant by the F-test."""
    return next(
        seeds
        for seeds in range(2, 1000)
        if 2 * stats.f.sf(ratio**2, seeds - 1, seeds - 1) < SIGNIFICANT
    )
