"""Made problems: reproducible, solvable, and labelled the same from the text alone."""

import re
from dataclasses import asdict
from itertools import islice

import pytest

from cfdapo.problems.answers import extract_answer
from cfdapo.problems.arithmetic import (
    iterate_problems,
    label_sentences,
    make_problems,
)
from cfdapo.problems.made import split_of

ROWS = make_problems("train", 500, seed=3)


def test_same_seed_makes_the_same_problems_and_another_seed_others():
    assert make_problems("train", 500, seed=3) == ROWS
    assert make_problems("train", 500, seed=4) != ROWS


def test_splits_share_no_question():
    questions = {
        split: {row["question"] for row in make_problems(split, 500, seed=3)}
        for split in ("pretrain", "train", "test")
    }
    assert all(len(found) == 500 for found in questions.values())
    assert not questions["train"] & questions["test"]
    assert not questions["pretrain"] & (questions["train"] | questions["test"])
    assert all(split_of(question) == "test" for question in questions["test"])


def test_answer_is_what_the_grader_finds_in_the_solution():
    assert all(extract_answer(row["solution"]) == row["answer"] for row in ROWS)


def test_every_equation_holds():
    for row in ROWS:
        for sentence in row["sentences"]:
            if sentence["result"] is not None:
                text = row["solution"][sentence["start"] : sentence["end"]]
                equation = "".join(c for c in text if c.isdigit() or c in "+-*=")
                left, _, right = equation.partition("=")
                assert eval(left) == int(right) == sentence["result"]  # digits and signs only


def test_two_to_five_causal_steps_and_every_label_occurs():
    counts = [sum(s["label"] == "causal" for s in row["sentences"]) for row in ROWS]
    assert set(counts) == {2, 3, 4, 5}
    labels = {s["label"] for row in ROWS for s in row["sentences"]}
    assert labels == {"causal", "restatement", "filler", "distractor"}


def test_labels_are_recovered_from_the_text():
    for row in ROWS:
        recovered = [asdict(s) for s in label_sentences(row["solution"], row["answer"])]
        assert recovered == row["sentences"], row["solution"]


@pytest.mark.parametrize(
    ("solution", "answer", "labels"),
    [
        # A wrong answer has causes too: the lines that led to it.
        ("Now 4 + 3 = 8.\nSo 8 - 2 = 6.\n#### 6", "6", ["causal", "causal"]),
        # The answer was copied from the line before the last; the last is needless.
        ("Now 4 + 3 = 7.\nSo 7 - 2 = 5.\n#### 7", "7", ["causal", "distractor"]),
        # A value computed twice: the later line is the one that was read.
        ("Now 4 + 3 = 7.\nSo 5 + 2 = 7.\nMia has 7 pens.\n#### 7", "7",
         ["distractor", "causal", "restatement"]),
        # Without an answer nothing is causal.
        ("Now 4 + 3 = 7.\nWe go on.", None, ["distractor", "filler"]),
        ("", "3", []),
    ],
)  # fmt: skip
def test_labels_of_generated_solutions(solution, answer, labels):
    assert [sentence.label for sentence in label_sentences(solution, answer)] == labels


def test_dependants_count_all_later_causal_steps_that_need_a_value():
    solution = "So 2 + 3 = 5.\nSo 5 + 4 = 9.\nSo 5 + 9 = 14.\n#### 14"
    assert [s.dependants for s in label_sentences(solution, "14")] == [2, 1, 0]


def test_careless_solutions_count_the_strangers_gift_in_and_still_add_up():
    rows = list(islice(iterate_problems("pretrain", 3, careless=1.0), 300))
    told = [row for row in rows if " gets " in row["question"]]
    assert 0.2 < len(told) / len(rows) < 0.8
    for row in told:
        answer = extract_answer(row["solution"])
        gift = re.search(r" gets (\d+)\.", row["question"])[1]
        assert f" + {gift} = " in row["solution"]
        labels = label_sentences(row["solution"], answer)
        assert sum(s.label == "causal" for s in labels) >= 3 and answer != row["answer"]
    assert all(extract_answer(row["solution"]) == row["answer"] for row in rows if row not in told)
