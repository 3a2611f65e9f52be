"""Shared fixtures: real data where there is some, and a tiny model made on the spot."""

import gc
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tests of the analysis also run where there is no torch (.ci/newer).
if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.06,
}
PRETRAINING = {"steps": 120, "batch_size": 8, "learning_rate": 4e-3, "seed": 0, "careless": 0.5}
ENTRY = {
    "source": "made",
    "architecture": "qwen3",
    "shape": {**SHAPE, "head_dim": 8},
    "vocabulary": 300,
    "pretraining": PRETRAINING,
}


# Files of few and long tests: begun last, one of them would run on beside an idle core.
LONG = ("test_slurm.py", "test_kills.py", "test_resume.py", "test_dag.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, each on a core; `make test` keeps this order."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """Leave out of garbage collections what is imported by now, millions of objects.

    Trainings and timings collect by themselves, each time in half a second otherwise.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """A test leaves the environment variables as it found them, whatever the code under it sets.

    (A GPU that was taken in one test would be all that a later test's processes are given.)
    """
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data sets that $CFDAPO_DATA names."""
    folder = os.environ.get("CFDAPO_DATA")
    if not folder:
        pytest.skip("CFDAPO_DATA names no folder with the real data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a prepared tiny model in `model`, and `train.jsonl` and `test.jsonl`."""
    from cfdapo.checksums import finish
    from cfdapo.files import as_jsonl
    from cfdapo.policy.models import write_manifest
    from cfdapo.problems.arithmetic import make_problems
    from cfdapo.settings import MadeModel, parse
    from cfdapo.stages.prepare_model import make

    folder = tmp_path_factory.mktemp("prepared")
    (folder / "model").mkdir()
    made = make(parse(MadeModel, ENTRY), "arithmetic", folder / "model")
    write_manifest(folder / "model", "test", ENTRY, made)
    finish(folder / "train.jsonl", as_jsonl(make_problems("train", 40, seed=1)))
    finish(folder / "test.jsonl", as_jsonl(make_problems("test", 10, seed=1)))
    return folder


@pytest.fixture(scope="session")
def credit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the made-up records of two models: spans, completions, steps and rules."""
    from made_results import write_credit, write_truth

    folder = tmp_path_factory.mktemp("credit")
    for seed, model in enumerate(("qwen3-tiny", "llama-tiny")):
        write_credit(folder, model, seed)
        write_truth(folder, model, seed)
    return folder
