"""Damaged, incomplete and mixed records are named by whoever reads them, and not averaged."""

import importlib
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import (
    change_record,
    change_rows,
    origin,
    seal,
    sha,
    write_credit,
    write_parents,
    write_profile,
    write_run,
)

from cfdapo import checksums, integrity
from cfdapo.analysis.credit_map.page import MapSettings
from cfdapo.analysis.outcomes.comparisons import read_comparisons
from cfdapo.analysis.records.results import Results, Runs
from cfdapo.files import UserError, read_json, write_json
from cfdapo.settings import as_flag

MODELS, MODES, SEEDS = ("qwen3-tiny", "llama-tiny"), ("counterfactual", "vanilla"), (0, 1)
RUNS = [
    *("--models", *MODELS, "--modes", *MODES),
    *("--seeds", *map(str, SEEDS)),
]
PROBLEMS = [f"p{number}" for number in range(6)]
RUN = "runs/qwen3-tiny/vanilla/seed1"
OTHER = "runs/qwen3-tiny/vanilla/seed0"
CREDIT, COMPLETIONS = "credit/qwen3-tiny", ".completions.jsonl"


def command(name: str, folder: Path) -> list[object]:
    """A command line on the results in `folder`, of the stage, table or figure of that name."""
    runs, statistics = folder / "runs", folder / "statistics"
    if name == "collect_curves":
        return [name, "--runs", runs, *RUNS, "--out", statistics / "curves.csv"]
    if name == "compare_modes":
        curves = ["--curves", statistics / "curves.csv"]
        return [name, *curves, "--runs", runs, *RUNS, "--out", statistics]
    if name == "pack":
        return ["archive", name, "--results", folder, "--out", folder / "records.tar.gz"]
    kind = name.partition("_")[0].rstrip("0123456789b")
    stage = {"table": "make_table", "figure": "plot_figure"}[kind]
    return [stage, f"--{kind}", name, "--results", folder, *RUNS, "--out", folder / f"{kind}s"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A made-up study's results, complete but for weights and tables."""
    folder = tmp_path_factory.mktemp("made") / "results"
    write_parents(folder, MODELS, PROBLEMS)
    test = checksums.read(folder / "data/test.jsonl").sha256
    measured = checksums.read(folder / "data/measured.jsonl").sha256
    for number, model in enumerate(MODELS):
        for mode in MODES:
            for seed in SEEDS:
                write_run(
                    *(folder, model, mode, seed, lambda step, bar=number + seed: step > bar),
                    problems=PROBLEMS,
                    steps=4,
                    every=2,
                    problems_sha256=test,
                    history=lambda step: {
                        "spans_per_completion": 3.0,
                        "weight_mean": 1.0,
                        "weight_std": 0.0,
                    },
                )
        write_credit(folder / "credit", model, number, measured)
        write_profile(folder, model)
    for name in ("collect_curves", "compare_modes"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(flag) for flag in command(name, folder)])
            importlib.import_module(f"cfdapo.stages.{name}").main()
    return folder


@pytest.fixture
def results(made, tmp_path) -> Results:
    """A copy of its own."""
    folder = shutil.copytree(made, tmp_path / "results")
    runs = Runs(folder / "runs", list(MODELS), list(MODES), list(SEEDS))
    return Results(folder, runs, dict.fromkeys(MODELS, "Model"), dict.fromkeys(MODES, "Mode"))


# How stages read each kind of record.
READ: dict[str, Callable[[Results], Any]] = {
    "evaluation.jsonl": lambda results: list(results.runs.evaluations()),
    "history.jsonl": lambda results: results.runs.history(["reward"]),
    "run.json": lambda results: results.runs.descriptions(),
    "credit": lambda results: results.credit(),
    "overhead": lambda results: results.profiles(),
    "curves": lambda results: results.curves(),
    "tests": lambda results: read_comparisons(results.folder, results.runs.evaluation_sums()),
}


def assert_refused(results: Results, kind: str, path: Path, *words: str) -> None:
    """Reading records of a kind fails, and the message names the file and the fault."""
    with pytest.raises(UserError) as refused:
        READ[kind](results)
    for word in (str(path), *words):
        assert word in str(refused.value)


