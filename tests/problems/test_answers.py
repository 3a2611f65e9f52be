"""The grader on the forms that models really write, and on every GSM8K gold solution."""

import gc
import os
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfdapo.problems import gsm8k
from cfdapo.problems.answers import (
    equal,
    extract_answer,
    find_stated_answer,
    is_correct,
    normalise,
)

# Text, and the answer that it states.
STATED = [
    # GSM8K's own marker
    ("#### 18", "18"),
    ("####18", "18"),
    ("#### 1,450,000", "1450000"),
    ("#### -5", "-5"),
    ("#### −5", "-5"),
    ("#### -$5", "-5"),
    ("#### $-5", "-5"),
    ("#### $18.00", "18"),
    ("#### 18.", "18"),
    ("#### 18.50", "18.5"),
    ("#### $1,234.50", "1234.5"),
    ("#### 25%", "25"),
    ("#### **18**", "18"),
    ("#### 18 dollars a day", "18"),
    ("#### 16 - 3 - 4 = 9", "9"),
    ("She sells 9 eggs. #### 18", "18"),
    ("2+40=42\n#### 42\n" + "The reasoning in 3 steps confirms this. " * 20, "42"),
    ("#### 5\nWait, that is wrong.\n#### 6", "6"),
    # boxes
    (r"\boxed{18}", "18"),
    (r"$\boxed{18}$", "18"),
    (r"\[ \boxed{18} \]", "18"),
    (r"\boxed{25\%}", "25"),
    (r"\boxed{\$18}", "18"),
    (r"\boxed{$18}", "18"),
    (r"\boxed{9{,}500}", "9500"),
    (r"\boxed{$9{,}500}", "9500"),
    (r"\boxed{10,\!080}", "10080"),
    (r"\boxed{10\,080}", "10080"),
    (r"\boxed{8,000}", "8000"),
    (r"\boxed{-5}", "-5"),
    (r"\boxed{- 5}", "-5"),
    (r"\boxed{\text{18}}", "18"),
    (r"\boxed{18 \text{ dollars}}", "18"),
    (r"\boxed{18\text{ m}^2}", "18"),
    (r"\boxed{864 \mbox{ inches}^2}", "864"),
    (r"\boxed{90^\circ}", "90"),
    (r"\boxed{12^{\text{th}}}", "12"),
    (r"\boxed{28 percent}", "28"),
    (r"\boxed{\text{The answer is 460}}", "460"),
    (r"\boxed{x = 5}", "5"),
    (r"\boxed{3 \times 4 = 12}", "12"),
    (r"\boxed{\frac{3 \times 4}{2} = 6}", "6"),
    (r"\boxed{50\text{ miles/hour}}", "50"),
    (r"\boxed{\frac{1}{2}}", "0.5"),
    (r"\boxed{\dfrac{7}{3}}", "7/3"),
    (r"\boxed{-\tfrac{1}{4}}", "-0.25"),
    (r"\boxed{\frac12}", "0.5"),
    (r"\boxed{1\frac{1}{2}}", "1.5"),
    (r"\boxed{\mathbf{18}}", "18"),
    (r"\fbox{18}", "18"),
    (r"\boxed {18}", "18"),
    ("\\\\boxed{18}", "18"),
    ("boxed{18}", "18"),
    (r"\boxed{9} eggs are left, so she makes \boxed{18}", "18"),
    (r"\boxed{18} and then an empty \boxed{}", "18"),
    (r"\boxed{18} and then a cut \boxed{2", "18"),
    # phrases
    ("The answer is 12 apples.", "12"),
    ("The answer is $18.", "18"),
    ("the answer is 18", "18"),
    ("The answer is: 18", "18"),
    ("The answer is\n\n18", "18"),
    ("So the answer is **18**.", "18"),
    ("The correct answer is therefore 18 eggs.", "18"),
    ("The answer to the question is 18.", "18"),
    ("The answer to question 2 is 18.", "18"),
    ("The answer (in dollars) is 18.", "18"),
    ("The answer, therefore, is 18.", "18"),
    ("The answer would be 18.", "18"),
    (r"The answer is \(\frac{1}{2}\)", "0.5"),
    (r"The answer is $\frac{3}{4}$ of a pizza.", "0.75"),
    ("The answer is 1 1/2 hours.", "1.5"),
    ("The answer is 1 and 1/2 hours.", "1.5"),
    ("The answer is 1½ hours.", "1.5"),
    ("The answer is 1/3.", "1/3"),
    ("The answer is .5", "0.5"),
    ("The answer is –5 degrees.", "-5"),
    ("The answer is 9:00 AM.", "9"),
    ("The answer is Rs. 500.", "500"),
    ("The answer is that Mr. Smith pays 500 pounds.", "500"),
    ("The answer is: she'd make $828 by selling 18 watermelons", "828"),
    ("The answer is 16 - 3 - 4 = 9 eggs, 9 * 2 = $18.", "18"),
    ("The answer is 48/2 = <<48/2=24>>24 clips.", "24"),
    ("The answer is x = 5.", "5"),
    ("The answer is 10 / 3 ≈ 3.33", "3.33"),
    ("The answer is 18, which means that each of the 3 pays 18/3 = 6.", "18"),
    ("The answer is 18 because 9 * 2 = 18, and 9 = 16 - 7.", "18"),
    ("The answer is that she sells 9 eggs and makes **$18**.", "18"),
    ("The answer is **18** because she sells **9** eggs.", "18"),
    ("The answer is 9 * 2 which is 18.", "18"),
    ("The answer is 18. Let me check: 16 - 7 = 9 and 9 * 2 = 18, 1 time.", "18"),
    ("The answer is 5.\nWait. The answer is 6.", "6"),
    ("The answer is 5.\nThe final answer is", "5"),
    ("The answer is 5.\n\n### Final Answer", "5"),
    ("The answer is 5. It is certain that the answer is not 7.", "5"),
    ("The answer is 5.\nThe final answer is 3 bags, so $\\boxed{1", "5"),
    ("Final Answer: **28**", "28"),
    ("**Final Answer:** 28", "28"),
    ("**Final Answer**: 28", "28"),
    ("**Final Answer: $28**", "28"),
    ("**Answer: 28**", "28"),
    (r"**Answer: \$18 per day.**", "18"),
    ("FINAL ANSWER: 28 dishes", "28"),
    ("Final Answer: The final answer is $18$. I hope it is correct.", "18"),
    (r"The final answer is: $\boxed{18}$", "18"),
    ("The final answer is:\n\\[\n\\boxed{18}\n\\]", "18"),
    ("### Final Answer:\n18", "18"),
    ("### Final Answer\nJanet makes $18 every day.", "18"),
    ("### Answer\n**18**", "18"),
    ("Final answer:\n\n$$18$$", "18"),
    ("Answer: 18", "18"),
    ("Answer: $18\n\nExplanation: 16 - 7 = 9 and 9 * 2 = 18, for 1 day.", "18"),
    ("Answer = 18", "18"),
    ("Answer: She has 16 eggs and eats 7, so 16 - 7 = 9 are left.", "9"),
    ("Answer: she'd make $828 by selling 18 watermelons", "828"),
    ('{"steps": 3, "answer": 18}', "18"),
    ("A: 7", "7"),
    ("Q: How many?\nA: The answer is 7.", "7"),
    ("<think> 55 - 15 = 40 </think><answer> 48480 </answer>", "48480"),
    # bold type as the conclusion
    ("9 eggs are left.\n\nJanet makes **$18** every day at the farmers' market.", "18"),
    ("She sells 9 of 16 eggs.\n**She makes $18 by selling 9 eggs.**", "18"),
    ("9 * 2 = 18\n\n**Total for 5 days: 90**", "90"),
    ("9 * 2 = 18\n\n**18**", "18"),
    ("9 * 2 = 18\n\n**18.**", "18"),
    ("She makes **$18** a day by selling 9 eggs.\n\nI hope this helps!", "18"),
]

