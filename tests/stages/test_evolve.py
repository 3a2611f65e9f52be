"""A generation of an evolution as jobs: one real member, and what follows from a generation."""

import json
import shutil

import pytest

from cfdapo import checksums
from cfdapo.files import as_json, read_json
from cfdapo.policy.evolution import found_map, read_search
from cfdapo.policy.penalised import PenalisedTrainer
from cfdapo.policy.training import make_trainer
from cfdapo.settings import parse, plain
from cfdapo.stages import evolve
from cfdapo.stages.evolve import EvolveSettings, try_member
from cfdapo.study import load_document

DRAWN = {"seed": 42, "scale": 0.01, "evolved": True}
EVOLUTION = {
    **{"generations": 2, "pairs": 1, "steps": 1, "held_out": 0.2, "sigma": 0.01, "decay": 0.99},
    **{"rate": 0.01, "fitness": "raw", "patience": 1, "seed": 42, "scale": 0.01},
    "coefficient": 0.1,
}


@pytest.fixture(scope="module")
def settings() -> EvolveSettings:
    study = load_document("smoke")
    changes = {"steps": 1, "checkpoint_every": 1, "batch_size": 8, "group_size": 4}
    changes |= {"max_completion_tokens": 16, "max_prompt_tokens": 200, "kl_coefficient": 0.0}
    divergence = {"name": "neural_mirror", "coefficient": 0.1, "estimator": "sampled"}
    changes |= {"divergence": divergence | {"mirror": DRAWN}}
    run = {
        **{"task": "arithmetic", "chat": {}, "lora": {"r": 4, "alpha": 4, "dropout": 0.0}},
        **{
            "training": study["training"] | changes,
            "credit": study["credit"] | {"mode": "vanilla"},
        },
    }
    parts = {"run": run, "evaluation": {"batch_size": 8}, "evolution": EVOLUTION}
    return parse(EvolveSettings, parts)


@pytest.fixture
def flags(settings):
    return ["evolve", "--settings", json.dumps(plain(settings))]


def tried(folder, number: int, fitness: float | None, generation: int = 0):
    """A member's file, as if it had been tried."""
    origin = checksums.read(folder / f"generation{generation}.json").sha256
    path = folder / f"generation{generation}.member{number}.json"
    row = {"search": origin, "member": number, "fitness": fitness}
    checksums.finish(path, as_json(row))
    return path


def test_a_member_is_trained_and_graded_on_problems_that_it_never_saw(
    prepared, settings, flags, tmp_path, stage, monkeypatch
):
    first = tmp_path / "generation0.json"
    assert stage(*flags, "--out", first).returncode == 0
    out = tmp_path / "generation0.member1.json"
    given = (settings, "test", prepared / "model", prepared / "train.jsonl", out)
    try_member(first, 1, *given)
    row = read_json(out)
    assert row["held_out"] == 8 and 0 <= row["fitness"] <= 1 and row["member"] == 1
    assert not out.with_suffix("").exists()
    # The same member once more has the same weights, also where its grading was interrupted.
    kept = out.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr(evolve, "_fitness", None)
        try_member(first, 1, *given)
    with monkeypatch.context() as patch:
        patch.setattr("cfdapo.stages.train.make_trainer", None)  # would fail if it trained again
        try_member(first, 1, *given)
    assert out.read_bytes() == kept
    # A search that has stopped tries nobody.
    again = json.loads(first.read_text()) | {"stopped": True}
    checksums.finish(first, as_json(again), {"evolution": plain(settings.evolution)})
    shutil.rmtree(out.with_suffix(""), ignore_errors=True)
    try_member(first, 1, *given)
    assert read_json(out)["fitness"] is None


def test_a_generation_follows_from_its_members_and_the_last_one_has_the_map(
    flags, settings, tmp_path, stage, prepared
):
    paths = [tmp_path / f"generation{number}.json" for number in range(3)]
    stage(*flags, "--out", paths[0])
    for number, fitness in enumerate([(0.5, 0.5), (0.9, 0.2)]):
        members = [tried(tmp_path, n, value, number) for n, value in enumerate(fitness)]
        done = stage(
            *(*flags, "--search", paths[number], "--tried", *members),
            *("--out", paths[number + 1]),
        )
        assert done.returncode == 0, done.stderr
    last = read_search(paths[2], settings.evolution)
    assert [row["mean"] for row in last.history] == [0.5, pytest.approx(0.55)]
    found = found_map(paths[2])
    assert found == last.best == tuple(last.history[1]["centre"])
    run = parse(type(settings.run), plain(settings.run) | {"mirror": list(found)})
    trainer = make_trainer(prepared / "model", prepared / "train.jsonl", 0, run, tmp_path / "run")
    assert isinstance(trainer, PenalisedTrainer)
    assert trainer.divergence.c == found[-1]


def test_members_of_another_search_are_refused(flags, tmp_path, stage):
    first = tmp_path / "generation0.json"
    stage(*flags, "--out", first)
    one, other = tried(tmp_path, 0, 0.5), tried(tmp_path, 1, 0.5)
    done = stage(*flags, "--search", first, "--tried", other, one, "--out", tmp_path / "next.json")
    assert done.returncode == 2 and "is no member 0 of the search in" in done.stderr
    changed = json.loads(flags[2]) | {"evolution": EVOLUTION | {"sigma": 0.5}}
    done = stage(
        *("evolve", "--settings", json.dumps(changed), "--search", first),
        *("--tried", one, other, "--out", tmp_path / "next.json"),
    )
    assert done.returncode == 2 and "of a search with other settings" in done.stderr
