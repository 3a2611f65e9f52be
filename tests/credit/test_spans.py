"""Which characters of a completion are reasoning spans, and which are its stated answer."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfdapo.credit.expressions import count_operations
from cfdapo.credit.spans import REASONING_KINDS, Span, find_answer, find_spans, select_spans

# Pieces that mathematical text is made of, so that random texts reach deep into the grammar.
PIECES = st.sampled_from(
    ["5", "1,200", "3.50", "$", "%", " ", "\n", "+", "-", "*", "**", "/", "=", "x", "(", ")", "{"]
    + ["\\frac{1}{6}", "\\times", "\\text{ eggs}", "<<5+3=8>>", "half of", " is ", " eggs", ". "]
    + [
        "Mr.",
        "The answer is ",
        "#### ",
        "\\boxed{",
        "}",
        "}$",
        "a total of ",
        "é",
        "漢",
        "😀",
        "\u2028",
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=30).map("".join))


def found(text: str, kind: str | None = None, max_spans: int = 10) -> list[str]:
    """The text of each span of `kind`, or of every span."""
    spans = find_spans(text, max_spans)
    return [text[span.start : span.end] for span in spans if kind in (None, span.kind)]


def only(text: str) -> tuple[str, str]:
    """The text and the kind of the only span."""
    (span,) = find_spans(text)
    return text[span.start : span.end], span.kind


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("Let me think: 23 + 45 = 68 in all.", "23 + 45 = 68"),
        (r"Fresh mangoes: \frac{1}{6} \times 36 = 6 dishes", r"\frac{1}{6} \times 36 = 6"),
        (r"\(\dfrac{48}{2} = 24\) clips", r"\dfrac{48}{2} = 24"),
        (
            r"$6 \cdot 36 \text{ eggs} = 216 \text{ eggs}$ and",
            "$6 \\cdot 36 \\text{ eggs} = 216 \\text{ eggs}",
        ),
        ("He takes 6 × 36 of them", "6 × 36"),
        ("6 x 36 = 216", "6 x 36 = 216"),
        ("48 ÷ 2 = 24", "48 ÷ 2 = 24"),
        ("He pays 3.50 * 2 = 7.00 now", "3.50 * 2 = 7.00"),
        ("So 20 − 13 = 7.", "20 − 13 = 7"),
        ("She runs 3 apples + 4 apples = 7 apples in all.", "3 apples + 4 apples = 7 apples"),
        ("It is 5 hours * $3/hour = $15 a day", "5 hours * $3/hour = $15"),
        (
            "3 cups of flour + 2 cups of flour = 5 cups of it",
            "3 cups of flour + 2 cups of flour = 5 cups",
        ),
        ("11 steps * 10 times = 110 steps", "11 steps * 10 times = 110 steps"),
        ("1 (Jose) + 4 siblings = 5 pieces", "1 (Jose) + 4 siblings = 5"),
        ("Total mango: 6 + 3 + 1 = 10 dishes", "6 + 3 + 1 = 10"),
        ("a chain 2 * 3 = 6 = 4 + 2 here", "2 * 3 = 6 = 4 + 2"),
        ("sold 48/2 = <<48/2=24>>24 clips", "48/2 = <<48/2=24>>24"),
        ("pays 12/60 = $<<12/60=0.2>>0.2 per minute", "12/60 = $<<12/60=0.2>>0.2"),
        ("So **5 * 3 = 15** dollars.\n#### 15", "5 * 3 = 15"),
        ("(3 + 4) * 2 = 14", "(3 + 4) * 2 = 14"),
        ("it costs (since 5 + 3 = 8) that", "5 + 3 = 8"),
        ("5(3) = 15", "5(3) = 15"),
        ("2**3 = 8", "2**3 = 8"),
        ("20% of 50 = 10", "20% of 50 = 10"),
        ("2x + 3 = 7", "2x + 3 = 7"),
        ("She has S + 2S = 847 people", "S + 2S = 847"),
        ("it is -5 + 3 = -2 now", "-5 + 3 = -2"),
        ("6 + 3\n= 9", "6 + 3\n= 9"),
        ("an unfinished 48/2 =", "48/2"),
        ("3＋5＝8", "3＋5＝8"),
    ],
)
def test_arithmetic_expression_is_the_span(text: str, expression: str) -> None:
    assert only(text) == (expression, "arithmetic")


@pytest.mark.parametrize(
    "expression",
    [r"6 \times 36 = 216", "$5 * 3 = $15", "20% * 50 = 10", "1,200 + 300 = 1,500"],
)
def test_arithmetic_pattern_misses_no_latex_currency_percent_or_comma(expression: str) -> None:
    """The four expressions that the authors' pattern misses (peers, Spans)."""
    assert found(f"Now {expression}.", "arithmetic") == [expression]


