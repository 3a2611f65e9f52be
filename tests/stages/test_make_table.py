import json
import shutil

import pandas as pd
import pytest
from made_results import change_record, seal, write_profile

from cfdapo import checksums
from cfdapo.analysis.registry import TABLES
from cfdapo.files import read_json


@pytest.fixture
def summed_up(study, run_flags, stage):
    """The study with its curves and its tests."""
    statistics = study / "statistics"
    for flags in (
        [
            "collect_curves",
            "--runs",
            study / "runs",
            *run_flags,
            "--out",
            statistics / "curves.csv",
        ],
        [
            *("compare_modes", "--curves", statistics / "curves.csv"),
            *("--runs", study / "runs", *run_flags, "--out", statistics),
        ],
    ):
        done = stage(*flags)
        assert done.returncode == 0, done.stderr
    return study


def make(stage, study, run_flags, table, *more):
    return stage(
        *("make_table", "--table", table, "--results", study, *run_flags),
        *("--out", study / "tables", *more),
    )


def assert_refused(done, *words):
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_curves_and_tests_hold_every_run(summed_up):
    curves = pd.read_csv(summed_up / "statistics" / "curves.csv")
    assert len(curves) == 2 * 4 * 3 * 3
    assert set(curves["problems"]) == {40}
    assert (curves.loc[curves["step"] == 0, "accuracy"] == 0).all()
    comparisons = pd.read_csv(summed_up / "statistics" / "significance.csv")
    # Two models and their mean, three pairs of modes, accuracy and area.
    assert len(comparisons) == 3 * 3 * 2
    on_problems = pd.read_csv(summed_up / "statistics" / "problem_level.csv")
    assert len(on_problems) == 2 * 3 * 2
    merged = comparisons.merge(on_problems, on=["model", "baseline", "metric"])
    assert len(merged) == len(on_problems)
    assert merged["difference_x"].to_list() == pytest.approx(merged["difference_y"].to_list())


@pytest.mark.parametrize(
    "table",
    [
        *("table1_accuracy", "table2_auc", "table3_significance", "table3b_comparisons"),
        *("table12_power", "table13_sample_efficiency", "table14_ordering"),
    ],
)
def test_tables_of_curves(summed_up, run_flags, stage, table):
    done = make(
        *(stage, summed_up, run_flags, table),
        *("--labels", '{"llama-tiny": "Llama & Co"}', "--task", "gsm8k"),
    )
    assert done.returncode == 0, done.stderr
    files = {suffix: summed_up / "tables" / f"{table}.{suffix}" for suffix in ("csv", "md", "tex")}
    found = set(pd.read_csv(files["csv"])["label"])
    assert found >= {"qwen3-tiny", "Llama & Co"}
    assert all("nan" not in file.read_text() for file in files.values())
    markdown = files["md"].read_text()
    assert markdown.startswith("**GSM8K test accuracy")
    assert "at step 20" in markdown
    assert "3 seeds" in markdown
    assert r"Llama \& Co" in files["tex"].read_text()


LACKING = (
    *("qwen3-tiny/counterfactual/seed2", "qwen3-tiny/vanilla/seed1", "llama-tiny/vanilla/seed0"),
    *(
        f"llama-tiny/{mode}/seed{seed}"
        for mode in ("counterfactual", "inverted")
        for seed in (1, 2)
    ),
)


@pytest.fixture
def partly(study, run_flags, stage):
    """The study without the runs of `LACKING`, with curves and tests, and the flags for it."""
    for run in LACKING:
        shutil.rmtree(study / "runs" / run)
    flags = [*run_flags, "--missing", *LACKING]
    curves = study / "statistics" / "curves.csv"
    common = ("--runs", study / "runs", *flags)
    for call in (
        ("collect_curves", *common, "--out", curves),
        ("compare_modes", "--curves", curves, *common, "--out", study / "statistics"),
    ):
        done = stage(*call)
        assert done.returncode == 0, done.stderr
    return study, flags


# Without what its own tests make: programs, and divergences.
OF_RUNS = [
    spec.name
    for spec in TABLES
    if {"curves", "histories"} & set(spec.needs)
    and "divergences" not in spec.needs
    and spec.name != "table7_code"
]


