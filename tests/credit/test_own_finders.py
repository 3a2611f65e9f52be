"""Spans and answers that a function of one's own finds: what is taken, and what is an error."""

import pytest

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.own_finders import own_answer, own_spans
from cfdapo.credit.spans import Span, find_answer, find_spans

TEXT = "2 + 2 = 4. So it is B."
ANSWER = Span(20, 21, "answer")


def test_pairs_and_spans_are_taken_in_the_texts_order():
    assert own_answer(lambda text: (20, 21), TEXT) == ANSWER
    assert own_answer(lambda text: None, TEXT) is None
    found = own_spans(lambda *_: [(11, 19), Span(0, 9, "arithmetic")], TEXT, 10, ANSWER)
    assert found == [Span(0, 9, "arithmetic"), Span(11, 19, "own")]


def test_the_packages_own_finders_fit():
    text = "2 + 2 = 4. The answer is 4."
    answer = own_answer(find_answer, text)
    assert answer and own_spans(find_spans, text, 10, answer) == find_spans(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([(0, 21)], "characters 0 to 21; the text before the answer has 0 to 20"),
        ([(3, 3)], "characters 3 to 3"),
        ([(0, 9), (8, 12)], "overlap"),
        ([(0, 1), (2, 3), (4, 5)], "3 spans; max_spans is 2"),
        (["x"], "'x'; allowed: a Span or a pair"),
        (None, "gave None; allowed: a list of spans"),
    ],
)
def test_what_is_no_span_before_the_answer_is_an_error(given, message):
    with pytest.raises(ValueError, match=message):
        own_spans(lambda *_: given, TEXT, 2, ANSWER)


def test_an_answer_outside_the_text_is_an_error():
    with pytest.raises(ValueError, match="the text has 0 to 22"):
        own_answer(lambda text: (20, 40), TEXT)


def test_functions_are_taken_where_there_are_names_and_nothing_else_is():
    assert CreditConfig(spans=find_spans, answer=find_answer).measures_drops
    with pytest.raises(ValueError, match="unknown answer 5; allowed: number"):
        CreditConfig(answer=5)
