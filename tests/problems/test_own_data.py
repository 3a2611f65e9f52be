"""One's own questions: files and the hub, fields, prompts, and answers of every kind."""

import importlib.util
import json
from decimal import Decimal

import pytest

from cfdapo.credit.assigner import find_sink
from cfdapo.files import UserError
from cfdapo.problems import latex, own_data
from cfdapo.problems.own_answers import Gold, read_gold
from cfdapo.problems.stated import find_choice, find_statement
from cfdapo.problems.task import get_task
from cfdapo.settings import DataSettings, HubSplit

TASK = get_task("jsonl")
needs_math_verify = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None, reason="math-verify is not installed"
)


def settings(**changed) -> DataSettings:
    given = {"task": "jsonl", "path": None, "revision": "", "seed": 0, "answer": "number"}
    return DataSettings(**given | {"train_problems": None, "test_problems": None} | changed)


@pytest.fixture
def load(tmp_path):
    """Loads records, written to a file, as the training split."""

    def load(*records, **changed):
        path = tmp_path / "own.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return TASK.load("train", settings(train=str(path), test=str(path), **changed))

    return load


def test_a_record_becomes_a_row_by_its_fields(load):
    record = {"q": "How many {x}?", "gold": {"value": 18.0}, "text": "9 * 2 = <<9*2=18>>18", "n": 7}
    fields = {"question": "q", "answer": "gold.value", "solution": "text", "id": "n"}
    (row,) = load(record, fields=fields, prompt="{question} In \\boxed{}, {answer} {x}.")
    assert row["question"] == "How many {x}? In \\boxed{}, {answer} {x}."
    assert (row["id"], row["solution"]) == ("7", "9 * 2 = 18")
    assert TASK.gold_to_show(row["answer"]) == "18" and TASK.prompt(row) == row["question"]
    assert TASK.grade("So it is \\boxed{18}.", row["answer"])
    assert not TASK.grade("So it is \\boxed{19}.", row["answer"])


def test_choices_are_lettered_and_an_options_text_is_its_letter(load):
    records = [
        {"question": "Which?", "c": ["4", "5", "6"], "answer": gold} for gold in ("(b)", "5")
    ]
    one, two = load(*records, fields={"choices": "c"}, answer="choice")
    assert (
        one["question"].startswith("Which?\n\nA. 4\nB. 5\nC. 6\n\nPlease")
        and one["id"] == "train-0"
    )
    assert one["answer"] == two["answer"] == Gold("choice", "B", 3).to_text()
    assert TASK.grade("The answer is (B).", one["answer"])
    assert TASK.extract("The answer is (C).", one["answer"]) == "C"


@pytest.mark.parametrize(
    ("record", "changed", "message"),
    [
        ({"question": "Q"}, {}, "line 1: has no field 'answer' (data.fields); it has: question"),
        ({"q": "Q", "answer": 1}, {}, "has no field 'question' (data.fields); it has: q, answer"),
        ({"question": " ", "answer": 1}, {}, "question is ' ' and must be text"),
        ({"question": "Q", "answer": "many"}, {}, "answer is 'many' and must be one number, with"),
        ({"question": "Q", "answer": True}, {}, "answer is True and must be text or a number"),
        ({"question": "Q", "answer": [1]}, {}, "answer is [1] and must be text or a number"),
        ({"question": "Q", "answer": "F"}, {"answer": "choice"}, "must be a letter from A to E"),
        ({"question": "Q", "answer": 2}, {"answer": "choice"}, "2 and must be a letter from A"),
        ({"question": "Q", "answer": "D"}, {"answer": "choice", "letters": 3}, "from A to C"),
        ({"question": "Q", "answer": "."}, {"answer": "exact"}, "is '.' and must not be empty"),
        (
            {"question": "Q", "answer": "A", "c": ["x"]},
            {"answer": "choice", "fields": {"choices": "c"}},
            "c is ['x'] and must be a list of 2 to 26 options",
        ),
        (
            # As ARC has them: two lists, and no option.
            {"question": "Q", "answer": "A", "c": {"text": ["x", "y"], "label": ["A", "B"]}},
            {"answer": "choice", "fields": {"choices": "c"}},
            "must be a list of 2 to 26 options",
        ),
        (
            {"question": "Q", "answer": "A", "c": {"B": "y", "A": "x"}},
            {"answer": "choice", "fields": {"choices": "c"}},
            "must be a list of 2 to 26 options",
        ),
        (
            {"question": "Q", "answer": "A", "c": ["x", None]},
            {"answer": "choice", "fields": {"choices": "c"}},
            "c is ['x', None], whose options must be text or numbers",
        ),
        (
            {"question": "Q", "answer": "A", "c": ["B", "A"]},
            {"answer": "choice", "fields": {"choices": "c"}},
            "is 'A', which is a letter and also the text of another option",
        ),
        (
            {"question": "Q", "answer": 1, "b": None},
            {"fields": {"body": "b"}, "prompt": "{body} {question}"},
            "b is None and must be text or a number",
        ),
        (
            {"question": "Q", "answer": 1, "n": [1]},
            {"fields": {"id": "n"}},
            "n is [1] and must be text or a number",
        ),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_is_named(load, record, changed, message):
    with pytest.raises(UserError) as raised:
        load(record, **changed)
    assert "own.jsonl, line 1" in str(raised.value) and message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("18", "18"), ("18.0", "18"), ("1e21", "1" + "0" * 21), ("1e150", "1" + "0" * 150),
        ("12345678901234567890.5", "12345678901234567890.5"), ('"1,000"', "1000"), ('"50%"', "50"),
        ('"$5.50"', "5.5"), ('"USD 5"', "5"), ('"5 km/h"', "5"), ('"5 m2"', "5"), ('"-5"', "-5"),
        (r'"\\frac{3}{4}"', "0.75"), (r'"5\\text{ cm}"', "5"), (r'"90^\\circ"', "90"),
        ('"#### 5 eggs"', "5"), ('"3 1/2"', "3.5"), ('"two-thirds"', "2/3"), ('"5 (five)"', "5"),
        ('"5 million"', "5000000"),
    ],
)  # fmt: skip
def test_a_number_in_the_data_is_read_exactly(tmp_path, text, answer):
    path = tmp_path / "own.jsonl"
    path.write_text(f'{{"question": "Q", "answer": {text}}}')
    (row,) = TASK.load("train", settings(train=str(path)))
    assert TASK.gold_to_show(row["answer"]) == answer
    assert TASK.grade(f"#### {answer}", row["answer"])


