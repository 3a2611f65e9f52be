import math

import pandas as pd
import pytest

from cfdapo.analysis.costs.overhead import (
    COST_COLUMNS,
    ESTIMATOR_COLUMNS,
    measure_costs,
    measure_estimators,
)
from cfdapo.files import UserError


def lookup(costs, model, quantity, variant):
    return costs.set_index(["model", "quantity", "variant"]).loc[(model, quantity, variant)]


def test_costs_by_hand(records, history, profiles):
    costs = measure_costs(records, history, profiles)
    assert list(costs.columns) == COST_COLUMNS
    time = lookup(costs, "qwen3", "time", "counterfactual")
    # 14, 15 and 16 minutes.
    assert (time["value"], time["std"], time["seeds"], time["unit"]) == (15.0, 1.0, 3, "min")
    assert lookup(costs, "qwen3", "overhead", "runs")["value"] == pytest.approx(50.0)
    share = lookup(costs, "qwen3", "credit_share", "counterfactual")["value"]
    assert share == pytest.approx(100 * (4 / 14 + 5 / 15 + 6 / 16) / 3)
    assert lookup(costs, "qwen3", "spans_per_completion", "counterfactual")["value"] == 4.5
    assert lookup(costs, "qwen3", "credit", "counterfactual")["value"] == 0.25
    assert lookup(costs, "qwen3", "peak_memory_resident", "vanilla")["value"] == 1.0
    assert "peak_memory_accelerator" not in set(costs["quantity"])


def test_of_a_few_steps_no_share_of_their_time_is_given(records, history):
    # Three seeds of 6 steps are 18.
    short = [{**record, "steps": 6} for record in records]
    costs = measure_costs(short, history, {})
    assert math.isnan(lookup(costs, "qwen3", "overhead", "runs")["value"])
    assert math.isnan(lookup(costs, "qwen3", "credit_share", "counterfactual")["value"])
    assert lookup(costs, "qwen3", "time", "counterfactual")["value"] == 15.0
    costs = measure_costs([{**record, "steps": 7} for record in records], history, {})
    assert lookup(costs, "qwen3", "overhead", "runs")["value"] == pytest.approx(50.0)


def test_profiled_overhead_is_in_percent_and_only_where_profiled(records, history, profiles):
    costs = measure_costs(records, history, profiles)
    assert lookup(costs, "qwen3", "overhead", "serial")["value"] == pytest.approx(62.0)
    assert lookup(costs, "qwen3", "overhead", "prefix")["value"] == pytest.approx(20.0)
    others = costs[costs["model"] != "qwen3"]
    assert set(others.loc[others["quantity"] == "overhead", "variant"]) == {"runs"}


def test_steps_are_averaged_within_a_seed_first(records, history):
    # One long seed must not outweigh the others.
    long = history[history["seed"] == 0].assign(seconds_credit=4.0)
    short = history[(history["seed"] == 1) & (history["step"] <= 2)].assign(seconds_credit=1.0)
    credit = lookup(
        measure_costs(records, pd.concat([long, short]), {}), "qwen3", "credit", "counterfactual"
    )
    assert (credit["value"], credit["seeds"]) == (2.5, 2)


def test_one_mode_has_no_overhead(records, history):
    vanilla = [record for record in records if record["mode"] == "vanilla"]
    costs = measure_costs(vanilla, history.iloc[:0], {})
    assert "overhead" not in set(costs["quantity"])


def test_one_seed_has_no_spread(records, history):
    single = [record for record in records if record["seed"] == 0]
    costs = measure_costs(single, history[history["seed"] == 0], {})
    assert math.isnan(lookup(costs, "qwen3", "time", "vanilla")["std"])


def test_a_record_without_times_is_named(records, history):
    del records[0]["seconds"]["credit"]
    with pytest.raises(UserError, match="qwen3/vanilla/seed0: run.json lacks 'credit'"):
        measure_costs(records, history, {})


def test_no_timed_runs_is_an_error(records, history):
    others = [{**record, "mode": "random"} for record in records]
    with pytest.raises(UserError, match="no vanilla or counterfactual runs"):
        measure_costs(others, history, {})


def test_estimators_by_hand(profiles):
    profiles["qwen3"]["methods"]["prefix"]["peak_memory_accelerator"] = 3 * 2**29
    estimators = measure_estimators(profiles)
    assert list(estimators.columns) == ESTIMATOR_COLUMNS
    by_method = estimators.set_index("method")
    assert list(by_method.index) == ["serial", "prefix", "gradient"]
    prefix = by_method.loc["prefix"]
    assert (prefix["passes"], prefix["tokens"], prefix["seconds"]) == (2, 3000, 0.8)
    # Serial takes 2.48 s; a vanilla step 3 s of generation and 1 s of update.
    assert prefix["speed_up"] == pytest.approx(3.1)
    assert prefix["share_of_vanilla_step"] == pytest.approx(20.0)
    assert prefix["peak_memory_accelerator"] == 1.5
    assert math.isnan(by_method.loc["serial", "peak_memory_accelerator"])


@pytest.mark.parametrize("field", ["methods", "seconds"])
def test_a_profile_without_methods_is_named(profiles, field):
    del profiles["qwen3"][field]
    with pytest.raises(
        UserError, match=f"overhead/qwen3.json: the overhead profile lacks '{field}'"
    ):
        measure_estimators(profiles)


def test_no_profile_is_no_row():
    assert measure_estimators({}).empty
