"""Code is found in completions: the last fenced block, else all of the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfdapo.problems.code_places import extract_code, find_code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("", ""),
        ("```python\nx = 1\n```", "x = 1"),
        ("Here:\n```py\nx = 1\ny = 2\n```\nDone.", "x = 1\ny = 2"),
        ("```\na\n```\nor\n~~~python\nb\n~~~\n", "b"),
        ("```python\na\n```\n```python\nb", "b"),  # not closed
        ("```python", ""),
        ("```python\n```", ""),
        ("````\n```\nx\n```\n````", "```\nx\n```"),
        ("  ```python\n  x = 1\n  ```", "  x = 1"),
        ("`x`", "`x`"),
        ("```python\ns = '''\n``` not a fence'''\n```", "s = '''\n``` not a fence'''"),
    ],
)
def test_the_last_block_or_everything_is_code(text, code):
    assert extract_code(text) == code


@settings(max_examples=200, deadline=None)
@given(st.text() | st.lists(st.sampled_from(["```", "~~~", "python", "\n", " ", "x"])).map("".join))
def test_code_is_a_part_of_any_text(text):
    start, end = find_code(text)
    assert 0 <= start <= end <= len(text)