def assert_fails(done: Any, path: Path, *words: str) -> None:
    """A stage failed as it should."""
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    for word in (str(path), *words):
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        *("table1_accuracy", "table3_significance", "table4_drop_distribution", "table8_overhead"),
        *("table10_reported_vs_reproduced", "figure2_training_dynamics", "pack"),
    ],
)
def test_whole_records_pass(results, stage, name):
    done = stage(*command(name, results.folder))
    assert done.returncode == 0, done.stderr


# Each record, how it is read, and a stage that does.
RECORDS = [
    (f"{RUN}/evaluation.jsonl", "evaluation.jsonl", "collect_curves"),
    (f"{RUN}/history.jsonl", "history.jsonl", "figure2_training_dynamics"),
    (f"{RUN}/run.json", "run.json", "compare_modes"),
    (f"{CREDIT}.jsonl", "credit", "table4_drop_distribution"),
    (f"{CREDIT}.completions.jsonl", "credit", "table5_content"),
    ("overhead/qwen3-tiny.json", "overhead", "table11_estimator_cost"),
    ("statistics/curves.csv", "curves", "table1_accuracy"),
    ("statistics/significance.csv", "tests", "table3_significance"),
    ("statistics/problem_level.csv", "tests", "table12_power"),
    ("data/manifest.json", "run.json", "collect_curves"),
    ("data/test.jsonl", "evaluation.jsonl", "collect_curves"),
    ("data/measured.jsonl", "credit", "table6_example"),
]


