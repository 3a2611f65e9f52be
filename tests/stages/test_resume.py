"""A training that is killed or stopped anywhere goes on and ends with the same bits."""

import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from killed import POINTS, run_train

from cfdapo.files import read_json, read_jsonl, sha256_of, write_jsonl
from cfdapo.policy.checkpoints import last_whole
from cfdapo.policy.interruption import RESUME_ME
from cfdapo.policy.training import RunSettings
from cfdapo.settings import parse
from cfdapo.stages.evaluate import EvaluateSettings, evaluate
from cfdapo.study import load_document

# Four prompts a step of 24 problems: the second epoch begins after step 6.
STEPS, PROBLEMS = 8, 24
SEED = 5


def settings(mode: str, credit: dict | None = None, **training) -> dict:
    study = load_document("smoke")
    changed = {
        "steps": STEPS,
        "checkpoint_every": 4,
        "batch_size": 8,
        "gradient_accumulation": 2,
        "group_size": 4,
        "max_completion_tokens": 40,
        "max_prompt_tokens": 200,
        "kl_coefficient": 0.05,
        "schedule": "cosine",
    }
    return {
        "task": "arithmetic",
        "chat": {},
        "lora": {"r": 4, "alpha": 4, "dropout": 0.0},
        "training": study["training"] | changed | training,
        "credit": study["credit"] | {"mode": mode} | (credit or {}),
    }


@pytest.fixture(scope="module")
def arguments(prepared, tmp_path_factory):
    """The stage's arguments for a mode's run."""
    problems = tmp_path_factory.mktemp("problems") / "train.jsonl"
    write_jsonl(problems, read_jsonl(prepared / "train.jsonl")[:PROBLEMS])

    def build(mode: str, save_minutes: float = 10.0, problems: Path = problems, **changes) -> dict:
        return {
            "model": "test",
            "model_dir": prepared / "model",
            "problems": problems,
            "mode": mode,
            "seed": 3,
            "settings": parse(RunSettings, settings(mode, **changes)),
            "save_minutes": save_minutes,
        }

    return build


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """A run of each mode that was never interrupted."""
    runs = {}

    def run(mode: str) -> Path:
        if mode not in runs:
            runs[mode] = tmp_path_factory.mktemp("whole") / mode
            code, log = run_train(runs[mode], arguments(mode))
            assert code == 0, log
        return runs[mode]

    return run


def left(out: Path) -> dict:
    """What a run leaves, but for times and memory."""
    rows = read_jsonl(out / "history.jsonl")
    rows = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]
    adapters = {
        str(path.relative_to(out)): sha256_of(path) for path in sorted(out.glob("adapters/*/*"))
    }
    return {"history": rows, "adapters": adapters}


def evaluation(prepared: Path, out: Path) -> bytes:
    own = settings("vanilla")
    kept = {key: own[key] for key in ("task", "chat", "training")}
    chosen = parse(EvaluateSettings, kept | {"evaluation": {"batch_size": 4}})
    file = out / "evaluation.jsonl"
    evaluate(prepared / "model", prepared / "test.jsonl", out, chosen, file)
    return file.read_bytes()


def hits(seed: int) -> list[tuple[str, int]]:
    """Three points at random steps, one of them while a checkpoint is written."""
    dice = random.Random(seed)
    steps = sorted(dice.sample(range(2, STEPS), 3))
    points = [dice.choice(POINTS[:4]), dice.choice(POINTS[4:]), dice.choice(POINTS[:4])]
    dice.shuffle(points)
    return list(zip(points, steps, strict=True))


@pytest.mark.parametrize("mode", ["counterfactual", "random"])
def test_killed_three_times_it_ends_with_the_same_bits(mode, whole, arguments, prepared, tmp_path):
    chosen, out = arguments(mode, save_minutes=0), tmp_path / "run"
    for point, step in hits(SEED):
        print(f"{mode}: killed in step {step}, {point}")
        code, log = run_train(out, chosen, (point, step, signal.SIGKILL))
        assert code == -signal.SIGKILL, log
    code, log = run_train(out, chosen)
    assert code == 0, log
    last = step - (point != "thinning")
    assert f"going on from {out}/state/checkpoint-{last}" in log
    expected = left(whole(mode))
    assert left(out) == expected
    assert evaluation(prepared, out) == evaluation(prepared, whole(mode))
    assert not (out / "state").exists()
    # None of this is idle: the policy moved, and where it is measured credit was.
    assert all(row["grad_norm"] > 0 for row in expected["history"])
    assert all((row["credit_passes"] > 0) == (mode != "random") for row in expected["history"])
    assert all(row["weight_std"] > 0 for row in expected["history"])