@pytest.mark.parametrize("table", OF_RUNS)
def test_tables_of_the_runs_there_are_say_which_are_missing(partly, stage, table):
    results, flags = partly
    done = make(stage, results, flags, table)
    assert done.returncode == 0, done.stderr
    markdown = (results / "tables" / f"{table}.md").read_text().replace("\\", "")
    missing = (
        "Missing: qwen3-tiny/counterfactual: seed 2; qwen3-tiny/vanilla: seed 1; "
        "llama-tiny/counterfactual: seeds 1, 2; llama-tiny/vanilla: seed 0; "
        "llama-tiny/inverted: seeds 1, 2."
    )
    assert missing in markdown and "nan" not in markdown
    if table in ("table3_significance", "table3b_comparisons"):
        # Seed 0 alone has both of qwen3-tiny's; no seed has both of llama-tiny's.
        assert "paired on seeds 0 only: one mode lacks 1, 2" in markdown
        assert "no seed has counterfactual and vanilla runs" in markdown
    if table == "table14_ordering":
        assert "1 seed of all its modes; some lack 1, 2" in markdown


def test_a_run_to_do_without_is_one_of_the_studys_and_not_all_are(study, run_flags, stage):
    done = make(stage, study, [*run_flags, "--missing", "a/b/seed0"], "table16_inconsistencies")
    assert_refused(done, "--missing: no such run: a/b/seed0")
    every = [f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
             for path in (study / "runs").glob("*/*/seed*")]  # fmt: skip
    done = make(stage, study, [*run_flags, "--missing", *every], "table1_accuracy")
    assert_refused(done, "these are all runs of the study")


def test_table_7_has_every_mode_whose_weights_are_counterfactual(summed_up, run_flags, stage):
    groups = {
        "raw": {"counterfactual": "counterfactual", "vanilla": "vanilla", "random": "random"},
        # As if inverted were a variant of counterfactual credit.
        "raw, spans code": {"counterfactual": "inverted", "vanilla": "vanilla"},
    }
    settings = ("--task", "mbpp", "--weight-groups", json.dumps(groups))
    done = make(stage, summed_up, run_flags, "table7_code", *settings)
    assert done.returncode == 0, done.stderr
    markdown = (summed_up / "tables" / "table7_code.md").read_text()
    assert markdown.startswith("**MBPP+ pass rate (%) by training step.")
    assert "CF − DAPO \\[95 %\\] | Inverted − DAPO \\[95 %\\] | Paper: CF |" in markdown
    data = pd.read_csv(summed_up / "tables" / "table7_code.csv")
    gaps = data[data["quantity"] == "difference"]
    assert set(gaps["mode"]) == {"counterfactual", "inverted"} and len(gaps) == 2 * 2 * 3
    curves = pd.read_csv(summed_up / "statistics" / "curves.csv")
    means = curves.groupby(["model", "step", "mode"])["accuracy"].mean()
    for gap in gaps.itertuples():
        expected = means[gap.model, gap.step, gap.mode] - means[gap.model, gap.step, "vanilla"]
        assert gap.value == pytest.approx(expected)
    # History tells of no spans in a mode that is none of counterfactual credit.
    spans = data[data["quantity"] == "spans per completion"]
    assert spans.groupby("mode")["value"].first().to_dict() == {"counterfactual": 3.0}


def test_table_8_from_the_runs_and_the_profiles_there_are(study, run_flags, stage):
    write_profile(study, "qwen3-tiny")
    done = make(stage, study, run_flags, "table8_overhead")
    assert done.returncode == 0, done.stderr
    markdown = (study / "tables" / "table8_overhead.md").read_text()
    assert "| qwen3-tiny | 10.0 | 12.0 | +20.0 | 3.00 | 0.500 | +10.0 | +50.0 |" in markdown
    assert "| llama-tiny | 10.0 | 12.0 | +20.0 | 3.00 | 0.500 | –<sup>a</sup> |" in markdown


def test_table_11_from_the_profiles_there_are(study, run_flags, stage):
    path = write_profile(study, "llama-tiny")
    done = make(stage, study, run_flags, "table11_estimator_cost")
    assert done.returncode == 0, done.stderr
    markdown = (study / "tables" / "table11_estimator_cost.md").read_text()
    assert "| llama-tiny | prefix | 9 | 700 | 0.500 | 4.00 | 6.25 | 0.0e+00 | –" in markdown
    data = pd.read_csv(study / "tables" / "table11_estimator_cost.csv")
    assert data["method"].tolist() == ["serial", "prefix"]
    change_record(path, methods={})
    done = make(stage, study, run_flags, "table11_estimator_cost")
    assert_refused(done, "overhead/llama-tiny.json: the overhead profile lacks 'serial'")


def test_a_profile_of_another_model_is_refused(study, run_flags, stage):
    change_record(write_profile(study, "qwen3-tiny"), model="llama-tiny")
    done = make(stage, study, run_flags, "table8_overhead")
    assert_refused(done, "qwen3-tiny.json: is the profile of llama-tiny")


