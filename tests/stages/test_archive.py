"""Records travel without weights, are the same archive twice, and show every change."""

import os
import shutil
import subprocess
import tarfile

import pytest
from made_results import change_record

from cfdapo.checksums import finish
from cfdapo.files import read_json, write_json
from cfdapo.own_code import VARIABLE
from cfdapo.provenance import rule_hash

OTHERS = (
    *("data/manifest.json", "overhead/x.json"),
    *("credit/llama-tiny.jsonl", "statistics/curves.csv"),
)


@pytest.fixture
def finished(study):
    """The made-up study with what an archive must leave out, and what it must take along."""
    run = study / "runs" / "llama-tiny" / "random" / "seed0"
    for name in ("adapters/step10/adapter_model.safetensors", "state/checkpoint-10/optimizer.pt",
                 "evaluation.partial.jsonl"):  # fmt: skip
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("heavy")
    for name in ("models/llama-tiny/model.safetensors", "data/train.jsonl", "logs/train.log",
                 "credit/llama-tiny.partial.jsonl"):  # fmt: skip
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).write_text("heavy")
    write_json(study / "models/llama-tiny/manifest.json", {})
    for name in OTHERS:
        finish(study / name, "{}\n")
    return study


def pack(stage, study, out):
    done = stage("archive", "pack", "--results", study, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def verify(stage, folder):
    return stage("archive", "verify", "--results", folder)


@pytest.fixture
def unpacked(finished, stage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone")
    archive = pack(stage, finished, folder / "records.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "results" / finished.name


def test_the_archive_holds_records_and_no_weights(unpacked):
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    # 24 runs' three records, the others, each with its checksum; a model's manifest, the sums.
    assert len(files) == 2 * (24 * 3 + len(OTHERS)) + 2
    assert "credit/llama-tiny.jsonl" in files and "models/llama-tiny/manifest.json" in files
    assert not [name for name in files if name.endswith((".safetensors", ".pt", ".log"))]
    assert "data/train.jsonl" not in files and "credit/llama-tiny.partial.jsonl" not in files


def test_further_test_sets_travel_too_and_must_be_whole(finished, stage, tmp_path):
    runs = [path.relative_to(finished) for path in finished.glob("runs/*/*/*")]
    names = [f"{run}/evaluation.jsonl" for run in runs]
    names += ["data/manifest.json", "statistics/curves.csv"]
    for name in names:
        finish(finished / "sets/more" / name, "{}\n")
    for name in ("data/test.jsonl", "tables/table1_accuracy.csv"):
        finish(finished / "sets/more" / name, "heavy")
    with tarfile.open(pack(stage, finished, tmp_path / "all.tar.gz")) as packed:
        prefix = f"results/{finished.name}/sets/more/"
        found = {n.removeprefix(prefix) for n in packed.getnames() if n.startswith(prefix)}
    assert {name for name in found if not name.endswith(".checksum.json")} == set(names)
    (finished / "sets/more" / names[0]).unlink()
    done = stage("archive", "pack", "--results", finished, "--out", tmp_path / "all.tar.gz")
    assert done.returncode == 2 and f"not finished: {finished}/sets/more/{names[0]}" in done.stderr


def test_code_of_ones_own_travels_or_is_said_not_to(finished, stage, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("mine")
    monkeypatch.setenv(VARIABLE, str(folder))
    (folder / "mine").mkdir()
    for name, text in (("__init__", ""), ("rules", "from mine.words import WORD\nRule = WORD\n"),
                       ("words", "WORD = 1\n"), ("others", "")):  # fmt: skip
        (folder / "mine" / f"{name}.py").write_text(text)
    record = finished / "runs/llama-tiny/random/seed0/run.json"
    origin = read_json(record)["origin"] | {
        "own": {"mine.rules:Rule": rule_hash("mine.rules:Rule")}
    }
    change_record(record, origin=origin)
    with tarfile.open(pack(stage, finished, folder / "one.tar.gz")) as packed:
        prefix = f"results/{finished.name}/own/"
        found = {n.removeprefix(prefix) for n in packed.getnames() if n.startswith(prefix)}
    assert found == {"mine/__init__.py", "mine/rules.py", "mine/words.py"}

    (folder / "mine" / "words.py").write_text("WORD = 2\n")
    shutil.rmtree(finished / "own")
    done = stage("archive", "pack", "--results", finished, "--out", folder / "two.tar.gz")
    assert done.returncode == 0 and not (finished / "own").exists()
    said = "not packed: mine.rules:Rule: is not what runs of it were made with"
    assert f"warning: code of one's own is {said}" in done.stderr


def test_equal_records_are_an_equal_archive(finished, stage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("twice")
    first = pack(stage, finished, folder / "one.tar.gz").read_bytes()
    for path in finished.rglob("*"):
        os.utime(path, (1, 1))
    assert pack(stage, finished, folder / "two.tar.gz").read_bytes() == first
    with tarfile.open(folder / "one.tar.gz") as packed:
        names = [member.name for member in packed.getmembers()]
        assert {(m.uid, m.mode, m.uname) for m in packed.getmembers()} == {(0, 0o644, "")}
    assert names[1:] == sorted(names[1:]) and names[0].endswith("/SHA256SUMS")


def test_unpacked_records_are_verified_here_and_by_sha256sum(unpacked, stage):
    done = verify(stage, unpacked)
    assert done.returncode == 0 and "153 files are as they were packed" in done.stdout
    standard = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=unpacked)
    assert standard.returncode == 0


def test_changed_missing_and_added_records_are_all_named(unpacked, stage):
    run = unpacked / "runs" / "qwen3-tiny" / "vanilla" / "seed1"
    (run / "history.jsonl").write_text("{}\n")
    (run / "run.json").unlink()
    (run / "evaluation.jsonl.checksum.json").unlink()
    (unpacked / "statistics" / "more.csv").write_text("")
    done = verify(stage, unpacked)
    assert done.returncode == 2
    assert "runs/qwen3-tiny/vanilla/seed1/history.jsonl: changed" in done.stderr
    assert "runs/qwen3-tiny/vanilla/seed1/run.json: missing" in done.stderr
    assert "vanilla/seed1/evaluation.jsonl.checksum.json: missing" in done.stderr
    assert "statistics/more.csv: not in SHA256SUMS" in done.stderr
    assert "seed2" not in done.stderr


@pytest.mark.parametrize("line", ["no checksum", f"{'0' * 64}  ../../etc/passwd"])
def test_a_faulty_list_of_checksums_is_refused(unpacked, stage, line):
    with open(unpacked / "SHA256SUMS", "a") as stream:
        stream.write(f"{line}\n")
    done = verify(stage, unpacked)
    assert done.returncode == 2 and "SHA256SUMS, line 154" in done.stderr


def test_records_of_an_archive_that_kept_no_checksums_are_named(unpacked, stage):
    sums = unpacked / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if ".checksum.json" not in line))
    done = verify(stage, unpacked)
    assert done.returncode == 2 and "an archive of an older version" in done.stderr
    assert "runs/qwen3-tiny/vanilla/seed1/history.jsonl: its checksum is not in" in done.stderr


def test_an_archive_cut_short_is_missing_what_it_lacks(finished, stage, tmp_path):
    archive = pack(stage, finished, tmp_path / "records.tar.gz")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) * 2 // 3])
    unpacking = ["tar", "--extract", "--file", archive, "--directory", tmp_path]
    assert subprocess.run(unpacking, stderr=subprocess.DEVNULL).returncode != 0
    done = verify(stage, tmp_path / "results" / finished.name)
    assert done.returncode == 2 and "statistics/curves.csv: missing" in done.stderr


def test_unfinished_runs_are_named_and_nothing_is_packed(finished, stage, tmp_path_factory):
    (finished / "runs" / "qwen3-tiny" / "random" / "seed2" / "evaluation.jsonl").unlink()
    out = tmp_path_factory.mktemp("out") / "records.tar.gz"
    done = stage("archive", "pack", "--results", finished, "--out", out)
    assert done.returncode == 2 and "random/seed2/evaluation.jsonl" in done.stderr
    assert not out.exists()


def test_a_folder_without_runs_or_sums_is_refused(stage, tmp_path):
    done = stage("archive", "pack", "--results", tmp_path / "x", "--out", tmp_path / "x.tar.gz")
    assert done.returncode == 2 and "has no runs" in done.stderr
    assert verify(stage, tmp_path).returncode == 2
