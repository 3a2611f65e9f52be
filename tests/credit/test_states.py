"""What a completion has worked out after each step: results of calculations, and programs."""

import pytest

from cfdapo.credit.states import calculation_states
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