@pytest.mark.parametrize("mode", ["counterfactual", "random"])
def test_stopped_three_times_it_loses_no_step(mode, whole, arguments, tmp_path):
    chosen, out = arguments(mode), tmp_path / "run"
    for point, step in hits(SEED + 1):
        print(f"{mode}: stopped in step {step}, {point}")
        # Checkpoints are written in steps 4 and 8 only, unless a signal asks for one.
        point = point if point in POINTS[:4] else "optimizer"
        code, log = run_train(out, chosen, (point, step, signal.SIGTERM))
        assert code == RESUME_ME, log
        # Before the optimizer moved the step is given up; from there on it is finished.
        done = step if point == "optimizer" else step - 1
        assert (out / "state" / f"checkpoint-{done}" / "complete.json").is_file(), log
    code, log = run_train(out, chosen)
    assert code == 0, log
    assert f"going on from {out}/state/checkpoint-{done}\n" in log
    assert left(out) == left(whole(mode))


def test_stopped_while_it_saves_it_finishes_the_save(whole, arguments, tmp_path):
    out = tmp_path / "run"
    code, log = run_train(out, arguments("random"), ("saving", 4, signal.SIGTERM))
    assert code == RESUME_ME, log
    code, log = run_train(out, arguments("random"))
    assert code == 0 and f"going on from {out}/state/checkpoint-4\n" in log
    assert left(out) == left(whole("random"))


def test_stopped_in_the_last_step_it_is_finished(whole, arguments, tmp_path):
    out = tmp_path / "run"
    code, log = run_train(out, arguments("random"), ("optimizer", STEPS, signal.SIGTERM))
    assert code == 0, log
    assert left(out) == left(whole("random"))


def test_killed_after_the_last_step_it_takes_no_step_more(whole, arguments, tmp_path):
    out = tmp_path / "run"
    code, _ = run_train(out, arguments("random"), ("thinning", STEPS, signal.SIGKILL))
    assert code == -signal.SIGKILL and not (out / "run.json").exists()
    grown = (out / "history.jsonl").read_bytes()
    code, log = run_train(out, arguments("random"))
    assert code == 0 and "going on" not in log
    assert left(out) == left(whole("random"))
    # What grew while it ran is the finished record, to the byte.
    assert (out / "history.jsonl").read_bytes() == grown


def test_the_history_grows_and_is_cut_to_the_checkpoint_it_goes_on_from(arguments, tmp_path):
    out = tmp_path / "run"

    def steps() -> list[int]:
        return [row["step"] for row in read_jsonl(out / "history.jsonl")]

    code, log = run_train(out, arguments("random"), ("generation", 7, signal.SIGKILL))
    assert code == -signal.SIGKILL and steps() == [1, 2, 3, 4, 5, 6], log
    with open(out / "history.jsonl", "a") as torn:
        torn.write('{"step": 7, "rew')
    code, log = run_train(out, arguments("random"), ("generation", 5, signal.SIGKILL))
    assert code == -signal.SIGKILL and f"going on from {out}/state/checkpoint-4\n" in log
    assert steps() == [1, 2, 3, 4] and not (out / "run.json").exists()