def test_all_missing_runs_are_named(study, run_flags, stage):
    shutil.rmtree(study / "runs" / "llama-tiny" / "random" / "seed1")
    (study / "runs" / "qwen3-tiny" / "vanilla" / "seed2" / "evaluation.jsonl").unlink()
    out = study / "curves.csv"
    done = stage("collect_curves", "--runs", study / "runs", *run_flags, "--out", out)
    assert_refused(
        done,
        "llama-tiny/random/seed1/evaluation.jsonl",
        "qwen3-tiny/vanilla/seed2/evaluation.jsonl",
    )
    assert not out.exists()


def test_runs_on_other_problems_are_named(study, run_flags, stage):
    path = study / "runs" / "llama-tiny" / "inverted" / "seed1" / "evaluation.jsonl"
    path.write_text(path.read_text().replace('"p7"', '"other"'))
    seal(path)
    done = stage(
        *("collect_curves", "--runs", study / "runs", *run_flags, "--out", study / "curves.csv")
    )
    assert_refused(done, "llama-tiny/inverted/seed1: evaluated on other problems")


def test_a_record_of_another_run_is_refused(study, run_flags, stage):
    runs = study / "runs" / "qwen3-tiny"
    record = read_json(runs / "vanilla" / "seed0" / "run.json")
    change_record(runs / "counterfactual" / "seed0" / "run.json", **record)
    done = make(stage, study, run_flags, "table8_overhead")
    assert_refused(done, "counterfactual/seed0/run.json: is the record of", "'vanilla'")


def test_curves_of_another_study_are_refused(summed_up, run_flags, stage):
    fewer = [flag for flag in run_flags if flag != "llama-tiny"]
    done = make(stage, summed_up, fewer, "table1_accuracy")
    assert_refused(done, "the study does not name, llama-tiny/counterfactual/seed0")
    more = [*run_flags, "3"]
    done = make(stage, summed_up, more, "table1_accuracy")
    assert_refused(done, "lacks", "qwen3-tiny/vanilla/seed3")


def test_a_label_of_no_model_is_refused(summed_up, run_flags, stage):
    labels = json.dumps({"qwen4": "Qwen4"})
    done = make(stage, summed_up, run_flags, "table1_accuracy", "--labels", labels)
    assert_refused(done, "no such model: qwen4")


def test_a_mode_without_a_name_is_refused_and_a_variant_has_its_own(summed_up, run_flags, stage):
    flags = [*run_flags, "--modes", "counterfactual", "uniform"]
    assert_refused(make(stage, summed_up, flags, "table1_accuracy"), "no such mode: uniform")
    for run in (summed_up / "runs").glob("*/inverted"):
        wide = run.rename(run.with_name("wide"))
        for record in wide.glob("seed*/run.json"):
            change_record(record, mode="wide")
    modes = [*run_flags, "--modes", "wide", "vanilla", "counterfactual"]
    curves = summed_up / "statistics" / "curves.csv"
    done = stage("collect_curves", "--runs", summed_up / "runs", *modes, "--out", curves)
    assert done.returncode == 0, done.stderr
    label = ["--mode-labels", '{"wide": "CF, wide", "unused": "Unused"}']
    done = make(stage, summed_up, modes, "table1_accuracy", *label)
    assert done.returncode == 0, done.stderr
    markdown = (summed_up / "tables" / "table1_accuracy.md").read_text()
    assert "| Model | CF | DAPO | CF, wide |" in markdown


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_labels_that_are_no_object_are_refused(summed_up, run_flags, stage, text):
    done = make(stage, summed_up, run_flags, "table1_accuracy", "--labels", text)
    assert done.returncode == 2
    assert "argument --labels" in done.stderr


@pytest.mark.parametrize("name", ["collect_curves", "compare_modes", "make_table", "plot_figure"])
def test_help_says_what_the_stage_is_for(stage, name):
    done = stage(name, "--help")
    assert done.returncode == 0
    assert "--out" in done.stdout
    description = done.stdout.split("options:")[0].split("\n\n")[1]
    assert len(description.split()) > 5


def test_a_process_of_its_own_exits_with_2_and_one_line(study, run_flags, process):
    done = make(process, study, run_flags, "table1_accuracy")
    assert_refused(done, "curves.csv: cannot be read")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def measured(study, credit_folder):
    """The study with made-up records of measured credit."""
    shutil.copytree(credit_folder, study / "credit")
    return study