def flip_a_digit(data: bytes) -> bytes:
    place = max(data.rfind(str(digit).encode()) for digit in range(10))
    return data[:place] + b"%d" % ((data[place] - ord("0") + 1) % 10) + data[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "digit flipped": flip_a_digit,
    "cut short": lambda data: data[: len(data) // 2],
    "last row missing": lambda data: data[: data.rstrip().rfind(b"\n") + 1],
    "last row doubled": lambda data: data + data[data.rstrip().rfind(b"\n") + 1 :],
    "empty": lambda data: b"",
    "an array": lambda data: b"[1, 2]\n",
    "binary": lambda data: b"\xff\x00" + data,
}


@pytest.mark.parametrize(("record", "kind", "reader"), RECORDS, ids=[r for r, _, _ in RECORDS])
def test_a_damaged_record_is_named_by_its_reader_and_never_packed(
    results, stage, record, kind, reader
):
    path = results.folder / record
    whole = path.read_bytes()
    for damage, change in DAMAGES.items():
        assert change(whole) != whole, damage
        path.write_bytes(change(whole))
        assert_refused(results, kind, path, "damaged or changed")
    assert_fails(stage(*command(reader, results.folder)), path, "damaged or changed")
    if record not in ("data/test.jsonl", "data/measured.jsonl"):
        assert_fails(stage(*command("pack", results.folder)), path, "damaged or changed")


@pytest.mark.parametrize(("record", "kind", "reader"), RECORDS, ids=[r for r, _, _ in RECORDS])
def test_a_record_whose_checksum_is_missing_or_none_is_named(results, record, kind, reader):
    path = results.folder / record
    beside = checksums.beside(path)
    for content in ("", "[]", "{}", '{"record": "x", "sha256": "0", "made_from": {}}'):
        beside.write_text(content)
        assert_refused(results, kind, beside)
    beside.unlink()
    says = ("has no checksum beside it", "run the study again", "older version")
    assert_refused(results, kind, path, *says)


def keep(rows: list, *gone: int) -> list:
    """All rows but those at some places, also counted from the end."""
    return [row for place, row in enumerate(rows) if place not in {n % len(rows) for n in gone}]


def changed(rows: list, place: int, **values: Any) -> list:
    rows[place] |= values
    return rows


def without(rows: list, place: int, column: str) -> list:
    del rows[place][column]
    return rows


# Rows of whose file the checksum fits, as if it had been finished so: what is odd in their content.
ROWS = [
    # 6 problems at steps 0, 2 and 4; answers are right from step 2 on in this run.
    ("evaluation", lambda rows: rows[:-6], "lacks step 4 of its training"),
    ("evaluation", lambda rows: rows[:6] + rows[12:], "lacks step 2 of its training"),
    ("evaluation", lambda rows: keep(rows, -1), "lacks step and problem 4 p5"),
    ("evaluation", lambda rows: [*rows, rows[-1]], "holds twice step and problem 4 p5"),
    ("evaluation", lambda rows: rows[::-1], "is not in the order of step and problem"),
    ("evaluation", lambda rows: changed(rows, 3, problem="q3"), "lacks step and problem 0 p3; "),
    ("evaluation", lambda rows: [], "lacks step 0, 2, 4"),
    ("evaluation", lambda rows: changed(rows, 7, correct=False), "line 8: correct is false, extr"),
    ("evaluation", lambda rows: changed(rows, 0, correct=True), "line 1: correct is true, extrac"),
    ("evaluation", lambda rows: changed(rows, 7, extracted="81"), "line 8: correct is true, ext"),
    ("evaluation", lambda rows: changed(rows, 7, extracted="a"), "line 8: correct is true, extr"),
    ("evaluation", lambda rows: changed(rows, 7, extracted=None), "line 8: correct is true, ext"),
    ("evaluation", lambda rows: changed(rows, 7, gold="19"), "line 8: correct is true"),
    ("evaluation", lambda rows: changed(rows, 7, correct="true"), "line 8: correct is 'true', not"),
    ("evaluation", lambda rows: changed(rows, 7, correct=1), "line 8: correct is 1, not true or"),
    ("evaluation", lambda rows: changed(rows, 7, step="2"), "line 8: step is '2', not a whole"),
    ("evaluation", lambda rows: changed(rows, 7, step=True), "line 8: step is True, not a whole"),
    ("evaluation", lambda rows: changed(rows, 7, tokens=math.nan), "line 8: tokens is nan, not a"),
    ("evaluation", lambda rows: changed(rows, 7, adapter="0" * 16), "line 8: adapter is 0000"),
    ("evaluation", lambda rows: changed(rows, 7, adapter=None), "line 8: adapter is None"),
    ("evaluation", lambda rows: without(rows, 7, "correct"), "line 8: lacks correct"),
    ("evaluation", lambda rows: [*rows, [1]], "line 19: is no JSON object but [1]"),
    ("history", lambda rows: rows[:-1], "lacks step 4"),
    ("history", lambda rows: keep(rows, 1), "lacks step 2"),
    ("history", lambda rows: [*rows, rows[1]], "holds twice step 2"),
    ("history", lambda rows: changed(rows, 3, step=9), "lacks step 4; should not hold step 9"),
    ("history", lambda rows: changed(rows, 1, reward=math.nan), "line 2: reward is nan, not a fi"),
    ("history", lambda rows: changed(rows, 1, reward=None), "line 2: reward is None, not a fini"),
    ("history", lambda rows: changed(rows, 1, weight_std=math.inf), "line 2: weight_std is inf"),
    ("history", lambda rows: changed(rows, 1, weight_std="1"), "line 2: weight_std is '1', not a"),
    ("history", lambda rows: without(rows, 1, "weight_std"), "line 2: has other columns than"),
    ("history", lambda rows: changed(rows, 1, reward=0.75), "of another training than run.json"),
    ("history", lambda rows: [], "lacks step 1, 2, 3, 4"),
    ("history", lambda rows: ["step", *rows], 'line 1: is no JSON object but "step"'),
]


@pytest.mark.parametrize(("kind", "change", "says"), ROWS, ids=[f"{k}-{s}" for k, _, s in ROWS])
def test_a_run_s_rows_that_are_not_whole_are_named(results, kind, change, says):
    path = results.folder / RUN / f"{kind}.jsonl"
    change_rows(path, change)
    assert_refused(results, path.name, path, says)


def test_the_last_step_missing_from_every_evaluation_is_named(results, stage):
    for path in results.folder.glob("runs/*/*/*/evaluation.jsonl"):
        change_rows(path, lambda rows: [row for row in rows if row["step"] < 4])
    done = stage(*command("collect_curves", results.folder))
    assert_fails(done, results.folder / "runs", "evaluation.jsonl: lacks step 4 of its training")


@pytest.mark.parametrize("absent", ["test.jsonl", "manifest.json"])
def test_a_problem_missing_from_every_evaluation_is_named(results, absent):
    """By the problems, or where those are not here, as in an archive, by their number."""
    (results.folder / "data" / absent).unlink()
    for path in results.folder.glob("runs/*/*/*/evaluation.jsonl"):
        change_rows(path, lambda rows: [row for row in rows if row["problem"] != "p5"])
    says = {"test.jsonl": "has 5 problems, the data 6", "manifest.json": "lacks step and problem"}
    assert_refused(results, "evaluation.jsonl", results.folder / "runs", says[absent])


RUN_RECORDS = [
    ({"seconds": {"total": math.nan, "credit": 1.0}}, "seconds is {'total': nan"),
    ({"seconds": {"total": "600", "credit": 1.0}}, "seconds is {'total': '600'"),
    ({"steps": "4"}, "steps is '4', not a whole number"),
    ({"steps": 3}, "has 3 steps, its settings 4"),
    ({"adapters": {"2": "a" * 16}}, "lacks the adapter of step 4"),
    ({"adapters": {"2": "a" * 16, "4": None}}, "adapters.4 is None, not text"),
    ({"settings": {"task": "mbpp"}}, "lacks settings.training"),
    ({"settings": {"task": "mbpp", "training": [1]}}, "settings.training is [1], not an obj"),
    ({"settings": {"task": "mbpp", "training": {"steps": 0}}}, "training.steps is 0, not a"),
    ({"settings": [1]}, "settings is [1], not an object"),
    ({"origin": {"problems": sha("train")}}, "was made from another base model than the study's"),
    ({"origin": {"problems": sha("other")}}, "was made from other problems than the study's"),
    ({"mode": "random"}, "is the record of ('qwen3-tiny', 'random', 1)"),
]


@pytest.mark.parametrize(("changes", "says"), RUN_RECORDS, ids=[says for _, says in RUN_RECORDS])
def test_a_record_of_a_run_that_is_not_whole_is_named(results, changes, says):
    path = results.folder / RUN / "run.json"
    change_record(path, **changes)
    for kind in ("run.json", "evaluation.jsonl", "history.jsonl"):
        assert_refused(results, kind, path, says)


def swap(one: Path, other: Path) -> None:
    """Let two records change places, and their checksums with them."""
    for left, right in ((one, other), (checksums.beside(one), checksums.beside(other))):
        kept = left.read_bytes()
        left.write_bytes(right.read_bytes())
        right.write_bytes(kept)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("evaluation.jsonl", "is of other adapters than run.json: steps 2, 4"),
        ("history.jsonl", "is the history of another training than"),
        ("run.json", "is the record of ('qwen3-tiny', 'vanilla', 1), not of"),
    ],
)
def test_records_swapped_between_runs_are_named(results, name, says):
    run = results.folder / RUN
    change_rows(run / "history.jsonl", lambda rows: changed(rows, 0, reward=0.25))
    change_record(run / "run.json", history=checksums.read(run / "history.jsonl").sha256)
    READ[name](results)
    swap(run / name, results.folder / OTHER / name)
    assert_refused(results, name, results.folder / OTHER / name, says)


