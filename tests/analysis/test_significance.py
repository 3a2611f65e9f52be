import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfdapo.analysis.outcomes.comparisons import read_comparisons, write_comparisons
from cfdapo.analysis.outcomes.significance import (
    ALL_MODELS,
    Comparison,
    compare,
    paired_t_test,
    pairs_of,
)
from cfdapo.analysis.records.curves import areas, final_accuracy
from cfdapo.analysis.statistics.estimates import holm
from cfdapo.checksums import finish
from cfdapo.files import UserError


def two_modes(treated: dict[int, float], control: dict[int, float], steps=(0, 25)) -> pd.DataFrame:
    """Curves of one model that are flat at the given accuracy, by seed."""
    rows = [
        ("m", mode, seed, step, accuracy, 100)
        for mode, by_seed in (("counterfactual", treated), ("vanilla", control))
        for seed, accuracy in by_seed.items()
        for step in steps
    ]
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "step", "accuracy", "problems"])


def test_by_hand():
    # Differences 1, 2, 3: t = 2 / (1 / sqrt 3); with 2 degrees of freedom
    # p = 1 - t / sqrt(t^2 + 2).
    statistic, p, reason = paired_t_test([71, 73, 75], [70, 71, 72])
    assert statistic == pytest.approx(2 * math.sqrt(3))
    assert p == pytest.approx(1 - math.sqrt(12 / 14))
    assert reason == ""


def test_against_scipy_on_every_model_and_metric(curves, labels):
    comparisons = compare(curves)
    assert [(c.model, c.baseline, c.metric) for c in comparisons] == [
        (model, baseline, metric)
        for model in [*labels, ALL_MODELS]
        for baseline in ("vanilla", "random", "inverted")
        for metric in ("accuracy", "auc")
    ]
    tables = {"accuracy": final_accuracy(curves), "auc": areas(curves)}
    for comparison in comparisons[: -3 * 2]:
        table = tables[comparison.metric].sort_values("seed")
        of_model = table[table["model"] == comparison.model]
        treated = of_model.loc[of_model["mode"] == "counterfactual", "value"]
        control = of_model.loc[of_model["mode"] == comparison.baseline, "value"]
        expected = stats.ttest_rel(treated, control)
        assert comparison.p == pytest.approx(expected.pvalue)
        assert comparison.statistic == pytest.approx(expected.statistic)
        assert comparison.difference == pytest.approx(treated.mean() - control.mean())
        assert (comparison.seeds, comparison.reason) == (3, "")


def test_pairing_is_by_seed_not_by_order(curves):
    shuffled = curves.sample(frac=1, random_state=3)
    expected = {(c.model, c.baseline, c.metric): c.p for c in compare(curves)}
    found = {(c.model, c.baseline, c.metric): c.p for c in compare(shuffled)}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("treated", "control", "difference", "reason"),
    [
        ({0: 80.0}, {0: 79.0}, 1.0, "one seed"),
        ({0: 80.0, 1: 82.0}, {0: 80.0, 1: 82.0}, 0.0, "equal values in every seed"),
        # 0.1 + 0.2 is not 0.3: the spread of these differences is rounding only.
        ({0: 80.1, 1: 82.3, 2: 9.7}, {0: 79.8, 1: 82.0, 2: 9.4}, 0.3, "zero variance"),
    ],
)
def test_what_is_undefined_has_a_reason_and_no_p(treated, control, difference, reason):
    for comparison in compare(two_modes(treated, control)):
        assert comparison.difference == pytest.approx(difference)
        assert comparison.p is None
        assert comparison.statistic is None
        assert reason in comparison.reason


def test_seeds_that_one_mode_lacks_are_left_out_and_named():
    comparison = compare(two_modes({0: 81.0, 1: 83.0, 2: 99.0}, {0: 80.0, 1: 80.0, 5: 1.0}))[0]
    assert comparison.difference == pytest.approx(2.0)
    assert comparison.seeds == 2
    assert comparison.p == pytest.approx(stats.ttest_rel([81, 83], [80, 80]).pvalue)
    assert comparison.reason == "paired on seeds 0, 1 only: one mode lacks 2, 5"


