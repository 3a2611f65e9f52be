import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import cfdapo
from cfdapo.analysis import registry
from cfdapo.analysis.costs.table8_overhead import table8_overhead
from cfdapo.analysis.costs.table11_estimator_cost import table11_estimator_cost
from cfdapo.analysis.outcomes import significance
from cfdapo.analysis.outcomes.problem_level import ProblemTest
from cfdapo.analysis.outcomes.significance import compare
from cfdapo.analysis.outcomes.table1_accuracy import table1_accuracy
from cfdapo.analysis.outcomes.table2_auc import table2_auc
from cfdapo.analysis.outcomes.table3_significance import table3_significance
from cfdapo.analysis.outcomes.table3b_comparisons import table3b_comparisons
from cfdapo.analysis.outcomes.table12_power import table12_power
from cfdapo.analysis.outcomes.table13_sample_efficiency import table13_sample_efficiency
from cfdapo.analysis.outcomes.table14_ordering import table14_ordering
from cfdapo.analysis.outcomes.table18_tournament import rank_modes, table18_tournament
from cfdapo.analysis.records.curves import areas
from cfdapo.analysis.rendering.table import to_latex, to_markdown
from cfdapo.files import UserError
from cfdapo.vocabulary import PAPER_MODES

PAPER_LABELS = {"qwen3": "Qwen3-1.7B", "qwen2": "Qwen2.5-3B", "llama": "Llama3.2-3B"}


def one_step(values: dict[str, list[float]]) -> pd.DataFrame:
    """Curves of one model with the given final accuracies by mode, a value a seed."""
    rows = [
        ("m", mode, seed, 50, accuracy, 80)
        for mode, by_seed in values.items()
        for seed, accuracy in enumerate(by_seed)
    ]
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "step", "accuracy", "problems"])