def test_an_evaluation_of_the_adapters_of_before_is_named(results):
    """The run was trained anew, and its evaluation is still that of before."""
    run = results.folder / RUN
    change_record(run / "run.json", adapters={"2": "a" * 16, "4": "b" * 16})
    says = "is of other adapters than run.json: steps 2, 4"
    assert_refused(results, "evaluation.jsonl", run / "evaluation.jsonl", says)


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("model", {"source": "hub"}, "was made from another base model than run.json's"),
        ("problems", "0" * 64, "was made from other problems than the study's"),
        ("settings", {"task": "arithmetic", "chat": {}}, "from another setting training than"),
        ("settings", None, "made_from.settings is None, not an object"),
        ("adapters", None, "is of other adapters than run.json: steps 2, 4"),
    ],
)
def test_an_evaluation_of_other_parents_is_named(results, part, value, says):
    path = results.folder / RUN / "evaluation.jsonl"
    seal(path, checksums.read(path).made_from | {part: value})
    assert_refused(results, "evaluation.jsonl", path, says)


@pytest.mark.parametrize("own", [{"learning_rate": 1.0e-2}, {"divergence": {"name": "kl"}}])
def test_an_evaluation_has_the_studys_training_and_not_what_a_variant_has_of_its_own(results, own):
    path = results.folder / RUN / "run.json"
    settings = read_json(path)["settings"]
    change_record(path, settings=settings | {"training": settings["training"] | own})
    READ["evaluation.jsonl"](results)
    settings["training"]["temperature"] = 0.5
    change_record(path, settings=settings)
    says = "was made from another setting training than the study's"
    assert_refused(results, "evaluation.jsonl", path.with_name("evaluation.jsonl"), says)


