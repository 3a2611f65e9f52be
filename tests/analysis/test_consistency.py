from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cfdapo.analysis.paper.consistency import check_paper
from cfdapo.analysis.paper.consistency.accuracy import attainable_p
from cfdapo.analysis.paper.numbers import PAPER_NUMBERS, paper_number
from cfdapo.analysis.paper.rounding import Interval, Paper, exactly, half_digit, hull
from cfdapo.analysis.paper.table16_inconsistencies import table16_inconsistencies
from cfdapo.analysis.rendering.table import to_latex, to_markdown

# What would make the paper fit together: (table, row, column) -> another number.
MENDED = {
    ("table3_significance", "Llama3.2-3B", "ΔAUC"): 0.7,
    ("table3_significance", "Llama3.2-3B", "p AUC"): 0.2,
    ("table1_accuracy", "Qwen2.5-3B", "Random"): 85.5,
    # 450 tokens and 7 spans for each of 1467 completions, of which Table 4 has the same share.
    ("section4.3", "sample", "tokens"): 660150,
    ("section4.3", "sample", "completions"): 2000,
    ("section4.3", "distractors", "in incorrect completions"): 90.0,
    ("table7_code", "300", "CF"): 51.0,
    ("table7_code", "300", "Δ"): -3.0,
    ("table7_code", "250", "CF"): 53.7,
    ("table7_code", "250", "Δ"): -0.5,
    # 130 minutes over 500 steps are 15.6 s; the share of training is then 24 %.
    ("table8_overhead", "Qwen3-1.7B", "CF/step"): 15.6,
    ("appendixA", "CF share of training time", "minimum"): 24,
}


def altered(changes) -> Paper:
    entries = {(e.table, e.row, e.column): e for e in PAPER_NUMBERS}
    assert set(changes) <= set(entries)
    return Paper(
        replace(entry, value=float(changes.get(key, entry.value))) for key, entry in entries.items()
    )


def wrong(paper=None) -> list[str]:
    return [check.claim for check in check_paper(paper) if not check.consistent]


def test_what_contradicts_itself_in_the_paper():
    assert wrong() == [
        "Table 3, Llama3.2-3B, ΔAUC",
        "Table 3, Llama3.2-3B, p AUC",
        "Section 3.4, Qwen2.5-3B",
        "Section 3.2, tokens a completion",
        "Table 8, spans a completion",
        "Section 4.3, distractors go with failure",
        "Section 4.4, “at the best checkpoint”",
        "Table 8, Qwen3-1.7B, CF − DAPO minutes",
    ]


def test_numbers_that_fit_together_pass():
    assert wrong(altered(MENDED)) == []


@pytest.mark.parametrize(
    ("key", "value", "claim"),
    [
        (("table1_accuracy", "Qwen3-1.7B", "CF"), 84.6, "Table 3, Qwen3-1.7B, Δ@500"),
        (("table2_auc", "Qwen2.5-3B", "DAPO"), 85.1, "Table 3, Qwen2.5-3B, ΔAUC"),
        (("table3_significance", "Qwen2.5-3B", "p@500"), 0.3, "Table 3, Qwen2.5-3B, p@500"),
        (("table2_auc", "Qwen3-1.7B", "Inverted"), 82.4, "Section 3.4, Qwen3-1.7B"),
        (("section4.2", "Qwen2.5-3B", "gain"), 1.4, "Section 4.2, gain of Qwen2.5-3B"),
        (("section1", "gain over DAPO", "maximum"), 1.3, "Section 1, maximum of the gains"),
        (("table4_drop_distribution", "Low", "Count"), 1350, "Section 4.3, spans"),
        (("table4_drop_distribution", "Low", "%"), 9.9, "Table 4, Low, %"),
        (("table5_content", "Conclusion", "Enrich."), 2.5, "Table 5, Conclusion, enrichment"),
        (("table5_content", "Equation setup", "Low"), 10.9, "Table 5, Equation setup, enrichment"),
        (
            ("section4.3", "correct completions", "mean drop"),
            -200,
            "Section 4.3, incorrect against correct, %",
        ),
        (("section4.3", "low importance", "tokens"), 45, "Section 4.3, low importance, ratio"),
        (
            ("table6_example", "Oliver can eat 28 dishes", "|Δ|"),
            90,
            "Section 4.3, the final calculation scores lowest",
        ),
        (("table7_code", "25", "Δ"), 1.3, "Table 7, step 25, Δ"),
        (("table7_code", "200", "CF"), 54.6, "Section 4.4, vanilla is ahead"),
        (("table8_overhead", "Llama3.2-3B", "OH"), 45, "Table 8, Llama3.2-3B, OH"),
        (
            ("table8_overhead", "Llama3.2-3B", "CF/step"),
            22.0,
            "Table 8, Llama3.2-3B, CF − DAPO minutes",
        ),
        (("appendixA", "overhead", "maximum"), 76, "Appendix A, overhead, maximum"),
        (
            ("appendixA", "Qwen2.5-3B seconds per step", "generation"),
            48.0,
            "Table 8, Qwen2.5-3B, CF minutes",
        ),
        (
            ("appendixA", "Llama3.2-3B", "standard pass"),
            0.5,
            "Appendix A, gradient-free against standard pass",
        ),
    ],
)
def test_an_altered_number_is_found(key, value, claim):
    assert claim in wrong(altered(MENDED | {key: value}))


