"""MBPP+ is loaded whole, its inputs get their types back, its own solutions pass and mutants fail.

All 399: benchmarks/mbpp_sandbox.py.
"""

import ast
import math

import pytest

from cfdapo.files import UserError, write_jsonl
from cfdapo.problems import mbpp
from cfdapo.problems.code_tests import CodeTests, grade_many, passes
from cfdapo.problems.sandbox.host import Call, Job, Limits, Outcome, run_many

# Every twentieth, and one of each rule and alternative.
WHOLE = {14, 98, 267, 287, 300}
SPECIAL = {2, 115, 164, 252, 295, 558, 581, 737} | WHOLE


@pytest.fixture(scope="module")
def tasks():
    import os

    folder = os.environ.get(mbpp.DATA_VARIABLE)
    if not folder:
        pytest.skip(f"{mbpp.DATA_VARIABLE} names no folder with MBPP+")
    return mbpp.read_tasks(folder)


@pytest.fixture(scope="module")
def sample(tasks):
    return [
        task
        for place, task in enumerate(tasks)
        if int(task["task_id"][5:]) in SPECIAL
        or (place % 20 == 0 and int(task["task_id"][5:]) not in mbpp.SLOW_TASKS)
    ]


@pytest.fixture(scope="module")
def rows(sample):
    return mbpp.make_rows(sample)


def test_base_inputs_are_the_arguments_of_mbpp_s_own_assertions(tasks):
    """The file keeps lists where there were tuples; the assertions are the original."""
    found, other = 0, set()
    for task in tasks:
        own = [repr_of(one) for one in mbpp.arguments(task)[: len(task["base_input"])]]
        for node in ast.walk(ast.parse(task["assertion"])):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == task["entry_point"]:
                try:
                    arguments = [ast.literal_eval(argument) for argument in node.args]
                except ValueError:
                    continue  # no literals
                found += repr_of(arguments) in own
                other |= set() if repr_of(arguments) in own else {int(task["task_id"][5:])}
    assert found > 1200 and other == OF_THEIR_OWN


# There EvalPlus has other inputs, or reads lists, or text where keys were numbers.
OF_THEIR_OWN = {87, 98, 104, 140, 145, 301, 582, 596}


def repr_of(value):
    """Types and values; numbers by value alone (124 and 252 have made them complex)."""
    if isinstance(value, list | tuple):
        return type(value).__name__, [repr_of(item) for item in value]
    if isinstance(value, dict):
        return {key: repr_of(item) for key, item in value.items()}
    return value


def test_splits_are_fixed_by_the_seed(tasks, monkeypatch):
    monkeypatch.setattr(mbpp, "read_tasks", lambda path: list(tasks))
    monkeypatch.setattr(mbpp, "make_rows", lambda tasks: [task["task_id"] for task in tasks])
    train, test = mbpp.load("train"), mbpp.load("test")
    assert (len(train), len(test)) == (320, 79) and len({*train, *test}) == 399
    assert mbpp.load("test") == test != mbpp.load("test", seed=1)
    assert test[:1] == TEST_BEGINS_WITH


TEST_BEGINS_WITH = ["Mbpp/784"]


def test_rows_have_the_schema(rows, sample):
    for row, task in zip(rows, sample, strict=True):
        assert set(row) == {"id", "question", "answer", "solution"}
        assert task["entry_point"] in row["question"] and "'''" not in row["question"]
        tests = CodeTests.from_gold(row["answer"])
        assert len(tests.calls) == len(tests.accepted) > 2
        # The canonical solution rejects none of its inputs, but some overflow.
        given = len(task["base_input"]) + len(task["plus_input"])
        assert (len(tests.calls) < given) == (task["task_id"] == "Mbpp/300")


def test_canonical_solutions_pass_and_others_do_not(rows):
    golds = [row["answer"] for row in rows]
    fenced = [f"```python\n{row['solution']}\n```" for row in rows]
    assert all(grade_many(fenced, golds))
    # What MBPP's first assertion shows is not enough.
    constant = [
        f"def {tests.function}(*a): return {tests.accepted[0][0]!r}"
        for tests in map(CodeTests.from_gold, golds)
    ]
    assert not any(grade_many(constant, golds))


def test_right_answers_pass_where_the_canonical_solution_errs(rows):
    answers = {row["id"]: row["answer"] for row in rows}
    divisors = "    return sum(d for d in range(1, n) if n % d == 0)\n"
    right = {
        "mbpp-164": f"def s(n):\n{divisors}def are_equivalent(a, b): return s(a) == s(b)",
        "mbpp-295": f"def sum_div(n):\n{divisors}",
    }
    assert all(grade_many(list(right.values()), [answers[key] for key in right]))


