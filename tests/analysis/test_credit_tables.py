"""Tables 4, 5, 6 and 15 on made-up records: numbers, rules of choice, and what is undefined."""

import json

import pytest

from cfdapo.analysis.credit.quantity_rows import in_nats
from cfdapo.analysis.credit.table4_drop_distribution import table4_drop_distribution
from cfdapo.analysis.credit.table5_content import table5_content
from cfdapo.analysis.credit.table6_example import choose_examples, table6_example
from cfdapo.analysis.credit.table15_span_statistics import table15_span_statistics
from cfdapo.analysis.records.samples import split_samples
from cfdapo.analysis.rendering.table import DASH, to_latex, to_markdown

LABELS = {"llama-tiny": "Llama & Co", "qwen3-tiny": "Qwen3"}
TABLES = [table4_drop_distribution, table5_content, table6_example, table15_span_statistics]


def row(table, name):
    (found,) = [cells for cells in table.rows if cells[0].text == name]
    return [cell.text for cell in found]


def assert_readable(table):
    """No nan, and a reason below the table for every dash."""
    marks = {note.mark for note in table.notes}
    for cells in table.rows:
        assert len(cells) == len(table.columns)
        for cell in cells:
            assert "nan" not in cell.text and cell.text
            assert cell.mark in marks if cell.text == DASH else True
    assert "nan" not in to_markdown(table)
    assert to_latex(table).count("\\\\\n") == len(table.rows) + 1


@pytest.mark.parametrize("make", TABLES)
def test_tables_are_readable_and_say_the_task(measured, make):
    table = make(measured, LABELS, "arithmetic")
    assert table.name == make.__name__ and "Arithmetic" in table.title
    assert_readable(table)
    assert make(measured, LABELS).data.equals(table.data)


def test_table_4_counts_every_span_and_has_the_papers_beside(measured):
    table = table4_drop_distribution(measured, LABELS)
    assert table.columns[1:4] == ["Paper", "Llama & Co, sampled", "Llama & Co, gold"]
    assert row(table, "Critical: drop < −500")[1:3] == ["1,500 (10.9 %)", "0 (0.0 %)"]
    assert row(table, "Skewness")[1] == "−2.19"
    spans = measured["llama-tiny"][0]
    drops = spans.loc[spans["source"] == "sampled", "drop"]
    data = table.data[(table.data["model"] == "llama-tiny") & (table.data["source"] == "sampled")]
    values = data.set_index("quantity")["value"]
    assert values["Spans"] == len(drops)
    assert values["Low: drop [−50, 0)"] == (drops < 0).sum()
    assert values["Distractor: drop ≥ 0"] == (drops >= 0).sum()
    assert values["Quantile 25 % of drops"] == pytest.approx(drops.quantile(0.25))
    shared = next(name for name in values.index if name.startswith("Drop below which 10.9 %"))
    assert values[shared] == pytest.approx(drops.quantile(0.109))


def test_table_5_has_every_pattern_of_every_sample(measured):
    table = table5_content(measured, LABELS)
    assert len(table.rows) == len(table.data) == 7 * 4
    first = table.data.iloc[0]
    spans = measured["llama-tiny"][0]
    lowering = ((spans["source"] == "sampled") & (spans["drop"] < 0)).sum()
    assert first["critical_spans"] == first["low_spans"] == lowering // 4
    assert table.rows[0][-1].text == "28.3 %, 2.5 %, 11.2×"
    defined = table.data.dropna(subset=["low", "high"])
    assert len(defined) and (defined["low"] <= defined["enrichment"]).all()
    expected = defined["critical_share"] / defined["low_share"]
    assert defined["enrichment"].to_numpy() == pytest.approx(expected.to_numpy())


def test_examples_are_chosen_by_the_rule_whatever_the_drops(measured):
    samples = split_samples(measured, LABELS)
    examples = choose_examples(samples)
    chosen = {(e.model, e.kind): e.completion["completion"] for e in examples}
    for sample in samples:
        if not sample.sampled:
            continue
        counts = sample.spans.groupby("completion").size()
        right = [r["completion"] for r in sample.completions if r["correct"]]
        most = max(counts.get(name, 0) for name in right)
        assert chosen[sample.model, "right"] == next(
            name for name in right if counts.get(name, 0) == most
        )
    for sample in samples:
        sample.spans["drop"] = 7.0
    assert {(e.model, e.kind): e.completion["completion"] for e in choose_examples(samples)} == (
        chosen
    )


def test_gold_stands_in_where_no_sampled_completion_is_right(measured):
    spans, completions = measured["qwen3-tiny"]
    wrong = [r | {"correct": False} if r["source"] == "sampled" else r for r in completions]
    samples = split_samples({"qwen3-tiny": (spans, wrong)}, {"qwen3-tiny": "Qwen3"})
    assert [example.kind for example in choose_examples(samples)] == ["gold", "wrong"]