def test_drops_kept_for_later_steps_survive(arguments, prepared, tmp_path):
    """All ten problems in every step, nearly greedy, by a policy that hardly moves."""
    chosen = arguments(
        "counterfactual",
        problems=prepared / "test.jsonl",
        credit={"cache": 15, "every": 2},
        steps=5,
        checkpoint_every=5,
        batch_size=20,
        group_size=2,
        gradient_accumulation=1,
        temperature=1e-4,
        learning_rate=1e-9,
    )  # fmt: skip
    code, log = run_train(tmp_path / "whole", chosen)
    assert code == 0, log
    code, log = run_train(tmp_path / "run", chosen, ("credit", 3, signal.SIGTERM))
    assert code == RESUME_ME, log
    saved = tmp_path / "run" / "state" / "checkpoint-2"
    assert "own_state.safetensors" in read_json(saved / "complete.json")["files"]
    code, log = run_train(tmp_path / "run", chosen)
    assert code == 0, log
    expected = left(tmp_path / "whole")
    assert left(tmp_path / "run") == expected
    assert [row["cache_hits"] > 0 for row in expected["history"]] == [
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.fixture(scope="module")
def saved(arguments, tmp_path_factory) -> Path:
    """A run that was killed in step 7 with the checkpoints of steps 5 and 6."""
    out = tmp_path_factory.mktemp("saved") / "run"
    code, log = run_train(out, arguments("random", 0), ("generation", 7, signal.SIGKILL))
    assert code == -signal.SIGKILL, log
    assert {path.name for path in (out / "state").glob("check*")} == {
        "checkpoint-5",
        "checkpoint-6",
    }
    return out


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


TEARS = {
    "truncated weights": lambda folder: truncate(folder / "adapter_model.safetensors"),
    "one bit of the weights": lambda folder: flip(folder / "adapter_model.safetensors"),
    "no optimizer": lambda folder: (folder / "optimizer.pt").unlink(),
    "no reference": lambda folder: (folder / "ref" / "adapter_model.safetensors").unlink(),
    "no generators": lambda folder: (folder / "rng_state.pth").unlink(),
    "empty state": lambda folder: (folder / "trainer_state.json").write_bytes(b""),
    "no mark": lambda folder: (folder / "complete.json").unlink(),
    "torn mark": lambda folder: truncate(folder / "complete.json"),
    "empty mark": lambda folder: (folder / "complete.json").write_text("[]"),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_checkpoint_is_removed_and_the_one_before_is_used(saved, tear, tmp_path, capsys):
    state = shutil.copytree(saved / "state", tmp_path / "state")
    assert last_whole(state, [4, 8]) == state / "checkpoint-6"
    TEARS[tear](state / "checkpoint-6")
    assert last_whole(state, [4, 8]) == state / "checkpoint-5"
    assert f"{state}/checkpoint-6: removed, as training cannot go on from it" in (
        capsys.readouterr().out
    )
    assert not (state / "checkpoint-6").exists()


def test_a_half_copied_adapter_is_made_again(saved, tmp_path, capsys):
    """Step 4's is lost with every checkpoint after it; without it nothing could be published."""
    state = shutil.copytree(saved / "state", tmp_path / "state")
    truncate(state / "adapters" / "step4" / "adapter_model.safetensors")
    assert last_whole(state, [4, 8]) is None
    printed = capsys.readouterr().out
    assert printed.count("the adapter of step 4: adapter_model.safetensors is damaged") == 2


def test_from_the_checkpoint_before_it_ends_with_the_same_bits(saved, whole, arguments, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(saved / "state", out / "state")
    flip(out / "state" / "checkpoint-6" / "optimizer.pt")
    code, log = run_train(out, arguments("random"))
    assert code == 0 and f"going on from {out}/state/checkpoint-5\n" in log
    assert left(out) == left(whole("random"))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own of 16 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


# Bytes left on the disk, each too few for something else: safetensors, tokenizers or torch.
@pytest.mark.parametrize("room", [0, 40_000, 80_000, 120_000])
def test_a_full_disk_is_an_error_and_nothing_is_lost(saved, whole, arguments, small_disk, room):
    out = small_disk / "run"
    shutil.copytree(saved / "state", out / "state")
    before = left_in(out / "state")
    with open(small_disk / "ballast", "wb") as ballast:
        ballast.write(bytes(shutil.disk_usage(small_disk).free - room))
    code, log = run_train(out, arguments("random", 0))
    assert code == 2, log
    assert f"error: {out}/state/checkpoint-7: cannot be written" in log and "make room" in log
    assert left_in(out / "state") == before
    (small_disk / "ballast").unlink()
    code, log = run_train(out, arguments("random", 0))
    assert code == 0 and f"going on from {out}/state/checkpoint-6\n" in log
    assert left(out) == left(whole("random"))


# Without a disk of one's own: no file may be as large as this one of the last checkpoint is.
@pytest.mark.parametrize("largest", ["adapter_model.safetensors", "optimizer.pt"])
def test_a_limit_on_files_is_an_error_and_nothing_is_lost(
    saved, whole, arguments, tmp_path, largest
):
    out = tmp_path / "run"
    shutil.copytree(saved / "state", out / "state")
    before = left_in(out / "state")
    limit = (saved / "state" / "checkpoint-6" / largest).stat().st_size - 1
    code, log = run_train(out, arguments("random", 0), file_bytes=limit)
    assert code == 2 and "Traceback" not in log, log
    assert f"error: {out}/state/checkpoint-7: cannot be written" in log
    assert left_in(out / "state") == before
    code, log = run_train(out, arguments("random", 0))
    assert code == 0 and f"going on from {out}/state/checkpoint-6\n" in log
    assert left(out) == left(whole("random"))


def left_in(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): sha256_of(path) for path in files}
