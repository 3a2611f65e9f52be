"""The benchmarks' own modules, which import each other by their bare names."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from cfdapo.study import ROOT

# Behind everything else, as their names are plain words.
sys.path.append(str(ROOT / "benchmarks"))


@pytest.fixture
def found() -> dict[str, dict[str, Any]]:
    """What `emit` was told, by name."""
    return {}


@pytest.fixture
def emit(found) -> Callable[[str, dict[str, Any]], None]:
    """Keeps what it is told in `found`, as gpu.py's record does."""
    return lambda name, values: found.setdefault(name, {}).update(values)
