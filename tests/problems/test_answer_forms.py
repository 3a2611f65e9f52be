"""Forms of answers by kind: what outranks what, and how numbers are written (issue reports)."""

import os
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfdapo.credit.spans import find_answer, find_spans
from cfdapo.files import read_jsonl
from cfdapo.problems import arithmetic, gsm8k
from cfdapo.problems.answers import equal, extract_answer, is_correct, normalise

# A box or "####" yields to a later one of these only.
RANK = [
    (r"\boxed{18}. The final answer is rounded to 2 decimal places.", "18"),
    (r"\boxed{18}. There are **7** days in a week.", "18"),
    ("\\boxed{18}\n\nThere are **7** days in a week.", "18"),
    (r"\boxed{18}. The answer is less than 20, which makes sense.", "18"),
    ("\\boxed{18}\n\nAnswer: 20", "18"),
    ("\\boxed{18}\nThe final answer is 20.", "18"),
    ("#### 18\nThe answer is 20.", "18"),
    ("#### 18\n\n**Final Answer: 20**", "18"),
    ("#### 18\n#### Explanation of the 3 steps", "18"),
    ("<answer>18</answer>\nThe answer is 20.", "18"),
    ("The answer is 20. \\boxed{18}", "18"),
    ("\\boxed{9}\n#### 18", "18"),
    ("#### 9\n\\boxed{18}", "18"),
    ("\\boxed{9}\n#### The answer is 18.", "18"),
    ("\\boxed{9}\n#### Final Answer: 18", "18"),
    ("\\fbox{18} and 20 more", "18"),
    # without one, a phrase whose number follows directly
    ("Final Answer: In 7 days, Janet makes $18.", "18"),
    ("Final Answer: In 7 days Janet makes $18.", "18"),
    ("Final Answer: After 3 hours, he has $18 left.", "18"),
    ("Final Answer: Out of 20 students, 18 passed.", "18"),
    ("Final Answer: Each of the 3 friends gets 18 cookies.", "18"),
    ("Final Answer: The 3 friends get 18 cookies each.", "18"),
    ("Final Answer: Janet sells 9 eggs and makes $18.", "18"),
    ("Final Answer: Janet makes $18 in 7 days.", "18"),
    ("Final Answer: Janet makes $18 a day.\n\nNote: there are 7 days in a week.", "18"),
    ("Final Answer: Janet sells 9 eggs.\nShe makes $18.", "18"),
    ("Final Answer: Janet, who has 3 ducks, makes $18.", "18"),
    ("### Final Answer\nShe has 18 of them by day 7.", "18"),
    ("Answer: In 7 days, Janet makes $18.", "18"),
    ("The answer is that in 4 weeks she saves $18.", "18"),
    ("The answer is a total of 18 eggs.", "18"),
    ("The answer is about 18 eggs for 7 days.", "18"),
    ("The answer is 18. The answer is less than 20, which makes sense.", "18"),
    ("The answer is 18. The final answer is rounded to 2 decimal places.", "18"),
    ("She makes 9 * 2 = $18. The answer is less than 20.", "18"),
    ("She makes $18.\nThe final answer is rounded to 2 decimal places.", "18"),
    ("She makes $18.25, rounded to 2 decimal places.", "18.25"),
    ("The final answer is rounded to 2 decimal places: 18.25", "18.25"),
    ("The answer is 18.\n\nThere are **7** days in a week.", "18"),
    ("Answer: 18 eggs (9 * 2)\n\nExplanation: 16 - 7 = 9", "18"),
    ("The answer to part 1 is 9.\n\nShe makes **$18**.", "18"),
    # a word in the number's place states nothing, or a text
    ("The answer is one of these: 5", "5"),
    ("The answer is two or three", None),
    ("The answer is half of 36", "36"),
    ("18 > 12. The answer is B.", "b"),
    ("A) 12 B) 18\nThe answer is (B).", "b"),
    ("A) 12 B) 18\n#### B", "b"),
    ("A) 12 B) 18\nFinal Answer: option **B**", "b"),
    ("A) 12 B) 18\n\\boxed{B}", "b"),
    ("The answer is (B) 18.", "18"),
    ("The answer is C) because 18 > 12", "c"),
]

