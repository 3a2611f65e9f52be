import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfdapo.analysis.credit.figure8_credit_validity import validity_dots
from cfdapo.analysis.credit.table9_credit_validity import table9_credit_validity
from cfdapo.analysis.credit.validity import (
    BASELINES,
    Ranked,
    measure_validity,
    same_scores,
    scores_of,
)
from cfdapo.analysis.records.samples import split_samples
from cfdapo.analysis.rendering.table import to_latex, to_markdown
from cfdapo.files import UserError
from cfdapo.vocabulary import COMBINATIONS

# completion, problem, label, dependants, last_line, kind, importance
ROWS = [
    ("a", "p", "causal", 1, False, "arithmetic", 3.0),
    ("a", "p", "causal", 0, False, "arithmetic", 1.0),
    ("a", "p", "filler", 0, False, "sentence", 2.0),
    ("a", "p", "restatement", 0, True, "sentence", 4.0),
    ("b", "q", "causal", 0, True, "arithmetic", 5.0),
    ("b", "q", "distractor", 0, False, "arithmetic", -1.0),
    ("b", "q", None, None, False, "sentence", 5.0),
    ("c", "q", "causal", 0, True, "arithmetic", -2.0),
]


def records(rows):
    """Records of one model with pad/answer only; positions follow the order of the rows."""
    names = ("completion", "problem", "label", "dependants", "last_line", "kind", "importance")
    frame = pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows])
    frame["dependants"] = frame["dependants"].astype("Int64")
    places = frame.groupby("completion").cumcount()
    completions = [
        {"completion": name, "source": "gold", "problem": problem}
        for name, problem in frame[["completion", "problem"]].drop_duplicates().to_numpy()
    ]
    frame = frame.drop(columns="problem").assign(
        source="gold",
        drops=[{"pad/answer": -value} for value in frame["importance"]],
        position=(places + 1) / 10,
        token_start=10 * places,
        token_end=10 * places + 5,
        entropy=0.5,
    )
    return {"m": (frame, completions)}


def measure(given, **more):
    return measure_validity(split_samples(given, dict.fromkeys(given, "M")), **more)


def pick(found, score, metric, scope="all"):
    chosen = found[(found["score"] == score) & (found["metric"] == metric)]
    return chosen[chosen["scope"] == scope].iloc[0]


@pytest.fixture(scope="module")
def by_hand():
    return measure(records(ROWS))


def test_auroc_within_completions_by_hand(by_hand):
    # a: 3 beats 2, not 4; 1 beats neither: 1 of 4 pairs. b: 5 beats -1. c has one class only.
    row = pick(by_hand, "pad/answer", "within_auroc")
    assert row["value"] == pytest.approx((1 / 4 + 1) / 2)
    # Four labelled spans of a and two of b; the unlabelled span is none of them.
    assert (row["spans"], row["completions"], row["problems"]) == (6, 2, 2)
    # Without the last line: a: 3 beats 2 and 1 does not; b has no causal span left.
    assert pick(by_hand, "pad/answer", "within_auroc", "without last line")["value"] == 1 / 2
    # Among calculations a has causal ones only.
    assert pick(by_hand, "pad/answer", "within_auroc", "calculations")["value"] == 1


def test_pooled_auroc_and_precision_by_hand(by_hand):
    # Causal 3, 1, 5, -2 against 2, 4, -1: 2 + 1 + 3 + 0 of 12 pairs.
    row = pick(by_hand, "pad/answer", "auroc")
    assert row["value"] == pytest.approx(6 / 12)
    assert (row["spans"], row["completions"]) == (7, 3)
    # In order 5+ 4 3+ 2 1+ -1 -2+: precision 1, 2/3, 3/5, 4/7 at the causal ones.
    expected = (1 + 2 / 3 + 3 / 5 + 4 / 7) / 4
    assert pick(by_hand, "pad/answer", "average_precision")["value"] == pytest.approx(expected)


