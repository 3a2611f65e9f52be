import pandas as pd
import pytest

from cfdapo.analysis.costs.figure4_overhead import overhead_bars
from cfdapo.analysis.outcomes.figure3_accuracy_time import accuracy_over_time


def test_accuracy_stands_over_mean_minutes(curves, labels):
    timed = curves.assign(minutes=curves["step"] * (1 + curves["seed"]) / 10)
    figure = accuracy_over_time(timed, labels)
    assert [panel.get_title() for panel in figure.axes] == list(labels.values())
    (drawn,) = [one for one in figure.axes[1].get_lines() if one.get_label() == "DAPO"]
    # Seeds 0, 1 and 2 take 0.1, 0.2 and 0.3 minutes a step.
    assert list(drawn.get_xdata()) == pytest.approx([0, 5, 10, 15, 20])
    rows = timed[(timed["model"] == "qwen2") & (timed["mode"] == "vanilla")]
    expected = rows.groupby("step")["accuracy"].mean().to_numpy()
    assert list(drawn.get_ydata()) == pytest.approx(expected)


def test_variants_are_in_the_legend(curves, labels):
    timed = pd.concat([curves, curves[curves["mode"] == "random"].assign(mode="wide")])
    figure = accuracy_over_time(timed.assign(minutes=timed["step"] / 7), labels, {"wide": "Wide"})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("CF", "DAPO", "Random", "Inverted", "Wide")
    ]


def test_bars_are_the_profiles_seconds(profiles, labels):
    figure = overhead_bars(profiles, labels)
    (panel,) = figure.axes
    assert panel.get_title() == "Qwen3-tiny"
    assert [tick.get_text() for tick in panel.get_xticklabels()] == [
        *("none", "serial", "prefix", "gradient")
    ]
    heights = [bar.get_height() for bar in panel.patches]
    # Generation 3 s and update 1 s everywhere, then credit: none, 2.48, 0.8 and 0.4 s.
    assert heights == pytest.approx([3] * 4 + [1] * 4 + [0, 2.48, 0.8, 0.4])
    # Of the 4 s of a step.
    assert [text.get_text() for text in panel.texts] == ["", "+62 %", "+20 %", "+10 %"]


def test_without_profiles_the_figure_says_so(labels):
    (panel,) = overhead_bars({}, labels).axes
    assert panel.texts[0].get_text() == "no profile was measured"