# Text that states nothing: its last number, if any, is graded.
UNSTATED = [
    ("", None),
    ("   \n", None),
    ("I cannot solve this.", None),
    ("The final answer is", None),
    ("Final Answer:", None),
    ("####", None),
    (r"\boxed{}", None),
    (r"\boxed{", None),
    (r"Please put the answer within \boxed{}. 9 * 2 = 18", "18"),
    ("she'd make $828 by selling 18 watermelons", "18"),
    ("9 * 2 = $18.", "18"),
    ("She has 9 * 2 = 18.00 dollars", "18"),
    ("16 – 7 = 9", "9"),
    ("16-7", "7"),
    ("It is -7", "-7"),
    ("12x2=24", "24"),
    (r"so $9\times2$ is \$18", "18"),
    ("A field of 15 cm^2", "15"),
    ("He was the 3rd", "3"),
    ("Each one gets 2 10/5", "2"),
    ("On 12/25/2020", "2020"),
    ("Area 20 m² in all", "20"),
    ("#### Step 1: Count the eggs\n16 - 7 = 9\n#### Step 2: Sell them\n9 * 2 = 18", "18"),
    ("#### 1. Count the eggs\n16 - 7 = 9\n\n9 * 2 = 18", "18"),
    ("**Step 1:** 16 - 7 = 9\n**Step 2:** 9 * 2 = 18", "18"),
    ("**2. Sell them:** 9 * 2 = 18", "18"),
    ("**2.** Sell them: 9 * 2 = 18", "18"),
    ("**Total**: 18", "18"),
    ("- **9 eggs** are left\n- they bring 18 dollars", "18"),
    ("Answer: Natalia sold 48/2 = 24 clips in May.\nShe sold 48+24 = 72 clips in all.", "72"),
    ("A: 16 - 3 - 4 = 9 eggs are left over.\nThey bring 9 * 2 = $18", "18"),
    ("To answer the question, 9 eggs are sold. They bring 18 dollars", "18"),
    ("She had 24 correct answers * 2 points/answer = 48 points, minus 6 is 42", "42"),
    ("GPT-4", "4"),
    ("Answer:\n1. Count the eggs: 16 - 7 = 9\n2. Sell them: 9 * 2 = 18", "18"),
    ("**Answer:**\n\n**1.** Count 9 eggs\n**2.** Sell them: 9 * 2 = 18", "18"),
    ("Final Answer:\n- 9 eggs are left\n- they bring 18 dollars", "18"),
]