def test_a_number_off_by_its_rounding_is_not_found():
    # 84.35 - 83.35 rounds to 84.4 - 83.4 = 1.0 and 84.3 - 83.4 = 0.9; 0.99 fits both.
    changes = {("table3_significance", "Qwen3-1.7B", "Δ@500"): 0.99}
    assert wrong(altered(MENDED | changes)) == []
    assert wrong(altered(MENDED | {key: 1.02 for key in changes})) == ["Table 3, Qwen3-1.7B, Δ@500"]


def test_the_same_number_in_the_row_above_is_remarked():
    (check,) = [c for c in check_paper() if c.claim == "Table 3, Llama3.2-3B, ΔAUC"]
    assert check.remark == "the same number as of Qwen2.5-3B"
    # 77.25 to 77.35 minus 76.55 to 76.65.
    assert (check.computed.low, check.computed.high) == pytest.approx((0.6, 0.8))


def test_a_step_that_table_7_lacks_is_remarked():
    def remark(paper) -> str:
        (check,) = [c for c in check_paper(paper) if c.claim == "Section 4.4, vanilla is ahead"]
        return check.remark

    assert remark(None) == "Table 7 has no step 150"
    assert remark(altered({("section4.4", "vanilla ahead from", "step"): 200})) == ""


def test_attainable_p_holds_every_p_that_such_seeds_give():
    dice = np.random.default_rng(0)
    seen = []
    for _ in range(300):
        first, second = dice.normal(80.5, 0.4, 3), dice.normal(80, 0.8, 3)
        delta = (first - second).mean()
        found = attainable_p(
            exactly(delta), exactly(first.std(ddof=1)), exactly(second.std(ddof=1)), 3
        )
        p = stats.ttest_rel(first, second).pvalue
        assert found.low - 1e-9 <= p <= found.high + 1e-9
        seen.append((p - found.low) / (found.high - found.low))
    # The range is no wider than it needs to be: seeds that go together, and that do not.
    assert min(seen) < 0.05 and max(seen) > 0.6


def test_attainable_p_by_hand():
    # Differences of std at most 0.3 + 0.5 = 0.8, of samples; populations add sqrt(3/2).
    found = attainable_p(exactly(1.0), exactly(0.3), exactly(0.5), 3)
    t = 1.0 * 3**0.5 / (0.8 * 1.5**0.5)
    assert found.high == pytest.approx(2 * stats.t.sf(t, 2))
    assert found.low == pytest.approx(2 * stats.t.sf(3**0.5 / 0.2, 2))
    # A worse treatment has the same p.
    assert attainable_p(exactly(-1.0), exactly(0.3), exactly(0.5), 3) == found


def test_intervals_hold_what_arithmetic_may_give():
    a, b = Interval(1, 2), Interval(-3, 4)
    assert a + b == Interval(-2, 6)
    assert a - b == Interval(-3, 5)
    assert a * b == Interval(-6, 8)
    assert b / a == Interval(-3, 4)
    with pytest.raises(ZeroDivisionError):
        a / b
    assert a.meets(Interval(2, 3)) and not a.meets(Interval(2.1, 3))
    assert hull([Interval(1, 2), Interval(0, 4)]) == (Interval(0, 2), Interval(1, 4))


@pytest.mark.parametrize(
    ("key", "half"),
    [
        (("table1_accuracy", "Qwen3-1.7B", "CF"), 0.05),
        (("table3_significance", "Qwen3-1.7B", "ΔAUC"), 0.005),
        (("table3_significance", "Qwen3-1.7B", "p AUC"), 0.0005),
        (("table4_drop_distribution", "Low", "Count"), 0),
        (("table5_content", "Calculation chain", "Enrich."), 0.05),
        (("table5_content", "Equation setup", "Enrich."), 0.005),
        (("table8_overhead", "Qwen3-1.7B", "DAPO"), 0.5),
        (("section4.3", "length and drop", "p"), 0),
        (("section4.3", "drops", "skewness"), 0.005),
        (("appendixA", "Qwen2.5-3B share of a step", "other"), 0.5),
    ],
)
def test_half_of_the_last_printed_digit(key, half):
    assert half_digit(paper_number(*key)) == half


def test_table_16_puts_contradictions_first_and_says_how_many():
    table = table16_inconsistencies()
    verdicts = [row[-1].text for row in table.rows]
    count = verdicts.count("contradicts")
    assert verdicts == ["contradicts"] * count + ["consistent"] * (len(verdicts) - count)
    assert f"{count} of {len(verdicts)} do not fit" in table.title
    assert table.data["consistent"].sum() == len(verdicts) - count
    text = to_markdown(table)
    assert "nan" not in text
    assert "| Table 8, Qwen3-1.7B, CF − DAPO minutes | 130 min |" in text
    # LaTeX knows every sign.
    assert to_latex(table).isascii()


def test_table_16_of_a_paper_that_fits_together():
    table = table16_inconsistencies(check_paper(altered(MENDED)))
    assert "0 of" in table.title and all(row[-1].text == "consistent" for row in table.rows)