def test_evaluations_of_different_settings_do_not_stand_in_one_table(results, stage):
    path = results.folder / RUN / "evaluation.jsonl"
    seal(path, checksums.read(path).made_from | {"prompts": "of another day"})
    done = stage(*command("collect_curves", results.folder))
    says = "qwen3-tiny/vanilla/seed1: prompts is of another day, in most of"
    assert done.returncode == 2 and says in done.stderr


def test_evaluations_by_several_versions_of_the_code_are_told(results, stage):
    for path in results.folder.glob("runs/*/*/*/evaluation.jsonl"):
        code = ("2" if path.parent == results.folder / RUN else "1") * 64
        seal(path, checksums.read(path).made_from | {"code": code})
    done = stage(*command("collect_curves", results.folder))
    assert done.returncode == 0, done.stderr
    assert "several versions of evaluation code: 111111111111 (7 runs); 2222" in done.stdout


def test_statistics_of_other_evaluations_are_named(results, stage):
    """One run was evaluated anew, and the statistics are still those of before."""
    folder = results.folder
    rows = lambda rows: changed(rows, 7, completion="Thus: #### 18")  # noqa: E731
    change_rows(folder / RUN / "evaluation.jsonl", rows)
    says = "was made from other evaluations than those of qwen3-tiny/vanilla/seed1"
    assert_refused(results, "curves", folder / "statistics/curves.csv", says)
    assert_refused(results, "tests", folder / "statistics/significance.csv", says)
    done = stage(*command("compare_modes", folder))
    assert_fails(done, folder / "statistics/curves.csv", says)


def test_another_base_model_in_the_studys_folder_is_named(results):
    folder = results.folder
    path = folder / "models/qwen3-tiny/manifest.json"
    kept = read_json(path)
    write_json(path, kept | {"sha256": {"model.safetensors": sha("other")}})
    says = "was made from another base model than the study's"
    run = folder / "runs/qwen3-tiny/counterfactual/seed0/run.json"
    assert_refused(results, "run.json", run, says)
    assert_refused(results, "credit", folder / f"{CREDIT}.jsonl", says)
    assert_refused(results, "overhead", folder / "overhead/qwen3-tiny.json", says)
    write_json(path, kept | {"model": "llama-tiny", **origin("llama-tiny")})
    says = "is the manifest of llama-tiny, not of qwen3-tiny"
    assert_refused(results, "run.json", path, says)


def test_another_proxy_in_the_studys_folder_is_named(results):
    """Credit was measured by a model that is another one now."""
    folder = results.folder
    proxied = {"credit": {"proxy": "llama-tiny"}}
    credit = [folder / f"{CREDIT}{end}" for end in (".jsonl", COMPLETIONS)]
    for path in (*credit, folder / "overhead/qwen3-tiny.json"):
        said = checksums.read(path).made_from
        seal(path, said | {"settings": said["settings"] | proxied, "proxy": origin("llama-tiny")})
    run = folder / RUN / "run.json"
    settings = read_json(run)["settings"]
    own = read_json(run)["origin"] | {"proxy": origin("llama-tiny")}
    change_record(run, settings=settings | proxied, origin=own)
    integrity.read_run(run, results.runs.parents)
    READ["credit"](results), READ["overhead"](results)
    path = folder / "models/llama-tiny/manifest.json"
    write_json(path, read_json(path) | {"sha256": {"model.safetensors": sha("other")}})
    with pytest.raises(UserError, match=f"{run}: was made from another proxy"):
        integrity.read_run(run, results.runs.parents)
    assert_refused(results, "credit", credit[0], "was made from another proxy than the study's")
    profile = folder / "overhead/qwen3-tiny.json"
    assert_refused(results, "overhead", profile, "was made from another proxy than the study's")


