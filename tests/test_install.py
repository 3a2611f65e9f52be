"""What the package needs is said alike everywhere, in ranges that hold what is locked."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from cfdapo.study import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ALL = [*PROJECT["dependencies"], *EXTRAS["workflow"], *EXTRAS["test"]]
LOCK = dict(
    re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements/lock.txt").read_text(), re.MULTILINE)
)
LOCKED = {canonicalize_name(name): version for name, version in LOCK.items()}
PYTHONS = [
    f"3.{minor}" for minor in range(20) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])
]


def test_python_is_the_same_everywhere():
    oldest, *_, newest = PYTHONS
    assert PYTHONS == ["3.11", "3.12", "3.13"]
    said = [line.rpartition(" ")[2] for line in PROJECT["classifiers"]]
    assert said == PYTHONS
    assert f"Python {oldest} to {newest}" in (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"command -v python(3\.\d+)", makefile) == PYTHONS
    assert f"(3, {oldest[2:]}) <= sys.version_info[:2] <= (3, {newest[2:]})" in makefile
    for name in ("train", "analysis"):
        conda = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
        assert f"python={oldest}" in conda  # of which the exact pins are
    tried = re.search(r"for minor in ([\d ]+); do", (ROOT / ".ci/newer").read_text())
    assert tried and sorted(f"3.{minor}" for minor in tried[1].split()) == PYTHONS[1:]


@pytest.mark.parametrize("text", ALL)
def test_the_package_states_a_range_that_holds_what_is_locked(text):
    wanted = Requirement(text)
    kinds = {one.operator for one in wanted.specifier}
    assert kinds == {">=", "<"}, "a lower end, an upper end and no exact version"
    assert LOCKED[canonicalize_name(wanted.name)] in wanted.specifier


def test_without_the_workflow_there_is_no_snakemake():
    assert not any("snakemake" in text for text in PROJECT["dependencies"])
    assert [Requirement(text).name for text in EXTRAS["workflow"]] == [
        *("snakemake", "snakemake-executor-plugin-slurm")
    ]


def test_the_readme_has_a_way_without_make():
    assert ".venv/bin/pip install -r requirements/lock.txt" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", ["score", "trainer"])
def test_the_docs_say_how_the_package_is_found_in_a_clone(page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert "`pip install .`" in text
    assert re.search(r"`PYTHONPATH=src \.venv/bin/python (-m cfdapo score|script\.py)", text)


def test_the_command_runs_in_a_clone_as_the_docs_say():
    command = [sys.executable, "-m", "cfdapo", "score", "--help"]
    environment = os.environ | {"PYTHONPATH": "src"}
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (shown.returncode, shown.stdout.split()[:3]) == (0, ["usage:", "cfdapo", "score"])


@pytest.mark.parametrize("name", ["My study", "it's"])
def test_make_passes_a_study_on_as_one_word_so_that_its_name_is_what_is_refused(name):
    command = ["make", "status", f"STUDY={name}", f"PYTHON={sys.executable}"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode and f"study {name!r} cannot be a study's name" in shown.stderr
    makefile = (ROOT / "Makefile").read_text()
    assert not re.findall(r"(?<!\")study=\$\(STUDY\)|--study \$\(STUDY\)", makefile)