# Each is followed by prose with another number.
PHRASES = [
    "The answer was 18", "The answer -> 18", "The answer → 18", "The answer we get is 18",
    "The answer I got is 18", "The answer here is 18", "The answer, in dollars, is 18",
    "The answer, rounded to the nearest 10, is 18", "The answer, which is in dollars, is 18",
    "The answer rounded to 2 decimals is 18", "The answer is equal to 18",
    "The answer is given by 18", "The answer is as follows:\n18", "The final result is 18",
    "The answer is actually 18", "This gives an answer of 18", "we get the final answer of $18",
    "18 is the answer", "So 9 * 2 = 18 is the final answer", "Thus **18** dollars is our answer",
    "| **Answer** | **18** |", "Answer | 18", "Answer - 18", "Final Answer – $18", "Answer → 18",
    "The answer you are looking for is 18",
    "Ans: 18", "ans = 18", "FinalAnswer: 18", "final_answer = 18", "Final Ans: 18",
    "{'final_answer': 18, 'steps': 5}", '{"final_answer": "18", "steps": 5}',
    "<final_answer>18</final_answer>", "[ANSWER]18[/ANSWER]", "[Answer] 18",
    "<b>Answer:</b> 18", "<p>The answer is <b>18</b>.</p>", "__Answer: 18__", "_Answer_: 18",
    r"$\text{Answer} = 18$", "#### Answer\n18", "#### Final Answer\n**18**", r"\#\#\#\# 18",
    "The answer is 18<|im_end|>", "The answer is 18</s>",
    # in other languages
    "答案：18元。", "答案是18。", "所以答案是：18个鸡蛋。",
    "最终答案为 **18**。", "答えは18です。", "정답: 18", "답은 18입니다.",
    "La respuesta es 18", "La réponse est 18", "Die Antwort ist 18", "Die Antwort lautet: 18",
    "Ответ: 18", "A resposta é 18", "La risposta è 18", "उत्तर: 18", "คำตอบคือ 18", "Đáp án là 18",
    "الجواب: ١٨", "答案是9×2=18。",
]  # fmt: skip

# No statement: another one counts, or the last number.
NOT_STATED = [
    ("The answer is 20? No, 18.", "18"),
    ("The answer is no longer 20. She makes 18.", "18"),
    ("The answer is never 20. She makes 18.", "18"),
    ("The answer is unlikely to be 20. It's 18.", "18"),
    ("If the answer is 20, something is wrong. She makes 18.", "18"),
    ("Suppose that the answer is 20. She makes 18.", "18"),
    ("She makes 18.\n\nThe answer is rounded to the nearest 10.", "18"),
    ("18 is the answer to part 1. She makes 20", "20"),
    ("9 of 18 is not the answer. She makes 20", "20"),
    ("答案是7天赚18元，共20元", "20"),
    # no guess between two
    ("The answer is 18 or 20.", "18 or 20"),
    ("#### 18 or 20", "18 or 20"),
    ("The answer is 18 to 20 eggs.", "18 to 20"),
    ("The answer is 18 or 18.00.", "18"),
    ("The answer is 0.5 or 50%.", "0.5"),
    ("The answer is 18 and 7 days later it is 25.", "18"),
    ("Option 2 is the answer, as it costs $18.", "18"),
    ("A) $3 B) $5 M) $7", "7"),
    ("So 5 <b and 18> 4", "4"),
]

THINKING = [
    ("<think>\\boxed{7}</think>\n\\boxed{18}", "18"),
    ("<think>5 + 3 = 8, so #### 8</think>\nShe makes $18.", "18"),
    ("The answer is 5. \\boxed{7}</think>\n\n18 dollars", "18"),
    ("<think>a</think> 3 <think>\\boxed{5}</think> The answer is 18.", "18"),
    ("The answer is 18.\n<think>Or is \\boxed{5} right?", "18"),
    ("<thinking>#### 5</thinking>#### 18", "18"),
    ("[THINK]#### 5[/THINK]#### 18", "18"),
    ("◁think▷#### 5◁/think▷#### 18", "18"),
    ("<THINK>#### 5</THINK>#### 18", "18"),
    ("<think>The answer is 18. \\boxed{18} #### 18", None),
    ("<think>\\boxed{18}</think>", None),
    ("<think>\\boxed{18}</think><think>#### 5", None),
    *(
        (f"<{name}>\\boxed{{5}}</{name}>\nShe makes 18.", "18")
        for name in ["thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis"]
    ),
    ("<|thinking|>#### 5</|thinking|>She makes 18.", "18"),
    ("<think effort=1>#### 5", None),
    ("<reasoning>#### 5", None),
    ("<|START_THINKING|>#### 5<|END_THINKING|><|START_RESPONSE|>18", "18"),
    ("<unused94>thought\n#### 5<unused95>18", "18"),
    ("<|channel|>analysis<|message|>#### 5<|end|><|channel|>final<|message|>18", "18"),
    ("<|channel|>analysis<|message|>#### 5", None),
    ("analysisSo #### 5.assistantfinalShe makes 18.", "18"),
]