CREDIT_ROWS = [
    ("", lambda rows: rows[:-1], "lacks a span of gold-5"),
    ("", lambda rows: keep(rows, 0), "lacks completion and span sampled-0-0 "),
    ("", lambda rows: [*rows, *rows], "holds twice completion and span sampled-0-0 0"),
    ("", lambda rows: [*rows[:1], *rows], "holds twice completion and span sampled-0-0 0"),
    ("", lambda rows: rows[::-1], "is not in the order of completion and span"),
    ("", lambda rows: [], "lacks a span of sampled-0-0, at its tokens "),
    ("", lambda rows: changed(rows, 0, drop=9.5), "line 1: importance is "),
    ("", lambda rows: changed(rows, 0, drop=math.nan), "line 1: drop is nan, not a finite number"),
    ("", lambda rows: changed(rows, 0, drops={"pad/answer": math.inf}), "line 1: drops is {'pad"),
    ("", lambda rows: changed(rows, 0, weight="1"), "line 1: weight is '1', not a finite number"),
    ("", lambda rows: changed(rows, 0, correct=not rows[0]["correct"]), "line 1: correct is "),
    ("", lambda rows: changed(rows, 0, start=rows[0]["start"] + 1), "line 1: text is "),
    ("", lambda rows: changed(rows, 0, completion="sampled-9-9"), "line 1: is of an unknown comp"),
    ("", lambda rows: [*rows, 3], "is no JSON object but 3"),
    (".completions", lambda rows: rows[:-1], "lacks completion gold-5"),
    (".completions", lambda rows: [*rows, rows[0]], "holds twice completion sampled-0-0"),
    (".completions", lambda rows: keep(rows, 4), "lacks completion sampled-1-1"),
    (".completions", lambda rows: [], "lacks completion sampled-0-0, "),
    (".completions", lambda rows: changed(rows, 0, correct=not rows[0]["correct"]), "line 1: cor"),
    (".completions", lambda rows: changed(rows, 0, problem="other"), "line 1: is of other, not of"),
    (".completions", lambda rows: changed(rows, 0, policy="vanilla/seed0/step4"), "line 1: policy"),
    (".completions", lambda rows: changed(rows, 0, weights=[1.0]), "line 1: "),
    (".completions", lambda rows: changed(rows, 0, advantage=math.nan), "line 1: advantage is nan"),
]


@pytest.mark.parametrize(
    ("file", "change", "says"), CREDIT_ROWS, ids=[f"spans{f}-{s}" for f, _, s in CREDIT_ROWS]
)
def test_measured_credit_that_is_not_whole_is_named(results, file, change, says):
    path = results.folder / f"{CREDIT}{file}.jsonl"
    change_rows(path, change)
    assert_refused(results, "credit", path, says)


def test_the_credit_map_is_of_whole_credit_too(results, stage, tmp_path):
    path = results.folder / f"{CREDIT}.jsonl"
    path.write_text(path.read_text() * 2)
    flags = ["--spans", path, "--completions", results.folder / f"{CREDIT}.completions.jsonl"]
    credit = as_flag(MapSettings("pad", "answer", 0.5, 4.0, 1.5))
    flags += ["--study", "s", "--label", "L", "--credit", credit, "--out", tmp_path / "map.html"]
    assert_fails(stage("draw_credit_map", *flags), path, "damaged or changed")


def test_credit_of_another_model_or_measurement_is_named(results):
    spans, completions = (results.folder / f"{CREDIT}{end}" for end in (".jsonl", COMPLETIONS))
    said = checksums.read(completions).made_from
    seal(completions, said | {"adapter": "0" * 16})
    says = "is of another measurement than qwen3-tiny.jsonl"
    assert_refused(results, "credit", completions, says)
    for path in (spans, completions):
        seal(path, said | {"problems": "0" * 64})
    assert_refused(results, "credit", spans, "was made from other problems than the study's")
    for path in (spans, completions):
        other = Path(str(path).replace("qwen3", "llama"))
        path.write_bytes(other.read_bytes())
        checksums.beside(path).write_bytes(checksums.beside(other).read_bytes())
    says = "is the checksum of llama-tiny.jsonl"
    assert_refused(results, "credit", checksums.beside(spans), says)
    for path in (spans, completions):
        text = checksums.beside(path).read_text()
        checksums.beside(path).write_text(text.replace("llama-tiny.", "qwen3-tiny."))
    assert_refused(results, "credit", spans, "was made from another base model than the study's")


