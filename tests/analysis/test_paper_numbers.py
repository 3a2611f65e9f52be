import math

import pytest

from cfdapo.analysis.paper.numbers import PAPER_NUMBERS, paper_columns, paper_number, paper_rows

MODELS = ("Qwen3-1.7B", "Qwen2.5-3B", "Llama3.2-3B")


def value(*key: str) -> float:
    return paper_number(*key).value


def test_every_number_is_kept_once():
    keys = [(entry.table, entry.row, entry.column) for entry in PAPER_NUMBERS]
    assert len(keys) == len(set(keys))


def test_all_tables_of_the_paper_are_there():
    sizes = {
        table: sum(entry.table == table for entry in PAPER_NUMBERS)
        for table in dict.fromkeys(entry.table for entry in PAPER_NUMBERS)
        if table.startswith("table")
    }
    assert sizes == {
        "table1_accuracy": 3 * 4,
        "table2_auc": 3 * 4,
        "table3_significance": 3 * 4,
        "table4_drop_distribution": 5 * 2,
        "table5_content": 7 * 3,
        "table6_example": 9,
        "table7_code": 5 * 3,
        "table8_overhead": 3 * 5,
    }


def test_a_cell_with_its_spread_and_unit():
    entry = paper_number("table1_accuracy", "Llama3.2-3B", "Inverted")
    assert (entry.value, entry.std, entry.unit) == (76.4, 1.5, "%")


def test_an_unknown_cell_says_what_there_is():
    with pytest.raises(KeyError, match="CF, DAPO, Random, Inverted"):
        paper_number("table1_accuracy", "Qwen3-1.7B", "Vanilla")
    with pytest.raises(KeyError, match="Qwen3-1.7B, Qwen2.5-3B, Llama3.2-3B"):
        paper_number("table1_accuracy", "Qwen3", "CF")


def test_rows_and_columns_come_in_the_papers_order():
    assert paper_rows("table8_overhead") == ["Qwen3-1.7B", "Llama3.2-3B", "Qwen2.5-3B"]
    assert paper_columns("table7_code", "25") == ["CF", "Vanilla", "Δ"]
    assert paper_rows("table99") == []


def test_counts_of_spans_add_up():
    total = value("section4.3", "sample", "spans")
    counts = [
        e.value
        for e in PAPER_NUMBERS
        if (e.table, e.column) == ("table4_drop_distribution", "Count")
    ]
    assert sum(counts) == total
    for row in paper_rows("table4_drop_distribution"):
        share = 100 * value("table4_drop_distribution", row, "Count") / total
        assert value("table4_drop_distribution", row, "%") == pytest.approx(share, abs=0.05)
    halves = [
        value("section4.3", f"{kind} completions", "spans") for kind in ("correct", "incorrect")
    ]
    assert sum(halves) == total


def test_differences_of_table_3_follow_from_tables_1_and_2_where_not_noted():
    contradictions = set()
    for table, column in (("table1_accuracy", "Δ@500"), ("table2_auc", "ΔAUC")):
        for model in MODELS:
            rounded = value(table, model, "CF") - value(table, model, "DAPO")
            entry = paper_number("table3_significance", model, column)
            # Two means, each rounded to 0.05.
            if abs(entry.value - rounded) > 0.1 + 1e-9:
                contradictions.add((model, column))
                assert "Table 2" in entry.note
    assert contradictions == {("Llama3.2-3B", "ΔAUC")}


def test_ratios_of_tables_5_and_8_follow_from_their_own_columns():
    for row in paper_rows("table5_content"):
        ratio = value("table5_content", row, "Critical") / value("table5_content", row, "Low")
        assert value("table5_content", row, "Enrich.") == pytest.approx(ratio, rel=0.03)
    for row in paper_rows("table8_overhead"):
        ratio = value("table8_overhead", row, "CF") / value("table8_overhead", row, "DAPO")
        assert value("table8_overhead", row, "OH") == pytest.approx(100 * (ratio - 1), abs=0.5)


def test_differences_of_table_7():
    for row in paper_rows("table7_code"):
        difference = value("table7_code", row, "CF") - value("table7_code", row, "Vanilla")
        assert value("table7_code", row, "Δ") == pytest.approx(difference)


def test_credit_time_explains_the_run_times_where_not_noted():
    for row in paper_rows("table8_overhead"):
        entry = paper_number("table8_overhead", row, "CF/step")
        minutes = value("table8_overhead", row, "CF") - value("table8_overhead", row, "DAPO")
        explained = math.isclose(500 * entry.value / 60, minutes, rel_tol=0.01)
        assert explained != bool(entry.note)


def test_notes_stand_on_the_numbers_that_contradict_others():
    assert {(e.table, e.row, e.column) for e in PAPER_NUMBERS if e.note} == {
        ("table3_significance", "Llama3.2-3B", "ΔAUC"),
        ("table3_significance", "Llama3.2-3B", "p AUC"),
        ("table6_example", "Final: 36 - 10 + 2 = 28", "|Δ|"),
        ("table8_overhead", "Qwen3-1.7B", "CF/step"),
        ("section4.3", "distractors", "in incorrect completions"),
        ("section4.4", "best checkpoint", "Vanilla"),
        ("section4.4", "vanilla ahead from", "step"),
    }