GLUED = [
    ("她每天赚18美元", "18"),
    ("答えは18です。", "18"),
    ("USD18", "18"),
    ("Rs18", "18"),
    ("She pays Rs18 a day", "18"),
    ("She pays EUR1,800.50 a day", "1800.5"),
    (r"\boxed{USD18}", "18"),
    ("#### Rs18", "18"),
    ("#### 赚18美元\nThere are **7** days in a week.", "18"),
    ("The answer is USD18.", "18"),
    ("The answer is18.", "18"),
    ("답은18달러입니다", "18"),
    ("Всего18рублей", "18"),
    ("المجموع18دولار", "18"),
    ("รวม18บาท", "18"),
    ("कुल18रुपये", "18"),
    ("Elle gagne18dollars", "18"),
    ("the score was30", "30"),
    ("共１８個", "18"),
    ("المجموع ١٨", "18"),
    ("कुल १८", "18"),
    ("共３万元", "30000"),
    ("答案是-5", "-5"),
    ("答案是18，", "18"),
    ("18€", "18"),
    ("18USD", "18"),
    ("usd18", "18"),
    ("It costs Php18", "18"),
    # but no digits of a name
    ("She bought 18 MP3 players", "18"),
    ("It takes 18 PS5 games", "18"),
    ("18 of CO2", "18"),
    ("a field of 18 cm2", "18"),
    ("18 times x2", "18"),
]

GROUPED = [
    ("1 000", "1000"),
    ("1 450 000", "1450000"),
    ("12 345.50", "12345.5"),
    ("1'000", "1000"),
    ("1’450’000", "1450000"),
    ("1_000", "1000"),
    (r"1\_000", "1000"),
    ("1,00,000", "100000"),
    ("12,34,567", "1234567"),
    ("1,23,45,678.5", "12345678.5"),
    (r"1\;000", "1000"),
    (r"1\,000", "1000"),
    (r"1\:450\:000", "1450000"),
    (r"1\ 000", "1000"),
    ("1~000", "1000"),
    (r"1\text{,}000", "1000"),
    (r"1\text{,}450\text{,}000", "1450000"),
    (r"1\mathord{,}000", "1000"),
    ("1{,}000", "1000"),
    ("1 {, }000", "1000"),
    (r"1,\!000", "1000"),
    (r"1\text{ }000", "1000"),
    ("1, 000", "1000"),
    ("1，000", "1000"),
    ("1´000", "1000"),
    ("1`000", "1000"),
    *(
        (f"1{space}000", "1000")
        for space in [
            r"\hspace{1pt}",
            r"\mkern1mu",
            r"\mskip 2mu ",
            r"\, ",
            r" \,",
            r" \; ",
            r"\text{\,}",
            r"{\,}",
            r"\thinspace ",
            "&nbsp;",
            "&#160;",
            "&#8239;",
            r"\>",
        ]
    ),
    *(
        (f"1{comma}450{comma}000", "1450000")
        for comma in [
            r"\mathinner{,}",
            r"\mathbin{,}",
            r"\textrm{,}",
            r"\text{,}\!",
            r"\!,\!",
            r"\,{,}",
            r"{,}\,",
            "&comma;",
        ]
    ),
    ("1{,}{000}", "1000"),
    ("1,{450},{000}", "1450000"),
    ("€18,50", "18.5"),
    ("1, 234", "1234"),
    ("1.234.567", "1234567"),
    ("1.234,56", "1234.56"),
    ("1 234,56", "1234.56"),
    ("18,50 €", "18.5"),
    ("$1,450,000.75", "1450000.75"),
    ("-1 000", "-1000"),
    ("17 000/5", "3400"),
    ("2 1/2", "2.5"),
    ("2 125/1000", "2.125"),
]
SPACES = "\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u205f\u3000\u200b"

