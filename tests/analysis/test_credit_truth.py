"""Rules against the truth: every measure by hand, faulty records refused, table and figure."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import change_rows, write_truth

from cfdapo.analysis.credit.figure9_credit_truth import truth_dots
from cfdapo.analysis.credit.table17_credit_truth import table17_credit_truth
from cfdapo.analysis.credit.truth_agreement import ITSELF, measure_agreement
from cfdapo.analysis.records.truth import Truth, read_truth
from cfdapo.analysis.rendering.table import to_latex, to_markdown
from cfdapo.files import UserError

LABELS = {"tiny": "Tiny"}


def a_step(completion: str, number: int, truth: float, **more) -> dict:
    """A step of problem 0 or 1, by the completion's second letter; `more` has rules' scores."""
    scores = {rule: more.pop(rule) for rule in ("vanilla", "other")}
    return {
        "completion": completion,
        "problem": f"p{completion[1]}",
        "step": number,
        "correct": completion[0] == "r",
        "first_wrong": False,
        "advantage": truth,
        "error": 0.1,
        "halves": [truth, truth],
        "rules": {
            rule: {"sum": 2 * score, "mean": score, "mass": 2 * abs(score)}
            for rule, score in scores.items()
        },
    } | more


def a_rule(rule: str, group: int, **more) -> dict:
    row = {"group": group, "problem": f"p{group}", "completions": 4, "right": 2, "rule": rule}
    row |= {"mass": 10.0, "variance": 2.0, "signal": 1.0, "square": 4.0, "ascent": 1.0}
    return row | {"passes": 0.0, "generations": 0.0, "seconds": 0.0} | more


STEPS = [
    *(a_step("r0", 0, 0.5, vanilla=1.0, other=3.0), a_step("r0", 1, 0.0, vanilla=1.0, other=2.0)),
    a_step("r0", 2, -0.1, vanilla=1.0, other=1.0),
    *(a_step("w0", 0, 0.3, vanilla=-1.0, other=0.0), a_step("w0", 1, 0.1, vanilla=-1.0, other=1)),
    a_step("w0", 2, -0.8, vanilla=-1.0, other=-2.0, first_wrong=True),
    *(a_step("w1", 0, -0.4, vanilla=-0.5, other=-1.0, first_wrong=True),),
    a_step("w1", 1, 0.0, vanilla=-0.5, other=-3.0),
]
RULES = [
    *(a_rule("vanilla", 0), a_rule("other", 0, mass=30.0, variance=9.0, signal=3.0, passes=8.0)),
    a_rule("vanilla", 1, variance=4.0),
    a_rule("other", 1, mass=10.0, variance=1.0, ascent=4.0, square=9.0, seconds=2.0),
]


@pytest.fixture
def found() -> Callable[[str, str], float]:
    """A measure's value, by rule and metric, of the steps above."""
    rows = measure_agreement({"tiny": Truth(STEPS, RULES, 16)}, resamples=50)
    return lambda rule, metric: rows.set_index(["rule", "metric"]).loc[(rule, metric), "value"]


def test_correlations_by_hand(found):
    # In order in the first completion; 0, 1, -2 against 0.3, 0.1, -0.8 in the second; the third
    # is too short.
    assert found("other", "within_raw") == pytest.approx((1 + 0.5) / 2)
    assert found("vanilla", "within_raw") == 0
    truth = pd.Series([row["advantage"] for row in STEPS]).rank()
    other = pd.Series([row["rules"]["other"]["mean"] for row in STEPS]).rank()
    assert found("other", "pooled_raw") == pytest.approx(np.corrcoef(truth, other)[0, 1])
    # The halves are equal, so that nothing is corrected.
    assert found(ITSELF, "within_raw") == found(ITSELF, "pooled_raw") == pytest.approx(1)
    assert found("other", "within") == found("other", "within_raw")


def test_signs_masses_and_the_first_wrong_line_by_hand(found):
    # Beyond 1.96 errors of 0.1 are 0.5, 0.3, -0.8 and -0.4.
    assert found("other", "sign") == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert found("vanilla", "sign") == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert found("other", "idle_mass") == pytest.approx((2 + 1 + 1 + 3) / 13)
    assert found("vanilla", "idle_mass") == pytest.approx((1 + 1 + 1 + 0.5) / 7)
    assert found(ITSELF, "idle_mass") == 0.5
    # The blamed line is last but in the third completion.
    assert found("other", "first_wrong") == pytest.approx((1 + 0) / 2)
    assert found("vanilla", "first_wrong") == 0.5 and found(ITSELF, "first_wrong") == 1


def test_gradients_and_costs_by_hand(found):
    # Masses 20 and 40 halve the other's gradients: 10 / 4 against 6.
    assert found("other", "noise") == pytest.approx(10 / 4 / 6)
    assert found("other", "noise_to_signal") == pytest.approx((10 / 4) / (6 / 2))
    assert found("other", "ascent") == pytest.approx((5 / 13**0.5) / (2 / 8**0.5))
    for metric in ("noise", "noise_to_signal", "ascent"):
        assert found("vanilla", metric) == pytest.approx(1)
    assert found("other", "passes") == 1 and found("other", "seconds") == 0.25