@pytest.mark.parametrize(
    "text",
    [
        "That took 2-3 days.",
        "She uses 3/4 cup.",
        "It was 12/25/2020 then.",
        "There were 5 of 7 here.",
        "He read a 120-page book.",
        "The price = 15 dollars.",
        "Step 1 - buy 5 eggs.",
    ],
)
def test_quantities_are_no_arithmetic(text: str) -> None:
    assert only(text) == (text, "sentence")


@pytest.mark.parametrize(
    ("text", "calculation"),
    [
        ("So half of 48 is 24.", "half of 48 is 24"),
        ("That is so: twice as many as 6 is 12.", "twice as many as 6 is 12"),
        ("She has a total of 72 on Monday.", "a total of 72"),
        ("This leaves 9 eggs.", "leaves 9 eggs"),
        ("Then 5 plus 3 is 8.", "5 plus 3 is 8"),
        ("We know 20% of 50 is 10.", "20% of 50 is 10"),
        ("The sum of 5 and 3 is 8.", "sum of 5 and 3 is 8"),
        ("He has 9 eggs left.", "9 eggs left"),
        ("There are nine eggs remaining.", "nine eggs remaining"),
    ],
)
def test_calculation_in_words(text: str, calculation: str) -> None:
    assert only(text) == (calculation, "calculation")


def test_each_clause_has_its_own_calculation() -> None:
    text = "Half of 48 is 24, and 24 plus 3 is 27."
    assert found(text, "calculation") == ["Half of 48 is 24", "24 plus 3 is 27"]


def test_words_around_a_calculation_are_in_no_span() -> None:
    text = "Natalia sold 48/2 = 24 clips in May. She was glad."
    assert found(text) == ["48/2 = 24", "She was glad."]


@pytest.mark.parametrize(
    "sentence",
    [
        "He paid 3.50 for it.",
        "Mr. Smith and Mrs. Lee met Dr. Ng.",
        "It is in the U.S. Army now.",
        "We saw No. 5 there.",
        "Take fruit, e.g. Apples, home.",
        "They came at 5 p.m. to eat.",
        "Wait... what?",
    ],
)
def test_no_boundary_within_a_sentence(sentence: str) -> None:
    assert found(f"First. {sentence} Last.") == ["First.", sentence, "Last."]


def test_lines_bullets_and_headers() -> None:
    text = (
        "### Plan\nStep 1: Read it\n- Total dishes: 36\n* **Salsa:** 3\n1. First! Then\n\n"
        "\\begin{align*}\n---\n36\n猫は3匹。犬は5匹。"
    )
    expected = ["Plan", "Step 1: Read it", "Total dishes: 36", "Salsa:** 3", "First!", "Then"]
    assert found(text) == [*expected, "猫は3匹。", "犬は5匹。"]


def test_table_6_gives_the_papers_steps() -> None:
    text = (
        "Break down the problem step by step\nTotal number of dishes: 36\n"
        "Fresh mangoes: \\frac{1}{6} \\times 36 = 6 dishes\nTotal mango: 6 + 3 + 1 = 10 dishes\n"
        "Final: 36 - 10 + 2 = 28\nOliver can eat 28 dishes\n#### 28"
    )
    kinds = [span.kind for span in find_spans(text)]
    assert kinds == ["sentence", "sentence", "arithmetic", "arithmetic", "arithmetic", "sentence"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("He has 24.\n#### 18", "18"),
        (r"So it is $\boxed{25\%}$.", "25"),
        ("The answer is 12 apples.", "12"),
        ("5 + 3 = 8\nFinal Answer: **28**", "28"),
    ],
)
def test_answer_is_the_stated_one(text: str, answer: str) -> None:
    span = find_answer(text)
    assert span is not None
    assert (text[span.start : span.end], span.kind) == (answer, "answer")


