"""What a completion has worked out after each step: results of calculations, and programs."""

import pytest

from cfdapo.credit.states import calculation_states, program_states
from cfdapo.credit.steps import Step, find_lines


def lines(text: str) -> list[Step]:
    return [Step(start, end, slice(0, 0)) for start, end in find_lines(text)]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Tom has 3 + 4 = 7 apples.", "7"),
        ("Leo gets 6, so 15 + 6 = 21.", "21"),
        # Whichever side the number stands on.
        ("9 = 3 + 4.", "9"),
        ("-4 = 3 - 7", "-4"),
        ("7 apples = 3 + 4 apples", "7"),
        ("\\boxed{7} = 3 + 4", "7"),
        ("8 equals 5 plus 3", "8"),
        ("100 = x + 4 * x", "100"),
        ("3x = 12", "12"),
        ("12 = 3x", "12"),
        ("9 = 3^2", "9"),
        ("7 = \\sqrt{49}", "7"),
        ("9 = 3 * 3 = 3²", "9"),
        ("25 = 48/2", "25"),
        # Chains.
        ("3 + 4 = 7 = 14/2", "7"),
        ("3 * 4 = 12 + 5 = 17", "17"),
        ("3 + 4 = 8 = 14/2", "8"),
        # No side is a number alone.
        ("x = 5 * 3", None),
        ("x = 300*1/100", None),
        ("3 * 4 = 12 + 5", None),
        ("y = 3x", None),
        ("d = 5t", None),
        ("48/2 =", None),
        # Dress, units, money, thousands and fractions.
        ("3 + 4 = \\boxed{7}", "7"),
        ("$3 + 4 = \\boxed{7 \\text{ apples}}$", "7"),
        ("\\[ 1/4 + 1/4 = \\boxed{\\frac{1}{2}} \\]", "0.5"),
        ("3 + 4 is equal to \\mathbf{7}", "7"),
        ("3 + 4 = **7**", "7"),
        ("3 + 4 = 7 \\boxed{-7}", "7"),
        ("3 + 4 = <<3+4=7>>7 apples", "7"),
        ("5 * 2 = $10/day", "10"),
        ("2 * 5 = 10m", "10"),
        ("50% of 50 is 25%", "25"),
        ("999,999 + 1 = 1,000,000", "1000000"),
        ("2/4 = 1/2", "0.5"),
        ("1/4 + 1/4 = ½", "0.5"),
        ("x = 14/2", "7"),
    ],
)
def test_a_result_is_the_side_of_an_equation_that_is_a_number_alone(text, result):
    assert calculation_states(text, lines(text)) == [frozenset({result} if result else ())]


def test_a_state_holds_all_results_so_far():
    text = "7 = 3 + 4\nThat is nice.\nx = 7 * 2\nx = 7 * 2\n= 14\n14 = 7 * 2.0"
    assert [sorted(state) for state in calculation_states(text, lines(text))] == [
        ["7"],
        ["7"],
        ["7"],
        ["7"],
        ["14", "7"],
        ["14", "7"],
    ]


def shape(program: str, function: str | None = "f") -> str:
    return program_states(program, lines(program), function)[-1]