# Boxes that hold something other than one number: kept as text, never cut down to a number.
TEXTS = [
    (r"\boxed{x+1}", "x+1"),
    (r"\boxed{2x}", "2x"),
    (r"\boxed{Yes}", "yes"),
    (r"\boxed{3 \times 4}", r"3 \times 4"),
    (r"\boxed{12, 15}", "12, 15"),
    (r"\boxed{x = 3, y = 5}", "x = 3, y = 5"),
    (r"\boxed{2:3}", "2:3"),
    (r"\boxed{9:30}", "9:30"),
    (r"\boxed{2^3}", "2^3"),
    (r"\boxed{5\sqrt{2}}", r"5\sqrt{2}"),
    (r"\boxed{\frac{x}{2}}", r"\frac{x}{2}"),
    (r"\boxed{5/0}", "5/0"),
    (r"\boxed{3 \text{ and } 5}", r"3 \text{ and } 5"),
    ("The answer is yes.", "yes"),
    ("The answer is 3 * 4", "3 * 4"),
    ("The answer is 5-6 apples", "5-6"),
]

EQUAL = [
    ("18", "18.00"),
    ("18", "18."),
    ("18", "$18"),
    ("18", r"\$18"),
    ("25%", r"25\%"),
    ("25%", "25"),
    ("1,234.50", "1234.5"),
    ("1,450,000", "1450000"),
    ("-5", "−5"),
    ("1/2", "0.5"),
    ("1/2", r"\frac{1}{2}"),
    ("2/4", r"\dfrac{1}{2}"),
    ("1 1/2", "1.5"),
    ("1 1/2", r"\frac{3}{2}"),
    ("½", "0.50"),
    ("12 apples", "12"),
    ("0.1", "1/10"),
    ("1e3", "1000"),
    ("x+1", " X+1 "),
    ("Yes", "yes."),
    ("0", "-0"),
    ("007", "7"),
]