def test_last_number_is_no_stated_answer() -> None:
    assert find_answer("We make $828 by selling 18 watermelons") is None
    assert find_answer("") is None


def test_announcing_the_answer_is_no_reasoning() -> None:
    assert found("She was glad. The final answer is $\\boxed{8}$.") == ["She was glad."]
    assert found("She was glad.\n#### 8") == ["She was glad."]
    assert found("She was glad.\n\n### Final Answer\n\n**8**") == ["She was glad."]
    assert found("As 5 + 3 = 8, the answer is 8.") == ["5 + 3 = 8"]


def test_calculation_that_ends_in_the_answer_is_cut_before_it() -> None:
    text = "The answer is 48/2 = 24"
    answer = find_answer(text)
    assert answer == Span(21, 23, "answer")
    assert only(text) == ("48/2", "arithmetic")


def test_nothing_after_the_answer() -> None:
    assert found("Go on. #### 8\nAnd then 5 + 3 = 8.") == ["Go on."]


def test_arithmetic_goes_before_calculations_before_sentences() -> None:
    text = "One. Half of 4 is 2. 1 + 1 = 2. Two. A total of 9. 2 + 2 = 4. 3 + 3 = 6."
    arithmetic, calculations = (
        ["1 + 1 = 2", "2 + 2 = 4", "3 + 3 = 6"],
        ["Half of 4 is 2", "A total of 9"],
    )
    assert found(text, max_spans=2) == arithmetic[:2]
    assert found(text, max_spans=4) == [calculations[0], *arithmetic]
    assert found(text, max_spans=6) == [
        "One.",
        calculations[0],
        arithmetic[0],
        calculations[1],
        *arithmetic[1:],
    ]
    assert found(text, max_spans=0) == []
    assert len(found(text)) == 7


def test_empty_text_has_no_spans() -> None:
    assert find_spans("") == []
    assert find_spans(" \n\t") == []


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.integers(0, 12))
def test_spans_are_sorted_disjoint_few_and_before_the_answer(text: str, max_spans: int) -> None:
    spans = find_spans(text, max_spans)
    assert len(spans) <= max_spans
    answer = find_answer(text)
    end = 0
    for span in spans:
        assert end <= span.start < span.end
        assert span.kind in REASONING_KINDS
        assert text[span.start : span.end].strip() == text[span.start : span.end]
        end = span.end
    assert end <= (answer.start if answer else len(text))


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(1, 12))
def test_fewer_spans_are_a_subset(text: str, max_spans: int) -> None:
    assert set(find_spans(text, max_spans - 1)) <= set(find_spans(text, max_spans))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 99999), st.sampled_from(["+", "-", "*", "×", "/", "\\times", "÷"]),
    st.integers(0, 99999), st.integers(0, 99999), st.sampled_from(["", " "]),
    st.sampled_from(["", "$"]), st.sampled_from(["", " eggs"]), st.booleans(),
)  # fmt: skip
def test_every_equation_is_found_whole(a, sign, b, c, space, currency, unit, commas) -> None:
    one, two, three = (f"{n:,}" if commas else str(n) for n in (a, b, c))
    space = space or (" " if sign == "\\times" else "")
    equation = (
        f"{currency}{one}{unit} {sign}{space}{currency}{two}{unit} ={space}{currency}{three}{unit}"
    )
    assert found(f"Hence {equation}, which helps.", "arithmetic") == [equation]