def test_table_9_and_figure_8_from_measured_credit(measured, run_flags, stage):
    done = make(stage, measured, run_flags, "table9_credit_validity")
    assert done.returncode == 0, done.stderr
    data = pd.read_csv(measured / "tables" / "table9_credit_validity.csv")
    assert set(data["model"]) == {"qwen3-tiny", "llama-tiny"}
    figure = (
        *("plot_figure", "--figure", "figure8_credit_validity", "--results", measured, *run_flags),
        *("--out", measured / "figures"),
    )
    done = stage(*figure)
    assert done.returncode == 0, done.stderr
    assert (measured / "figures" / "figure8_credit_validity.png").read_bytes()[1:4] == b"PNG"
    (measured / "tables" / "table9_credit_validity.csv").unlink()
    assert_refused(stage(*figure), "table9_credit_validity.csv: cannot be read")


def test_table_10_joins_what_other_tables_hold(summed_up, run_flags, stage, credit_folder):
    shutil.copytree(credit_folder, summed_up / "credit")
    for table in (
        *("table1_accuracy", "table2_auc", "table3_significance", "table4_drop_distribution"),
        *("table5_content", "table8_overhead", "table15_span_statistics"),
        "table10_reported_vs_reproduced",
    ):
        done = make(stage, summed_up, run_flags, table, "--task", "gsm8k")
        assert done.returncode == 0, done.stderr
    folder = summed_up / "tables"
    joined = pd.read_csv(folder / "table10_reported_vs_reproduced.csv")
    joined = joined[joined["model"] == "qwen3-tiny"].set_index(["table", "row", "column"])
    first = pd.read_csv(folder / "table1_accuracy.csv").set_index(["model", "mode"])["mean"]
    key = ("table1_accuracy", "Llama3.2-3B", "DAPO")
    assert joined.loc[key, "value"] == pytest.approx(first["qwen3-tiny", "vanilla"])
    # What no table holds: three modes of the paper's own setting, code, forecasts, breakdowns.
    absent = joined[joined["value"].isna()].reset_index()
    assert set(absent["table"]) <= {
        *("table5_content", "table6_example", "table7_code", "section4.2", "section4.4"),
        *("section4.3", "appendixA"),
    }
    assert not absent["reason"].str.contains("no column").any()
    missing = absent.loc[absent["reason"].str.contains("no such number"), ["table", "row"]]
    # The made-up runs have no accelerator.
    assert set(map(tuple, missing.to_numpy())) == {
        *(("appendixA", "CF memory"), ("appendixA", "vanilla memory"))
    }


def test_table_16_needs_no_results(tmp_path, run_flags, stage):
    done = make(stage, tmp_path, run_flags, "table16_inconsistencies")
    assert done.returncode == 0, done.stderr
    assert "contradicts" in (tmp_path / "tables" / "table16_inconsistencies.md").read_text()


def test_runs_of_another_configuration_are_named(study, run_flags, stage):
    path = study / "runs" / "llama-tiny" / "inverted" / "seed1" / "run.json"
    record = read_json(path)
    record["settings"]["lora"]["r"] = 64
    change_record(path, **record)
    out = study / "curves.csv"
    done = stage("collect_curves", "--runs", study / "runs", *run_flags, "--out", out)
    assert_refused(done, "llama-tiny/inverted/seed1: lora.r is 64", "it is 32")
    assert not out.exists()


def test_evaluations_of_other_prompts_are_named(study, run_flags, stage):
    path = study / "runs/llama-tiny/inverted/seed1/evaluation.jsonl"
    seal(path, checksums.read(path).made_from | {"prompts": "other"})
    out = study / "curves.csv"
    done = stage("collect_curves", "--runs", study / "runs", *run_flags, "--out", out)
    assert_refused(done, "of different prompts", "llama-tiny/inverted/seed1: prompts is other")
    assert not out.exists()


def test_runs_of_another_base_model_are_named_and_of_other_code_told(study, run_flags, stage):
    paths = sorted(study.glob("runs/llama-tiny/*/*/run.json"))
    origin = read_json(paths[0])["origin"]
    for path in paths:
        change_record(path, origin=origin | {"code": "1" * 64})
    change_record(paths[0], origin=origin | {"code": "3" * 64})
    collect = (
        "collect_curves",
        "--runs",
        study / "runs",
        *run_flags,
        "--out",
        study / "curves.csv",
    )
    done = stage(*collect)
    assert done.returncode == 0, done.stderr
    assert "warning: runs of several versions of training code: 111111111111 (11" in done.stdout
    other = origin["model"] | {"sha256": {"model.safetensors": "4" * 64}}
    change_record(paths[0], origin=origin | {"model": other})
    says = "llama-tiny/counterfactual/seed0: origin.model.sha256.model.safetensors is 444"
    assert_refused(stage(*collect), says)
