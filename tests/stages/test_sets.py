"""A further test set: asked in its own form, evaluated with a run's adapters, in its own tables."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_results import seal, write_record

from cfdapo import checksums
from cfdapo.checksums import finish
from cfdapo.files import as_json, read_json, read_jsonl, sha256_of
from cfdapo.policy.checkpoints import adapter_hashes
from cfdapo.problems.arithmetic import make_problems
from cfdapo.provenance import origin_of
from cfdapo.settings import EvaluationSet, as_flag, parse
from cfdapo.study import load_document

MODES = ("counterfactual", "vanilla")
TRAINING = load_document("smoke")["training"] | {"steps": 2, "checkpoint_every": 1}
COMMON = {"chat": {}, "training": TRAINING | {"max_completion_tokens": 12}}
# What the study's own data say of themselves, in its manifest.
ARITHMETIC = {"settings": {"task": "arithmetic"}, "template": "{question}"}
CODE = {"settings": {"task": "mbpp"}, "template": "{question}\n\nWrite a function {{}}."}
OWN = {"settings": {"task": "jsonl", "answer": "number", "prompt": "Q: {question}"}}
GSM8K = {"settings": {"task": "gsm8k"}, "template": "{question}\n\nPut it in \\boxed{{}}."}


@pytest.fixture
def results(prepared: Path, tmp_path: Path) -> Path:
    """A study's results, with its problems and eight others in a file like MATH-500's."""
    for split in ("train", "test"):
        for name in (f"{split}.jsonl", f"{split}.jsonl.checksum.json"):
            (tmp_path / "data").mkdir(exist_ok=True)
            shutil.copy(prepared / name, tmp_path / "data" / name)
    hashes = {split: sha256_of(prepared / f"{split}.jsonl") for split in ("train", "test")}
    describe(tmp_path, ARITHMETIC | {"rows": {"train": 40, "test": 10}, "sha256": hashes})
    rows = make_problems("test", 8, seed=9)
    write(tmp_path, [(row["question"], f"${row['answer']}$") for row in rows])
    return tmp_path


def describe(results: Path, manifest: dict) -> None:
    finish(results / "data" / "manifest.json", as_json(manifest))


def write(results: Path, pairs: list[tuple[str, str]]) -> None:
    records = [
        {"problem": question, "answer": answer, "unique_id": f"test/{number}.json"}
        for number, (question, answer) in enumerate(pairs)
    ]
    (results / "set.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def prepare(stage, results: Path, **changed):
    given = {"task": "jsonl", "path": None, "revision": "", "test_problems": None, "seed": 0}
    given |= {"test": str(results / "set.jsonl"), "answer": "number"}
    given |= {"fields": {"question": "problem", "id": "unique_id"}}
    data = parse(EvaluationSet, given | changed).data()
    flags = ("--name", "eight", "--data", as_flag(data), "--study", results / "data")
    return stage("prepare_set", *flags, "--out", results / "sets/eight/data")


@pytest.fixture
def evaluated(results, prepared, run_dir, stage) -> Path:
    """The results with two runs of the same adapters, evaluated on the set."""
    done = prepare(stage, results)
    assert done.returncode == 0, done.stderr
    base = origin_of(prepared / "model")
    problems = sha256_of(results / "data/train.jsonl")
    for mode in MODES:
        run = results / "runs" / "test" / mode / "seed0"
        shutil.copytree(run_dir / "adapters", run / "adapters")
        write_record(
            *(run, ("test", mode, 0)),
            COMMON | {"task": "arithmetic", "credit": {"mode": mode, "proxy": None}},
            adapter_hashes(run / "adapters", [1, 2]),
            base,
            origin={"problems": problems, "model": base, "proxy": None},
        )
        settings = json.dumps(COMMON | {"task": "jsonl", "evaluation": {"batch_size": 8}})
        out = results / "sets/eight/runs/test" / mode / "seed0"
        out.mkdir(parents=True)
        flags = ("--problems", results / "sets/eight/data/test.jsonl", "--settings", settings)
        flags += ("--model-dir", prepared / "model", "--run-dir", run)
        done = stage("evaluate", *flags, "--out", out / "evaluation.jsonl")
        assert done.returncode == 0, done.stderr
    return results


def collect(stage, results: Path):
    flags = ("--models", "test", "--modes", *MODES, "--seeds", 0)
    flags += ("--test-set", results / "sets/eight")
    curves = results / "sets/eight/statistics/curves.csv"
    done = stage("collect_curves", "--runs", results / "runs", *flags, "--out", curves)
    return done, flags, curves


def test_a_set_has_its_evaluations_its_curve_and_its_tables(evaluated, stage):
    folder = evaluated / "sets" / "eight"
    manifest = read_json(folder / "data/manifest.json")
    assert manifest["rows"] == {"test": 8}
    assert manifest["sha256"]["test"] == sha256_of(folder / "data/test.jsonl")
    assert manifest["sources"].keys() == {"test"}
    assert manifest["sources"]["test"]["sha256"] == sha256_of(evaluated / "set.jsonl")
    rows = read_jsonl(folder / "runs/test/vanilla/seed0/evaluation.jsonl")
    assert [(row["step"], row["problem"]) for row in rows] == [
        (step, f"test/{n}.json") for step in (0, 1, 2) for n in range(8)
    ]
    records = read_jsonl(evaluated / "set.jsonl")
    assert [row["gold"] for row in rows[:8]] == [one["answer"].strip("$") for one in records]

    done, flags, path = collect(stage, evaluated)
    assert done.returncode == 0, done.stderr
    curves = pd.read_csv(path)
    assert len(curves) == 2 * 3 and set(curves["problems"]) == {8}
    tests = ("--curves", path, "--runs", evaluated / "runs", *flags, "--out", path.parent)
    assert stage("compare_modes", *tests).returncode == 0
    shown = ("--results", evaluated, *flags, "--task", "jsonl", "--test-set-label", "Eight & co")
    for table in ("table1_accuracy", "table2_auc", "table3_significance"):
        done = stage("make_table", "--table", table, *shown, "--out", folder / "tables")
        assert done.returncode == 0, done.stderr
        text = (folder / "tables" / f"{table}.md").read_text()
        assert text.startswith("**Test set Eight & co. Accuracy on own test questions")
        assert "8 problems" in text
    figure = ("--figure", "figure1_training_curves", *shown, "--out", folder / "figures")
    assert stage("plot_figure", *figure).returncode == 0
    assert (folder / "figures/figure1_training_curves.pdf").is_file()
    # The study's own have not been made, and nothing of the set's stands in their place.
    assert not (evaluated / "statistics").exists() and not (evaluated / "tables").exists()


def test_evaluations_of_other_origin_are_refused_and_lacking_ones_named(evaluated, stage):
    paths = [evaluated / f"sets/eight/runs/test/{mode}/seed0/evaluation.jsonl" for mode in MODES]
    made_from = [checksums.read(path).made_from for path in paths]
    settings = made_from[0]["settings"]
    for changed, message in (
        ({"problems": "0" * 64}, "was made from other problems than the study's"),
        ({"adapters": {"1": "0", "2": "0"}}, "is of other adapters than run.json: steps 1, 2"),
        ({"settings": settings | {"task": "arithmetic"}}, "was made from another setting task"),
        ({"model": {}}, "was made from another base model than run.json's"),
    ):
        for path, known in zip(paths, made_from, strict=True):
            seal(path, known | changed)
        done, _, curves = collect(stage, evaluated)
        assert done.returncode == 2 and f"{paths[0]}: {message}" in done.stderr
        assert not curves.exists()
    seal(paths[0], made_from[0])
    seal(paths[1], made_from[1] | {"problems": "0" * 64})
    assert "test/vanilla/seed0: problems is 0000" in collect(stage, evaluated)[0].stderr
    paths[1].unlink()
    assert f"missing run files: {paths[1]}" in collect(stage, evaluated)[0].stderr


@pytest.mark.parametrize(
    ("study", "changed", "asked"),
    [
        (ARITHMETIC, {}, "How many?"),
        (GSM8K, {}, "How many?\n\nPut it in \\boxed{}."),
        (OWN | {"template": "{question}"}, {}, "Q: How many?"),
        (OWN | {"template": "{question}"}, {"prompt": "{question} So?"}, "How many? So?"),
        # Who was asked for code is not asked for a number so.
        (CODE, {}, "How many?\n\nPlease reason step by step, and put your final answer within"),
        (ARITHMETIC, {"answer": "choice"}, "How many?\n\nPlease reason step by step, and put the"),
        (OWN | {"template": "{question}"}, {"task": "arithmetic", "test_problems": 3}, None),
    ],
)
def test_a_set_is_asked_with_its_own_prompt_or_the_studys(results, stage, study, changed, asked):
    describe(results, study)
    write(results, [("How many?", "A" if changed.get("answer") == "choice" else "3")])
    if "task" in changed:
        changed |= dict.fromkeys(("test", "fields", "answer"))
    done = prepare(stage, results, **changed)
    assert done.returncode == 0, done.stderr
    (first, *_) = read_jsonl(results / "sets/eight/data/test.jsonl")
    expected = asked or make_problems("test", 1, seed=0)[0]["question"]
    assert first["question"].startswith(expected)
    told = read_json(results / "sets/eight/data/manifest.json")
    assert not asked or first["question"] == told["prompt"].replace("{question}", "How many?")


@pytest.mark.parametrize(
    ("rows", "changed", "message"),
    [
        ("train", {}, "40 of its questions are also in the study's train"),
        ("test", {}, "its questions are those of the study's own test set"),
        (None, {"test": "absent.jsonl"}, "absent.jsonl: cannot be read"),
        (None, {"fields": {"question": "text"}}, "set.jsonl, line 1: has no field 'text'"),
        (None, {"answer": "choice"}, "set.jsonl, line 1: answer is '$"),
    ],
)
def test_a_set_that_cannot_be_one_is_named(results, stage, rows, changed, message):
    if rows:
        found = read_jsonl(results / "data" / f"{rows}.jsonl")
        write(results, [(row["question"], row["answer"]) for row in found])
    done = prepare(stage, results, **changed)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: evaluation.sets.eight: ") and message in done.stderr
    assert not (results / "sets").exists()
