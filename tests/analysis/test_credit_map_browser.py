"""The page in a real browser: text, colours, keyboard, filters and paper."""

import pytest
from chromium import Chromium, find_chromium
from made_credit import make_records
from test_credit_map import NASTY, page
from test_shades import luminance

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")

# [text colour, background] of what shows text in a completion, as #rrggbb; the nearest background
# that is not transparent counts.
COLOURS = """(() => {
  const hex = (c) => "#" + c.match(/\\d+/g).slice(0, 3)
    .map((n) => Number(n).toString(16).padStart(2, "0")).join("");
  const ground = (e) => { while (getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)")
    e = e.parentElement; return getComputedStyle(e).backgroundColor; };
  const shown = (e, pseudo) => hex(getComputedStyle(e, pseudo).color);
  const found = [...document.querySelectorAll(".text i, .question, .scale span, .note, summary")]
    .map((e) => [shown(e), hex(ground(e))]);
  const figures = [...document.querySelectorAll(".text a.span")]
    .map((e) => [shown(e, "::after"), hex(ground(e))]);
  return [...new Set([...found, ...figures].map((pair) => pair.join(" ")))];
})()"""
# Least distance of a span's numbers from the left and the right of the screen, over all spans.
TIPS = """[...document.querySelectorAll("a.span")].map((span) => {
  span.focus();
  const box = getComputedStyle(span, "::before");
  return [parseFloat(box.left), parseFloat(box.right)];
}).reduce((a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1])])"""
TIP = 'getComputedStyle(document.activeElement, "::before").display'
FOCUSED = "document.activeElement.id"
SEEN = '[...document.querySelectorAll("article")].filter((a) => a.getClientRects().length).length'


@pytest.fixture(scope="module")
def records():
    spans, completions = make_records(24)
    odd = completions[0]
    odd["text"] += NASTY
    odd["tokens"] = [[i, i + 1] for i in range(len(odd["text"]))]
    odd["weights"] += [0.8] * len(NASTY)
    return spans, completions


@pytest.fixture(scope="module")
def path(records, tmp_path_factory):
    found = tmp_path_factory.mktemp("page") / "map.html"
    found.write_text(page(*records))
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Chromium(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def test_texts_are_whole_and_nothing_is_fetched_or_refused(browser, path, records):
    browser.open(path)
    texts = browser.evaluate('[...document.querySelectorAll(".text")].map((e) => e.textContent)')
    assert sorted(texts) == sorted(row["text"] for row in records[1])
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert asked == [path.as_uri()]
    faults = ("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening")
    assert not [event for event in browser.events if event.get("method") in faults]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible_as_it_is_drawn(browser, path, scheme):
    browser.open(path, scheme)
    pairs = [pair.split() for pair in browser.evaluate(COLOURS)]
    assert len(pairs) > 8
    for ink, ground in pairs:
        low, high = sorted((luminance(ink), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def test_dark_is_dark_and_paper_is_light(browser, path):
    browser.open(path, "dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    table = 'document.querySelector("article table").checkVisibility()'
    assert browser.evaluate(ground) == "rgb(20, 23, 27)" and not browser.evaluate(table)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.evaluate(ground) == "rgb(255, 255, 255)"
        # Nothing can be pointed at on paper, so the numbers are unfolded.
        assert browser.evaluate(table)
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_keys_alone_reach_every_span_and_its_numbers(browser, path):
    browser.open(path)
    for _ in range(200):
        browser.press("Tab")
        if (first := browser.evaluate(FOCUSED)).startswith("right0s"):
            break
    assert first == "right0s0" and browser.evaluate(TIP) == "block"
    browser.press("ArrowRight")
    assert browser.evaluate(FOCUSED) == "right0s1"
    browser.press("Escape")
    assert browser.evaluate(TIP) == "none"
    browser.press("ArrowLeft")
    assert browser.evaluate(FOCUSED) == "right0s0" and browser.evaluate(TIP) == "block"
    browser.press("Enter")
    assert browser.evaluate("location.hash") == "#right0n0"
    assert browser.evaluate('document.querySelector("article details").open')
    assert browser.evaluate('document.querySelector("tr:target").id') == "right0n0"


def test_a_screen_reader_is_told_the_numbers(browser, path, records):
    browser.open(path)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    names = [node["name"]["value"] for node in nodes if node.get("role", {}).get("value") == "link"]
    span = records[0][0]
    drop = f"{span['drop']:.3f}".replace("-", "−")
    assert any(n.startswith(f"{span['text']}: drop {drop} nats, importance ") for n in names)


def test_filters_work_without_the_script(browser, path, records):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    wrong = [r for r in records[1] if r["source"] == "sampled" and not r["correct"]]
    assert browser.evaluate(SEEN) == len(records[1])
    browser.evaluate('document.getElementById("show-wrong").click()')
    assert 0 < browser.evaluate(SEEN) == len(wrong)
    browser.evaluate('document.getElementById("label-distractor").click()')
    keys = {row["completion"] for row in wrong}
    found = {s["completion"] for s in records[0] if s["label"] == "distractor"} & keys
    assert browser.evaluate(SEEN) == len(found)


@pytest.mark.parametrize("width", [320, 400, 1200])
def test_no_page_is_wider_than_the_screen(browser, path, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.open(path)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    # The numbers lie within the screen at both sides, whichever span they belong to.
    left, right = browser.evaluate(TIPS)
    assert left >= 0 and right >= 0
    browser.call("Emulation.clearDeviceMetricsOverride")