UNEQUAL = [
    ("18", "-18"),
    ("18", "1.8"),
    ("18", "180"),
    ("1,234", "234"),
    ("1/3", "0.333333333333333333333"),
    ("1/3", "0.33"),
    ("0.1", "0.10000000000000001"),
    ("10000000000000000", "10000000000000001"),
    ("25%", "0.25"),
    ("1 1/2", "11/2"),
    ("x+1", "1"),
    ("yes", "no"),
    ("9" * 5000, "9" * 5001),
]


@pytest.mark.parametrize(("text", "answer"), STATED)
def test_stated_answer_is_extracted(text: str, answer: str) -> None:
    assert find_stated_answer(text) is not None
    assert extract_answer(text) == answer
    assert is_correct(text, answer)
    assert not is_correct(text, f"{answer}1")


@pytest.mark.parametrize(("text", "answer"), UNSTATED)
def test_text_without_a_statement_is_graded_by_its_last_number(
    text: str, answer: str | None
) -> None:
    assert find_stated_answer(text) is None
    assert extract_answer(text) == answer


@pytest.mark.parametrize(("text", "answer"), TEXTS)
def test_answer_that_is_no_number_stays_text(text: str, answer: str) -> None:
    assert extract_answer(text) == answer
    assert not is_correct(text, "3")
    assert not is_correct(text, "5")


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal_answers(a: str, b: str) -> None:
    assert equal(a, b)
    assert equal(b, a)


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_unequal_answers(a: str, b: str) -> None:
    assert not equal(a, b)
    assert not equal(b, a)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("#### $18.00 a day", "18.00"),
        ("#### -$5", "-$5"),
        ("The answer is $1,450,000 in all.", "1,450,000"),
        ("Final Answer: **28**", "28"),
        (r"The final answer is: $\boxed{25\%}$", "25"),
        (r"\boxed{18 \text{ dollars}}", "18"),
        (r"\boxed{ x+1 }", "x+1"),
        (r"The answer is \(\frac{1}{2}\)", r"\frac{1}{2}"),
        ("The answer is 16 - 7 = 9 eggs", "9"),
        ("Both 18 and 18 are named; the answer is 18", "18"),
        ("She makes **$18** by selling 9 eggs.", "18"),
    ],
)
def test_range_holds_the_value_alone(text: str, value: str) -> None:
    start, end = find_stated_answer(text) or (0, 0)
    assert text[start:end] == value


def test_range_is_the_last_statement() -> None:
    text = "The answer is 18. So \\boxed{18}\n#### 18"
    assert find_stated_answer(text) == (len(text) - 2, len(text))


def test_no_answer_is_not_correct() -> None:
    assert not is_correct("", "18")
    assert not is_correct("", "")


ANSWER_PIECES = st.sampled_from(
    [*"0123456789.,-−$%/{}*#:=x \n\\½²٣", "####", r"\boxed{", "}", r"\frac", "answer", " is ", "A:"]
    + ["final ", "**", "<answer>", "</answer>", r"\text{", "1,000", "9" * 300, "1e99", "/0", "é"]
)
ANY_TEXT = st.one_of(st.text(), st.lists(ANSWER_PIECES, max_size=40).map("".join))


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_any_text_is_graded_without_error(text: str) -> None:
    found = find_stated_answer(text)
    assert found is None or (0 <= found[0] < found[1] <= len(text))
    answer = extract_answer(text)
    assert is_correct(text, answer or "18") == (answer is not None)


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.fractions(max_denominator=10**6))
def test_every_fraction_survives_normalise_exactly(value: Fraction) -> None:
    assert Fraction(normalise(str(value))) == value
    latex = rf"\boxed{{\frac{{{value.numerator}}}{{{value.denominator}}}}}"
    assert is_correct(latex, str(value))


