import numpy as np
import pytest

from cfdapo.analysis.records.curves import (
    accuracy_curve,
    area_under_curve,
    areas,
    collect,
    final_accuracy,
    read_curves,
    write_curves,
)
from cfdapo.analysis.records.runs import Run, collect_history
from cfdapo.checksums import finish
from cfdapo.files import UserError
from cfdapo.vocabulary import named_modes


def evaluation(marks: dict[int, str]) -> list[dict]:
    """Rows from steps and marks: `{25: "+-+"}` is two of three problems right at step 25."""
    return [
        {"step": step, "problem": f"p{index}", "correct": mark == "+"}
        for step, text in marks.items()
        for index, mark in enumerate(text)
    ]


def test_accuracy_is_the_share_of_correct_problems_by_ascending_step():
    curve = accuracy_curve(evaluation({25: "++-+", 0: "-+--"}))
    assert curve.to_dict("list") == {
        "step": [0, 25],
        "accuracy": [25.0, 75.0],
        "problems": [4, 4],
    }


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no evaluation rows"),
        (evaluation({0: "+-", 25: "+"}), "step 25 was graded on other problems"),
        (evaluation({0: "+"}) * 2, "p0 is graded twice at step 0"),
        ([{"step": 0, "problem": "p0", "correct": "false"}], "not a bool"),
        ([{"step": 0, "problem": "p0"}], "lacks 'correct'"),
    ],
)
def test_a_faulty_evaluation_is_refused(rows, reason):
    with pytest.raises(ValueError, match=reason):
        accuracy_curve(rows)


def test_steps_of_equal_size_but_other_problems_are_refused():
    rows = [
        {"step": 0, "problem": "a", "correct": True},
        {"step": 25, "problem": "b", "correct": True},
    ]
    with pytest.raises(ValueError, match="other problems"):
        accuracy_curve(rows)


def test_collect_keeps_the_order_of_runs_and_survives_the_file(tmp_path):
    runs = [
        Run("7", "vanilla", 1, evaluation({0: "+--", 25: "++-"})),
        Run("nan", "counterfactual", 0, evaluation({0: "---", 25: "+++"})),
    ]
    curves = collect(iter(runs))
    assert list(curves.columns) == ["model", "mode", "seed", "step", "accuracy", "problems"]
    assert curves["model"].tolist() == ["7", "7", "nan", "nan"]
    assert curves["accuracy"].tolist() == [100 / 3, 200 / 3, 0.0, 100.0]
    write_curves(tmp_path / "curves.csv", curves)
    assert read_curves(tmp_path / "curves.csv").to_dict("list") == curves.to_dict("list")


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (Run("m", "random", 1, evaluation({0: "+", 25: "+"})), "m/random/seed1: .* other problems"),
        (Run("m", "random", 1, evaluation({0: "+-", 50: "+-"})), "m/random/seed1: .* other steps"),
        (Run("m", "vanilla", 0, evaluation({0: "+-", 25: "+-"})), "m/vanilla/seed0: given twice"),
        (Run("m", "random", 1, []), "m/random/seed1: no evaluation rows"),
    ],
)
def test_runs_that_cannot_be_compared_are_named(second, reason):
    first = Run("m", "vanilla", 0, evaluation({0: "+-", 25: "+-"}))
    with pytest.raises(UserError, match=reason):
        collect([first, second])


def test_no_runs_is_an_error():
    with pytest.raises(UserError, match="no runs"):
        collect([])


def test_area_by_hand():
    # (60 + 80) / 2 * 50 + (80 + 90) / 2 * 150, over a span of 200.
    assert area_under_curve([0, 50, 200], [60, 80, 90]) == pytest.approx(81.25)


def test_area_of_a_constant_is_the_constant_whatever_the_spacing():
    steps = np.cumsum(np.random.default_rng(1).integers(1, 50, size=20))
    assert area_under_curve(steps, np.full(20, 42.5)) == pytest.approx(42.5)


@pytest.mark.parametrize(
    ("steps", "accuracy", "reason"),
    [
        ([25], [80.0], "at least two"),
        ([0, 25], [80.0], "2 steps but 1"),
        ([25, 0], [80.0, 70.0], "ascend"),
        ([0, 0], [80.0, 70.0], "ascend"),
        ([0, 25], [80.0, float("nan")], "finite"),
    ],
)
def test_an_undefined_area_is_an_error_not_a_nan(steps, accuracy, reason):
    with pytest.raises(ValueError, match=reason):
        area_under_curve(steps, accuracy)


def test_final_accuracy_and_areas_are_one_value_a_run(curves):
    last, area = final_accuracy(curves), areas(curves)
    assert len(last) == len(area) == 3 * 4 * 3
    run = curves[
        (curves["model"] == "llama") & (curves["mode"] == "random") & (curves["seed"] == 2)
    ]
    key = ("llama", "random", 2)
    columns = ["model", "mode", "seed"]
    assert last.set_index(columns).loc[key, "value"] == run["accuracy"].iloc[-1]
    expected = area_under_curve(run["step"].to_numpy(), run["accuracy"].to_numpy())
    assert area.set_index(columns).loc[key, "value"] == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not a table of curves"),
        ("model,mode\nm,vanilla\n", "expected model, mode, seed, step, accuracy, problems"),
        ("model,mode,seed,step,accuracy,problems\nm,vanilla,0,25,,10\n", "not a table of curves"),
    ],
)
def test_a_torn_file_of_curves_is_named(tmp_path, content, reason):
    path = tmp_path / "curves.csv"
    finish(path, content)
    with pytest.raises(UserError, match=f"curves.csv: .*{reason}"):
        read_curves(path)


def test_an_absent_file_of_curves_is_named(tmp_path):
    with pytest.raises(UserError, match="curves.csv: cannot be read"):
        read_curves(tmp_path / "curves.csv")


def test_history_keeps_the_named_columns_and_reads_null_as_nan():
    rows = [{"step": 1, "reward": 0.5, "loss": 3}, {"step": 2, "reward": None, "loss": 4}]
    history = collect_history([Run("m", "vanilla", 0, rows)], ["reward"])
    assert list(history.columns) == ["model", "mode", "seed", "step", "reward"]
    assert history["reward"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "empty"),
        ([{"step": 1}], "lacks 'reward'"),
        ([{"step": 1, "reward": 0.1}] * 2, "step 1 twice"),
    ],
)
def test_a_faulty_history_is_named(rows, reason):
    with pytest.raises(UserError, match=f"m/vanilla/seed3: .*{reason}"):
        collect_history([Run("m", "vanilla", 3, rows)], ["reward"])


def test_variants_stand_behind_the_papers_modes_in_the_studys_order():
    present = ["b", "vanilla", "a", "counterfactual", "b", "nameless"]
    assert named_modes(present, {"a": "A", "b": "B", "absent": "C"}) == {
        "counterfactual": "CF",
        "vanilla": "DAPO",
        "a": "A",
        "b": "B",
        "nameless": "nameless",
    }
