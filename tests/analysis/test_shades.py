"""The scale of the weights: where shades begin, and whether text is legible on each of them."""

import math
import re
from importlib import resources

import pytest

from cfdapo.analysis.credit_map.shades import NEUTRAL, RANGES, SHADES, shade

CSS = (resources.files("cfdapo.analysis.credit_map") / "page.css").read_text()
DARK = "@media screen and (prefers-color-scheme: dark)"
SCHEMES = ("light", "dark")


@pytest.mark.parametrize(
    ("weight", "name"),
    [
        (0.0, "w0"),
        (0.5, "w0"),
        (0.75, "w1"),
        (0.99, "w1"),
        (0.996, "w2"),
        (1.0, "w2"),
        (1.004, "w2"),
        (1.01, "w3"),
        (1.5, "w4"),
        (2.25, "w5"),
        (2.999, "w6"),
        (3.0, "w7"),
        (3.5, "w8"),
        (4.0, "w8"),
        (40.0, "w8"),
        (math.nan, "w2"),
        (math.inf, "w2"),
    ],
)
def test_shades_begin_at_their_edges(weight, name):
    assert shade(weight) == name


def test_every_shade_has_a_range_in_the_legend():
    assert list(RANGES) == list(SHADES) and RANGES[NEUTRAL] == "1"


def colours(scheme: str) -> dict[str, str]:
    """The custom properties of a scheme; dark redefines those of light."""
    light, dark = CSS.split(DARK)[0], CSS.split(DARK)[1].split("}")[0]
    text = light if scheme == "light" else light + dark
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text))


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WCAG's known case


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("number", range(len(SHADES)))
def test_text_is_legible_on_every_shade(scheme, number):
    found = colours(scheme)
    assert contrast(found[f"f{number}"], found[f"w{number}"]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_other_text_is_legible(scheme):
    found = colours(scheme)
    for ink in ("text", "muted", "link", "good", "bad"):
        for ground in ("page", "card", "soft"):
            assert contrast(found[ink], found[ground]) >= 4.5, (ink, ground)
    assert contrast(found["tip"], found["on-tip"]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lines_and_focus_are_seen(scheme):
    """Parts of a page that carry meaning need 3 to 1 against what is beside them."""
    found = colours(scheme)
    for line in ("low", "high", "focus"):
        assert contrast(found[line], found["card"]) >= 3, line


@pytest.mark.parametrize("scheme", SCHEMES)
def test_heavier_is_farther_from_the_page(scheme):
    """So that the order also shows without hues: in grey, or to somebody who sees none."""
    found = colours(scheme)
    for names in (("w2", "w1", "w0"), ("w2", "w3", "w4", "w5", "w6", "w7", "w8")):
        distances = [contrast(found[name], found["card"]) for name in names]
        assert distances == sorted(distances) and len(set(distances)) == len(distances)
