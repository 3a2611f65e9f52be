import pytest


@pytest.fixture
def flags(study, run_flags, stage) -> list[object]:
    """The flags of every figure of the study, whose curves are collected."""
    curves = study / "statistics" / "curves.csv"
    done = stage("collect_curves", "--runs", study / "runs", *run_flags, "--out", curves)
    assert done.returncode == 0, done.stderr
    return ["plot_figure", "--results", study, *run_flags, "--task", "mbpp"]


@pytest.mark.parametrize(
    "figure",
    [
        *("figure1_training_curves", "figure2_training_dynamics"),
        *("figure3_accuracy_time", "figure4_overhead"),
    ],
)
def test_both_files_are_written(flags, stage, tmp_path, figure):
    done = stage(*flags, "--figure", figure, "--out", tmp_path / "figures")
    assert done.returncode == 0, done.stderr
    pdf, png = ((tmp_path / "figures" / f"{figure}.{suffix}") for suffix in ("pdf", "png"))
    assert pdf.read_bytes().startswith(b"%PDF")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_two_processes_write_the_same_bytes(flags, process, tmp_path):
    figure = "figure1_training_curves"
    for number in ("1", "2"):
        out = tmp_path / number
        done = process(*flags, "--figure", figure, "--out", out, PYTHONHASHSEED=number)
        assert done.returncode == 0, done.stderr
    for suffix in ("pdf", "png"):
        first, second = (tmp_path / number / f"{figure}.{suffix}" for number in ("1", "2"))
        assert first.read_bytes() == second.read_bytes()


def test_an_absent_history_is_named(flags, stage, study, tmp_path):
    (study / "runs" / "qwen3-tiny" / "random" / "seed1" / "history.jsonl").unlink()
    done = stage(*flags, "--figure", "figure2_training_dynamics", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: missing run files: ")
    assert "qwen3-tiny/random/seed1/history.jsonl" in done.stderr


def test_an_unknown_figure_lists_the_figures(flags, stage, tmp_path):
    done = stage(*flags, "--figure", "figure9", "--out", tmp_path)
    assert done.returncode == 2
    assert "figure1_training_curves" in done.stderr