def texts(table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def notes(table) -> str:
    return "\n".join(f"{note.mark} {note.text}" for note in table.notes)


def test_table_1_by_hand():
    table = table1_accuracy(
        one_step({"vanilla": [80.0, 82.0, 84.0], "counterfactual": [81.0, 83.0, 87.0]}),
        {"m": "Model"},
        "gsm8k",
    )
    assert table.columns == ["Model", "CF", "DAPO"]
    # The sample standard deviation of 80, 82, 84 is 2; of 81, 83, 87 it is sqrt(28 / 3).
    assert texts(table) == [["Model", "83.7 ± 3.1", "82.0 ± 2.0"]]
    assert [cell.bold for cell in table.rows[0]] == [False, True, False]
    assert table.title == (
        "GSM8K test accuracy (%) at step 50. Mean ± std over 3 seeds; 80 problems. Best in bold."
    )
    assert table.data["std"].tolist() == pytest.approx([np.sqrt(28 / 3), 2.0])
    assert table.data["seeds"].tolist() == [3, 3]


def test_rows_and_columns_keep_the_studys_and_the_papers_order(curves, labels):
    backwards = dict(reversed(labels.items()))
    table = table1_accuracy(curves.sample(frac=1, random_state=1), backwards)
    assert table.columns == ["Model", "CF", "DAPO", "Random", "Inverted"]
    assert [row[0].text for row in table.rows] == list(backwards.values())


def test_ties_as_displayed_are_all_bold():
    table = table1_accuracy(
        one_step({"counterfactual": [80.04] * 2, "vanilla": [79.96] * 2, "random": [79.94] * 2}),
        {"m": "M"},
    )
    assert texts(table) == [["M", "80.0 ± 0.0", "80.0 ± 0.0", "79.9 ± 0.0"]]
    assert [cell.bold for cell in table.rows[0]] == [False, True, True, False]


def test_of_one_seed_no_mode_is_called_the_best():
    table = table1_accuracy(one_step({"counterfactual": [80.0], "vanilla": [60.0]}), {"m": "M"})
    assert not any(cell.bold for cell in table.rows[0])
    assert "One seed, so no spread" in table.title and "Best" not in table.title


def test_one_seed_has_no_spread_and_one_mode_nothing_best():
    table = table1_accuracy(one_step({"counterfactual": [80.0]}), {"m": "M"})
    assert texts(table) == [["M", "80.0"]]
    assert not table.rows[0][1].bold
    assert "One seed, so no spread; 80 problems." in table.title


def test_a_mode_without_runs_is_a_dash_and_fewer_seeds_a_footnote(curves, labels):
    absent = (curves["model"] == "qwen2") & (curves["mode"] == "random")
    fewer = (curves["model"] == "llama") & (curves["mode"] == "vanilla") & (curves["seed"] > 0)
    table = table1_accuracy(curves[~absent & ~fewer], labels)
    dash, single = table.rows[1][3], table.rows[2][2]
    assert (dash.text, dash.mark) == ("–", "a")
    assert "±" not in single.text
    assert single.mark == "b"
    assert notes(table) == "a no runs\nb 1 seed instead of 3"
    assert "over 1 to 3 seeds" in table.title
    assert len(table.data) == 11


def test_labels_must_have_runs_and_models_without_label_stay(curves, labels):
    with pytest.raises(UserError, match="no runs of other; there are runs of qwen3, qwen2, llama"):
        table1_accuracy(curves, {**labels, "other": "Other"})
    table = table1_accuracy(curves, {"llama": "L"})
    assert [row[0].text for row in table.rows] == ["L", "qwen3", "qwen2"]


def test_table_2_holds_the_areas(curves, labels):
    table = table2_auc(curves, labels)
    expected = areas(curves).groupby(["model", "mode"])["value"].mean()
    assert table.data.set_index(["model", "mode"])["mean"].to_dict() == pytest.approx(
        expected.to_dict()
    )
    assert "at step 100, from step 0" in table.title


def test_table_2_of_one_step_is_dashes_with_the_reason():
    table = table2_auc(one_step({"counterfactual": [80.0], "vanilla": [79.0]}), {"m": "M"})
    assert texts(table) == [["M", "–", "–"]]
    assert "at least two evaluated steps" in notes(table)
    assert table.data.empty


def test_table_3_shows_vanilla_only_with_stars_below_five_percent(curves, labels):
    comparisons = compare(curves)
    table = table3_significance(comparisons, [], curves, labels)
    assert table.columns == [
        *("Model", "Δ@100", "p@100", "ΔAUC", "p AUC", "Holm p@100", "Holm p AUC"),
        *("p@100 (problems)", "p AUC (problems)"),
    ]
    assert set(table.data["treatment"] + table.data["baseline"]) == {"counterfactualvanilla"}
    shown = [c for c in comparisons if c.baseline == "vanilla" and c.model in labels]
    for index, comparison in enumerate(shown):
        row, column = divmod(index, 2)
        difference, p = table.rows[row][1 + 2 * column : 3 + 2 * column]
        assert difference.text == f"{comparison.difference:+.2f}".replace("-", "−")
        assert p.text.endswith("*") == (comparison.p < 0.05)
        holm = table.rows[row][5 + column].text.removesuffix("*")
        assert holm == f"{comparison.p_holm:.3f}"
    assert {cell.text.endswith("*") for row in table.rows for cell in row} == {True, False}
    assert "Holm: adjusted for the 6 tests of this table" in notes(table)
    adjusted = significance.holm([c.p for c in shown])
    assert [c.p_holm for c in shown] == pytest.approx(adjusted)


def test_table_3_of_one_seed_shows_the_difference_and_a_dash():
    curves = one_step({"counterfactual": [81.0], "vanilla": [80.0]})
    table = table3_significance(compare(curves), [], curves, {"m": "M"})
    assert texts(table) == [["M", "+1.00", *["–"] * 7]]
    assert "a one seed: a t-test needs at least two" in notes(table)
    assert "b an area under the curve needs" in notes(table)
    assert "nan" not in to_markdown(table) + to_latex(table)


def test_table_3_without_vanilla_says_so_and_refuses_stale_comparisons(curves, labels):
    without = curves[curves["mode"] != "vanilla"]
    table = table3_significance(compare(without), [], without, labels)
    assert "no DAPO runs" in notes(table)
    stale = [c for c in compare(curves) if c.model != "llama"]
    with pytest.raises(UserError, match="lack llama"):
        table3_significance(stale, [], curves, labels)


def test_table_8_has_run_times_beside_profiles(records, history, profiles, labels):
    table = table8_overhead(records, history, profiles, labels)
    assert table.columns == [
        *("Model", "DAPO (min)", "CF (min)", "Overhead (%)", "Spans/completion"),
        *("Credit (s/step)", "Side by side, prefix (%)", "Side by side, serial (%)"),
    ]
    assert texts(table)[:2] == [
        ["Qwen3-tiny", "10.0", "15.0", "+50.0", "4.50", "0.250", "+20.0", "+62.0"],
        ["Qwen2-tiny", "10.0", "15.0", "+50.0", "4.50", "0.250", "–", "–"],
    ]
    assert "at step 20; means over 3 seeds" in table.title
    assert "a no side-by-side profile" in notes(table)
    assert "may have shared their machine" in notes(table)
    assert "3 repeats of 16 completions" in notes(table)
    assert "hardware" not in notes(table)


def test_table_8_names_runs_of_other_lengths_and_notes_other_hardware(
    records, history, profiles, labels
):
    records[1]["hardware"] = {"cores": 64}
    table = table8_overhead(records, history, profiles, labels)
    assert "not all made on the same hardware" in notes(table)
    records[1]["steps"] = 10
    with pytest.raises(UserError, match="qwen3/counterfactual/seed0 has 10"):
        table8_overhead(records, history, profiles, labels)


def test_table_11_by_hand(profiles, labels):
    table = table11_estimator_cost(profiles, labels, "arithmetic")
    assert table.columns == [
        *("Model", "Method", "Passes", "Tokens", "Seconds", "Speed-up over serial"),
        *("Share of a vanilla step (%)", "Max |ΔD|", "Spearman"),
    ]
    assert texts(table) == [
        ["Qwen3-tiny", "serial", "88", "9000", "2.48", "1.00", "62.0", "–", "–"],
        ["Qwen3-tiny", "prefix", "2", "3000", "0.800", "3.10", "20.0", "3.0e−05", "1.000"],
        ["Qwen3-tiny", "gradient", "1", "1000", "0.400", "6.20", "10.0", "2.5e+00", "−0.250"],
        ["Qwen2-tiny", *["–"] * 8],
        ["Llama_tiny & Co", *["–"] * 8],
    ]
    assert "one rollout batch on Arithmetic, no group skipped" in table.title
    assert "a the reference that the others are compared with" in notes(table)
    assert "b no side-by-side profile" in notes(table)
    assert "Qwen3-tiny, 16 completions with 4.50 spans each, median of 3 repeats" in notes(table)
    assert "measured by" not in notes(table)
    assert table.data["label"].tolist() == ["Qwen3-tiny"] * 3
    assert table.data["speed_up"].tolist() == pytest.approx([1, 3.1, 6.2])


def test_table_11_says_why_a_comparison_is_undefined_and_who_measured(profiles, labels):
    profiles["qwen3"]["methods"]["prefix"] |= {"spearman": None}
    profiles["qwen3"]["methods"]["gradient"] |= {"spearman": None, "max_difference": None}
    profiles["qwen3"]["proxy"] = "qwen2"
    table = table11_estimator_cost(profiles, labels)
    assert [[cell.text for cell in row[7:]] for row in table.rows[1:3]] == [
        ["3.0e−05", "–"],
        ["–", "–"],
    ]
    assert "a rank correlation needs two spans or more" in notes(table)
    assert "no spans were measured" in notes(table)
    assert "measured by Qwen2-tiny" in notes(table)
    assert "nan" not in to_markdown(table) + to_latex(table)


def test_table_11_without_profiles_is_dashes(labels):
    table = table11_estimator_cost({}, labels)
    assert all(row[1:] == ["–"] * 8 for row in texts(table)) and table.data.empty
    assert notes(table) == "a no side-by-side profile"


def test_times_keep_three_digits_from_seconds_to_hours(records, history, labels):
    for record, minutes in zip(records, [405, 0.036] * 3, strict=False):
        record["seconds"] = {"total": 60 * minutes, "credit": 0.0}
    table = table8_overhead(records, history, {}, labels)
    assert texts(table)[0][1:4] == ["405", "0.036", "−100.0"]


def test_table_8_of_vanilla_alone_is_dashes(records, history, labels):
    vanilla = [record for record in records if record["mode"] == "vanilla"]
    table = table8_overhead(vanilla, history[history["mode"] == "vanilla"], {}, labels)
    assert texts(table)[0] == ["Qwen3-tiny", "10.0", "–", "–", "–", "–"]
    assert "needs both DAPO and CF runs" in notes(table)


def test_the_papers_values_stand_below_tables_of_its_own_models_only(curves, labels):
    ours = table1_accuracy(curves, labels, "gsm8k")
    other_task = table1_accuracy(curves, PAPER_LABELS, "mbpp")
    assert "The paper" not in notes(ours) + notes(other_task)
    papers = table1_accuracy(curves, PAPER_LABELS, "gsm8k")
    assert (
        "Qwen2.5-3B CF 86.7 ± 0.2, DAPO 85.6 ± 0.2, Random 85.8 ± 0.8, Inverted 85.3 ± 0.3"
        in notes(papers)
    )
    significance = table3_significance(compare(curves), [], curves, PAPER_LABELS)
    assert "Qwen3-1.7B Δ@500 +0.90, p@500 0.112, ΔAUC +0.74, p AUC 0.035" in notes(significance)
    assert "ΔAUC +0.46 [sic: Table 2's means differ by 0.7" in notes(significance)


def test_the_papers_values_stand_below_table_8(records, history):
    table = table8_overhead(records, history, {}, PAPER_LABELS)
    assert "Llama3.2-3B DAPO 403, CF 578, OH +43, Spans/comp. 7.2, CF/step 21" in notes(table)


def test_analysis_and_its_stages_need_no_torch():
    stages = ("make_table", "plot_figure", "collect_curves", "compare_modes", "draw_credit_map")
    modules = [f"cfdapo.stages.{stage}" for stage in stages]
    modules += [spec.module for spec in registry.TABLES + registry.FIGURES]
    code = f"import sys; {'; '.join(f'import {module}' for module in modules)}"
    source = Path(cfdapo.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"],
        check=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )


def on_problems(model: str, reason: str = "", **values) -> ProblemTest:
    fields = {"p_runs": 0.012, "p_crossed": 0.2, "low": -1.5, "high": 3.25}
    fields |= {"problem_variance": 100.0, "residual_variance": 900.0}
    pair = ("counterfactual", "vanilla", "accuracy")
    return ProblemTest(model, *pair, 1.0, 3, 400, reason, **{**fields, **values})


def test_table_3b_has_every_comparison_and_auc_for_the_papers(curves, labels):
    comparisons = compare(curves)
    table = table3b_comparisons(comparisons, [on_problems("qwen3")], curves, labels)
    assert [(row[0].text, row[1].text) for row in table.rows[::4]] == [
        *(("CF − DAPO", "@100"), ("CF − DAPO", "AUC")),
        *(("CF − Random", "@100"), ("CF − Inverted", "@100")),
    ]
    first, _, _, over_models = table.rows[:4]
    c = comparisons[0]
    interval = f"{c.difference:+.2f} [{c.low:+.2f}, {c.high:+.2f}]".replace("-", "−")
    assert first[3].text == interval
    assert [cell.text for cell in first[-3:]] == ["0.012*", "[−1.50, +3.25]", "0.200"]
    assert [cell.text for cell in over_models[6:]] == ["–"] * 5
    assert len(table.data) == len(comparisons) == 3 * 3 * 2 + 3 * 2
    assert "has no more than their 3 values" in notes(table)


def test_table_3b_names_variants_and_their_comparison_with_vanilla(curves, labels):
    more = curves[curves["mode"] == "random"].assign(mode="wide")
    both = pd.concat([curves, more])
    table = table3b_comparisons(compare(both), [], both, labels, modes={"wide": "CF, wide"})
    assert {row[0].text for row in table.rows} == {
        *("CF − DAPO", "CF − Random", "CF − Inverted", "CF − CF, wide", "CF, wide − DAPO")
    }


def test_table_12_by_hand():
    curves = one_step({"counterfactual": [81.0, 83.0, 85.0], "vanilla": [80.0, 80.0, 80.0]})
    table = table12_power(curves, [on_problems("m")], {"m": "M"})
    row = [cell.text for cell in table.rows[0]]
    # Differences 1, 3, 5: standard deviation 2, its interval by chi-square of 2 degrees
    # 2 sqrt(2 / 7.378) to 2 sqrt(2 / 0.0506); three pairs detect 3.264 standard deviations.
    assert row[:4] == ["M", "3", "2.00 [1.04, 12.57]", "6.5 [3.4, 41.0]"]
    assert row[6:] == ["1.50", "0.50", "1.4"]
    # The paper's first row: 0.90 sqrt(3) / t with p = 0.112 at 2 degrees.
    deviation = 0.9 * np.sqrt(3) / stats.t.isf(0.056, 2)
    assert table.rows[1][0].text == "Qwen3-1.7B (paper)"
    assert table.rows[1][2].text.startswith(f"{deviation:.2f} [")


def test_table_12_of_one_seed_and_of_no_vanilla_is_dashes():
    single = one_step({"counterfactual": [81.0], "vanilla": [80.0]})
    for curves in (single, one_step({"counterfactual": [81.0, 82.0]})):
        table = table12_power(curves, [], {"m": "M"})
        assert [cell.text for cell in table.rows[0][2:]] == ["–"] * 7
        assert "nan" not in to_markdown(table) + table.data.to_csv()


def test_table_13_says_never_and_counts_seeds(curves, labels, history):
    steps = [{"step": step, "seconds_step": 60.0} for step in range(1, 101)]
    runs = curves[["model", "mode", "seed"]].drop_duplicates()
    timed = runs.merge(pd.DataFrame(steps), how="cross")
    table = table13_sample_efficiency(curves, timed, PAPER_LABELS)
    assert table.columns[-1] == "Paper's step"
    rows = {(row[0].text, row[1].text): [cell.text for cell in row[2:]] for row in table.rows}
    cf, inverted = rows["Qwen2.5-3B", "CF"], rows["Qwen2.5-3B", "Inverted"]
    # CF is ahead by a point, which is a tenth of 100 steps; evaluation is every 25.
    assert (cf[2], cf[3], cf[-1]) == ("100", "100", "125")
    assert (inverted[2:4], inverted[-1]) == (["never", "–"], "–")
    assert inverted[4].startswith("0 of 3") and cf[4].startswith("3 of 3")
    ours = table13_sample_efficiency(curves, timed, labels)
    assert "Paper's step" not in ours.columns
    without = curves[curves["mode"] != "vanilla"]
    assert "no DAPO runs" in notes(table13_sample_efficiency(without, timed, labels))


def test_table_14_states_every_claim(curves, labels):
    groups = {"raw": {mode: mode for mode in PAPER_MODES}}
    table = table14_ordering(curves, groups, labels)
    of_qwen3 = [[cell.text for cell in row] for row in table.rows if row[0].text == "Qwen3-tiny"]
    assert [row[2] for row in of_qwen3] == [
        *("CF > DAPO ≥ Random > Inverted", "CF > DAPO", "CF > Random", "CF > Inverted"),
        *("DAPO ≥ Random", "DAPO > Inverted", "Random > Inverted"),
    ]
    assert of_qwen3[3][-1] == "100.0"
    none = table14_ordering(curves, {"raw": {"vanilla": "vanilla"}}, labels)
    assert "fewer than two of the modes" in notes(none)


def two_steps(values: dict[str, list[float]]) -> pd.DataFrame:
    """`one_step`, and every run at 70 % at step 0."""
    last = one_step(values)
    return pd.concat([last.assign(step=0, accuracy=70.0), last], ignore_index=True)


def timed(curves: pd.DataFrame, **columns: float) -> pd.DataFrame:
    """Histories of 50 steps of a second each, with the same in every row."""
    each = {
        "reward": 0.5,
        "entropy": 0.25,
        "seconds_step": 1.0,
        "seconds_credit": 0.0,
        "credit_passes": 0.0,
    }
    each |= {"credit_generations": np.nan, **columns}
    steps = pd.DataFrame([{"step": step, **each} for step in range(1, 51)])
    return curves[["model", "mode", "seed"]].drop_duplicates().merge(steps, how="cross")


def test_table_18_by_hand():
    curves = two_steps({"vanilla": [80.0, 82.0, 84.0], "entropy": [81.0, 84.0, 87.0]})
    history = timed(curves)
    dear = history["mode"] == "entropy"
    history.loc[dear, ["seconds_step", "credit_generations"]] = [3.0, 12.0]
    # Of the first half of the steps nothing counts; in the second the seeds gain 1, 2 and 3 points.
    history.loc[dear, "reward"] = 0.9
    late = dear & (history["step"] > 25)
    history.loc[late, "entropy"] = 0.125
    history.loc[late, "reward"] = 0.51 + history.loc[late, "seed"] / 100
    first, second = rank_modes(curves, history)
    assert (first.mode, first.rank, first.seeds, first.mean) == ("entropy", 1, 3, 84.0)
    assert (second.mode, second.rank, second.final.difference) == ("vanilla", 2, None)
    # Differences of 1, 2 and 3: mean 2, standard error 1 / sqrt(3), two degrees of freedom.
    half = stats.t.isf(0.025, 2) / np.sqrt(3)
    assert (first.final.low, first.final.high) == pytest.approx((2 - half, 2 + half))
    assert first.final.p == pytest.approx(2 * stats.t.sf(2 * np.sqrt(3), 2)) == first.p_holm
    # Accuracy rises from 70 by a line, so the area's difference is half of the last step's.
    assert first.area.difference == pytest.approx(1.0)
    assert first.reward.difference == pytest.approx(2.0)
    assert first.reward_p_holm == pytest.approx(first.final.p) == first.reward.p
    assert (first.reached.step, first.reached.minutes) == (50, pytest.approx(2.5))
    assert (first.seconds, first.generations, second.generations) == (3.0, 12.0, 0.0)
    table = table18_tournament(curves, history, {"m": "M"}, "arithmetic", {"entropy": "Entropy"})
    assert texts(table)[0][:5] == ["M", "1", "Entropy", "84.0 ± 3.0", "+2.0 [−0.5, +4.5]"]
    assert texts(table)[0][8:9] == ["+2.0 [−0.5, +4.5]"]
    assert (texts(table)[0][11], texts(table)[1][11]) == ("0.125", "0.250")
    assert texts(table)[0][12:] == ["50", "2.50", "3.00", "0", "0", "12"]
    assert texts(table)[1][1:4] == ["2", "DAPO", "82.0 ± 2.0"] and texts(table)[1][4] == "–"
    assert table.data["p_holm"].tolist()[0] == first.p_holm


def test_table_18_corrects_over_all_modes_and_models_and_shares_ranks():
    values = {"vanilla": [80.0, 82.0, 84.0], "a": [81.0, 84.0, 87.0], "b": [82.0, 82.0, 88.0]}
    curves = pd.concat([two_steps(values), two_steps(values).assign(model="n")])
    found = rank_modes(curves, timed(curves))
    assert [(one.model, one.mode, one.rank) for one in found[:3]] == [
        *(("m", "a", 1), ("m", "b", 1), ("m", "vanilla", 3))
    ]
    tested = [one for one in found if one.final.p is not None]
    assert len(tested) == 4
    assert min(one.p_holm for one in tested) == pytest.approx(4 * min(o.final.p for o in tested))


def test_table_18_without_dapo_or_with_one_seed_says_so():
    alone = two_steps({"entropy": [81.0, 84.0]})
    table = table18_tournament(alone, timed(alone), {"m": "M"})
    assert "no DAPO runs" in notes(table) and "nan" not in to_markdown(table)
    single = two_steps({"vanilla": [80.0], "entropy": [81.0]})
    table = table18_tournament(single, timed(single), {"m": "M"})
    assert texts(table)[0][3:6] == ["81.0", "+1.0", "–"]
    assert "one seed" in notes(table) and "nan" not in table.data["difference"].to_csv()