def test_a_noisy_truth_is_corrected_for_to_first_order():
    """Normal scores with a true correlation of 0.6, and a truth whose halves are half noise."""
    random = np.random.default_rng(0)
    steps = []
    for number in range(600):
        true = random.normal(size=8)
        score = 0.6 * true + 0.8 * random.normal(size=8)
        halves = true + random.normal(size=(2, 8))
        for place in range(8):
            more = {"vanilla": 1.0, "other": score[place], "halves": list(halves[:, place])}
            truth = halves[:, place].mean()
            steps.append(a_step(f"r{number % 2}-{number}", place, truth, **more))
    rows = measure_agreement({"tiny": Truth(steps, RULES, 2)}, resamples=2)
    value = rows.set_index(["rule", "metric"])["value"]
    raw, corrected = value["other", "pooled_raw"], value["other", "pooled"]
    assert value[ITSELF, "pooled_raw"] == pytest.approx(2 / 3, abs=0.04)
    assert raw < 0.52 and corrected == pytest.approx(0.6, abs=0.03)
    assert value["other", "within"] == pytest.approx(0.57, abs=0.05)


def test_intervals_need_two_problems_and_hold_the_value():
    rows = measure_agreement({"tiny": Truth(STEPS, RULES, 16)}, resamples=200)
    bounded = rows.dropna(subset=["low"])
    assert (bounded["low"] <= bounded["value"]).all() and (
        bounded["value"] <= bounded["high"]
    ).all()
    one = rows[(rows["problems"] < 2) | rows["problems"].isna()]
    assert len(one) and one["low"].isna().all()
    assert rows.set_index(["rule", "metric"]).loc[("other", "noise"), "low"] == pytest.approx(0.25)


def test_the_table_says_why_there_is_nothing(tmp_path):
    write_truth(tmp_path, "tiny")
    truth = read_truth(tmp_path, "tiny")
    assert truth.names == ["vanilla", "monte_carlo", "oracle"] and truth.continuations == 16
    table = table17_credit_truth({"tiny": truth}, LABELS, {"vanilla": "DAPO"}, "arithmetic")
    text = to_markdown(table)
    assert "| Tiny | the truth itself, K = 16 |" in text and "| Tiny | monte\\_carlo | +1." in text
    assert "40 steps of 10 completions of 5 problems, of 6 measured" in text
    assert "sum over tokens of A log $\\pi$" in to_latex(table)
    nothing = [row | {"right": 0, "variance": 0.0, "signal": 0.0, "square": 0.0} for row in RULES]
    empty = Truth([], [row | {"mass": 0.0, "ascent": None} for row in nothing], 16)
    text = to_markdown(table17_credit_truth({"tiny": empty}, LABELS, {}))
    assert "Tiny: none of 2 groups taught anything." in text and "no group taught anything" in text


def test_the_figure_has_a_dot_a_rule_and_measure(tmp_path):
    write_truth(tmp_path, "tiny")
    truth = read_truth(tmp_path, "tiny")
    found = measure_agreement({"tiny": truth})
    figure = truth_dots(found, LABELS, {})
    assert len(figure.axes) == 4 and figure.axes[0].get_title(loc="left") == "Tiny"
    assert [panel.get_xlabel().split("\n")[0] for panel in figure.axes] == [
        *("ρ with the truth,", "AUROC,", "mass on steps", "ascent for a step's length,"),
    ]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["the truth itself", "DAPO", "monte_carlo", "oracle"]
    drawn = [line for line in figure.axes[3].get_lines() if line.get_marker() not in ("None", "")]
    ascent = found[found["metric"] == "ascent"].set_index("rule")["value"]
    assert {round(float(x), 6) for line in drawn for x in line.get_xdata()} >= {
        round(value, 6) for value in ascent
    }
    with pytest.raises(UserError, match="no group of any model taught anything"):
        truth_dots(found[found["metric"] == "passes"], LABELS, {})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("steps", lambda rows: rows[:-1] + [rows[-1] | {"advantage": None}], "advantage is None"),
        ("steps", lambda rows: rows[4:], "lacks step sampled-1-0 0"),
        ("steps", lambda rows: rows[:1] + rows[2:], "lacks step sampled-1-0 1|does not go on"),
        ("steps", lambda rows: [*rows, rows[-1]], "holds twice|should not hold|lacks step"),
        ("steps", lambda rows: [row | {"more": 1} for row in rows], "should not have more"),
        ("steps", lambda rows: [row | {"halves": [0.1]} for row in rows], "halves are 1, not 2"),
        ("steps", lambda rows: [row | {"rules": {}} for row in rows], "has other rules than vanil"),
        ("rules", lambda rows: rows[:-1], "lacks group and rule 5 oracle"),
        ("rules", lambda rows: [row | {"mass": "1"} for row in rows], "mass is '1', not a finite"),
        ("rules", lambda rows: [row | {"right": 2} for row in rows], "should not hold step"),
    ],
)
def test_records_that_are_not_whole_are_refused(tmp_path, name, change, message):
    write_truth(tmp_path, "tiny")
    change_rows(tmp_path / f"tiny.{name}.jsonl", change)
    with pytest.raises(UserError, match=message):
        read_truth(tmp_path, "tiny")


def test_a_truth_that_was_not_measured_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="tiny.steps.jsonl: missing; .*sets measurement.truth"):
        read_truth(tmp_path, "tiny")


def test_a_study_s_own_labels_name_its_variants(tmp_path):
    write_truth(tmp_path, "tiny")
    truth = read_truth(tmp_path, "tiny")
    renamed = replace(truth, continuations=64)
    table = table17_credit_truth({"tiny": renamed}, LABELS, {"oracle": "Who knows"})
    assert [row[1].text for row in table.rows] == [
        *("the truth itself, K = 64", "DAPO", "monte_carlo", "Who knows"),
    ]
