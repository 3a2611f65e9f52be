"""Table 7: pass rates by step, counterfactual modes less vanilla, the paper's beside."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfdapo.analysis.outcomes.table7_code import (
    HISTORY_COLUMNS,
    shown_steps,
    spans_found,
    table7_code,
)
from cfdapo.analysis.rendering.table import to_latex, to_markdown
from cfdapo.analysis.rendering.wording import score_axis, score_title
from cfdapo.vocabulary import TASKS

CODE = {"counterfactual-code": "CF, code spans"}
# By step and mode, a value a seed.
RATES = {
    0: {"vanilla": [40.0, 40.0, 40.0], "counterfactual": [40.0, 40.0, 40.0]},
    25: {"vanilla": [50.0, 51.0, 52.0], "counterfactual": [50.5, 53.0, 52.5]},
}


def curves_of(rates) -> pd.DataFrame:
    rows = [
        ("m", mode, seed, step, accuracy, 79)
        for step, modes in rates.items()
        for mode, by_seed in modes.items()
        for seed, accuracy in enumerate(by_seed)
    ]
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "step", "accuracy", "problems"])


def history_of(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "step", *HISTORY_COLUMNS])


# In the second step no group teaches anything, so nobody looks for spans.
HISTORY = history_of(
    [
        ("m", mode, seed, step, found if step == 1 else 0.0, 0.5 if step == 1 else 1.0)
        for mode, by_seed in {"counterfactual": (0.25, 0.75), "counterfactual-code": (6, 6)}.items()
        for seed, found in enumerate(by_seed)
        for step in (1, 2)
    ]
)


def texts(table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def notes(table) -> str:
    return "\n".join(f"{note.mark} {note.text}" for note in table.notes)


def test_table_7_by_hand():
    table = table7_code(curves_of(RATES), HISTORY, {"m": "Model"}, "mbpp")
    assert table.columns == [
        *("Model", "Step", "CF", "DAPO", "CF − DAPO [95 %]"),
        *("Paper: CF", "Paper: Vanilla", "Paper: Δ"),
    ]
    # Differences 0.5, 2, 0.5: mean 1, sample standard deviation sqrt(0.75), t of 2 degrees 4.303;
    # half the interval is 4.303 sqrt(0.75 / 3) = 2.151.
    assert texts(table) == [
        ["Model", "0", "40.0 ± 0.0", "40.0 ± 0.0", "+0.0", "–", "–", "–"],
        ["Model", "25", "52.0 ± 1.3", "51.0 ± 1.0", "+1.0 [−1.2, +3.2]", "52.7", "51.6", "+1.1"],
    ]
    assert [cell.bold for cell in table.rows[1][2:4]] == [True, False]
    assert table.title == (
        "MBPP+ pass rate (%) by training step. Mean ± std over 3 seeds; 79 problems. Best in bold."
    )
    assert "equal values in every seed" in notes(table)
    assert "not in the paper's table" in notes(table)
    assert "Vanilla 54.2 [sic: not one checkpoint: vanilla's best step is 250" in notes(table)
    assert "step 150 [sic: a step that Table 7 lacks" in notes(table)


def test_the_csv_has_every_digit_and_the_papers_numbers():
    table = table7_code(curves_of(RATES), HISTORY, {"m": "Model"}, "mbpp")
    data = table.data.set_index(["quantity", "mode", "step"])
    gap = data.loc["difference", "counterfactual", 25]
    interval = stats.ttest_rel(RATES[25]["counterfactual"], RATES[25]["vanilla"])
    expected = interval.confidence_interval()
    assert (gap["low"], gap["high"]) == pytest.approx((expected.low, expected.high))
    assert (gap["value"], gap["paper"], gap["seeds"], gap["baseline"]) == (1.0, 1.1, 3, "vanilla")
    rate = data.loc["pass rate", "counterfactual", 25]
    assert (rate["std"], rate["paper"]) == pytest.approx((np.sqrt(1.75), 52.7))
    assert data.loc[("pass rate", "vanilla", 25), "paper"] == 51.6
    assert pd.isna(data.loc[("pass rate", "vanilla", 0), "paper"])
    spans = table.data[table.data["quantity"] == "spans per completion"].set_index("mode")
    assert spans["value"].to_dict() == {"counterfactual": 0.5, "counterfactual-code": 6.0}
    assert spans["step"].isna().all()


def test_spans_are_counted_where_somebody_looked():
    found = spans_found(HISTORY)
    assert found.loc[("m", "counterfactual"), "mean"] == 0.5
    assert found.loc[("m", "counterfactual"), "std"] == pytest.approx(np.std([0.25, 0.75], ddof=1))
    assert spans_found(HISTORY[HISTORY["step"] == 2]).empty


def test_every_counterfactual_mode_is_held_against_vanilla():
    rates = {s: of | {"counterfactual-code": of["vanilla"][::-1]} for s, of in RATES.items()}
    modes = ["counterfactual", "counterfactual-code"]
    table = table7_code(curves_of(rates), HISTORY, {"m": "M"}, "programs", CODE, modes)
    assert table.columns == [
        *("Model", "Step", "CF", "DAPO", "CF, code spans"),
        *("CF − DAPO [95 %]", "CF, code spans − DAPO [95 %]"),
    ]
    assert table.title.startswith("Pass rate on made programs (%) by training step.")
    # Differences 2, 0, −2.
    assert table.rows[1][-1].text == "+0.0 [−5.0, +5.0]"
    assert "M, CF: 0.50 ± 0.35; M, CF, code spans: 6.00 ± 0.00." in notes(table)
    assert "Paper" not in "".join(table.columns) and "sic" not in notes(table)
    assert table.data["paper"].isna().all()


def test_one_seed_has_a_difference_without_interval():
    rates = {25: {mode: by_seed[:1] for mode, by_seed in RATES[25].items()}}
    table = table7_code(curves_of(rates), HISTORY.iloc[:0], {"m": "M"})
    assert texts(table) == [["M", "25", "50.5", "50.0", "+0.5"]]
    assert "one seed: a t-test needs at least two" in notes(table)
    assert "Spans found" not in notes(table)
    assert "nan" not in to_markdown(table) + to_latex(table)


def test_seeds_that_one_mode_lacks_are_named_and_without_vanilla_there_is_a_dash():
    curves = curves_of(RATES)
    fewer = curves[(curves["mode"] != "vanilla") | (curves["seed"] < 2)]
    table = table7_code(fewer, HISTORY, {"m": "M"})
    assert table.rows[1][-1].text.startswith("+1.2 [")
    assert "paired on seeds 0, 1 only: one mode lacks 2" in notes(table)
    assert "2 seeds instead of 3" in notes(table)
    alone = table7_code(curves[curves["mode"] != "vanilla"], HISTORY, {"m": "M"})
    assert alone.columns == ["Model", "Step", "CF", "CF − DAPO [95 %]"]
    assert [row[-1].text for row in alone.rows] == ["–", "–"]
    assert "no seed has counterfactual and vanilla runs" in notes(alone)


def test_of_many_steps_the_papers_are_shown_and_the_csv_has_all():
    steps = list(range(0, 301, 25))
    table = table7_code(curves_of({s: RATES[25] for s in steps}), HISTORY, {"m": "M"}, "mbpp")
    assert [row[1].text for row in table.rows] == ["0", "25", "100", "200", "250", "300"]
    assert "Evaluated at steps 0, 25, … 300; the CSV has all of them." in notes(table)
    assert sorted(set(table.data["step"].dropna())) == steps
    assert shown_steps(steps, []) == [0, 50, 75, 125, 175, 225, 250, 300]
    assert shown_steps(steps[:8], []) == steps[:8]


def test_a_code_tasks_score_is_a_pass_rate():
    for name, task in TASKS.items():
        assert ("pass rate" in score_title(name).lower()) == task.code
        assert score_axis(name) == ("Pass rate (%)" if task.code else "Test accuracy (%)")
    assert score_title("gsm8k") == "GSM8K test accuracy"