@pytest.mark.parametrize(
    "piece",
    ["1", "1+", "1 x ", "(", "(ab ", ".", "...a", "5 is ", "<<", "\\frac{", "1,000,", "\n", " \n="]
    + ["half is ", "5 left ", "1. A ", "Mr. ", "=", "5 times ", "a'", "a total of ", "#### 1 "],
)
def test_work_is_linear_in_the_text(piece: str) -> None:
    """20,000 characters take well under a second; quadratic work would take minutes."""
    text = piece * (20_000 // len(piece))
    start = time.process_time()
    find_spans(text)
    assert time.process_time() - start < 3


def gsm8k_solutions() -> list[str]:
    folder = os.environ.get("CFDAPO_DATA")
    if not folder:
        pytest.skip("CFDAPO_DATA names no folder with gsm8k/test.jsonl")
    with open(Path(folder) / "gsm8k" / "test.jsonl", encoding="utf-8") as lines:
        return [json.loads(line)["answer"] for line in lines]


def without_marks(solution: str) -> tuple[str, list[int]]:
    """The solution without <<a+b=c>>, and where the marks of calculations stood."""
    places, text, here = [], "", 0
    for mark in re.finditer(r"<<([^<>]*)>>", solution):
        text, here = text + solution[here : mark.start()], mark.end()
        # Some marks only repeat a value: <<36=36>>.
        if re.search(r"\d[^=]*[-+*/(].*=", mark[1]):
            places.append(len(text))
    return text + solution[here:], places


def test_gsm8k_calculations_are_recalled() -> None:
    """Spans reach over 99 % of the marked calculations, from before the "=" into the result.

    The rest are written in words ("13 minus 10 equals 3") or broken by words between operands.
    """
    marked = recalled = 0
    for solution in gsm8k_solutions():
        text, places = without_marks(solution)
        arithmetic = [s for s in find_spans(text, len(text)) if s.kind == "arithmetic"]
        for place in places:
            marked += 1
            recalled += any(
                span.start < place < span.end and "=" in text[span.start : place]
                for span in arithmetic
            )
    assert marked > 3000
    assert recalled / marked > 0.99


def test_gsm8k_reasoning_lines_have_spans_and_answers() -> None:
    for solution in gsm8k_solutions():
        answer = find_answer(solution)
        assert answer is not None
        assert solution[answer.start : answer.end] == solution.rsplit("#### ")[1].strip()
        assert find_spans(solution)


SELECTABLE = (
    "She wonders about it for a long while.\nFirst 4 + 3 = 7.\nThen 7 * 2 = 14.\n"
    "So 14 - 2 + 3 + 1 = 16.\nWell.\n#### 16"
)


@pytest.mark.parametrize(
    ("select", "k", "texts"),
    [
        ("longest", 1, ["She wonders about it for a long while."]),
        ("longest", 2, ["She wonders about it for a long while.", "14 - 2 + 3 + 1 = 16"]),
        ("arithmetic", 1, ["14 - 2 + 3 + 1 = 16"]),
        # One operation each: the first in the text goes first.
        ("arithmetic", 2, ["4 + 3 = 7", "14 - 2 + 3 + 1 = 16"]),
    ],
)
def test_selection_takes_the_k_longest_or_most_arithmetic_in_order(select, k, texts):
    spans = select_spans(SELECTABLE, find_spans(SELECTABLE), select, k)
    assert [SELECTABLE[span.start : span.end] for span in spans] == texts


def test_selection_of_all_or_of_more_than_there_are_is_all():
    spans = find_spans(SELECTABLE)
    assert len(spans) == 5
    assert select_spans(SELECTABLE, spans, "all", 1) == spans
    for select in ("longest", "arithmetic"):
        assert select_spans(SELECTABLE, spans, select, 9) == spans


def test_unknown_selection_is_refused():
    with pytest.raises(ValueError, match="'shortest'; allowed: all, longest, arithmetic"):
        select_spans(SELECTABLE, [], "shortest")


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("4 + 3 = 7", 1),
        ("48/2 + 3 - 1 = 26", 3),
        (r"\frac{1}{6} \times 36 = 6", 2),
        ("20% of 50 is 10", 1),
        ("She wonders - for 2-3 days - about it", 0),
        ("", 0),
    ],
)
def test_operations_are_counted_and_equals_signs_are_none(text, operations):
    assert count_operations(text) == operations
