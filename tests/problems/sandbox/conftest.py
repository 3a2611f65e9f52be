"""Runs behind every combination of walls that stands by itself, where this machine has it."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cfdapo.problems.sandbox.host import Job, Limits, Outcome, capabilities, run

# Each way of holding a guest on its own, so that none hides behind another's success.
COMBINATIONS = {
    "all": ("namespaces", "landlock", "seccomp"),
    "namespaces": ("namespaces",),
    "landlock": ("landlock", "seccomp"),
}
QUICK = Limits(cpu_seconds=2, wall_seconds=20.0)


@pytest.fixture(params=COMBINATIONS)
def walls(request: pytest.FixtureRequest) -> tuple[str, ...]:
    chosen = COMBINATIONS[request.param]
    for wall in chosen:
        if wall not in capabilities().walls:
            pytest.skip(capabilities().missing[wall])
    return chosen


@pytest.fixture
def attack(walls: tuple[str, ...]) -> Callable[..., Outcome]:
    """Run code with a function `f`, called once with the arguments given."""

    def run_attack(code: str, *arguments: object, limits: Limits = QUICK) -> Outcome:
        return run(Job(code, "f", [arguments], limits), walls=walls, allow_weak=True)

    return run_attack


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own become their user's again and again."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