# In prose, where digits side by side may be two numbers.
SIDE_BY_SIDE = [
    ("2 4 64 128", "128"),
    ("2 4 8 16 32 64 128 256", "256"),
    ("She has 12 200-kilobyte files", "200"),
    ("In 2005 467 000 people came", "467000"),
    ("Each year 17 000/5 = 3 400.", "3400"),
    ("She pays 1 450 000 dollars", "1450000"),
    ("On days 4,5,6", "6"),
    ("5'10", "10"),
]

# A number is never cut: what is no number stays text.
UNCUT = [
    ("#### 18,50", "18,50"),
    ("#### 1234,567", "1234,567"),
    ("#### 1,000,00", "1,000,00"),
    (r"\boxed{0,500}", "0,500"),
    (r"\boxed{3,4}", "3,4"),
    ("The answer is 5'10", "5'10"),
]

BOXES = [
    (r"50\ \frac{\text{miles}}{\text{hour}}", "50"),
    (r"50 \frac{\text{miles}}{\text{hour}}", "50"),
    (r"50\,\dfrac{\mathrm{km}}{\mathrm{h}}", "50"),
    (r"50\frac{\text{miles}}{\text{hour}}", "50"),
    (r"9.8\ \frac{m}{s^2}", "9.8"),
    (r"50\ \text{miles}/\text{hour}", "50"),
    (r"\frac{50 \text{ miles}}{1 \text{ hour}}", "50"),
    (r"\frac{50\text{ miles}}{\text{hour}}", "50"),
    (r"\frac{\text{36}}{2}", "18"),
    (r"\frac{\text{36}}{\text{2}}", "18"),
    (r"\frac{36 \text{ dollars}}{2}", "18"),
    (r"\frac{\$36}{2}", "18"),
    (r"\dfrac{36}{2}", "18"),
    (r"\tfrac{1,000}{2}", "500"),
    (r"\frac {36} {2}", "18"),
    (r"-\frac{36}{2}", "-18"),
    (r"\displaystyle\frac{1}{2}", "0.5"),
    (r"3\frac{1}{2}", "3.5"),
    (r"3 \tfrac{1}{2} \text{ cups}", "3.5"),
    (r"3\,\frac12", "3.5"),
    (r"3\text{ and }\frac{1}{2}", "3.5"),
    (r"1.8\times 10^4", "18000"),
    (r"1.8 \times 10^{4}", "18000"),
    (r"1.8\,\times\,10^{4}\text{ dollars}", "18000"),
    (r"1.8 \cdot 10^4", "18000"),
    ("1.8 x 10^4", "18000"),
    ("1.8*10**4", "18000"),
    ("1.8×10⁴", "18000"),
    (r"1.8 \text{ x } 10^4", "18000"),
    (r"1.8\times 10^{-2}", "0.018"),
    (r"1.8 \times {10}^{4}", "18000"),
    (r"1.8\cdot{}10^4", "18000"),
    (r"{36 \over 2}", "18"),
    (r"18 \text{ eggs} (9 \times 2)", "18"),
    (r"18, \text{ since } 9 \times 2 = 18", "18"),
    (r"\text{18 because of 9 eggs}", "18"),
    ("1.8e4", "18000"),
    ("10^4", "10000"),
    (r"18\%", "18"),
    (r"18\text{ percent}", "18"),
    (r"\$18.00", "18"),
    (r"\text{\$18 per day}", "18"),
    (r"\textbf{18}", "18"),
    (r"\text{\textbf{18}}", "18"),
    (r"{{18}}", "18"),
    (r"\left(18\right)", "18"),
    (r"\{18\}", "18"),
    (r"\boxed{18}", "18"),
    (r"\color{red}{18}", "18"),
    (r"18\hspace{2mm}\text{eggs}", "18"),
    (r"18 \tag{1}", "18"),
    (r"\approx 18", "18"),
    (r"x = 18\text{ eggs}", "18"),
    (r"\text{Janet makes } \$18", "18"),
    (r"18 \text{ dollars in } 7 \text{ days}", "18"),
    ("\n18\n", "18"),
]
# Other boxes, and what stays text in one.
UNBRACED = [
    (r"\boxed 18", "18"),
    (r"so $\boxed18$ in 7 days", "18"),
    (r"\boxed -5", "-5"),
    (r"\boxed\frac{1}{2}", "0.5"),
    (r"\boxed{}, then \boxed{18}", "18"),
    (r"\framebox{18}", "18"),
    (r"\boxed{1\text{ in }4}", r"1\text{ in }4"),
    (r"\boxed{2\text{ out of }5}", r"2\text{ out of }5"),
    (r"\boxed{3\text{ groups of 5 eggs}}", r"3\text{ groups of 5 eggs}"),
    (r"\boxed{5\frac{a}{b}}", r"5\frac{a}{b}"),
    (r"\boxed{\frac{\frac{1}{2}}{3}}", r"\frac{\frac{1}{2}}{3}"),
]

