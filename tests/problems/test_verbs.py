"""Problems told in verbs that a corpus mistakes: reproducible, solvable, labelled, often wrong."""

from dataclasses import asdict
from itertools import islice

import pytest

from cfdapo.problems.answers import extract_answer
from cfdapo.problems.arithmetic import judge_lines, label_sentences
from cfdapo.problems.made import split_of
from cfdapo.problems.task import get_task
from cfdapo.problems.verbs import ADDING, TAKING, iterate_problems, make_problems, mistaken

ROWS = make_problems("train", 300, seed=3)


def told(row: dict) -> list[tuple[str, int]]:
    """The verbs and amounts of a question."""
    parts = [one.split() for one in row["question"].split(". ")[1:-1]]
    return [(verb, int(amount)) for _, verb, amount in parts]


def test_same_seed_makes_the_same_problems_and_splits_share_none():
    assert make_problems("train", 300, seed=3) == ROWS
    assert make_problems("train", 300, seed=4) != ROWS
    tests = make_problems("test", 300, seed=3)
    assert all(split_of(row["question"]) == "test" for row in tests)
    assert not {row["question"] for row in tests} & {row["question"] for row in ROWS}


def test_answers_follow_the_verbs():
    for row in ROWS:
        value = int(row["question"].split()[2])
        for verb, amount in told(row):
            value += amount if verb in ADDING else -amount
        assert str(value) == row["answer"] == extract_answer(row["solution"])
        assert len(told(row)) in (2, 3, 4)
        assert len({verb for verb, _ in told(row)}) == len(told(row))


def test_labels_and_verdicts_can_be_had_from_the_text():
    for row in ROWS:
        recovered = [asdict(s) for s in label_sentences(row["solution"], row["answer"])]
        assert recovered == row["sentences"], row["solution"]
        verdicts = judge_lines(row, row["solution"].split("\n"))
        assert False not in verdicts and verdicts[-1] is True


def test_a_mistaken_verb_is_the_first_wrong_line():
    wrong = 0
    for row in islice(iterate_problems("pretrain", 1, careless=0.35), 300):
        right = {str(sum_) for sum_ in _right_results(row)}
        lines = row["solution"].split("\n")
        mistakes = [n for n, line in enumerate(lines) if "=" in line and not _holds(row, line)]
        results = [{"label": "causal", "result": int(result)} for result in _right_results(row)]
        verdicts = judge_lines({**row, "sentences": results}, lines)
        if mistakes:
            wrong += 1
            assert verdicts.index(False) == mistakes[0], (row, right)
        else:
            assert False not in verdicts
    assert 150 < wrong < 250


def _right_results(row: dict) -> list[int]:
    value, results = int(row["question"].split()[2]), []
    for verb, amount in told(row):
        value += amount if verb in ADDING else -amount
        results.append(value)
    return results


def _holds(row: dict, line: str) -> bool:
    """Whether a calculation does what the verb of its amount does."""
    *_, operator, amount, _, _ = line.split()
    (verb,) = [verb for verb, told_amount in told(row) if told_amount == int(amount)]
    return (operator == "+") == (verb in ADDING)


@pytest.mark.parametrize("verbs", [ADDING, TAKING])
def test_verbs_are_mistaken_from_never_to_twice_as_often_as_the_mean(verbs):
    shares = [mistaken(verb, 0.3) for verb in verbs]
    assert (shares[0], shares[-1]) == (0.0, 0.6) and sum(shares) / len(shares) == pytest.approx(0.3)
    assert mistaken(verbs[-1], 0.9) == 1.0
    rows = list(islice(iterate_problems("pretrain", 0, careless=0.3), 3000))
    for verb in verbs:
        lines = [_line(row, verb) for row in rows if verb in dict(told(row))]
        share = sum(("+" in line) != (verb in ADDING) for line in lines) / len(lines)
        # Large sums are not told, so that verbs that add are mistaken a little less often.
        assert share == pytest.approx(mistaken(verb, 0.3), abs=0.1), verb


def _line(row: dict, verb: str) -> str:
    amount = dict(told(row))[verb]
    (line,) = [one for one in row["solution"].split("\n") if f" {amount} = " in one]
    return line


def test_the_task_asks_the_question_and_labels_both_kinds_of_text():
    task, row = get_task("verbs"), ROWS[0]
    assert task.prompt(row) == row["question"]
    assert task.grade(task.reference(row), row["answer"])
    assert task.label(row, row["solution"], True) == task.label(row, row["solution"], False)
