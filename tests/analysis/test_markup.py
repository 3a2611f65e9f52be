"""Untrusted text as HTML: what a parser reads is the text, and nothing in it is markup."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfdapo.analysis.credit_map.markup import as_attribute, as_text


class Reader(HTMLParser):
    """Text and tags of a fragment."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "</style></script><img src=x onerror=alert(1)>",
        "\"quotes\" and 'apostrophes' & &amp; &#60; &lt;b&gt;",
        "<!-- --> ]]> <?php",
        "1 < 2 > 0",
        "naïve 日本語 🙂",
    ],
)
def test_markup_is_text(text):
    read = Reader(as_text(text))
    assert read.text == text and read.tags == []
    assert not set('<>"') & set(as_attribute(text))


def test_characters_without_a_look_are_kept_and_named():
    # An override, a line separator, a zero-width space, a carriage return, escape, C1 NEL.
    text = "a\u202eb\u2028c\u200bd\re\x1bf\x85g"
    read = Reader(as_text(text))
    assert read.text == text
    assert [tag for tag, _ in read.tags] == ["span"] * 6
    codes = [attributes["data-code"] for _, attributes in read.tags]
    assert codes == ["U+202E", "U+2028", "U+200B", "U+000D", "U+001B", "U+0085"]
    assert as_attribute("a\u202eb\x00") == "a[U+202E]b[U+0000]"


def test_lines_tabs_and_joined_emoji_are_shown_as_they_are():
    text = "a\n\tb 👩\u200d🔬"
    assert as_text(text) == text == as_attribute(text)


def test_what_no_file_can_hold_is_replaced():
    read = Reader(as_text("a\0b\ud800"))
    assert read.text == "a\ufffdb\ufffd"
    assert [attributes["data-code"] for _, attributes in read.tags] == ["U+0000", "U+D800"]
    as_text("\udfff").encode()  # would raise for the half itself


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_read_back(text):
    assert Reader(as_text(text)).text == text
    value = Reader(f'<p title="{as_attribute(text)}">').tags[0][1]["title"]
    assert not any("\u202a" <= sign <= "\u202e" for sign in value)