@pytest.mark.parametrize(
    "text",
    ["sqrt(5)", "5!", "1e400", "0.333...", "0.333…", r"5.3\ldots", "<5", ">= 5", r"\le 5", "~5"]
    + ["at least 5", "about 5", "5+", "5 or more", "5i", "5π", "0b101", "5h30", "5k", "1.2M"]
    + ["|5|", "half of 5", "not 5", "5 squared", "log 5", "5e", "2x=6", "Option 5", "5 ± 1"]
    + ["9" * 250, 10**300, 1e300, Decimal("1e999999999"), Decimal("NaN")],
)
def test_what_is_no_plain_number_is_not_taken_for_the_one_in_it(text):
    with pytest.raises(ValueError, match="must be one number, with a unit at most"):
        read_gold("number", text, 5)


def test_a_prompt_shows_decimals_as_they_are_written(tmp_path):
    path = tmp_path / "own.jsonl"
    # As Windows writes it: with a byte order mark and two characters at a line's end.
    path.write_bytes(b'\xef\xbb\xbf{"question": "Q", "answer": 1, "price": 1.50}\r\n\r\n')
    made = settings(train=str(path), fields={"price": "price"}, prompt="{question} {price} $?")
    assert [row["question"] for row in TASK.load("train", made)] == ["Q 1.50 $?"]


def test_gsm8k_read_as_ones_own_questions_is_gsm8k(data_folder):
    path = str(data_folder / "gsm8k" / "test.jsonl")
    own = settings(train=path, test=path, fields={"solution": "answer"}, test_problems=200)
    gsm8k = get_task("gsm8k")
    theirs = gsm8k.load("test", DataSettings("gsm8k", str(data_folder), "", None, 200, 0))
    for row, other in zip(TASK.load("test", own), theirs, strict=True):
        assert TASK.gold_to_show(row["answer"]) == other["answer"]
        assert TASK.prompt(row) == gsm8k.prompt(other)
        assert TASK.reference(row) == gsm8k.reference(other)
        assert TASK.grade(TASK.reference(row), row["answer"])


def test_ids_that_repeat_and_files_that_are_empty_or_absent_are_refused(load, tmp_path):
    record = {"question": "Q", "answer": 1, "n": 1}
    with pytest.raises(UserError, match="the id '1' is there twice"):
        load(record, record, fields={"id": "n"})
    with pytest.raises(UserError, match="has no questions"):
        load()
    with pytest.raises(UserError, match="absent.jsonl: cannot be read"):
        TASK.load("test", settings(test=str(tmp_path / "absent.jsonl")))


def test_a_split_of_the_hub_is_asked_for_at_its_commit(monkeypatch):
    asked = []

    class Split:
        def to_list(self):
            return [{"question": "Q", "answer": "Paris"}] * 2

    def load_dataset(*names, **more):
        asked.append((names, more))
        return Split()

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    where = HubSplit("a/b", "0" * 40, None, "validation")
    rows = TASK.load("test", settings(test=where, test_problems=1, answer="exact"))
    assert [row["id"] for row in rows] == ["test-0"]
    assert asked == [(("a/b", None), {"split": "validation", "revision": "0" * 40})]
    told = own_data.describe(settings(train=where, test=where))
    assert told["sources"]["test"] == {
        "id": "a/b",
        "revision": "0" * 40,
        "config": None,
        "split": "validation",
    }


