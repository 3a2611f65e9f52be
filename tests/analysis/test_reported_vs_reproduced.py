import pandas as pd
import pytest

from cfdapo.analysis.paper.agreement import ONE_SEED, judge
from cfdapo.analysis.paper.counterparts import Ours, StudyTables, query_of
from cfdapo.analysis.paper.numbers import PAPER_NUMBERS, PaperNumber, paper_number
from cfdapo.analysis.paper.table10_reported_vs_reproduced import table10_reported_vs_reproduced
from cfdapo.analysis.rendering.table import to_markdown
from cfdapo.checksums import finish

PAPERS = {"q3": "Qwen3-1.7B", "l3": "Llama3.2-3B"}
TINY = {"tiny": "Tiny"}


@pytest.fixture
def results(tmp_path):
    """The CSVs of a study of three models, as their tables leave them."""
    models = ("q3", "l3", "tiny")
    accuracy = [
        {"model": model, "mode": mode, "mean": mean, "std": 0.5}
        for model in models
        for mode, mean in (("counterfactual", 84.9), ("vanilla", 83.0), ("inverted", 82.0))
    ]
    tests = [
        {
            **{"model": m, "baseline": base, "metric": metric, "difference": 1.9},
            **{"p": None if m == "l3" else 0.2, "reason": "equal values" if m == "l3" else ""},
        }
        for m in models
        for base in ("random", "vanilla")
        for metric in ("accuracy", "auc")
    ]
    sampled = [
        *[("Spans", 200.0, None), ("Completions", 40.0, None), ("Tokens", 4000.0, None)],
        *[("Distractors: drop ≥ 0", 20.0, None), ("Tokens: at w_min", 30.0, None)],
        ("Length (tokens) and drop: Pearson's r", -0.3, -0.6),
        ("All spans in incorrect completions", 75.0, None),
    ]
    spans = [
        {"model": m, "source": source, "quantity": q, "value": v, "low": low, "high": 0.0, "p": 0.5}
        for m in models
        for source, factor in (("gold", 7), ("sampled", 1))
        for q, v, low in ((q, v * factor, low) for q, v, low in sampled)
    ]
    # The mean over seeds goes first; Llama's never gets there.
    reached = [
        {"model": m, "mode": mode, "seed": seed, "step": None if m == "l3" else step}
        for m in models
        for mode, step in (("vanilla", 500), ("counterfactual", 125))
        for seed, step in ((None, step), (0, 75))
    ]
    for name, rows in (
        ("table1_accuracy", accuracy),
        ("table13_sample_efficiency", reached),
        ("table3_significance", tests),
        ("table15_span_statistics", spans),
    ):
        finish(tmp_path / "tables" / f"{name}.csv", pd.DataFrame(rows).to_csv(index=False))
    return tmp_path


def look_up(results, model, *key, task="gsm8k"):
    return query_of(paper_number(*key))(StudyTables(results, task), model)


def test_every_number_has_a_counterpart_or_a_reason():
    for entry in PAPER_NUMBERS:
        query = query_of(entry)
        assert callable(query) or len(query.split()) > 2
    with pytest.raises(KeyError, match="table99"):
        query_of(PaperNumber("table99", "row", "column", 1.0, "%"))


def test_numbers_are_read_from_the_tables(results):
    found = look_up(results, "q3", "table1_accuracy", "Qwen3-1.7B", "CF")
    assert (found.value, found.std) == (84.9, 0.5)
    assert look_up(results, "q3", "table3_significance", "Qwen3-1.7B", "Δ@500").value == 1.9
    # 83.0 - 82.0.
    assert look_up(results, "q3", "section4.2", "Qwen3-1.7B", "Inverted below DAPO").value == 1
    # Sampled completions, not gold ones: 20 of 200; 4000 / 40; 25 % of 200.
    assert look_up(results, "q3", "section4.3", "distractors", "share").value == 10
    assert look_up(results, "q3", "section3.2", "masking tokens", "minimum").value == 100
    assert look_up(results, "q3", "section4.3", "correct completions", "spans").value == 50
    # The row is "Tokens" itself, not one that begins so.
    assert look_up(results, "q3", "section4.3", "sample", "tokens").value == 4000
    step = "step of DAPO's final accuracy"
    assert look_up(results, "q3", "section4.2", "Qwen3-1.7B", step).value == 125
    assert look_up(results, "l3", "section4.2", "Llama3.2-3B", step).reason == "never reached"
    found = look_up(results, "q3", "section4.3", "length and drop", "r")
    assert (found.value, found.low, found.high) == (-0.3, -0.6, 0.0)


def test_what_is_missing_has_a_reason(results):
    def reason(*key, model="l3"):
        found = look_up(results, model, *key)
        assert found.value is None
        return found.reason

    assert reason("table8_overhead", "Llama3.2-3B", "CF") == "table8_overhead was not made"
    assert reason("table3_significance", "Llama3.2-3B", "p@500") == "equal values"
    assert "no such number" in reason("table1_accuracy", "Llama3.2-3B", "Random")
    assert "no such number" in reason("section4.3", "mean drop by position", "early")
    assert "not code" in reason("table7_code", "100", "Δ")


def test_code_is_read_from_the_curves(results):
    (results / "statistics").mkdir()
    rows = [
        {"model": "q3", "mode": mode, "seed": seed, "step": 100, "accuracy": accuracy + seed}
        for mode, accuracy in (("counterfactual", 50.0), ("vanilla", 48.0))
        for seed in (0, 1)
    ]
    finish(results / "statistics" / "curves.csv", pd.DataFrame(rows).to_csv(index=False))
    assert look_up(results, "q3", "table7_code", "100", "CF", task="mbpp").value == 50.5
    assert look_up(results, "q3", "table7_code", "100", "Δ", task="mbpp").value == 2
    found = look_up(results, "q3", "table7_code", "200", "CF", task="mbpp")
    assert found.reason == "no evaluation at this step"


