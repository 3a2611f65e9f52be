"""Content patterns against sentences that were labelled by hand, before the patterns were run."""

import pytest

from cfdapo.analysis.credit.content import PATTERNS, find_patterns
from cfdapo.analysis.paper.numbers import paper_rows

LETTERS = dict(zip("CMPTFES", PATTERNS, strict=True))
# C chain, M multiply or divide, P proportion or rate, T total or sum, F conclusion (final),
# E equation setup, S step header; "" none.
LABELLED = [
    # Chains, and equations that only stand beside each other.
    ("2 * 3 * 4 = 6 * 4 = 24", "CM"),
    ("The total is 3 + 4 + 5 = 7 + 5 = 12 apples.", "CT"),
    (r"$x = \frac{48}{2} = 24$", "CM"),
    (r"$$16 - 3 - 4 = 9 \text{ eggs} = 9$$", "C"),
    ("She has 16 - 3 = 13 eggs, and she sells 13 - 4 = 9 of them.", ""),
    ("Tom has 5 - 2 = 3 pens and Ana has 8 - 1 = 7 pens.", ""),
    ("x = 4, y = 5", ""),
    (r"3x = 12 \implies x = 4", ""),
    ("a <= b and b >= c", ""),
    ("if count == 3 then n == 4", ""),
    ("60 minutes - 15 minutes = 45 minutes = 45 min", "C"),
    (r"\begin{align} y &= 20 - 4 &= 16 \end{align}", "C"),
    # Multiplication and division.
    ("He pays 12 x 2 = $24.", "M"),
    (r"$20\% \times 50 = 10$", "MP"),
    ("Natalia sold 48/2 = 24 clips in May.", "M"),
    ("48 / 2", "M"),
    ("Divide the cookies among 4 children.", "M"),
    ("She has three times as many marbles as Ben.", "M"),
    ("Her sister is twice as old.", "M"),
    ("The product of 6 and 7 is 42.", "M"),
    ("5 × $3", "M"),
    (r"4 \cdot 7 = 28", "M"),
    ("(10 - 4) / 2 = 3", "M"),
    ("Sometimes he walks to school.", ""),
    ("Most times of the day the shop is closed.", ""),
    ("**Eggs left:** 9", ""),
    ("* 3 apples\n* 2 pears", ""),
    ("She works 24/7 without a break.", ""),
    ("The product arrived on Monday.", ""),
    ("Multiplying by 3 gives 27.", "M"),
    ("2x - 4 = 10", ""),
    # Proportions and rates.
    ("She drives 60 miles per hour.", "P"),
    ("The car goes 50 miles/hour.", "P"),
    ("He earns $12 an hour.", "P"),
    ("30 percent of the pupils walk.", "P"),
    ("1/6 of the dishes have fresh mango.", "P"),
    (r"$\frac{1}{4}$ of the pizza is left.", "P"),
    ("Half of the cats are black.", "P"),
    ("Two-thirds of the class passed.", "P"),
    ("3 out of 5 cars are red.", "P"),
    ("The ratio of boys to girls is 2:3.", "P"),
    ("She reads 3 pages every day.", "P"),
    ("Perhaps Perry is a permanent member.", ""),
    ("It is half past nine.", ""),
    ("She grated the cheese.", ""),
    # Totals and sums.
    ("Altogether they have 15 books.", "T"),
    ("There are 12 eggs in all.", "T"),
    ("23 + 45 = 68", "T"),
    ("Adding 5 to 7 makes 12.", "T"),
    ("Their combined age is 40.", "T"),
    (r"$15 + \$5", "T"),
    ("Her address is 12 Main Street.", ""),
    ("In all of the rooms there are lamps.", ""),
    ("He summarised the book for some friends.", ""),
    ("+ 3 apples", ""),
    # Conclusions.
    ("Therefore, Mia has 9 apples.", "F"),
    ("Thus she needs 5 more dollars.", "F"),
    ("So Ben has 24 coins.", "F"),
    ("He gave 4 away, so he has 6 left.", "F"),
    (r"The final answer is \boxed{28}.", "F"),
    ("**Answer:** 18", "F"),
    (r"$\therefore x = 4$", "F"),
    ("So far he has read 40 pages.", ""),
    ("She ran so fast.", ""),
    ("Thursday is their day off.", ""),
    ("He could not answer the question.", ""),
    # Equation setup.
    ("Let x be the number of eggs.", "E"),
    ("Let $n$ denote the price of one ticket.", "E"),
    ("Let's call the smaller number y.", "E"),
    ("Let the number of girls be g.", "E"),
    ("Suppose that Ana has k coins.", "E"),
    ("where c represents the cost of a cake", "E"),
    ("We can set up the following equation:", "E"),
    ("Let us think step by step.", ""),
    ("Let's see how many are left.", ""),
    ("The teacher let him go home.", ""),
    ("They supposedly left early.", ""),
    # Step headers.
    ("Step 1: Find the price of one pen.", "S"),
    ("### Step 2", "S"),
    ("**Step 3:** Multiply 4 by 6.", "SM"),
    ("- step two: count the eggs", "S"),
    ("Let us do it step by step.", ""),
    ("He took 3 steps back.", ""),
    ("In step 2 we found 4.", ""),
    ("1. Count the eggs.", ""),
    # Several at once, and nothing.
    ("Step 4: So the total is 5 * 3 + 2 = 15 + 2 = 17.", "STMCF"),
    ("Therefore the rate is 120 / 3 = 40 miles per hour.", "FPM"),
    ("Tom has 10 coins.", ""),
    ("It is a sunny day.", ""),
    ("", ""),
]


def test_there_is_a_pattern_for_every_row_of_the_paper():
    assert list(PATTERNS) == paper_rows("table5_content")


def test_the_sentences_are_enough_and_each_pattern_is_asked_both_ways():
    assert len({text for text, _ in LABELLED}) == len(LABELLED) >= 60
    for letter in LETTERS:
        shown = sum(letter in letters for _, letters in LABELLED)
        assert 5 <= shown <= len(LABELLED) - 5, letter


@pytest.mark.parametrize(("text", "letters"), LABELLED)
def test_patterns_are_those_a_reader_found(text, letters):
    assert find_patterns(text) == {LETTERS[letter] for letter in letters}


def test_a_long_line_takes_no_time_to_speak_of():
    assert find_patterns("1 = " * 20_000) == {LETTERS["C"]}
    assert find_patterns("let the " * 5_000) == set()