@pytest.mark.parametrize(("treated", "control"), [({}, {0: 80.0}), ({1: 80.0}, {0: 80.0})])
def test_no_common_seed(treated, control):
    comparison = compare(two_modes(treated, control))[0]
    assert (comparison.difference, comparison.p, comparison.seeds) == (None, None, 0)
    assert comparison.reason == "no seed has counterfactual and vanilla runs"


def test_one_step_leaves_accuracy_testable_and_the_area_undefined():
    accuracy, auc = compare(two_modes({0: 81.0, 1: 83.0}, {0: 80.0, 1: 80.0}, steps=(25,)))
    assert accuracy.p is not None
    assert (auc.difference, auc.p) == (None, None)
    assert "at least two evaluated steps" in auc.reason


def test_values_of_unequal_number_are_refused():
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_t_test([1.0, 2.0], [1.0])


def test_the_file_keeps_every_digit_and_every_none(tmp_path, curves):
    comparisons = [*compare(curves), *compare(two_modes({0: 80.0}, {0: 79.0}))]
    write_comparisons(tmp_path / "statistics", comparisons, [])
    assert read_comparisons(tmp_path) == (comparisons, [])
    frame = pd.read_csv(tmp_path / "statistics" / "significance.csv")
    assert list(frame.columns) == list(Comparison.__dataclass_fields__)
    assert np.isclose(frame["p"].dropna().min(), min(c.p for c in comparisons if c.p is not None))


@pytest.mark.parametrize("content", ["model,baseline\nm,vanilla\n", "a,b\n1,2,3\n"])
def test_a_file_of_something_else_is_named(tmp_path, content):
    finish(tmp_path / "statistics" / "significance.csv", content)
    with pytest.raises(UserError, match="significance.csv: not a table of Comparison rows"):
        read_comparisons(tmp_path)


def test_variants_are_compared_with_counterfactual_and_with_vanilla():
    assert pairs_of(["wide", "vanilla", "inverted", "counterfactual", "far"]) == [
        ("counterfactual", "vanilla"),
        ("counterfactual", "inverted"),
        ("counterfactual", "wide"),
        ("counterfactual", "far"),
        ("wide", "vanilla"),
        ("far", "vanilla"),
    ]


def test_a_variant_against_vanilla_is_the_variant_minus_vanilla():
    curves = two_modes({0: 81.0, 1: 83.0}, {0: 80.0, 1: 80.0})
    wide = two_modes({0: 70.0, 1: 71.0}, {}).assign(mode="wide")
    found = {(c.treatment, c.baseline): c for c in compare(pd.concat([curves, wide]))}
    assert found["wide", "vanilla"].difference == pytest.approx(-9.5)
    assert found["counterfactual", "wide"].difference == pytest.approx(11.5)


def test_effect_sizes_intervals_and_families(curves):
    comparisons = compare(curves)
    first = comparisons[0]
    assert first.d_z == pytest.approx(first.statistic / math.sqrt(3))
    assert first.g_z == pytest.approx(first.d_z / math.sqrt(math.pi))
    assert first.low <= first.difference <= first.high
    # Of three seeds the interquartile mean is the mean.
    assert (first.iqm, first.iqm_low) == (pytest.approx(first.difference), pytest.approx(first.low))
    for family, tests in (("primary", 3 * 2), ("others", 3 * 2 * 2)):
        members = [c for c in comparisons if c.family == family]
        assert len(members) == tests
        assert [c.p_holm for c in members] == pytest.approx(holm([c.p for c in members]))


def test_over_models_every_model_weighs_the_same(curves):
    over = {(c.baseline, c.metric): c for c in compare(curves) if c.model == ALL_MODELS}
    single = [c for c in compare(curves) if (c.baseline, c.metric) == ("vanilla", "auc")][:3]
    found = over["vanilla", "auc"]
    assert found.difference == pytest.approx(np.mean([c.difference for c in single]))
    assert (found.seeds, found.family, found.p_holm) == (9, "", None)
    assert found.low < found.difference < found.high


def test_two_seeds_have_no_corrected_effect_size():
    comparison = compare(two_modes({0: 81.0, 1: 83.0}, {0: 80.0, 1: 80.0}))[0]
    assert comparison.d_z == pytest.approx(2 / math.sqrt(2))
    assert comparison.g_z is None
