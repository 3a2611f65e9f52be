"""What counterfactual credit costs: run times, credit times and the side-by-side profile."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfdapo.analysis.records.runs import name_of
from cfdapo.files import UserError

COST_COLUMNS = ["model", "quantity", "variant", "value", "std", "seeds", "unit"]
ESTIMATOR_COLUMNS = [
    *("model", "method", "passes", "tokens", "seconds", "speed_up", "share_of_vanilla_step"),
    *("max_difference", "spearman", "peak_memory_accelerator"),
]
_GIB = 2**30
# Of fewer training steps, over all seeds, no share of their time is given: the first steps are slow
# for reasons of their own, and jobs that start together disturb each other.
LEAST_STEPS = 20
NO_PROFILE = "no side-by-side profile"


def measure_costs(
    runs: Sequence[Mapping[str, Any]],
    history: pd.DataFrame,
    profiles: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Costs of each model, a row a quantity and variant; what was not measured has no row.

    Args:
        runs: contents of `run.json`; modes other than vanilla and counterfactual are ignored.
        history: long table of `cfdapo.analysis.records.runs.collect_history` with
            `spans_per_completion` and `seconds_credit` (s); counterfactual rows are used.
        profiles: model -> contents of `overhead/{model}.json`.

    Returns:
        `model`, `quantity`, `variant`, `value` (mean over seeds), `std` (sample), `seeds`,
        `unit`. Quantities: `time` (min) and `peak_memory_resident`, `peak_memory_accelerator`
        (GiB) by mode; `credit_share` (% of the run's time), `credit` (s per step) and
        `spans_per_completion` of counterfactual runs; `overhead` (% more than vanilla), variant
        `runs` or the method that was profiled. Shares of the time of fewer than `LEAST_STEPS`
        steps are nan.

    Raises:
        UserError: no vanilla or counterfactual runs, or a `run.json` lacks a field.
    """
    frame = _read_runs(runs)
    costs = [*_run_costs(frame), *_history_costs(history), *_profile_costs(profiles)]
    return pd.DataFrame(costs, columns=COST_COLUMNS).astype({"seeds": "Int64"})


def measure_estimators(profiles: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """What each method took for one rollout batch and how far its drops are from serial's.

    Args:
        profiles: model -> contents of `overhead/{model}.json`.

    Returns:
        A row a model and method: `model`, `method`, `passes`, `tokens` (computed positions),
        `seconds` (median), `speed_up` (serial's seconds over the method's),
        `share_of_vanilla_step` (% of a step's generation and update), `max_difference` (nats),
        `spearman` (rank correlation with serial's drops) and `peak_memory_accelerator` (GiB);
        nan where there is none.

    Raises:
        UserError: a profile lacks a field.
    """
    rows = []
    for model, profile in profiles.items():
        try:
            step = profile["seconds"]["generation"] + profile["seconds"]["update"]
            serial = profile["methods"]["serial"]["seconds"]
            for method, measured in profile["methods"].items():
                seconds, memory = measured["seconds"], measured["peak_memory_accelerator"]
                row = {"model": model, "method": method, "speed_up": serial / seconds}
                row |= {"share_of_vanilla_step": 100 * seconds / step}
                row |= {key: measured[key] for key in ("passes", "tokens", "seconds")}
                row |= {key: measured[key] for key in ("max_difference", "spearman")}
                row |= {"peak_memory_accelerator": None if memory is None else memory / _GIB}
                rows.append(row)
        except KeyError as error:
            raise UserError(f"overhead/{model}.json: the overhead profile lacks {error}") from error
    measurements = ESTIMATOR_COLUMNS[4:]
    return pd.DataFrame(rows, columns=ESTIMATOR_COLUMNS).astype(dict.fromkeys(measurements, float))


def _read_runs(runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    rows = []
    for run in runs:
        if run["mode"] not in ("vanilla", "counterfactual"):
            continue
        try:
            seconds = run["seconds"]
            row = {
                "model": run["model"],
                "mode": run["mode"],
                "seed": run["seed"],
                "time": seconds["total"] / 60,
                "credit_share": 100 * seconds["credit"] / seconds["total"],
                "steps": run["steps"],
            }
            # Null where there is no such device.
            row |= {
                f"peak_memory_{kind}": float("nan") if size is None else size / _GIB
                for kind, size in run["peak_memory_bytes"].items()
            }
        except KeyError as error:
            raise UserError(f"{name_of(run)}: run.json lacks {error}") from error
        rows.append(row)
    if not rows:
        raise UserError("no vanilla or counterfactual runs to take times from")
    return pd.DataFrame(rows)


def _run_costs(runs: pd.DataFrame) -> list[tuple]:
    costs = []
    for (model, mode), group in runs.groupby(["model", "mode"], sort=False):
        costs.append(_mean(model, "time", mode, group["time"], "min"))
        for quantity in group.columns[group.notna().any()]:
            if quantity.startswith("peak_memory_"):
                costs.append(_mean(model, quantity, mode, group[quantity], "GiB"))
        if mode == "counterfactual":
            enough = group["steps"].sum() >= LEAST_STEPS
            share = group["credit_share"] * (1.0 if enough else float("nan"))
            costs.append(_mean(model, "credit_share", mode, share, "%"))
    times = runs.groupby(["model", "mode"], sort=False)["time"].mean().unstack()
    steps = runs.groupby(["model", "mode"], sort=False)["steps"].sum().unstack()
    # Both modes, or no overhead.
    for model, time in times.reindex(columns=["vanilla", "counterfactual"]).dropna().iterrows():
        overhead = 100 * (time["counterfactual"] / time["vanilla"] - 1)
        known = overhead if steps.loc[model].min() >= LEAST_STEPS else None
        costs.append((model, "overhead", "runs", known, None, None, "%"))
    return costs


def _history_costs(history: pd.DataFrame) -> list[tuple]:
    history = history[history["mode"] == "counterfactual"]
    costs = []
    for model, rows in history.groupby("model", sort=False):
        means = rows.groupby("seed")[["spans_per_completion", "seconds_credit"]].mean()
        for column, quantity, unit in (
            ("spans_per_completion", "spans_per_completion", "spans"),
            ("seconds_credit", "credit", "s"),
        ):
            costs.append(_mean(model, quantity, "counterfactual", means[column], unit))
    return costs


def _profile_costs(profiles: Mapping[str, Mapping[str, Any]]) -> list[tuple]:
    return [
        (model, "overhead", method, 100 * ratio, None, None, "%")
        for model, profile in profiles.items()
        for method, ratio in profile["ratio"]["credit_over_vanilla_step"].items()
    ]


def _mean(model: str, quantity: str, variant: str, per_seed: pd.Series, unit: str) -> tuple:
    return (
        model,
        quantity,
        variant,
        per_seed.mean(),
        per_seed.std(),
        int(per_seed.count()),
        unit,
    )
