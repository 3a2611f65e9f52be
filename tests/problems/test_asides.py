"""Problems with an aside before every step: reproducible, solvable, labelled; wrong turns apart."""

from dataclasses import asdict
from itertools import islice

from cfdapo.problems.answers import extract_answer
from cfdapo.problems.arithmetic import judge_lines, label_sentences
from cfdapo.problems.asides import iterate_problems, make_problems
from cfdapo.problems.made import split_of
from cfdapo.problems.task import get_task

ROWS = make_problems("train", 300, seed=3)


def test_same_seed_makes_the_same_problems_and_splits_share_none():
    assert make_problems("train", 300, seed=3) == ROWS
    assert make_problems("train", 300, seed=4) != ROWS
    tests = make_problems("test", 300, seed=3)
    assert all(split_of(row["question"]) == "test" for row in tests)
    assert not {row["question"] for row in tests} & {row["question"] for row in ROWS}


def test_solutions_are_right_and_their_labels_can_be_had_from_the_text():
    for row in ROWS:
        assert extract_answer(row["solution"]) == row["answer"]
        recovered = [asdict(s) for s in label_sentences(row["solution"], row["answer"])]
        assert recovered == row["sentences"], row["solution"]
        verdicts = judge_lines(row, row["solution"].split("\n"))
        assert False not in verdicts and verdicts[-1] is True


def test_each_step_stands_behind_an_aside_and_no_amount_is_told_twice():
    for row in ROWS:
        causal = [s for s in row["sentences"] if s["label"] == "causal"]
        told = row["question"].split(". ")
        assert len(causal) in (2, 3) and len(told) == 2 + 2 * len(causal)
        assert all(" gets " in one for one in told[1:-1:2])
        assert not any(" gets " in one for one in told[2:-1:2])
        amounts = [
            int(one.rsplit("gets ")[-1]) if " gets " in one else int(one.split()[2])
            for one in told[1:-1]
        ]
        assert len(set(amounts)) == len(amounts)


def test_a_careless_solver_counts_each_gift_in_by_itself():
    rows = list(islice(iterate_problems("pretrain", 0, careless=0.35), 2000))
    counts: dict[int, int] = {}
    for row in rows:
        steps = row["question"].count(" gets ")
        more = sum(s["label"] == "causal" for s in row["sentences"]) - steps
        counts[more] = counts.get(more, 0) + 1
        right = extract_answer(row["solution"]) == row["answer"]
        assert right == (more == 0), row
    assert set(counts) == {0, 1, 2, 3}
    # (0.65² + 0.65³) / 2 = 0.35 are right, and a few less than that where a sum would be too large.
    assert 0.3 < counts[0] / len(rows) < 0.45


def test_the_first_gift_counted_in_is_the_first_wrong_line():
    for row in islice(iterate_problems("pretrain", 1, careless=1.0), 50):
        lines = row["solution"].split("\n")
        verdicts = judge_lines({**row, "sentences": _right(row)}, lines)
        first = next(n for n, line in enumerate(lines) if "=" in line and " has " not in line)
        assert verdicts.index(False) == first


def _right(row: dict) -> list[dict]:
    """The sentences of a right solution of a question, of which only results are read."""
    results, value = [], int(row["question"].split()[2])
    for told in row["question"].split(". ")[2:-1:2]:
        amount = int(told.split()[2])
        value += amount if told.endswith("more") else -amount
        results.append({"label": "causal", "result": value})
    return results


def test_the_task_asks_the_question_and_labels_both_kinds_of_text():
    task, row = get_task("asides"), ROWS[0]
    assert task.prompt(row) == row["question"]
    assert task.grade(task.reference(row), row["answer"])
    assert task.label(row, row["solution"], True) == task.label(row, row["solution"], False)
