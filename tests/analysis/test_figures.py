import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from cfdapo.analysis.outcomes.figure1_training_curves import training_curves
from cfdapo.analysis.outcomes.figure2_training_dynamics import reward_and_weights
from cfdapo.analysis.rendering.figures import STYLES, save, styles_of
from cfdapo.vocabulary import PAPER_MODES


def legend_of(figure) -> tuple[list[str], str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()], legend.get_title().get_text()


def line(panel, label):
    return next(line for line in panel.get_lines() if line.get_label() == label)


def band_at(panel, colour, x):
    """Lowest and highest value of the band of a colour (red, green, blue) at x."""
    bands = [c for c in panel.collections if isinstance(c, PolyCollection)]
    (band,) = [b for b in bands if np.allclose(b.get_facecolor()[0][:3], colour[:3])]
    vertices = np.vstack([path.vertices for path in band.get_paths()])
    values = vertices[vertices[:, 0] == x, 1]
    return values.min(), values.max()


def test_lines_are_means_and_bands_one_sample_std(curves, labels):
    figure = training_curves(curves, labels)
    assert [panel.get_title() for panel in figure.axes] == list(labels.values())
    of_llama = curves[(curves["model"] == "llama") & (curves["mode"] == "inverted")]
    by_step = of_llama.groupby("step")["accuracy"]
    drawn = line(figure.axes[2], "Inverted")
    assert drawn.get_xdata().tolist() == [0, 25, 50, 75, 100]
    assert drawn.get_ydata() == pytest.approx(by_step.mean().to_numpy())
    low, high = band_at(figure.axes[2], to_rgb(STYLES["inverted"].colour), 50)
    assert (low + high) / 2 == pytest.approx(by_step.mean()[50])
    assert (high - low) / 2 == pytest.approx(by_step.std()[50])


def test_the_share_of_programs_that_pass_is_called_a_pass_rate(curves, labels):
    for task, name in {"mbpp": "Pass rate (%)", "gsm8k": "Test accuracy (%)"}.items():
        assert training_curves(curves, labels, task=task).axes[0].get_ylabel() == name


def test_one_legend_in_the_papers_order(curves, labels):
    figure = training_curves(curves, labels)
    names, title = legend_of(figure)
    assert names == list(PAPER_MODES.values())
    assert "bands: ±1 std" in title
    assert all(panel.get_legend() is None for panel in figure.axes)


def test_modes_differ_without_their_colour():
    assert set(STYLES) == set(PAPER_MODES)
    for part in ("line", "marker", "colour"):
        assert len({getattr(style, part) for style in STYLES.values()}) == len(STYLES)


def test_one_seed_is_drawn_and_said(curves, labels):
    figure = training_curves(curves[curves["seed"] == 0], labels)
    assert legend_of(figure)[1] == "one seed: no spread shown"
    assert np.isfinite(line(figure.axes[0], "CF").get_ydata()).all()


def test_a_mode_of_one_seed_among_others_is_said(curves, labels):
    some = curves[(curves["mode"] != "random") | (curves["seed"] == 0)]
    assert "no band: one seed" in legend_of(training_curves(some, labels))[1]


def test_missing_modes_and_a_fourth_model_leave_no_empty_panel(curves, labels):
    fourth = curves[(curves["model"] == "llama") & (curves["mode"] == "vanilla")]
    figure = training_curves(
        pd.concat([curves, fourth.assign(model="extra")]), {**labels, "extra": "Extra"}
    )
    assert [panel.get_title() for panel in figure.axes] == [*labels.values(), "Extra"]
    assert len(figure.axes[3].get_lines()) == 1


def test_dynamics_have_a_row_a_quantity_and_running_means(history, labels):
    figure = reward_and_weights(history, labels)
    assert len(figure.axes) == 3 * 3
    assert [figure.axes[index].get_ylabel() for index in (0, 3, 6)] == [
        *("Training reward", "Mean token weight", "Std of token weights")
    ]
    # 5 % of 20 steps is one step: nothing is averaged.
    rows = history[(history["model"] == "qwen3") & (history["mode"] == "vanilla")]
    expected = rows.groupby("step")["weight_mean"].mean().to_numpy()
    assert line(figure.axes[3], "DAPO").get_ydata() == pytest.approx(expected)
    assert "running mean" not in legend_of(figure)[1]


def test_modes_without_weights_have_no_line_of_weights(history, labels):
    none = history.copy()
    none.loc[none["mode"] == "random", ["weight_mean", "weight_std"]] = np.nan
    figure = reward_and_weights(none, labels)
    drawn = [{one.get_label() for one in panel.get_lines()} for panel in figure.axes]
    assert "Random" in drawn[0] and "Random" not in drawn[3] | drawn[6]
    assert {"CF", "DAPO", "Inverted"} <= drawn[3] and "Random" in legend_of(figure)[0]
    none[["weight_mean", "weight_std"]] = np.nan
    assert not reward_and_weights(none, labels).axes[3].get_lines()


def test_long_runs_are_smoothed_within_a_seed_and_said(history, labels):
    longer = pd.concat([history.assign(step=history["step"] + 20 * k) for k in range(4)])
    figure = reward_and_weights(longer, labels)
    assert "running mean of 4 steps" in legend_of(figure)[1]
    rows = longer[(longer["model"] == "qwen3") & (longer["mode"] == "vanilla")]
    means = rows.groupby("step")["reward"].mean()
    drawn = dict(zip(*line(figure.axes[0], "DAPO").get_data(), strict=True))
    assert drawn[41] == pytest.approx(means.loc[38:41].mean())


def test_files_are_the_same_bytes_twice_without_dates(tmp_path, curves, labels):
    first = save(training_curves(curves, labels), tmp_path / "figure1")
    second = save(training_curves(curves, labels), tmp_path / "again")
    assert [path.name for path in first] == ["figure1.pdf", "figure1.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert b"CreationDate" not in first[0].read_bytes()
    assert b"Software" not in first[1].read_bytes()


def test_the_picture_has_200_dots_an_inch(tmp_path, curves, labels):
    figure = training_curves(curves, labels)
    _, png = save(figure, tmp_path / "figure1")
    height, width, _ = imread(png).shape
    assert (width, height) == tuple(np.round(figure.get_size_inches() * 200).astype(int))


def test_the_legend_lies_within_a_figure_of_one_model(curves, labels):
    figure = training_curves(curves[curves["model"] == "llama"], {"llama": "L"})
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_nine_modes_differ_by_line_marker_and_colour_and_all_stand_in_the_legend(curves, labels):
    variants = {f"variant{n}": f"Variant {n}, mean 1" for n in range(5)}
    styles = styles_of([*PAPER_MODES, *variants])
    assert len({(s.colour, s.line) for s in styles.values()}) == 9
    assert len({s.line for s in styles.values()}) == len({s.marker for s in styles.values()}) == 9
    more = [curves[curves["mode"] == "random"].assign(mode=name) for name in variants]
    figure = training_curves(pd.concat([curves, *more]), labels, variants)
    assert legend_of(figure)[0] == [*PAPER_MODES.values(), *variants.values()]
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