def solution(body: str, head: str = "a") -> str:
    return f"def f({head}):\n    " + body.replace("\n", "\n    ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (solution("x = max(a)\nreturn x"), solution("y = max(b)\nreturn y", "b")),
        (solution("return [x for x in a]"), solution("return [a for a in b]", "b")),
        (
            solution("return sorted(a, key=lambda x: -x)"),
            solution("return sorted(a, key=lambda y: -y)"),
        ),
        (solution("if (n := len(a)):\n    return n"), solution("if (k := len(a)):\n    return k")),
        (solution("for i, j in a:\n    print(i, j)"), solution("for k, v in a:\n    print(k, v)")),
        (
            solution("with open(a) as x:\n    return x"),
            solution("with open(a) as y:\n    return y"),
        ),
        (
            solution("try:\n    return 1\nexcept E as x:\n    print(x)"),
            solution("try:\n    return 1\nexcept E as y:\n    print(y)"),
        ),
        (
            solution(
                "match a:\n    case [x, *y]:\n        return x\n    case {1: b, **z}:\n        z"
            ),
            solution(
                "match a:\n    case [u, *v]:\n        return u\n    case {1: c, **w}:\n        w"
            ),
        ),
        (
            "import math\n" + solution("return math.pi"),
            "import math as m\n" + solution("return m.pi"),
        ),
        (
            "from math import pi as p\n" + solution("return p"),
            "from math import pi\n" + solution("return pi"),
        ),
        ("N = 7\n" + solution("return a % N"), "MOD = 7\n" + solution("return a % MOD")),
        (
            "N = 7\n" + solution("global N\nN += a\nreturn N"),
            "M = 7\n" + solution("global M\nM += a\nreturn M"),
        ),
        (
            "def g(x):\n    return x\n" + solution("return g(a)"),
            "def h(y):\n    return y\n" + solution("return h(a)"),
        ),
        (solution("def g(): return g\nreturn g"), solution("def h(): return h\nreturn h")),
        # One name in two scopes is two names.
        (
            "def g(x):\n    return x\n" + solution("return g(x)", "x"),
            "def g(x):\n    return x\n" + solution("return g(a)"),
        ),
        (solution("max = a\nreturn max"), solution("x = a\nreturn x")),
        (solution("return a and f(a[1:])"), solution("return b and f(b[1:])", "b")),
    ],
)
def test_programs_that_differ_in_their_own_names_have_one_state(one, other):
    assert one != other and shape(one) == shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (solution("return max(a)"), solution("return min(a)")),
        (solution("return int(a)"), solution("return str(a)")),
        (solution("return all(a)"), solution("return any(a)")),
        (solution("return sum(a) / len(a)"), solution("return len(a) / sum(a)")),
        (solution("return a.pop()"), solution("return a.copy()")),
        (solution("return print(a, end=a)"), solution("return print(a, sep=a)")),
        (
            "import math\n" + solution("return math.pi"),
            "import cmath\n" + solution("return cmath.pi"),
        ),
        (
            "from math import sin\n" + solution("return sin(a)"),
            "from math import cos\n" + solution("return cos(a)"),
        ),
        (
            "from math import *\n" + solution("return sin(a)"),
            "from math import *\n" + solution("return cos(a)"),
        ),
        # Bound here and free there.
        (solution("x = a\nreturn x"), solution("x = a\nreturn y")),
        (solution("max = min\nreturn max(a)"), solution("min = max\nreturn min(a)")),
        # Bound elsewhere only.
        (
            "def g(max):\n    return max\n" + solution("return max(a)"),
            "def g(min):\n    return min\n" + solution("return min(a)"),
        ),
        (
            solution("[max for max in a]\nreturn max(a)"),
            solution("[min for min in a]\nreturn min(a)"),
        ),
        # Recursion, and another function; which one is graded.
        (solution("return f(a)"), solution("return g(a)")),
        (
            "def g(a):\n    return 1\ndef f(a):\n    return 2",
            "def f(a):\n    return 1\ndef g(a):\n    return 2",
        ),
        # Asked for by their names.
        (
            "def g(x, y):\n    return x - y\n" + solution("return g(x=a, y=1)"),
            "def g(y, x):\n    return y - x\n" + solution("return g(x=a, y=1)"),
        ),
        (
            "class C:\n    x = 1\n    y = 2\n" + solution("return C.x"),
            "class C:\n    y = 1\n    x = 2\n" + solution("return C.x"),
        ),
        (solution("x, y = a\nreturn locals()['x']"), solution("y, x = a\nreturn locals()['x']")),
        (solution("x, y = a\nreturn x"), solution("x, y = a\nreturn y")),
    ],
)
def test_programs_that_differ_in_what_names_mean_have_two_states(one, other):
    assert shape(one) != shape(other)


def test_a_program_too_deep_to_be_read_has_the_state_before_it():
    """Python parses some programs that its own tree visitors cannot walk."""
    program = solution(f"x = a\nreturn {' + '.join(['a'] * 1500)}")
    states = program_states(program, lines(program), "f")
    assert states[1] and states[2] == states[1]