SIGNED = [
    ("negative 5", "-5"),
    ("minus 5", "-5"),
    ("- 5", "-5"),
    ("− 5", "-5"),
    ("-5", "-5"),
    ("﹣5", "-5"),
    ("－5", "-5"),
    ("‑5", "-5"),
    ("-$5", "-5"),
    ("- $5", "-5"),
    ("$-5", "-5"),
    ("negative $5", "-5"),
    ("minus five", "-5"),
    ("negative twenty-one", "-21"),
    ("Negative 1,000", "-1000"),
    ("-1.8 million", "-1800000"),
    ("x = - 5", "-5"),
    ("$-5$", "-5"),
    ("-$1.2k", "-1200"),
    ("NEGATIVE 5", "-5"),
    ("MINUS 5", "-5"),
    ("-(5)", "-5"),
    ("- (5)", "-5"),
    ("(-5)", "-5"),
    ("-Rs 5", "-5"),
    ("-Rs. 5", "-5"),
    ("-USD 5", "-5"),
    ("-~5", "-5"),
    ("**- 5**", "-5"),
    ("-**5**", "-5"),
    ("**minus 1/2**", "-0.5"),
    ("positive five", "5"),
]
SIGNS_IN_PROSE = [
    ("It is minus 5 degrees", "-5"),
    ("It is negative 5 degrees", "-5"),
    ("That is 20 minus 5", "5"),
    ("That is 20 - 5", "5"),
    ("Profit: - 5", "-5"),
    ("a - 5", "5"),
    ("A ninety-nine - 5 sale", "5"),
    ("- 5 eggs are on this list", "5"),
    ("a non-negative 5", "5"),
    (r"\boxed{\text{negative }5}", "-5"),
    (r"\boxed{-\,5}", "-5"),
    (r"\boxed{\text{-}5}", "-5"),
]

WORDS = [
    ("1.8 million", "1800000"),
    ("1.8-million", "1800000"),
    ("$1.8 million", "1800000"),
    ("1.8 million dollars", "1800000"),
    (r"1.8\text{ million}", "1800000"),
    ("2 dozen", "24"),
    ("2 dozens", "24"),
    ("2 and a half dozen", "30"),
    ("½ dozen", "6"),
    ("3 hundred", "300"),
    ("2 million 500 thousand", "2500000"),
    ("2 hundred thousand", "200000"),
    ("5 lakh", "500000"),
    ("2 crore", "20000000"),
    ("3万", "30000"),
    ("1.8亿", "180000000"),
    ("$1.2k", "1200"),
    ("$3M", "3000000"),
    ("€2bn", "2000000000"),
    ("5k", "5"),
    ("three", "3"),
    ("Three apples", "3"),
    ("zero", "0"),
    ("twenty-one", "21"),
    ("twenty one", "21"),
    ("one hundred and five", "105"),
    ("two thousand three hundred", "2300"),
    ("nineteen hundred", "1900"),
    ("five hundred thousand", "500000"),
    ("one million two hundred thousand", "1200000"),
    ("a dozen", "12"),
    ("two dozen", "24"),
    ("a hundred", "100"),
    ("half a million", "500000"),
    ("three point five", "3.5"),
    ("5 and a half", "5.5"),
    ("five and a half", "5.5"),
    ("5 and three quarters", "5.75"),
    ("two and two thirds", "8/3"),
    ("one half", "0.5"),
    ("half", "0.5"),
    ("two-thirds", "2/3"),
    ("three-quarters", "0.75"),
    ("eighteen (18)", "18"),
    ("18 dollars and 50 cents", "18.5"),
    ("18 dollars, 50 cents", "18.5"),
    ("18 euros and 5 cents", "18.05"),
    ("£18 and 50 pence", "18.5"),
    ("18 rupees and 50 paise", "18.5"),
    ("eighteen dollars and fifty cents", "18.5"),
    ("$1.8 M", "1800000"),
    ("$1.8 bn", "1800000000"),
    ("1.8 mln", "1800000"),
    ("5 lacs", "500000"),
    ("about three", "3"),
]
# No number of that value is meant: the last number in digits is graded, or none.
NO_WORDS = [
    ("She has three left.", None),
    ("The answer is one that we know.", None),
    ("The answer is three times as many.", None),
    ("The answer is two and three.", None),
    ("The answer is three quarters.", None),  # which may be coins
    ("The answer is a third option.", None),
    ("Final Answer: Two trains leave, and the distance is 18 miles.", "18"),
    ("Answer: One can see that she makes 18 dollars.", "18"),
    (r"\boxed{\text{no one}}", r"\text{no one}"),
    # The scale is the unit of a calculation whose result is right without it.
    ("84 / 12 = 7 dozen eggs", "7"),
    ("30 x 2 = 60 dozens", "60"),
    ("16 + 12 = $28 million", "28"),
    ("$24k a year / 12 months = $2k", "2"),
    ("2 million/2 = 1 million", "1"),
    ("900,000 * 2 = 1.8 million", "1800000"),
    ("600 * 2 = $1.2k", "1200"),
    ("84 eggs = 7 dozen", "84"),
]