def test_tau_by_hand(by_hand):
    # Only a has causal spans of different dependants, and ranks the pair right.
    row = pick(by_hand, "pad/answer", "tau")
    assert (row["value"], row["completions"]) == (1, 1)
    # Later spans have fewer dependants.
    assert pick(by_hand, "later", "tau")["value"] == -1


def test_the_last_lines_share_by_hand(by_hand):
    # a: 4 of 10. b: 5 of 10, the unlabelled span counts, the negative one does not. c: none.
    row = pick(by_hand, "pad/answer", "last_line_share")
    assert row["value"] == pytest.approx((4 / 10 + 5 / 10) / 2)
    assert row["completions"] == 2
    assert "last_line_share" not in set(by_hand.loc[by_hand["score"] == "later", "metric"])


def test_the_difference_is_to_the_best_baseline(by_hand):
    # Earlier first: a wins 4 of 4, b 1 of 1. Calculations first: a 4 of 4, b a tie.
    row = pick(by_hand, "pad/answer", "difference")
    assert row["baseline"] == "earlier"
    assert row["value"] == pytest.approx(0.625 - 1)
    assert set(by_hand.loc[by_hand["metric"] == "difference", "score"]) == {"pad/answer"}


def test_every_value_against_scipy(measured):
    found = measure(measured, resamples=20)
    for sample in split_samples(measured, dict.fromkeys(measured, "M")):
        here = found[(found["model"] == sample.model) & (found["source"] == sample.source)]
        spans = sample.spans.reset_index(drop=True)
        for score, values in scores_of(Ranked.of(sample)).items():
            within, taus = [], []
            for _, rows in spans.groupby("completion"):
                causal = rows["label"] == "causal"
                above, below = values[rows.index[causal]], values[rows.index[~causal]]
                if len(above) and len(below):
                    statistic = stats.mannwhitneyu(above, below).statistic
                    within.append(statistic / len(above) / len(below))
                later = rows.loc[causal, "dependants"].to_numpy(float)
                if len(set(later)) > 1:
                    # scipy leaves equal scores undefined.
                    varied = len(set(above)) > 1
                    taus.append(stats.somersd(later, above).statistic if varied else 0)
            assert pick(here, score, "within_auroc")["value"] == pytest.approx(np.mean(within))
            assert pick(here, score, "tau")["value"] == pytest.approx(np.mean(taus))


def test_made_drops_find_causes_and_random_ones_do_not(measured):
    found = measure(measured)
    for model in measured:
        of_model = found[(found["model"] == model) & (found["source"] == "sampled")]
        assert set(of_model["score"]) == {*COMBINATIONS, *BASELINES}
        row = pick(of_model, "pad/answer", "within_auroc")
        assert row["low"] > 0.6 and row["high"] <= 1 and row["low"] < row["value"] < row["high"]
    assert found.loc[found["paper"], "score"].unique().tolist() == ["pad/answer"]


def test_the_same_records_give_the_same_numbers(measured):
    pd.testing.assert_frame_equal(measure(measured, resamples=30), measure(measured, resamples=30))


def test_more_completions_of_the_same_problems_narrow_no_interval(measured):
    spans, completions = measured["qwen3-tiny"]
    again = spans.assign(completion="again " + spans["completion"])
    copies = [row | {"completion": f"again {row['completion']}"} for row in completions]
    twice = {"m": (pd.concat([spans, again]), [*completions, *copies])}
    columns = ["value", "low", "high"]
    once = pick(measure({"m": measured["qwen3-tiny"]}), "pad/rest", "within_auroc")
    assert pick(measure(twice), "pad/rest", "within_auroc")[columns].tolist() == pytest.approx(
        once[columns].tolist()
    )


def test_one_problem_has_values_and_no_intervals():
    found = measure(records(ROWS[:4]))
    row = pick(found, "pad/answer", "within_auroc")
    assert row["value"] == 1 / 4
    assert np.isnan([row["low"], row["high"]]).all()