def test_a_split_of_the_hub_that_is_out_of_reach_is_named():
    with pytest.raises(UserError, match="data.test: no/where .*cannot be loaded from the hub"):
        TASK.load("test", settings(test=HubSplit("no/where", "0" * 40, None, "test")))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (r"So \boxed{B}.", "B"),
        (r"\boxed{\text{(C)}}", "C"),
        (r"\boxed{\textbf{(A)}\ 12}", "A"),
        (r"\boxed{B) 12 apples}", "B"),
        ("The answer is (D).", "D"),
        ("The answer is B because 12 > 3.", "B"),
        ("**Answer:** B", "B"),
        ("Answer: (B) 12", "B"),
        ("A: 12\nB: 13\nThe answer is B", "B"),
        ("The answer is A. No, the correct option is E.", "E"),
        ("B is the correct answer.", "B"),
        ("I choose C.", "C"),
        ("It is 13.\nB", "B"),
        ("(B) 12", "B"),
        ("<answer>d</answer>", "d"),
        ("#### A", "A"),
        ("<think>the answer is B</think> The answer is C", "C"),
        ("The answer is A lot of work.", None),
        ("The answer is B or C.", None),
        ("The answer is B/C", None),
        ("If the answer is B, it fits.", None),
        ("The answer is I think clear.", None),
        ("The answer is Bob.", None),
        (r"\boxed{A, C}", None),
        (r"The answer is A. \boxed{12}", None),
        ("A man has 2 pens.", None),
        ("", None),
    ],
)
def test_the_letter_that_a_text_chooses(text, letter):
    found = find_choice(text)
    assert (text[slice(*found)] if found else None) == letter
    sink = find_sink(text, "choice")
    assert (text[sink.start : sink.end] if sink else None) == letter


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (r"So $x=\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"The answer is $\frac{3}{4}$.", r"\frac{3}{4}"),
        (r"The answer is: \[ x^2+1 \]", "x^2+1"),
        ("The final answer is:\n\n$$ \\frac{\\pi}{2} $$", r"\frac{\pi}{2}"),
        (r"\boxed{12\text{ cm}}", r"12\text{ cm}"),
        (r"\boxed{(1, 2]}", "(1, 2]"),
        ("The answer is Paris.", "Paris"),
        ('Answer: "New York City"\n', "New York City"),
        ("#### Paris", "Paris"),
        ("The answer is Rome. <answer> Paris </answer>", "Paris"),
        ("Paris", "Paris"),
        ("It is in France.\nSo it lies there.", None),
        ("The answer is", None),
        ("<think>so <answer>x</answer></think>", None),
    ],
)
def test_what_a_text_states_whatever_it_is(text, stated):
    found = find_statement(text)
    assert (text[slice(*found)] if found else None) == stated
    for kind in ("latex", "exact"):
        sink = find_sink(text, kind)
        assert (text[sink.start : sink.end] if sink else None) == stated


@pytest.mark.parametrize("find", [find_choice, find_statement])
@pytest.mark.parametrize(
    "piece", ["The answer is ", "\\boxed{", "A ", "(", "$", "* ", "\n", "B is ", "the best option "]
)
def test_no_text_is_slow_or_raises(find, piece):
    """20 times as long a text that took quadratic time would not end here."""
    find(piece * (100_000 // len(piece)))


def test_exact_compares_text_without_case_space_marks_and_dress():
    gold = read_gold("exact", "New  York City.", 0)
    for text in (
        "The answer is new york city.",
        "\\boxed{\\text{New York City}}",
        "#### New York City",
    ):
        assert TASK.grade(text, gold.to_text())
    for text in ("The answer is York.", "\\boxed{New York}", ""):
        assert not TASK.grade(text, gold.to_text())


@needs_math_verify
@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        (r"\frac{1}{2}", r"So \boxed{0.5}.", True),
        (r"$\frac{\pi}{2}$", r"The answer is $\pi/2$.", True),
        ("x^2+1", r"\boxed{1+x^2}", True),
        (r"\boxed{(1,2)}", r"\boxed{(1, 2)}", True),
        ("3", r"\boxed{4}", False),
        ("3", r"\boxed{\int_0^}", False),
        ("3", "It is 3, I think.\nOr not.", False),
    ],
)
def test_latex_compares_values(gold, text, right):
    assert TASK.grade(text, read_gold("latex", gold, 0).to_text()) == right


@needs_math_verify
def test_a_formula_that_takes_too_long_is_wrong_and_the_next_is_graded(monkeypatch):
    monkeypatch.setattr(latex, "CPU_SECONDS", 1.0)
    monkeypatch.setattr(latex, "_WORKER", latex._Worker())
    assert not latex.equal("11", "10^{10^{10^{10}}}")
    assert latex.equal("11", "22/2")


@pytest.mark.parametrize("stated", ["", " "])
def test_nothing_is_the_value_of_no_formula(stated):
    assert not latex.equal("3", stated)


@needs_math_verify
def test_a_gold_answer_that_is_no_formula_is_refused():
    with pytest.raises(ValueError, match="math-verify cannot read"):
        read_gold("latex", r"\{", 0)


def test_without_its_library_latex_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(latex, "LIBRARY", "no-such-library")
    with pytest.raises(
        UserError, match="needs the package no-such-library, which is not installed"
    ):
        latex.equal("1", "2")
