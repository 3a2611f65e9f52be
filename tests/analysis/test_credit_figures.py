"""The figures of measured credit: what is drawn is what was measured."""

import io

import numpy as np
import pytest

from cfdapo.analysis.credit.figure5_drop_histogram import drop_histogram
from cfdapo.analysis.credit.figure6_importance_position import importance_by_position
from cfdapo.analysis.credit.figure7_weights import weight_histogram
from cfdapo.analysis.rendering.figures import save
from cfdapo.analysis.statistics.clustered import mean

LABELS = {"llama-tiny": "Llama_tiny & Co", "qwen3-tiny": "Qwen3"}
FIGURES = [drop_histogram, importance_by_position, weight_histogram]


def legend_of(figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("draw", FIGURES)
def test_a_panel_a_sample(measured, draw):
    assert [panel.get_title() for panel in draw(measured, LABELS).axes] == [
        *("Llama_tiny & Co, sampled", "Qwen3, sampled", "Llama_tiny & Co, gold", "Qwen3, gold"),
    ]


def test_the_same_records_are_the_same_bytes(measured, tmp_path):
    one = {"qwen3-tiny": measured["qwen3-tiny"]}
    files = [
        [path.read_bytes() for path in save(drop_histogram(one, {"qwen3-tiny": "Q"}), tmp_path / n)]
        for n in "ab"
    ]
    assert files[0] == files[1] and files[0][0].startswith(b"%PDF")


def test_every_span_is_in_the_histogram(measured):
    figure = drop_histogram(measured, LABELS)
    for panel in figure.axes:
        assert sum(bar.get_height() for bar in panel.patches) == pytest.approx(100)
    assert legend_of(figure) == ["causal", "restatement", "filler", "distractor"]
    spans = measured["llama-tiny"][0]
    drops = spans.loc[spans["source"] == "sampled", "drop"]
    below = sum(b.get_height() for b in figure.axes[0].patches if b.get_x() + b.get_width() <= 0)
    assert below == pytest.approx(100 * (drops < 0).mean())


def test_spans_without_labels_are_parted_by_kind(measured):
    unlabelled = {
        m: (spans.assign(label=None, kind=["loop", *spans["kind"][1:]]), rows)
        for m, (spans, rows) in measured.items()
    }
    figure = drop_histogram(unlabelled, LABELS)
    assert legend_of(figure) == ["arithmetic", "sentence", "loop"]
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == pytest.approx(100)


def test_means_by_position_are_those_of_the_spans(measured):
    figure = importance_by_position(measured, LABELS)
    spans = measured["llama-tiny"][0]
    spans = spans[spans["source"] == "sampled"]
    lines = [c.lines[0] for c in figure.axes[0].containers]
    expected = spans["importance"].groupby((spans["position"] * 10).astype(int)).mean()
    assert lines[0].get_ydata() == pytest.approx(expected.to_numpy())
    assert lines[0].get_xdata() == pytest.approx((expected.index.to_numpy() + 0.5) / 10)
    # Bars are the clustered intervals that the tables have.
    first = spans[(spans["position"] * 10).astype(int) == expected.index[0]]
    problems = {row["completion"]: row["problem"] for row in measured["llama-tiny"][1]}
    found = mean(first["importance"].to_numpy(), first["completion"].map(problems))
    bar = figure.axes[0].containers[0].lines[2][0].get_segments()[0]
    assert bar[:, 1].tolist() == pytest.approx([found.low, found.high])
    earlier = spans[~spans["last_line"].astype(bool)]
    expected = earlier["importance"].groupby((earlier["position"] * 10).astype(int)).mean()
    assert lines[1].get_ydata() == pytest.approx(expected.to_numpy())
    assert legend_of(figure) == ["mean of all spans", "mean without the last line"]


def test_every_token_is_in_the_histogram_of_weights(measured):
    figure = weight_histogram(measured, LABELS)
    weights = np.concatenate(
        [r["weights"] for r in measured["llama-tiny"][1] if r["source"] == "sampled"]
    )
    panel = figure.axes[0]
    assert sum(bar.get_height() for bar in panel.patches) == pytest.approx(100)
    (text,) = panel.texts
    assert text.get_text() == f"mean {weights.mean():.2f}"


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("keep", ["no spans", "zero drops", "one model without gold"])
def test_poor_records_are_drawn(measured, draw, keep):
    given = dict(measured)
    for model, (spans, rows) in measured.items():
        if keep == "no spans":
            given[model] = spans[:0], rows
        elif keep == "zero drops":
            given[model] = spans.assign(drop=0.0, importance=0.0), rows
        elif model == "qwen3-tiny":
            sampled = [r for r in rows if r["source"] == "sampled"]
            given[model] = spans[spans["source"] == "sampled"], sampled
    image = io.BytesIO()
    draw(given, LABELS).savefig(image, format="png", dpi=30)
    assert len(image.getvalue()) > 1000