@pytest.mark.parametrize(
    ("key", "ours", "same_setting", "verdict"),
    [
        # 84.3 ± 0.5, both rounded: up to 0.6 away.
        (("table1_accuracy", "Qwen3-1.7B", "CF"), Ours(84.89), True, "within the paper's std"),
        (("table1_accuracy", "Qwen3-1.7B", "CF"), Ours(84.95), True, "outside the paper's std"),
        (("table1_accuracy", "Qwen3-1.7B", "CF"), Ours(84.3), False, "not comparable"),
        (("table3_significance", "Qwen3-1.7B", "Δ@500"), Ours(0.1), False, "same sign"),
        (("table3_significance", "Qwen3-1.7B", "Δ@500"), Ours(-0.1), True, "opposite sign"),
        (("table3_significance", "Qwen3-1.7B", "Δ@500"), Ours(0.0), True, "no difference"),
        (
            ("table3_significance", "Qwen3-1.7B", "Δ@500"),
            Ours(0.5, low=-0.5, high=0.897),
            True,
            "in our interval",
        ),
        (
            ("table3_significance", "Qwen3-1.7B", "Δ@500"),
            Ours(0.5, low=-0.5, high=0.89),
            True,
            "outside our interval",
        ),
        (("table3_significance", "Qwen2.5-3B", "p@500"), Ours(0.04), True, "same side of 0.05"),
        (("table3_significance", "Qwen2.5-3B", "p@500"), Ours(0.06), True, "other side of 0.05"),
        (("table3_significance", "Qwen2.5-3B", "p@500"), Ours(0.04), False, "not comparable"),
        (("section4.3", "length and drop", "p"), Ours(1e-9), True, "bound does not hold"),
        (("section4.3", "mean drop by position", "early"), Ours(-0.2), False, "same sign"),
        (("table5_content", "Equation setup", "Enrich."), Ours(1.2), False, "other side of 1"),
        (("section1", "gain over DAPO", "minimum"), Ours(0.74), True, "outside the paper's range"),
        (("section1", "gain over DAPO", "minimum"), Ours(0.76), True, "within the paper's range"),
        (("section1", "gain over DAPO", "maximum"), Ours(1.2), True, "outside the paper's range"),
        (("table8_overhead", "Qwen3-1.7B", "OH"), Ours(30.0), True, "not comparable"),
        (("table1_accuracy", "Qwen3-1.7B", "CF"), Ours(reason="no"), True, ""),
        (("table3_significance", "Qwen3-1.7B", "Δ@500"), Ours(-1.0, seeds=1), False, ONE_SEED),
        (("table1_accuracy", "Qwen3-1.7B", "CF"), Ours(84.3, seeds=1), True, ONE_SEED),
        (
            ("table3_significance", "Qwen3-1.7B", "Δ@500"),
            Ours(-1.0, seeds=2),
            False,
            "opposite sign",
        ),
    ],
)
def test_verdicts(key, ours, same_setting, verdict):
    assert judge(paper_number(*key), ours, same_setting) == verdict


def row_of(table, quantity):
    (row,) = [row for row in table.rows if row[1].text == quantity]
    return [cell.text for cell in row]


def test_a_study_of_the_papers_models_is_compared_model_by_model(results):
    table = table10_reported_vs_reproduced(StudyTables(results, "gsm8k"), PAPERS)
    assert table.columns[3:5] == ["Qwen3-1.7B", "Llama3.2-3B"]
    assert len(table.rows) == len(PAPER_NUMBERS)
    cells = [row for row in table.rows if row[1].text == "Qwen3-1.7B, CF"][0]
    # Table 1: 84.9 against 84.3 ± 0.5; Llama's column has no number of Qwen's.
    assert [cell.text for cell in cells] == [
        *("Table 1", "Qwen3-1.7B, CF", "84.3 ± 0.5 %", "84.9 ± 0.5", "–", "within the paper's std")
    ]
    # Numbers of no model: each of ours has its own.
    row = row_of(table, "distractors, share")
    assert row[2:5] == ["3.5 %", "10.0", "10.0"]
    data = table.data
    assert len(data) == 2 * len(PAPER_NUMBERS) and data["same_setting"].all()
    assert "nan" not in to_markdown(table)


def test_another_setting_is_marked_and_not_compared_by_size(results):
    table = table10_reported_vs_reproduced(StudyTables(results, "arithmetic"), TINY)
    assert table.columns[3] == "Tiny (another setting)"
    assert not table.data["same_setting"].any()
    verdicts = set(table.data["agreement"])
    assert not any("std" in verdict or "interval" in verdict for verdict in verdicts)
    # Beside every one of the paper's models.
    rows = [r for r in table.rows if r[0].text == "Table 3" and r[1].text.endswith("Δ@500")]
    assert [row[3].text for row in rows] == ["+1.90"] * 3
    assert any(note.text.startswith("Another setting: ") for note in table.notes)


def test_the_papers_models_on_other_problems_are_another_setting(results):
    table = table10_reported_vs_reproduced(StudyTables(results, "arithmetic"), PAPERS)
    assert not table.data["same_setting"].any()


def test_a_study_without_tables_has_a_reason_in_every_cell(tmp_path):
    table = table10_reported_vs_reproduced(StudyTables(tmp_path, "gsm8k"), PAPERS)
    assert {row[3].text for row in table.rows} == {"–"}
    assert all(row[3].mark for row in table.rows)
    assert (table.data["reason"] != "").all()
