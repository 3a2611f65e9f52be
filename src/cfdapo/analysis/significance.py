"""Paired t-tests across seeds: one mode of a study against another (Table 3)."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cfdapo.analysis.curves import MODE_LABELS, areas, final_accuracy, named_modes
from cfdapo.files import UserError, atomic_write

TREATMENT, CONTROL = "counterfactual", "vanilla"
# Accuracies are in %: differences closer than this are rounding, not measurement.
SAME = 1e-9


@dataclass(frozen=True)
class Comparison:
    """Treatment minus baseline, two modes, for one model and metric.

    `difference` is in percentage points; `p` (two-sided) and `statistic` belong to the paired
    t-test over `seeds` pairs. What is undefined is None; `reason` then says why, and it also
    names seeds that were left out.
    """

    model: str
    treatment: str
    baseline: str
    metric: str
    difference: float | None
    p: float | None
    statistic: float | None
    seeds: int
    reason: str


def compare(curves: pd.DataFrame) -> list[Comparison]:
    """Compare modes as `pairs_of` has them, model by model, pairing runs by seed.

    Args:
        curves: long table of `cfdapo.analysis.curves.collect`.

    Returns:
        For each model and pair of modes a row for `accuracy` (last step, %) and one for `auc` (%).
    """
    values, reasons = {"accuracy": final_accuracy(curves)}, {"accuracy": ""}
    try:
        values["auc"], reasons["auc"] = areas(curves), ""
    except ValueError as error:
        values["auc"], reasons["auc"] = values["accuracy"].iloc[:0], str(error)
    comparisons = []
    for model, of_model in curves.groupby("model", sort=False):
        for pair in pairs_of(of_model["mode"]):
            for metric, table in values.items():
                seeds, reason = _by_seed(table, model), reasons[metric]
                comparisons.append(
                    _undefined(model, pair, metric, reason)
                    if reason
                    else _compare(model, pair, metric, seeds)
                )
    return comparisons


def pairs_of(modes: Iterable[str]) -> list[tuple[str, str]]:
    """The (treatment, baseline) that are compared, of those modes that there are.

    Counterfactual against every other mode, then each of a study's variants against vanilla.
    """
    ordered = list(named_modes(modes))
    variants = [mode for mode in ordered if mode not in MODE_LABELS]
    pairs = [(TREATMENT, mode) for mode in ordered if mode != TREATMENT]
    return pairs + [(mode, CONTROL) for mode in variants if CONTROL in ordered]


def _by_seed(values: pd.DataFrame, model: str) -> dict[str, dict[int, float]]:
    of_model = values[values["model"] == model]
    by_mode: dict[str, dict[int, float]] = {}
    for mode, seed, value in of_model[["mode", "seed", "value"]].itertuples(index=False):
        by_mode.setdefault(mode, {})[int(seed)] = float(value)
    return by_mode


def _undefined(model: str, pair: tuple[str, str], metric: str, reason: str) -> Comparison:
    return Comparison(model, *pair, metric, None, None, None, 0, reason)


def _compare(
    model: str, pair: tuple[str, str], metric: str, by_mode: dict[str, dict[int, float]]
) -> Comparison:
    treatment, baseline = pair
    treated, control = by_mode.get(treatment, {}), by_mode.get(baseline, {})
    common = sorted(treated.keys() & control.keys())
    if not common:
        return _undefined(model, pair, metric, f"no seed has {treatment} and {baseline} runs")
    first, second = [treated[s] for s in common], [control[s] for s in common]
    statistic, p, reason = paired_t_test(first, second)
    reasons = [reason, _left_out(treated.keys() ^ control.keys(), common)]
    return Comparison(
        model=model,
        treatment=treatment,
        baseline=baseline,
        metric=metric,
        difference=float(np.mean(np.subtract(first, second))),
        p=p,
        statistic=statistic,
        seeds=len(common),
        reason="; ".join(filter(None, reasons)),
    )


def _left_out(seeds: set[int], common: Sequence[int]) -> str:
    if not seeds:
        return ""
    return (
        f"paired on seeds {', '.join(map(str, common))} only: "
        f"one mode lacks {', '.join(map(str, sorted(seeds)))}"
    )


def paired_t_test(
    first: Sequence[float], second: Sequence[float]
) -> tuple[float | None, float | None, str]:
    """Two-sided paired t-test; (statistic, p, reason), None and a reason where undefined.

    Args:
        first, second: paired values in %, shape (n,); n - 1 degrees of freedom.

    Raises:
        ValueError: the shapes differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    differences = np.subtract(first, second)
    if len(differences) < 2:
        return None, None, "one seed: a t-test needs at least two"
    if np.all(np.abs(differences) < SAME):
        return None, None, "equal values in every seed"
    if np.ptp(differences) < SAME:
        return None, None, "the same difference in every seed: zero variance"
    result = stats.ttest_rel(first, second)
    return float(result.statistic), float(result.pvalue), ""


def write_comparisons(path: str | Path, comparisons: Sequence[Comparison]) -> None:
    """Write comparisons as CSV with every digit; what is undefined is an empty field."""
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, [field.name for field in fields(Comparison)], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(asdict(comparison) for comparison in comparisons)
    atomic_write(path, stream.getvalue())


def read_comparisons(path: str | Path) -> list[Comparison]:
    """Read the comparisons that `write_comparisons` wrote.

    Raises:
        UserError: the file is absent, or a line is not a comparison.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            return [_parse(row) for row in csv.DictReader(stream)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a table of comparisons ({error})") from error


def _parse(row: dict[str, str]) -> Comparison:
    values: dict[str, str | float | None] = dict(row)
    for name in ("difference", "p", "statistic"):
        values[name] = float(row[name]) if row[name] else None
    values["seeds"] = int(row["seeds"])
    return Comparison(**values)