FRAMES = ["#### {}", "\\boxed{{{}}}", "The answer is {}.", "**Final Answer:** {}", "Answer: {}"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [*RANK, *THINKING, *GLUED, *SIDE_BY_SIDE, *UNCUT, *UNBRACED, *SIGNS_IN_PROSE, *NO_WORDS]
    + NOT_STATED,
)
def test_answer_of_a_text(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer
    assert is_correct(text, answer or "18") == (answer is not None)
    assert not is_correct(text, "3")


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("behind", ["\nThere are 7 days in a week.", "\n\n**7** days."])
def test_phrase_outranks_prose(phrase: str, behind: str) -> None:
    assert extract_answer(f"She has 16 - 7 = 9.\n{phrase}{behind}") == "18"


@pytest.mark.parametrize(("box", "answer"), BOXES)
def test_dressed_box(box: str, answer: str) -> None:
    text = rf"So $\boxed{{{box}}}$ for 7 days."
    assert extract_answer(text) == answer
    assert not is_correct(text, "7")


@pytest.mark.parametrize(("number", "answer"), [*GROUPED, *SIGNED, *WORDS])
def test_number_in_every_statement(number: str, answer: str) -> None:
    for frame in FRAMES:
        text = f"She has 7 of 9.\n{frame.format(number)}"
        assert extract_answer(text) == answer
        span = find_answer(text)
        assert span is not None
        value = text[span.start : span.end]
        assert normalise(value) == extract_answer(value) == answer
    assert equal(number, answer)
    assert extract_answer(number) == answer  # where it is all of a completion


@pytest.mark.parametrize("space", SPACES)
def test_any_space_groups_digits(space: str) -> None:
    for frame in FRAMES:
        assert extract_answer(frame.format(f"1{space}450{space}000")) == "1450000"
    assert extract_answer(f"She pays 1{space}450{space}000 dollars.") == "1450000"


def test_spans_are_searched_behind_the_thinking_only() -> None:
    text = "<think>5 + 3 = 8. #### 8</think>So 2 + 2 = 4.\n#### 4"
    (span,) = find_spans(text)
    assert (text[span.start : span.end], span.kind) == ("2 + 2 = 4", "arithmetic")
    answer = find_answer(text)
    assert answer is not None and (answer.start, answer.end) == (len(text) - 1, len(text))
    unfinished = "<think>5 + 3 = 8. The answer is 8."
    assert find_spans(unfinished) == [] and find_answer(unfinished) is None


@pytest.mark.parametrize(
    "equation",
    ["$80 000 x 20/100 = $16 000", "17 000/5 = 3 400", "1\u00a0000 + 1\u00a0500 = 2\u00a0500"]
    + ["1'000 + 500 = 1'500", r"1\;000 + 500 = 1\;500", "1,00,000 + 1 = 1,00,001"],
)
def test_span_holds_grouped_numbers_whole(equation: str) -> None:
    text = f"So it is {equation}, which helps."
    (span,) = find_spans(text)
    assert text[span.start : span.end] == equation


PIECES = st.sampled_from(
    [*"0123456789.,-−–$€%/{}*#:=x \n\\½⁴'_~^()，。", "####", r"\boxed{", r"\boxed ", "}", r"\frac"]
    + ["<think>", "</think>", "<answer>", "**", "Answer: ", "The answer is ", "Final Answer: "]
    + ["three", "half", "hundred", "twenty-", " million", " dozen", "and a half", " point ", "one"]
    + ["negative ", "minus ", "1 000", "1\u00a0000", "1,00,000", "18,50", "USD", "Rs", "美元", "万"]
    + [
        r"\times 10^4",
        "10^4",
        r"\;",
        r"\text{",
        "$1.2k",
        "１",
        "१",
        "İ",
        " in 7 days",
        "less than ",
    ]
    + ["one of ", " is ", " = ", "B", "yes", ". ", " 50 cents", "9" * 300]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_grader_and_span_finder_go_by_one_rule(text: str) -> None:
    answer, span = extract_answer(text), find_answer(text)
    assert extract_answer(text) == answer
    if span is None:
        return
    assert 0 <= span.start < span.end <= len(text)
    value = text[span.start : span.end]
    assert (normalise(value) or None) == answer
    assert normalise(normalise(value)) == normalise(value)
    if len(value) < 60 and answer and answer.lstrip("-").replace(".", "").isdecimal():
        assert extract_answer(value) == answer


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from([",", " ", "\u00a0", "\u202f", "'", "’", "_", "{,}", r"\,", r"\;"]),
    st.sampled_from([*FRAMES, "She has {} of them."]),
)
def test_grouped_integers_of_any_kind_are_read(value: int, separator: str, frame: str) -> None:
    written = f"{value:,}".replace(",", separator)
    assert is_correct(frame.format(written), str(value))
    assert not is_correct(frame.format(written), str(value + 1))


@given(st.integers(-999, 999), st.integers(1, 999), st.sampled_from(FRAMES))
def test_fractions_in_dress_are_read(over: int, under: int, frame: str) -> None:
    sign = "-" if over < 0 else ""
    written = rf"{sign}\frac{{\text{{{abs(over)}}}}}{{{under} \text{{ days}}}}"
    assert Fraction(extract_answer(frame.format(written)) or "") == Fraction(over, under)


def test_made_solutions_cut_anywhere_are_read_by_the_plain_rule() -> None:
    """What tiny studies grade: the number behind "####", else the last one."""
    for row in arithmetic.make_problems("test", 20, seed=5):
        for cut in range(len(row["solution"]) + 1):
            text = row["solution"][:cut]
            numbers = re.findall(r"#### (\d+)", text) or re.findall(r"\d+", text)
            assert extract_answer(text) == (numbers[-1] if numbers else None), text


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get(gsm8k.DATA_VARIABLE)
    if not folder:
        pytest.skip(f"{gsm8k.DATA_VARIABLE} names no folder with the real data sets")
    return Path(folder)


def test_model_solutions_are_graded_as_they_are_labelled(data: Path) -> None:
    rows = read_jsonl(data / "gsm8k_model_solutions" / "solutions.jsonl")
    wrong, graded = [], 0
    for row in rows:
        gold = row["ground_truth"].rpartition("A:")[2]
        for answer in (answer for answer in row.values() if isinstance(answer, dict)):
            graded += 1
            if is_correct(answer["solution"], gold) != answer["is_correct"]:
                wrong.append(answer["solution"])
    assert graded == 2640 and wrong == []


@pytest.mark.parametrize("frame", [*FRAMES, "<think>#### 1</think>{}"])
def test_gold_answers_in_many_forms(data: Path, frame: str) -> None:
    for row in gsm8k.load("test", data)[::40]:
        reasoning = gsm8k.strip_marks(row["solution"]).rpartition("####")[0]
        value = int(row["answer"])
        grouped = f"{value:,}"
        for written in (
            *(grouped.replace(",", mark) for mark in (" ", "\u202f", "'", r"\;", r"\text{,}")),
            rf"\frac{{\text{{{2 * value}}}}}{{2}}",
            f"赚{value}美元",
            rf"{value}\ \frac{{\text{{miles}}}}{{\text{{hour}}}}",
        ):
            assert extract_answer(reasoning + frame.format(written)) == row["answer"], row["id"]