def test_table_6_ranks_by_drop_and_names_problem_and_answer(measured):
    table = table6_example(measured, LABELS)
    assert table.columns == ["Example", "Span", "|Δ|", "Drop", "Rank", "Weight", "Label"]
    for _, example in table.data.groupby(["model", "example"]):
        assert example.sort_values("rank")["drop"].is_monotonic_increasing
        assert sorted(example["rank"]) == list(range(1, len(example) + 1))
        assert example["span"].is_monotonic_increasing and len(example) >= 4
    assert any("Problem: " in note.text and "right: " in note.text for note in table.notes)
    assert any("806" in note.text for note in table.notes)


def test_table_6_of_programs_says_which_tests_they_pass(measured):
    table = table6_example(measured, LABELS, "programs")
    assert any("passes the tests of " in note.text for note in table.notes)
    assert any("fails the tests of " in note.text for note in table.notes)
    # Neither the program itself nor the paper's example, which is arithmetic.
    assert not any("(right: " in note.text or "806" in note.text for note in table.notes)


def test_table_15_says_what_the_records_say(measured):
    table = table15_span_statistics(measured, LABELS)
    data = table.data[(table.data["model"] == "qwen3-tiny") & (table.data["source"] == "sampled")]
    values = data.set_index("quantity")["value"]
    spans, completions = measured["qwen3-tiny"]
    spans = spans[spans["source"] == "sampled"]
    completions = [r for r in completions if r["source"] == "sampled"]
    assert values["Completions"] == len(completions) and values["Problems"] == 6
    assert values["Right completions"] == sum(r["correct"] for r in completions)
    assert values["Tokens"] == sum(len(r["weights"]) for r in completions)
    wrong = spans.loc[~spans["correct"].astype(bool), "drop"]
    assert values["Mean drop, incorrect completions"] == pytest.approx(wrong.mean())
    last = spans.loc[spans["last_line"].astype(bool), "drop"]
    assert values["Position: mean drop, last line with spans"] == pytest.approx(last.mean())
    strongest = spans.loc[spans["drop"].idxmax(), "text"]
    assert any(f"Qwen3, sampled: “{strongest}”" in note.text for note in table.notes)
    assert row(table, "All spans in incorrect completions")[1] == "82.9 %"
    gold = row(table, "Gradient mass with |A|: high (> 0.8)")[3]
    assert gold == DASH


def test_right_and_wrong_are_not_read_from_the_advantage(measured):
    changed = {
        model: (spans, [r | {"advantage": None if r["advantage"] is None else -1.0} for r in rows])
        for model, (spans, rows) in measured.items()
    }
    tables = [table15_span_statistics(given, LABELS).data for given in (measured, changed)]
    for quantity in ("Correct − incorrect", "Distractors in incorrect completions"):
        first, second = (data[data["quantity"] == quantity]["value"] for data in tables)
        assert first.equals(second)


def with_spans(measured, **columns):
    return {m: (spans.assign(**columns), rows) for m, (spans, rows) in measured.items()}


@pytest.mark.parametrize("make", TABLES)
@pytest.mark.parametrize(
    "columns",
    [
        {"drop": 0.0, "importance": 0.0, "normalized": 0.0},
        {"drop": -1e-9},
        {"label": None, "dependants": None},
        {"correct": True},
        {"position": 0.9, "last_line": True},
        {"token_start": 3, "token_end": 4},
    ],
    ids=["zero", "near zero", "no labels", "none wrong", "all late", "equal lengths"],
)
def test_poor_records_give_dashes_with_reasons(measured, make, columns):
    assert_readable(make(with_spans(measured, **columns), LABELS))


@pytest.mark.parametrize("make", TABLES)
@pytest.mark.parametrize("keep", ["no spans", "one span each", "one completion", "gold only"])
def test_few_records_give_dashes_with_reasons(measured, make, keep):
    fewer = {}
    for model, (spans, rows) in measured.items():
        if keep == "no spans":
            spans = spans[:0]
        elif keep == "one span each":
            spans = spans[spans["span"] == 0]
        elif keep == "one completion":
            rows = rows[:1]
            spans = spans[spans["completion"] == rows[0]["completion"]]
        else:
            rows = [r for r in rows if r["source"] == "gold"]
            spans = spans[spans["source"] == "gold"]
        fewer[model] = (spans, rows)
    assert_readable(make(fewer, LABELS))


def test_numbers_of_nats_never_look_like_none():
    values = [0.0, -1e-7, 1e-7, -0.0123, -4.56, -27.44, 633.2]
    assert [in_nats(value) for value in values] == [
        *("0", "−<0.001", "<0.001", "−0.012", "−4.560", "−27.4", "633"),
    ]


def test_the_csv_is_numeric(measured):
    data = table15_span_statistics(measured, LABELS).data
    mass = data[data["quantity"] == "Gradient mass: high (> 0.8)"]
    assert (mass["value"] * mass["share_of_tokens"]).to_numpy() == pytest.approx(
        mass["share_of_mass"].to_numpy()
    )
    json.loads(data.to_json())  # no objects in it