@given(st.integers(-(10**12), 10**12))
def test_every_integer_is_read_with_and_without_thousands_commas(value: int) -> None:
    for form in ("#### {}", "The answer is ${}.", r"\boxed{{{}}}", "**Answer: {} apples**"):
        assert is_correct(form.format(value), str(value))
        assert is_correct(form.format(f"{value:,}"), str(value))
        assert not is_correct(form.format(f"{value:,}"), str(value + 1))


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Keep the collector out of timings: a pass over all tests' objects outlasts a grading."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def hostile(piece: str, size: int, head: str = "", tail: str = "") -> str:
    return head + piece * (size // len(piece)) + tail


@pytest.mark.parametrize(
    ("piece", "head", "tail"),
    [
        ("9", "", ""),
        ("1,111", "", ""),
        ("1,111,", "The answer is ", "1"),
        ("{", r"\boxed", ""),
        (r"\boxed{", "", ""),
        (r"\boxed{", "", "}" * 10_000),
        (r"\boxed{ ", "", ""),
        ("the answer is ", "", ""),
        ("answer to ", "", ""),
        ("answer to 1 ", "**1** ", ""),
        ("**1** answer: ", "", ""),
        ("answer\n", "", ""),
        ("#", "", ""),
        ("####", "", "x"),
        ("#### 1. a ", "", ""),
        ("*", "", ""),
        ("**a", "", ""),
        (" ", "answer", ":"),
        (" ", "The answer is ", "5"),
        ("\n", "A:", ""),
        ("(", "5", "5"),
        ("-", "5", "5"),
        ("-$", "5", "5"),
        ("1/", "", ""),
        ("1 ", "", ""),
        ("= 1 ", "The answer is ", ""),
        (r"\frac{", "", ""),
        (r"\frac{1}", "", ""),
        ("1:1", "", ""),
        (".", "1", ""),
        ("<answer>", "", ""),
        ("a", "", ""),
        ("\\", "", ""),
        ("'", "a", ""),
        ("1 and ", "", ""),
        ("1 111 ", "", ""),
        ("1, 000, ", "#### ", ""),
        ("赚18", "", ""),
        (r"\frac{\frac{", "", ""),
        ("three hundred ", "The answer is ", ""),
        ("<think>", "", "</think>"),
        ("The answer is less than 5. ", "", ""),
        ("1 + 2 = 3 dozen ", "", ""),
        ("1 is the answer ", "", ""),
        ("the answer, a ", "", ""),
        ("if the answer is 1? ", "", ""),
        (r"1\hspace{1pt}000", "", ""),
        ("1{,}", "", ""),
        ("18 or ", "The answer is ", ""),
        ("eighteen dollars and ", "The answer is ", ""),
        ("-**1**", "", ""),
        ("答案是", "", ""),
    ],
)
def test_work_grows_linearly(no_collection: None, piece: str, head: str, tail: str) -> None:
    # Eight times the text takes eight times the time where work is linear, 64 times where it is
    # quadratic; the ratio of two runs does not depend on the machine's speed.
    def seconds(size: int, runs: int) -> float:
        text = hostile(piece, size, head, tail)
        times = []
        for _ in range(runs):
            start = time.process_time()
            extract_answer(text)
            times.append(time.process_time() - start)
        return min(times)

    short = seconds(12_500, runs=3)
    assert seconds(100_000, runs=1) < 28 * max(short, 1e-3)


@pytest.fixture(scope="module")
def gold_rows() -> list[dict[str, str]]:
    if not os.environ.get(gsm8k.DATA_VARIABLE):
        pytest.skip(f"{gsm8k.DATA_VARIABLE} names no folder with the real GSM8K")
    return gsm8k.load("train") + gsm8k.load("test")


def test_every_gold_solution_is_graded_correct(gold_rows: list[dict[str, str]]) -> None:
    assert len(gold_rows) == 8792
    wrong = [
        row["id"]
        for row in gold_rows
        if not is_correct(gsm8k.strip_marks(row["solution"]), row["answer"])
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "ending",
    [
        "The answer is {}.",
        r"The final answer is: $\boxed{{{}}}$",
        "**Answer: ${}**",
        "### Final Answer\nShe has {} of them by day 7.",
        "So it comes to **{}** in all.",
    ],
)
def test_gold_solutions_with_other_endings(gold_rows: list[dict[str, str]], ending: str) -> None:
    for row in gold_rows[::10]:
        reasoning, _, written = gsm8k.strip_marks(row["solution"]).rpartition("####")
        text = reasoning + ending.format(written.strip())
        found = find_stated_answer(text)
        assert found is not None and found[0] >= len(reasoning), row["id"]
        assert is_correct(text, row["answer"]), row["id"]
        assert not is_correct(text, str(int(row["answer"]) + 1)), row["id"]
