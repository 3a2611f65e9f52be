"""A completion on a credit map: its text is kept exactly, its numbers are those of the records."""

import pandas as pd
import pytest
from made_credit import make_records
from test_markup import Reader

from cfdapo.analysis.credit_map.completion import MappedCompletion, nats, number


def annotated(index: int = 0) -> MappedCompletion:
    spans, completions = make_records(8)
    row = completions[index]
    return MappedCompletion("c1", row, [s for s in spans if s["completion"] == row["completion"]])


def attributes(html: str, name: str) -> list[dict]:
    """Attributes of the elements of this class, in order."""
    return [a for _, a in Reader(html).tags if name in (a.get("class") or "").split()]


def cut(text: str, tokens: list[list[int]], weights=None, spans=()) -> str:
    """The HTML of a text with these tokens; `spans` are token ranges."""
    row = make_records(1)[1][0]
    row |= {"text": text, "tokens": tokens, "weights": weights or [1.0] * len(tokens)}
    row["answer"] = None
    span = make_records(1)[0][0]
    found = [
        span | {"span": number, "token_start": start, "token_end": end}
        for number, (start, end) in enumerate(spans)
    ]
    return MappedCompletion("c1", row, found).text()


@pytest.mark.parametrize("index", range(8))
def test_the_text_is_the_completions(index):
    one = annotated(index)
    assert Reader(one.text()).text == one.completion["text"]
    tokens = [tag for tag, _ in Reader(one.text()).tags if tag == "i"]
    assert len(tokens) == len(one.completion["tokens"])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # A sign of three bytes: two pieces without characters, then the one that ends it.
        ("a日b", [[0, 1], [1, 1], [1, 1], [1, 2], [2, 3]]),
        # Every piece has the whole sign.
        ("a日b", [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3]]),
        # Text before, between and behind the tokens.
        ("  a  b  ", [[2, 3], [5, 6]]),
        # Pieces that overlap, and one that goes back.
        ("abcd", [[0, 2], [1, 3], [0, 1], [3, 4]]),
        ("<i>\u2028</i>\u202e&amp;", [[0, 4], [4, 8], [8, 14]]),
        ("no tokens", []),
        ("", []),
    ],
)
@pytest.mark.parametrize("spans", [[], [(1, 3)], [(0, 2), (1, 4)]])
def test_the_text_is_kept_however_tokens_lie(text, tokens, spans):
    spans = [(start, min(end, len(tokens))) for start, end in spans if start < len(tokens)]
    assert Reader(cut(text, tokens, spans=spans)).text == text


def test_a_span_is_one_element_over_its_tokens_and_what_lies_between_them():
    html = cut("So 1 +  2 now", [[0, 2], [2, 4], [4, 6], [7, 9], [9, 13]], spans=[(1, 4)])
    (span,) = attributes(html, "span")
    assert span["id"] == "c1s0" and span["href"] == "#c1n0"
    inside = html[html.index("<a ") : html.index("</a>") + 4]
    assert Reader(inside).text == " 1 +  2"


def test_tokens_have_the_shade_of_their_own_weight():
    html = cut("abcd", [[0, 1], [1, 2], [2, 3], [3, 4]], [0.5, 1.0, 2.2, 2.2])
    assert (
        html == '<span class="w0"><i>a</i></span><i>b</i><span class="w5"><i>c</i><i>d</i></span>'
    )


def test_tips_and_names_hold_the_numbers_of_the_records():
    one = annotated()
    links = attributes(one.text(), "span")
    assert len(links) == len(one.spans) > 3
    for link, span in zip(links, one.spans, strict=True):
        lines = dict(line.split(None, 1) for line in link["data-tip"].split("\n")[1:5])
        expected = {
            "drop": f"{span['drop']:.3f} nats",
            "importance": f"{span['importance']:.3f} nats",
            "normalised": f"{span['normalized']:.3f}",
            "weight": f"{span['weight']:.3f}",
        }
        assert {k: v.replace("−", "-") for k, v in lines.items()} == expected
        assert f"label       {span['label']}" in link["data-tip"]
        spoken = link["aria-label"].replace("−", "-")
        assert spoken.startswith(f"{span['text']}: drop {expected['drop']}, importance ")
        assert f"weight {expected['weight']}, label {span['label']}" in spoken
        assert link["data-weight"] == f"{span['weight']:.2f} {span['label']}"


def test_rescaled_weights_are_said_beside_those_of_the_equation():
    one = annotated()
    one.completion["weights"] = [weight / 2 for weight in one.completion["weights"]]
    first = attributes(one.text(), "span")[0]
    half = f"{one.spans[0]['weight'] / 2:.3f}"
    assert f"rescaled to{half:>10}" in first["data-tip"]
    assert "rescaled" not in attributes(annotated().text(), "span")[0]["data-tip"]


def test_rows_of_numbers_and_spans_lead_to_each_other():
    one = annotated()
    tags = Reader(one.article(1)).tags
    ids = {a["id"] for _, a in tags if "id" in a}
    targets = {a["href"][1:] for _, a in tags if (a.get("href") or "").startswith("#")}
    assert targets <= ids and {"c1s0", "c1n0"} <= targets


def test_columns_without_any_value_are_left_out():
    one = annotated()
    blank = [span | {"label": None, "dependants": pd.NA} for span in one.spans]
    html = MappedCompletion("c1", one.completion, blank).numbers()
    assert "label</th>" not in html and "needed by" not in html
    assert "label</th>" in one.numbers() and "needed by" in one.numbers()
    assert MappedCompletion("c1", one.completion, blank).classes() == "item unknown"


def test_the_answer_is_marked_with_its_weight():
    one = annotated()
    answer = one.completion["answer"]
    one.completion["weights"][answer["token_start"] : answer["token_end"]] = [1.5] * 2
    (mark,) = attributes(one.text(), "answer")
    assert mark["data-weight"] == "1.50 answer"


def test_a_strip_has_every_token_once():
    one = annotated()
    rects = [a for tag, a in Reader(one.strip(1)).tags if tag == "rect"]
    assert sum(int(a["width"]) for a in rects) == len(one.completion["tokens"])
    shades = [a["class"] for a in rects]
    assert all(a != b for a, b in zip(shades, shades[1:], strict=False))


def test_wrong_answers_name_the_right_one():
    row = annotated(1).completion | {"correct": False, "extracted": None, "gold": "7<"}
    html = MappedCompletion("c1", row, annotated(1).spans).article(1)
    assert "✗ wrong</b>: states no answer, right is 7&lt;" in html


@pytest.mark.parametrize(
    ("correct", "verdict"), [(True, "✓ right</b>: passes"), (False, "✗ wrong</b>: fails")]
)
def test_programs_pass_or_fail_their_tests(correct, verdict):
    program = "def f(x):\n    return x"
    row = annotated(1).completion | {"correct": correct, "extracted": program, "gold": "f<"}
    html = MappedCompletion("c1", row, annotated(1).spans, "mbpp").article(1)
    assert f"{verdict} the tests of f&lt;</p>" in html and program not in html


def test_numbers_for_readers():
    assert number(-0.0001) == "0.000" and number(-1.2345) == "−1.234" and number(2.5, 2) == "2.50"
    assert nats(-0.0001) == "−1.0e−04" and nats(0.0) == "0.000" and nats(-523.4) == "−523.400"
    assert number(None) == number(float("nan")) == nats(float("inf")) == "–"