@pytest.mark.parametrize("adapter", ["0" * 16, None])
def test_credit_of_another_adapter_than_its_run_s_is_named(results, adapter):
    policy, record = "vanilla/seed1/step4", results.folder / RUN / "run.json"
    own = read_json(record)["adapters"]["4"]
    spans, completions = (results.folder / f"{CREDIT}{end}" for end in (".jsonl", COMPLETIONS))
    change_rows(completions, lambda rows: [row | {"policy": policy} for row in rows])
    said = checksums.read(completions).made_from | {"policy": policy}
    for path in (spans, completions):
        seal(path, said | {"adapter": own})
    READ["credit"](results)
    for path in (spans, completions):
        seal(path, said | {"adapter": adapter})
    says = "is of another adapter than that of qwen3-tiny/vanilla/seed1/step4"
    assert_refused(results, "credit", spans, says)
    record.unlink()
    assert_refused(results, "credit", record, "cannot be read")


PROFILES = [
    ({"repeats": "3"}, "repeats is '3', not a whole number"),
    ({"spans_per_completion": math.nan}, "spans_per_completion is nan"),
    ({"seconds": {"generation": "6", "update": 2.0}}, "seconds.generation is '6', not a finite"),
    ({"methods": {"serial": {"seconds": math.inf}}}, "methods.serial.seconds is inf, not a fin"),
    ({"ratio": [1]}, "ratio is [1], not an object"),
    ({"model": "llama-tiny"}, "is the profile of llama-tiny"),
]


@pytest.mark.parametrize(("changes", "says"), PROFILES, ids=[says for _, says in PROFILES])
def test_a_profile_that_is_not_whole_is_named(results, changes, says):
    path = results.folder / "overhead/qwen3-tiny.json"
    change_record(path, **changes)
    assert_refused(results, "overhead", path, says)


def test_a_table_whose_numbers_were_edited_is_not_joined_or_drawn(results, stage):
    folder = results.folder
    assert stage(*command("table9_credit_validity", folder)).returncode == 0
    path = folder / "tables/table9_credit_validity.csv"
    path.write_bytes(flip_a_digit(path.read_bytes()))
    assert_fails(stage(*command("figure8_credit_validity", folder)), path, "damaged or changed")
    assert stage(*command("table4_drop_distribution", folder)).returncode == 0
    path = folder / "tables/table4_drop_distribution.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    assert_fails(stage(*command("table10_reported_vs_reproduced", folder)), path)


def test_a_record_is_never_without_its_checksum(tmp_path, monkeypatch):
    """A kill before the record gets its name leaves what was there, or nothing."""
    path = tmp_path / "record.json"

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cfdapo.files.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            checksums.finish(path, "{}")
    assert not list(tmp_path.glob("record.json"))
    assert checksums.finish(path, json.dumps({"a": 1})) == checksums.check(path).sha256


@pytest.mark.parametrize("put", [lambda path: path.mkdir(), lambda path: path.symlink_to("gone")])
def test_a_folder_or_broken_link_in_a_profiles_place_is_no_absence(results, put):
    path = results.folder / "overhead/qwen3-tiny.json"
    path.unlink()
    put(path)
    assert_refused(results, "overhead", path, "")


@pytest.mark.parametrize("task", ["gsm8k", "jsonl"])
def test_a_right_answer_may_be_spelled_otherwise_where_formulas_are_compared(task):
    row = {"step": 0, "problem": "p", "adapter": None, "prompts": "0" * 16, "completion": "x"}
    row |= {"extracted": r"\frac{1}{2}", "gold": "0.5", "correct": True, "tokens": 1}
    made_from = {"prompts": "0" * 64, "adapters": {}}
    given = (Path("evaluation.jsonl"), [row], task, [0], made_from)
    if task == "jsonl":
        integrity.check_evaluation(*given)
        row["correct"], row["gold"] = False, row["extracted"]  # equal texts are right
    with pytest.raises(UserError, match="line 1: correct is "):
        integrity.check_evaluation(*given)