def test_right_whole_numbers_pass_and_wrong_ones_do_not(rows):
    """Beyond 2**53, where the canonical solutions' own are rounded."""
    answers = {row["id"]: row["answer"] for row in rows}
    exact = {
        14: "find_Volume(l, b, h): return q(l * b * h, 2)",
        98: "multiply_num(numbers): return q(math.prod(numbers), len(numbers))",
        267: "square_Sum(n): return q(n * (2 * n + 1) * (2 * n - 1), 3)",
        287: "square_Sum(n): return 4 * n * (n + 1) * (2 * n + 1) // 6",
        300: "count_binary_seq(n): return math.comb(2 * n, n)",
    }
    head = "import math\ndef q(a, b): return a // b if isinstance(a, int) and a % b == 0 else a / b"
    codes = [f"{head}\ndef {exact[number]}" for number in sorted(WHOLE)]
    golds = [answers[f"mbpp-{number}"] for number in sorted(WHOLE)]
    assert all(grade_many(codes, golds))
    for one in (0, 1):  # which is less than a float can tell
        wrapper = (
            "\n{0}_ = {0}\ndef {0}(*a):\n    x = {0}_(*a)\n"
            f"    return x + {one} * (isinstance(x, int) and abs(x) > 2**60)"
        )
        names = [CodeTests.from_gold(gold).function for gold in golds]
        changed = [code + wrapper.format(name) for code, name in zip(codes, names, strict=True)]
        assert grade_many(changed, golds) == [not one] * len(WHOLE)


CONSTANTS = [
    *(True, False, None, 0, 1, -1, 2, 0.0, 0.5, math.inf, math.nan, "", "a", "None", "True", "Yes"),
    *([], (), {}, set(), [0], [1], [[]], [()], (0,), [None], [""], "[]", 1j, b""),
]
RUN_ALL = """
def f(source, name, calls):
    space, found = {}, []
    exec(source, space)
    for arguments in calls:
        try:
            found.append([space[name](*arguments), ""])
        except Exception as error:
            found.append([None, repr(error)])
    return found"""


def test_no_task_accepts_a_constant_or_its_own_argument(tasks):
    """On the base inputs and the shortest others, which is enough to refuse them."""
    chosen = []
    for task in tasks:
        calls = mbpp.arguments(task)
        base, plus = calls[: len(task["base_input"])], calls[len(task["base_input"]) :]
        few = 6 if int(task["task_id"][5:]) in mbpp.SLOW_TASKS else 40
        chosen.append([*base, *sorted(plus, key=lambda call: len(repr(call)))[:few]])
    jobs = [
        [task["canonical_solution"], task["entry_point"], calls]
        for task, calls in zip(tasks, chosen, strict=True)
    ]
    limits = Limits(60, 600.0, 60.0, output_bytes=1 << 26)
    halves = run_many(
        [Job(RUN_ALL, "f", jobs[:200], limits), Job(RUN_ALL, "f", jobs[200:], limits)]
    )
    results = [call.value for half in halves for call in half.calls]
    accepting = []
    for task, calls, found in zip(tasks, chosen, results, strict=True):
        row = mbpp.make_row(task, calls, [Call(value, error or None) for value, error in found])
        tests = CodeTests.from_gold(row["answer"])
        answers = [[constant] * len(tests.calls) for constant in CONSTANTS]
        least = min(map(len, tests.calls))
        answers += [[call[place] for call in tests.calls] for place in range(least)]
        for given in answers:
            if passes(Outcome("finished", [Call(value) for value in given]), tests):
                accepting.append((task["task_id"], given[:3]))
    assert accepting == []


def test_other_files_are_refused(tasks, tmp_path, monkeypatch):
    write_jsonl(tmp_path / mbpp.FILE, tasks[:-1])
    with pytest.raises(UserError, match="not MBPP"):
        mbpp.read_tasks(tmp_path)
    with pytest.raises(UserError, match="no MBPP"):
        mbpp.read_tasks(tmp_path / "absent")
    monkeypatch.delenv(mbpp.DATA_VARIABLE)
    with pytest.raises(UserError, match=mbpp.DATA_VARIABLE):
        mbpp.read_tasks()
    with pytest.raises(UserError, match="allowed: train, test"):
        mbpp.load("dev")


def test_what_the_canonical_solution_rejects_is_left_out():
    task = {
        "task_id": "Mbpp/1", "entry_point": "f", "prompt": "'''\nHalve.\n'''", "atol": 0,
        "canonical_solution": "def f(x):\n    assert x % 2 == 0\n    return x // 2",
        "base_input": [[4]], "plus_input": [[3], [6]], "assertion": "\nassert f(4) == 2\n",
    }  # fmt: skip
    (row,) = mbpp.make_rows([task])
    tests = CodeTests.from_gold(row["answer"])
    assert (tests.calls, tests.accepted) == ([[4], [6]], [[2], [3]])
    assert row["question"] == "Halve.\n\nassert f(4) == 2"
    with pytest.raises(UserError, match="Mbpp/1.*undefined"):
        mbpp.make_rows([{**task, "canonical_solution": "g = 1"}])
