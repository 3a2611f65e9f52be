"""The house rules that code can check: imports go down, pins agree, nothing unsafe."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from cfdapo.provenance import CARRIERS, source_files
from cfdapo.study import ROOT

PACKAGE = ROOT / "src" / "cfdapo"
MODULES = sorted(PACKAGE.rglob("*.py"))
GROUND = {"problems", "credit", "analysis"}
# What each floor may import; the carriers below all of them may be imported anywhere.
ALLOWED = {
    "problems": {"problems"},
    "credit": {"problems", "credit"},
    "analysis": {"analysis"},
    "policy": {"policy", *GROUND},
    "stages": {"stages", "policy", *GROUND},
}


def imported(path: Path) -> set[str]:
    """Modules that a file names in its imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    floor = path.relative_to(PACKAGE).parts[0]
    own = {name for name in imported(path) if name.startswith("cfdapo.")}
    floors = {name.split(".")[1] for name in own} - {name.split(".")[1] for name in CARRIERS}
    if floor in ALLOWED:
        assert floors <= ALLOWED[floor]
    else:
        assert not floors  # the carriers import no floor


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_say_what_they_are_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_analysis_imports_no_torch():
    for path in (PACKAGE / "analysis").glob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"torch", "transformers"}


def test_nothing_unsafe_is_called():
    for path in MODULES:
        text = path.read_text()
        assert not re.search(r"trust_remote_code|pickle|yaml\.load\(|torch\.load\(", text), path


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^[\s\"-]*([A-Za-z0-9_.-]+)==([^\s\",]+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


LOCK = pins((ROOT / "requirements" / "lock.txt").read_text())


@pytest.mark.parametrize("name", ["pyproject.toml", "envs/train.yaml", "envs/analysis.yaml"])
def test_pins_equal_the_lock(name):
    found = pins((ROOT / name).read_text())
    if name == "pyproject.toml":
        found |= pins((ROOT / name).read_text().replace("[", "\n"))
    assert len(found) >= 7
    assert {package: LOCK.get(package) for package in found} == found


def test_only_training_needs_torch():
    analysis = pins((ROOT / "envs" / "analysis.yaml").read_text())
    assert "torch" not in analysis and "torch" in pins((ROOT / "envs" / "train.yaml").read_text())
    for stage in ("collect_curves", "test_modes", "make_table", "plot_figure"):
        for file in source_files(f"cfdapo.stages.{stage}"):
            assert "torch" not in imported(ROOT / file), file


def test_lock_is_what_is_installed():
    import importlib.metadata

    for package, version in LOCK.items():
        # A local build of the same release, such as torch's for CPUs, is that release.
        assert importlib.metadata.version(package).partition("+")[0] == version, package


@pytest.mark.parametrize("name", ["train", "analysis"])
def test_conda_environments_have_exact_pins(name):
    environment = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pip["pip"])
    assert conda == ["python=3.11", "pip"]


def test_source_files_are_what_a_stage_imports_and_no_carrier():
    train, figures = source_files("cfdapo.stages.train"), source_files("cfdapo.stages.plot_figure")
    assert "src/cfdapo/credit/weights.py" in train and "src/cfdapo/problems/answers.py" in train
    assert not any("analysis" in file for file in train)
    assert "src/cfdapo/analysis/figures.py" in figures
    assert not any("/credit/" in file or "/policy/" in file for file in figures)
    assert not any(file.endswith(("files.py", "study.py", "provenance.py")) for file in train)


def test_every_key_of_the_schema_is_explained():
    explained = (ROOT / "config" / "README.md").read_text()
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "study.schema.yaml").read_text())

    def keys(node):
        for key, sub in node.get("properties", {}).items():
            yield key
            yield from keys(sub)

    wanted = set(keys(schema)) | {k for sub in schema["$defs"].values() for k in keys(sub)}
    assert not {key for key in wanted - {"description"} if f"{key}" not in explained}
