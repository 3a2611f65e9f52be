"""Spans and sinks of code: exact where it parses, line by line where not, always in order."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfdapo.credit.code_spans import CODE_KINDS, find_code_answer, find_code_spans
from cfdapo.credit.spans import Span

CODE = '''import math
from os import path

def helper(é):
    """A docstring with return 1."""
    return é * 2  # a comment

@cache
def f(xs, n=3):
    é = "ü"; total = 0
    for x in xs:
        if x > 0 and (
                x < n):
            total += helper(x)
        elif x: xs.append(1)
        else:
            return None
    ys = [y for y in xs if y]
    while total > 10:
        pass
    print(sum(v for v in ys))
    match n:
        case 1: assert n
    if not ys: return 0
    return (total +
            math.pi)
'''
PIECES = [
    ("import math", "import"),
    ("from os import path", "import"),
    ("return é * 2", "return"),
    ('é = "ü"', "assignment"),
    ("total = 0", "assignment"),
    ("for x in xs", "loop"),
    ("if x > 0 and (\n                x < n)", "conditional"),
    ("total += helper(x)", "assignment"),
    ("elif x", "conditional"),
    ("xs.append(1)", "call"),
    ("return None", "return"),
    ("ys = [y for y in xs if y]", "comprehension"),
    ("while total > 10", "loop"),
    ("print(sum(v for v in ys))", "comprehension"),
    ("match n", "conditional"),
    ("if not ys", "conditional"),
    ("return 0", "return"),
]
SINK = "total +\n            math.pi"


def found(text: str, max_spans: int = 99, sink: str = "returns") -> list[tuple[str, str]]:
    answer = find_code_answer(text, sink)
    spans = find_code_spans(text, max_spans, answer)
    return [(text[span.start : span.end], span.kind) for span in spans]


def sink_of(text: str, sink: str = "returns") -> str | None:
    answer = find_code_answer(text, sink)
    assert answer is None or answer.kind == "answer"
    return answer and text[answer.start : answer.end]


@pytest.mark.parametrize(
    "before", ["", "Words, return 1.\n```python\n", "```\nx = 1\n```\nü:\n```py\n"]
)
@pytest.mark.parametrize("new_line", ["\n", "\r\n"])
def test_every_statement_is_found_exactly(before, new_line):
    text = before + CODE.replace("\n", new_line) + ("```\nThat is all = it(was)." if before else "")
    pieces = [(piece.replace("\n", new_line), kind) for piece, kind in PIECES]
    assert found(text) == pieces
    assert sink_of(text) == SINK.replace("\n", new_line)


def test_the_whole_function_leaves_what_comes_before_it():
    assert found(CODE, sink="function") == PIECES[:3]
    whole = sink_of(CODE, "function")
    assert whole.startswith("def f(xs") and whole.endswith("math.pi)")


def test_spans_without_an_answer_are_all_of_them():
    assert [CODE[s.start : s.end] for s in find_code_spans(CODE, 99)][-1].startswith(
        "return (total"
    )


def test_most_telling_kinds_are_kept_where_there_are_too_many():
    kinds = [kind for _, kind in found(CODE, 8)]
    assert sorted(kinds, key=CODE_KINDS.index) == ["return"] * 3 + ["conditional"] * 4 + ["loop"]
    assert found(CODE, 0) == []
    assert [piece for piece, _ in found(CODE, 1)] == ["return é * 2"]


@pytest.mark.parametrize(
    ("code", "sink"),
    [
        ("def f(x): return x + 1", "x + 1"),
        ("def f(x):\n    return x\ndef g(x):\n    return f(x)", "f(x)"),
        # A helper that stands after its user.
        ("def f(x):\n    return g(x)\ndef g(x):\n    return x", "g(x)"),
        # Each uses the other: the last.
        ("def f(x):\n    return g(x)\ndef g(x):\n    return f(x - 1)", "f(x - 1)"),
        ("def f(n):\n    return n * f(n - 1)", "n * f(n - 1)"),
        ("def f(x):\n    def g(y):\n        return y\n    return g(x)", "g(x)"),
        ("def f(x):\n    if x:\n        return 1\n    else:\n        return 2", "2"),
        ("def f(x):\n    return x\n    def g(): return 1", "x"),
        ("f = lambda x: x + 1", "x + 1"),
        ("async def f(): return 1", "1"),
        ("def f(x):\n    return\n", None),
        ("def f(x): pass", None),
        ("x = 1", None),
        ("return 1", None),
        ("", None),
    ],
)
def test_sink_is_the_entry_point_s_last_return(code, sink):
    assert sink_of(code) == sink


HALF = """import math
# a comment
def f(xs):
    total = 0
    xs[0] += 1
    for x in xs:
        if x > 0:
            print(x)
    ys = [y for y in xs]
    if total == 1:
        return 0
    else:
        return total + (
"""


def test_half_written_code_is_read_line_by_line():
    assert found(HALF) == [
        ("import math", "import"),
        ("total = 0", "assignment"),
        ("xs[0] += 1", "assignment"),
        ("for x in xs:", "loop"),
        ("if x > 0:", "conditional"),
        ("print(x)", "call"),
        ("ys = [y for y in xs]", "comprehension"),
        ("if total == 1:", "conditional"),
        ("return 0", "return"),
    ]
    assert sink_of(HALF) == "total + ("
    assert sink_of(HALF, "function").startswith("def f(xs):\n")
    assert sink_of("def f(x):\n    return") is None and sink_of("x = (", "function") is None
    # A block that was cut off.
    assert sink_of("Here:\n```python\ndef f(x):\n    return (x") == "(x"


WORDS = [
    "def f(x):\n", "    ", "return ", "x", " + ", "(", ")", "\n", "\r", "```", "```python\n", "if ",
    "for x in y", ":", " = ", "import a", "'", '"""', "é", "🙂", "\\", "#", "[", "]", "lambda: ",
    "\ud800", "\0", "\f", "\t", ";", "match x:", "case ", "@", "1", ",", "while ", "\u2028",
]  # fmt: skip
TEXTS = st.text() | st.lists(st.sampled_from(WORDS), max_size=40).map("".join)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.integers(0, 12), st.sampled_from(["returns", "function"]))
def test_any_text_gives_sorted_disjoint_spans_before_the_sink(text, max_spans, sink):
    answer = find_code_answer(text, sink)
    spans = find_code_spans(text, max_spans, answer)
    assert len(spans) <= max_spans
    end = 0
    for span in spans:
        assert end <= span.start < span.end and span.kind in CODE_KINDS
        end = span.end
    if answer:
        assert end <= answer.start < answer.end <= len(text)
    assert set(find_code_spans(text, max_spans - 1, answer)) <= set(spans)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(CODE)), st.integers(0, len(CODE)))
def test_any_piece_of_code_gives_spans_that_are_its_own(start, end):
    text = CODE[start:end]
    for span in find_code_spans(text, 99):
        piece = text[span.start : span.end]
        assert piece == piece.strip()


def test_deep_nesting_raises_nothing():
    for text in ("(" * 10**4, "-" * 10**5 + "1", "x = " + "[" * 90 + "]" * 90, "a" + ".b" * 10**4):
        find_code_spans(text)
        find_code_answer(text)


def test_spans_parse_where_the_code_does():
    for span in find_code_spans(CODE, 99):
        piece = CODE[span.start : span.end]
        if span.kind in ("import", "assignment", "call", "comprehension"):
            ast.parse(piece)
        if span.kind == "return":
            ast.parse(f"def f():\n {piece}")


def test_a_span_is_the_project_s_span():
    assert find_code_spans("x = 1") == [Span(0, 5, "assignment")]
