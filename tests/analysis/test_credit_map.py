"""The page: well formed, self-contained, safe with any text, and the same for the same records."""

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser

import pandas as pd
import pytest
from made_credit import make_records

from cfdapo.analysis.credit_map.completion import MappedCompletion
from cfdapo.analysis.credit_map.page import MOST_SHOWN, MapSettings, choose, credit_map
from cfdapo.analysis.records.measured_credit import SPAN_COLUMNS

CREDIT = MapSettings("pad", "answer", 0.5, 4.0, 1.5)
VOID = {"meta", "input", "link", "br", "img"}
NASTY = "<script>alert('x')</script></style>\"&amp;\u2028\u202etxet\u200b</div></a>"


def page(spans: list[dict], completions: list[dict], study="tiny", model="Qwen3-tiny") -> str:
    frame = pd.DataFrame(spans, columns=list(SPAN_COLUMNS))
    frame = frame.astype({"dependants": "Int64", "label": object})
    return credit_map(frame, completions, study, model, CREDIT)


class Page(HTMLParser):
    """Elements of a page, and the text of its completions; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.elements, self.texts = [], [], {}
        self.key = None
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, found))
        if tag == "article":
            self.key = found["id"]
        if tag not in VOID:
            self.open.append((tag, found.get("class")))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if ("div", "text") in self.open:
            self.texts[self.key] = self.texts.get(self.key, "") + data

    def of(self, tag: str) -> list[dict]:
        return [found for name, found in self.elements if name == tag]


@pytest.fixture(scope="module")
def records():
    return make_records(120)


@pytest.fixture(scope="module")
def html(records):
    return page(*records)


def test_the_page_is_well_formed_and_its_ids_are_unique(html):
    found = Page(html)
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids)) > 500
    refs = [a["href"][1:] for a in found.of("a")]
    for name in ("aria-labelledby", "aria-describedby"):
        refs += [a[name] for _, a in found.elements if name in a]
    assert set(refs) <= set(ids)
    assert found.of("html")[0]["lang"] == "en" and len(found.of("h1")) == 1


def test_nothing_is_fetched(html):
    """No address of any kind: links stay in the page, and its policy allows nothing else."""
    assert not re.search(r"https?:|//[a-z]|url\(|@import|src=", html)
    assert all(a["href"].startswith("#") for a in Page(html).of("a"))
    policy = next(a["content"] for a in Page(html).of("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    # The policy would not let them work.
    assert not [a for _, a in Page(html).elements for name in a if name.startswith(("on", "style"))]


def test_right_and_wrong_answers_are_apart(records, html):
    rows = {row["completion"]: row for row in records[1]}
    parts = re.split(r'<section class="(\w+)"', html)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(sections) == ["summary", "right", "wrong", "gold"]
    for name in ("right", "wrong", "gold"):
        shown = re.findall(r'<span class="id"> · ([\w-]+)</span>', sections[name])
        assert 10 < len(shown) <= MOST_SHOWN
        for key in shown:
            assert (rows[key]["source"] == "gold") == (name == "gold")
            assert rows[key]["correct"] == (name != "wrong") or name == "gold"


def test_every_text_is_a_completions_text(records, html):
    texts = Counter(row["text"] for row in records[1])
    shown = Counter(Page(html).texts.values())
    assert sum(shown.values()) == len(Page(html).of("article")) > 40
    assert not shown - texts


def test_the_summary_counts_all_that_was_measured(records, html):
    spans, completions = records
    wrong = [r for r in completions if r["source"] == "sampled" and not r["correct"]]
    keys = {row["completion"] for row in wrong}
    found = pd.DataFrame([span for span in spans if span["completion"] in keys])
    row = re.search(r'<th scope="row"><a href="#wrong">.*?</tr>', html).group()
    cells = [cell.replace("−", "-") for cell in re.findall(r"<td>(.*?)</td>", row)]
    shown = min(len(wrong), MOST_SHOWN)
    assert cells[:4] == [str(n) for n in (len(wrong), len(wrong), shown, len(found))]
    assert cells[4:6] == [f"{found['drop'].median():.3f}", f"{found['weight'].median():.2f}"]
    causal = found[found["label"] == "causal"]["weight"].median()
    assert cells[6] == f"{causal:.2f}"


def test_untrusted_text_is_only_text():
    spans, completions = make_records(8)
    for row in completions:
        row["text"] = NASTY + row["text"]
        row["tokens"] = [[i, i + 1] for i in range(len(row["text"]))]
        row["weights"] = [1.0] * len(row["text"])
        for column in ("question", "gold", "extracted", "policy"):
            row[column] = NASTY
    for span in spans:
        span["text"] = span["line"] = NASTY
    html = page(spans, completions, study=NASTY, model=NASTY)
    clean = Page(page(*make_records(8)))
    found = Page(html)
    assert len(found.of("script")) == len(found.of("style")) == 1
    assert {tag for tag, _ in found.elements} == {tag for tag, _ in clean.elements}
    assert set(found.texts.values()) == {row["text"] for row in completions}
    assert "<script>alert" not in html
    # Overrides stand alone in elements of their own, nowhere else.
    assert re.findall(r"(.{14})\u202e(.{7})", html) == [
        ('code="U+202E">', "</span>") for _ in re.findall("\u202e", html)
    ]


def test_the_same_records_give_the_same_page(records, html):
    assert page(*make_records(120)) == html
    assert len(html.encode()) < 1_000_000


@pytest.mark.parametrize("completions", [0, 1, 2])
def test_few_records_are_a_page_as_well(completions):
    found = Page(page(*make_records(completions)))
    assert len(found.of("article")) == completions


def test_completions_without_spans_are_counted_and_not_shown():
    spans, completions = make_records(8)
    found = Page(page([], completions))
    assert found.of("article") == []
    html = page([], completions)
    assert "0 of " in html and ">–</td>" in html and "nan" not in html.lower()
    # No span has a label: nothing to filter by.
    assert "label-causal" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_null_labels_and_odd_numbers_are_dashes():
    spans, completions = make_records(4)
    for span in spans:
        span |= {"label": None, "dependants": None, "drop": float("nan")}
    html = page(spans, completions)
    assert "label unknown" in html and "nan" not in html.lower()
    assert "drop – nats" in html


def candidates(problems: str) -> list[MappedCompletion]:
    """Completions of the problems that the letters name."""
    spans, (row, *_) = make_records(1)
    return [
        MappedCompletion(f"c{number}", row | {"problem": name}, spans)
        for number, name in enumerate(problems)
    ]


def test_every_problem_has_its_turn():
    found = choose(candidates("aaabbc"), most=4)
    # First of a, b and c (0, 3, 5), then the second of a (1); in the order of the records.
    assert [item.key for item in found] == ["c0", "c1", "c3", "c5"]


def test_no_section_is_larger_than_it_may_be():
    found = candidates("abcd")
    size = len(found[0].article(0).encode())
    assert [item.key for item in choose(found, most_bytes=2 * size + 1)] == ["c0", "c1"]
    assert choose(found, most_bytes=size - 1) == []