def test_the_studys_own_drop_is_a_score_where_no_combination_is_it():
    given = records(ROWS)
    assert "study's own" not in set(measure(given)["score"])
    # Completions without labels have no combinations.
    given["m"][0].at[len(ROWS) - 1, "drops"] = {}
    assert "study's own" not in set(measure(given)["score"])
    given["m"][0]["drops"] = [{} for _ in ROWS]
    found = measure(given)
    assert pick(found, "study's own", "within_auroc")["value"] == 0.625
    assert "pad/answer" not in set(found["score"])


def test_combinations_that_are_one_measurement_are_named(measured):
    spans, completions = measured["qwen3-tiny"]
    drops = [{**d, "truncate/rest": d["delete/rest"]} for d in spans["drops"]]
    drops[0] = {}
    given = {"m": (spans.assign(drops=drops), completions)}
    (sample, _) = split_samples(given, {"m": "M"})
    assert same_scores(Ranked.of(sample)) == [("delete/rest", "truncate/rest")]
    text = to_markdown(table9_credit_validity(given, {"m": "M"}))
    assert "delete/rest and truncate/rest have equal drops in every span." in text


def test_table_9_shows_every_score_and_marks_the_papers(measured):
    table = table9_credit_validity(measured, {"qwen3-tiny": "Q", "llama-tiny": "L"}, "arithmetic")
    # Two models, sampled and gold, eight combinations and seven baselines.
    assert len(table.rows) == 4 * 15
    assert [row[1].text for row in table.rows].count("pad/answer (the paper's)") == 4
    assert {row[0].text for row in table.rows} == {
        *("Q, sampled", "Q, gold", "L, sampled", "L, gold")
    }
    assert all(any(row[2].bold for row in table.rows[n : n + 15]) for n in (0, 15, 30, 45))
    text = to_markdown(table)
    assert "on Arithmetic" in text and "nan" not in text
    assert table.data["label"].isin(["Q", "L"]).all()
    # LaTeX knows every sign.
    assert to_latex(table).isascii()


def test_a_table_without_labels_still_has_the_last_lines_share():
    unlabelled = [(*row[:2], None, None, *row[4:]) for row in ROWS]
    table = table9_credit_validity(records(unlabelled), {"m": "M"})
    text = to_markdown(table)
    # a: 4 of 10; b: 5 of 10.
    assert "| 0.450 \\[0.400, 0.500\\] |" in text
    assert "needs causal spans and others, of known labels" in text
    assert "nan" not in text
    with pytest.raises(UserError, match="nothing to draw"):
        validity_dots(table.data, {"m": "M"})


def test_a_table_of_no_spans_says_so():
    spans, completions = records(ROWS)["m"]
    table = table9_credit_validity({"m": (spans.iloc[:0], completions)}, {"m": "M"})
    assert table.rows == []
    assert "No spans were measured." in to_markdown(table)


def test_dots_lie_where_the_table_says(measured):
    found = measure(measured, resamples=50)
    figure = validity_dots(found, {"qwen3-tiny": "Q", "llama-tiny": "L"})
    assert [panel.get_title() for panel in figure.axes] == [
        *("Q, sampled", "L, sampled", "Q, gold", "L, gold")
    ]
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks[0] == "pad/answer (paper)" and ticks[-1] == "calculations first"
    drawn = {
        (round(x, 6), round(y))
        for dots in figure.axes[0].get_lines()
        if dots.get_marker() not in ("", "None")
        for x, y in zip(*dots.get_data(), strict=True)
    }
    here = found[(found["model"] == "qwen3-tiny") & (found["source"] == "sampled")]
    row = pick(here, "pad/answer", "within_auroc")
    assert (round(row["value"], 6), 0) in drawn
    # The bar goes from one end of the interval to the other.
    bars = [sorted(line.get_xdata()) for line in figure.axes[0].get_lines()]
    assert [row["low"], row["high"]] in [pytest.approx(bar) for bar in bars if len(bar) == 2]
