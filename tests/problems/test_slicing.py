"""Slices: by hand, and on made programs against what a deletion changes."""

import ast
from itertools import islice

import pytest
from test_programs import outputs

from cfdapo.problems.programs import iterate_problems
from cfdapo.problems.slicing import label_program
from cfdapo.problems.task import get_task


def labels(code, function="f"):
    """Text -> (label, dependants) of every statement."""
    return {
        code[one.start : one.end]: (one.label, one.dependants)
        for one in label_program(code, function)
    }


def causal(code):
    return [text for text, (label, _) in labels(code).items() if label == "causal"]


def test_values_are_followed_through_names_and_dependants_are_counted():
    code = "def f(a, b):\n x = a * 3\n t = b + 1\n y = x + b\n z = y - x\n return z * 2"
    assert labels(code) == {
        "x = a * 3": ("causal", 2),
        "t = b + 1": ("distractor", 0),
        "y = x + b": ("causal", 1),
        "z = y - x": ("causal", 0),
        "return z * 2": ("causal", 0),
    }


def test_an_overwritten_assignment_is_dead():
    assert causal("def f(a):\n x = 1\n x = a\n return x") == ["x = a", "return x"]
    assert causal("def f(a):\n x = 1\n x += a\n return x") == ["x = 1", "x += a", "return x"]


def test_conditions_are_causes_unless_they_are_constants():
    code = "def f(a):\n x = a\n if a > 3:\n  x = 1\n if 2 > 7:\n  x = 5\n return x"
    assert causal(code) == ["x = a", "if a > 3", "x = 1", "return x"]
    always = "def f(a):\n x = a\n if 7 > 2:\n  x = 1\n else:\n  x = 2\n return x"
    assert causal(always) == ["x = 1", "return x"]
    assert causal("def f(a):\n if 0:\n  return 1\n return a") == ["return a"]


def test_both_branches_reach_what_follows():
    code = "def f(a):\n if a:\n  x = 1\n else:\n  x = 2\n return x"
    assert causal(code) == ["if a", "x = 1", "x = 2", "return x"]


def test_an_early_return_and_its_condition_are_causes_and_nothing_follows_a_return():
    code = "def f(a):\n y = 2\n if a > y:\n  return 1\n x = a\n return x\n z = 1"
    assert causal(code) == ["y = 2", "if a > y", "return 1", "x = a", "return x"]


def test_a_loop_carries_values_from_round_to_round():
    code = "def f(xs):\n s = 0\n k = 0\n for i in xs:\n  s = s + k\n  k = k + i\n  u = i\n return s"
    assert causal(code) == ["s = 0", "k = 0", "for i in xs", "s = s + k", "k = k + i", "return s"]
    assert labels(code)["for i in xs"] == ("causal", 2)


def test_names_of_a_comprehension_are_its_own():
    code = "def f(xs):\n i = 3\n ys = [i for i in xs if i > 2]\n return ys"
    assert causal(code) == ["ys = [i for i in xs if i > 2]", "return ys"]


@pytest.mark.parametrize(
    "body",
    [
        " while a:\n  a = a - 1\n return a",
        " a.append(1)\n return a",
        " x = g(a)\n return x",
        " a[0] = 1\n return a",
        " x, y = a\n return x",
        " x = (y := a)\n return x",
        " try:\n  x = 1\n except E:\n  x = 2\n return x",
        " x = a",
        " x = = a",
        " return",
    ],
)
def test_what_is_not_certain_has_no_labels(body):
    assert label_program(f"def f(a):\n{body}", "f") == []


def test_only_the_function_that_is_tested_is_labelled():
    code = "def f(a):\n return a"
    assert label_program(code, "g") == []
    assert label_program(f"{code}\n\n{code}", "f") == []
    assert label_program("", "f") == []


def test_positions_are_those_of_the_whole_completion():
    text = "Here × it is:\n```python\ndef f(a):\n  x = 'é😀' * a\n  return x\n```\nDone."
    assert list(labels(text)) == ["x = 'é😀' * a", "return x"]


def test_on_made_programs_a_statement_is_causal_just_if_its_deletion_changes_a_result():
    rows = list(islice(iterate_problems("train", 9, careless=0.5), 200))
    counts = {"causal": 0, "distractor": 0}
    for row in rows:
        code = row["solution"]
        right = outputs(code, row)
        for sentence in get_task("programs").label(row, code, True):
            if code[sentence.start :].startswith("return"):
                continue
            counts[sentence.label] += 1
            changed = _fails_or_differs(_without(code, sentence.start), row, right)
            assert changed == (sentence.label == "causal"), (code, sentence)
    assert min(counts.values()) > 80


def _without(code, start):
    """The program in which the statement that begins at a character does nothing."""
    line = code.count("\n", 0, start) + 1
    tree = ast.parse(code)

    class Delete(ast.NodeTransformer):
        def generic_visit(self, node):
            if isinstance(node, ast.stmt) and node.lineno == line:
                return ast.Pass()
            return super().generic_visit(node)

    return ast.unparse(ast.fix_missing_locations(Delete().visit(tree)))


def _fails_or_differs(code, row, right):
    try:
        return outputs(code, row) != right
    except NameError:
        return True


def test_very_long_programs_have_labels_or_none_and_raise_nothing():
    branches = "".join(f" elif a == {n}:\n  return {n}\n" for n in range(1, 600))
    chain = f"def f(a):\n if a == 0:\n  return 0\n{branches} return a"
    assert labels(chain) == {}
    lines = "def f(a):\n" + " a = a + 1\n" * 300 + " return a"
    assert len(label_program(lines, "f")) == 301
    for deep in (
        "(" * 10**4,
        "-" * 10**4 + "a",
        "a" + " + a" * 10**4,
        "abs(" * 150 + "a" + ")" * 150,
    ):
        label_program(f"def f(a):\n return {deep}", "f")


def test_words_and_usage_around_a_program_change_no_label():
    code = "def f(a, b):\n x = a * 3\n t = b + 1\n return x"
    text = f"So:\n```python\n{code}\n\nassert f(1, 2) == 3\n```\nOutput:\n```\n3\n```"
    found = {text[one.start : one.end]: one.label for one in label_program(text, "f")}
    assert found == {key: label for key, (label, _) in labels(code).items()}
