"""Made programs: reproducible, passed by their own solutions, and failed by careless ones."""

from itertools import islice

from cfdapo.problems.code_tests import CodeTests
from cfdapo.problems.made import split_of
from cfdapo.problems.programs import iterate_problems, make_problems
from cfdapo.problems.task import get_task

ROWS = make_problems("train", 300, seed=3)


def outputs(code, row):
    """What the code returns for the row's tests, run here: it is the project's own."""
    space: dict = {}
    exec(code, space)
    return [space["f"](*call) for call in CodeTests.from_gold(row["answer"]).calls]


def expected(row):
    return [accepted for (accepted,) in CodeTests.from_gold(row["answer"]).accepted]


def test_same_seed_makes_the_same_problems_and_another_seed_others():
    assert make_problems("train", 300, seed=3) == ROWS
    assert make_problems("train", 300, seed=4) != ROWS


def test_splits_share_no_question():
    test = {row["question"] for row in make_problems("test", 300, seed=3)}
    assert len(test) == 300
    assert not test & {row["question"] for row in ROWS}
    assert {split_of(question) for question in test} == {"test"}


def test_every_solution_returns_what_its_question_asks():
    assert all(outputs(row["solution"], row) == expected(row) for row in ROWS)


def test_without_any_of_its_lines_that_matter_a_solution_fails():
    """The tests tell a step that is left out: here the first one, of which all have one."""
    told = [row for row in ROWS if row["question"].split(". ")[2].startswith("Multiply it")]
    assert len(told) > 20
    for row in told:
        lines = row["solution"].split("\n")
        place = next(n for n, line in enumerate(lines) if line.startswith(" x = "))
        lines[place] = " x = a"
        assert outputs("\n".join(lines), row) != expected(row)


def test_careless_solutions_add_what_nothing_uses_and_fail():
    rows = list(islice(iterate_problems("pretrain", 3, careless=1.0), 300))
    needless = [r for r in rows if "Let t" in r["question"] and "Add t" not in r["question"]]
    assert 80 < len(needless) < 220
    for row in rows:
        assert (outputs(row["solution"], row) == expected(row)) == (row not in needless)
    assert all("+ t" in row["solution"] for row in needless)


def test_solutions_hold_dead_assignments_and_unused_branches_and_can_do_without():
    for sentence, code in (("Let t", " t = "), ("If", "  xs = sorted(xs)")):
        needless = [
            code in row["solution"]
            for row in ROWS
            if sentence in row["question"] and "Add t" not in row["question"]
        ]
        assert any(needless) and not all(needless)


def test_the_sandbox_grades_solutions_as_this_process_does():
    task = get_task("programs")
    rows = [ROWS[0], ROWS[1], *islice(iterate_problems("test", 5, careless=1.0), 6)]
    right = [outputs(row["solution"], row) == expected(row) for row in rows]
    assert len(set(right)) == 2
    found = task.grade_many([row["solution"] for row in rows], [row["answer"] for row in rows])
    assert found == right
    assert task.prompt(rows[0]) == rows[0]["question"]
    assert task.extract(task.reference(rows[0])) == rows[0]["solution"]
