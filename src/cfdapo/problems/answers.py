r"""Find, normalise and compare final answers: the one grader of training and evaluation.

Only what stands behind a completion's thinking counts (`thinking`). There an answer is *stated* by

1. ``#### x``, ``\boxed{x}`` or ``<answer>x</answer>``, as prompts ask for; the last one counts, and
   nothing that is written in prose before or after it;
2. else by a phrase whose number follows directly, but for words such as "about" ("The answer is x",
   "Final answer: x", "x is the answer", their like in other languages where no other number is
   said, and "Answer: x" or "A: x" where at most a unit follows); the last one counts, but none
   that asks ("the answer is x?") or supposes ("if the answer is x");
3. else by whichever comes last: a phrase that begins a sentence ("The answer is that she makes x",
   and "Final Answer: In 7 days she makes x" where no number follows), or bold type in the last line
   that holds a number. `clauses` says which number a sentence states.

A text that states nothing is graded by its last number, but for such as bound the answer. What
`numerals` and `lexing` read as a number is compared exactly, as a fraction: "2 dozen" is 24, and
"$1.2k" 1,200. (So where a problem asks for dozens, a stated "2 dozen" is not 2.) A number in words
counts only where a value is expected: as a box's content, directly behind a statement, or as all of
the text. Where it is ambiguous what is stated ("one of these: 5", "two or three", "less than 20"),
nothing is. "18 or 20" is a stated text, as an option's letter is, "b", and no number.

The grader is all here, and not in a library such as Math-Verify: the reward of a training run must
not change with a release of a parser, needs the place of the answer in the text (credit is measured
on it), is exact and linear in the text's length, and is given in threads, where a parser's time
limit by signals does not work. Every function takes any text and never raises.
"""

from fractions import Fraction

from cfdapo.problems.clauses import whole_value
from cfdapo.problems.numerals import fold
from cfdapo.problems.statements import Completion, Range
from cfdapo.problems.thinking import outside_thinking


def extract_answer(text: str) -> str | None:
    """The normalised final answer: the stated one, else the last number, else None."""
    start, end = outside_thinking(text)
    completion = Completion(text[start:end])
    found = completion.stated() or completion.bare() or completion.last_number
    return (normalise(text[start + found[0] : start + found[1]]) or None) if found else None


def is_correct(text: str, gold: str) -> bool:
    """Whether the final answer of `text` equals `gold` (equations 1 and 2: the binary reward)."""
    extracted = extract_answer(text)
    return extracted is not None and equal(extracted, gold)


def equal(a: str, b: str) -> bool:
    """Whether two answers are the same number exactly, or else the same text."""
    return normalise(a) == normalise(b)


def normalise(value: str) -> str:
    r"""One spelling for each answer; idempotent.

    Units, currency, percent signs, thousands separators and LaTeX dress are dropped: a number
    becomes "18", "-5", "0.5" where the decimal ends and "1/3" where it does not. What is not one
    number ("x+1", "yes", "3 \times 4") becomes stripped, casefolded text.
    """
    number = whole_value(fold(value))
    if number is not None and number.value is not None:
        return spell(number.value)
    text = " ".join(value.split()).lstrip(" $").rstrip(" $.").casefold()
    # Casefolding may take a letter apart, so that a number behind it stands alone.
    return text if text == value else normalise(text)


def find_stated_answer(text: str) -> Range | None:
    r"""Characters [start, end) of the value in the statement of the answer, or None.

    A number's range holds its sign and what multiplies it, but neither a leading currency sign
    (except where the number is written with it, as $1.2k) nor its unit: "18.00" of "#### $18.00 a
    day"; any other boxed answer is the box's content. A marker that nothing parseable follows, as
    where a completion was cut, is no statement.
    """
    start, end = outside_thinking(text)
    found = Completion(text[start:end]).stated()
    return (start + found[0], start + found[1]) if found else None


def spell(value: Fraction) -> str:
    """Spell a number as "18", as "0.5" where its decimal ends, else as "1/3"."""
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places == 0:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
