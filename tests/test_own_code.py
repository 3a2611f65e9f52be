"""Code of one's own by its path: found without being run, hashed, loaded, and refused by name."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfdapo import own_code
from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.rules import get_rule
from cfdapo.files import UserError
from cfdapo.own_code import folders_from, is_own, source_hash, source_of, sources
from cfdapo.provenance import credit_sources, own_hashes, rule_hash, with_own_code
from cfdapo.settings import CreditSettings, ModeCredit
from cfdapo.study import ROOT, build_study, check_study, load_document, require_own_code

LATE = '''"""Late tokens count."""
import torch
from cfdapo.credit import CreditRule
from cfdapo.credit.rule import weighted
from .helpers import FACTOR

class Late(CreditRule):
    """w_t = FACTOR where t >= T / 2, else 0."""

    def assign(self, rollout):
        halves = [torch.arange(len(ids)) >= len(ids) / 2 for ids in rollout.completions]
        return weighted(rollout, [FACTOR * half.float() for half in halves])

class Half(CreditRule):
    """Gives nothing."""

class Mass(Late):
    keeps = "all"

class Nothing: ...

def late(rollout): ...
NUMBER = 5
'''
FINDERS = "def find(text, max_spans, answer): return []\ndef answer(text): return None\n"
NAMES = map("mine{}".format, itertools.count())


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """The name of a package of one's own, new in each test, in a folder where it is looked for."""
    name = next(NAMES)
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helpers.py").write_text("FACTOR = 2.0\n")
    (folder / "rules.py").write_text(LATE)
    (folder / "broken.py").write_text("import nowhere_to_be_found\nclass Rule(object): ...\n")
    (folder / "torn.py").write_text("class Rule(:\n")
    (folder / "finders.py").write_text(FINDERS)
    monkeypatch.setenv(own_code.VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_a_rule_is_loaded_by_its_path_and_its_imports_are_its_sources(package):
    name = f"{package}.rules:Late"
    assert is_own(name) and not is_own("vanilla")
    files = {path.name for path in sources(name).values()}
    assert files == {"__init__.py", "helpers.py", "rules.py"}
    assert get_rule(name).__name__ == "Late" and not CreditConfig(mode=name).measures_drops


@pytest.mark.parametrize("changed", ["rules.py", "helpers.py", "__init__.py"])
def test_a_changed_source_changes_the_hash_and_a_moved_one_does_not(package, tmp_path, changed):
    name = f"{package}.rules:Late"
    before = source_hash(name), rule_hash(name)
    os.environ[own_code.VARIABLE] = str((tmp_path).rename(tmp_path.with_name("moved")))
    assert (source_hash(name), rule_hash(name)) == before
    file = tmp_path.with_name("moved") / package / changed
    file.write_text(file.read_text() + "# another\n")
    assert source_hash(name) != before[0] and rule_hash(name) != before[1]
    tmp_path.with_name("moved").rename(tmp_path)


def test_a_rule_that_builds_on_one_of_the_package_depends_on_its_code(package, tmp_path):
    (tmp_path / package / "more.py").write_text(
        "from cfdapo.credit.rules.entropy import Rule\nclass More(Rule): ...\n"
    )
    files, own = credit_sources(ModeCredit(mode=f"{package}.more:More"))
    assert "src/cfdapo/credit/rules/entropy.py" in files
    assert [path.name for path in own] == ["__init__.py", "more.py"]


def test_only_settings_that_name_ones_own_code_have_its_hashes(package):
    assert with_own_code({"a": 1}, CreditSettings(), ModeCredit()) == {"a": 1}
    names = {"spans": f"{package}.finders:find", "answer": f"{package}.finders:answer"}
    found = with_own_code({}, CreditSettings(**names))["own"]
    assert set(found) == set(names.values()) == set(own_hashes(CreditSettings(**names)))
    assert CreditConfig(**names).spans == names["spans"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".rules:Nothing", "is no CreditRule"),
        (".rules:late", "is no CreditRule"),
        (".rules:NUMBER", "is no CreditRule"),
        (".rules:Half", "lacks assign"),
        (".rules:Mass", "keeps is 'all'; allowed: nothing, completion, group"),
        (".rules:Early", "rules.py defines no Early; it defines Late, Half, Mass, Nothing, late"),
        (".rule:Late", "there is no module mine.*rule in .*, nor in the environment"),
        (".broken:Rule", "broken.py cannot be imported .ModuleNotFoundError: .*nowhere_to_be"),
        (".torn:Rule", "torn.py: is no Python"),
        (".rules:", "is no path such as mypackage.module:name"),
        (":Late:Late", "is no path such as"),
    ],
)
def test_what_is_no_rule_is_refused_by_name(package, path, message):
    with pytest.raises(UserError, match=message):
        get_rule(f"{package}{path}")
    with pytest.raises(UserError, match=message):
        CreditConfig(mode=f"{package}{path}")


def test_what_is_no_function_is_no_finder(package):
    with pytest.raises(UserError, match="NUMBER: is no function"):
        CreditConfig(spans=f"{package}.rules:NUMBER")


def test_a_module_that_the_environment_has_under_the_name_is_refused(package, tmp_path):
    (tmp_path / "jsonschema.py").write_text(LATE)
    with pytest.raises(UserError, match="the environment has another jsonschema, .*; rename"):
        get_rule("jsonschema:Late")


def test_what_is_found_is_found_without_running_it_and_without_torch(package, tmp_path):
    (tmp_path / package / "loud.py").write_text("raise SystemExit(9)\nclass Rule(A): ...\n")
    program = (
        "import sys; from cfdapo.provenance import rule_hash; from cfdapo.own_code import *;"
        f"rule_hash('{package}.rules:Late'); source_of('{package}.loud:Rule');"
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    with pytest.raises(UserError, match="cannot be imported .SystemExit: 9"):
        own_code.load(f"{package}.loud:Rule")


def test_libraries_in_a_folder_below_are_no_code_of_ones_own(package, tmp_path, monkeypatch):
    library = tmp_path / ".venv" / "site-packages"
    library.mkdir(parents=True)
    (library / f"{package}lib.py").write_text("")
    monkeypatch.syspath_prepend(str(library))
    (tmp_path / package / "rules.py").write_text(f"import {package}lib, torch\n{LATE}")
    assert {path.name for path in sources(f"{package}.rules:Late").values()} == {
        *("__init__.py", "helpers.py", "rules.py")
    }


def test_folders_are_those_where_it_was_called_then_those_of_pythonpath(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["lib", "", "/else/where"]))
    assert folders_from("/called", Path("/run")) == os.pathsep.join(
        ["/called", "/run", "/called/lib", "/else/where"]
    )


def study_of(**credit) -> dict:
    study = load_document("smoke") | {"modes": ["vanilla", "mine"]}
    study["measurement"]["mode"] = "vanilla"
    study["variants"] = {"mine": {"mode": "a.b:C", "label": "Mine", "credit": {}, "training": {}}}
    study["credit"] |= credit
    return study


def test_a_study_names_a_rule_and_finders_and_their_faults_are_told_by_key(package):
    study = study_of(spans=f"{package}.finders:find", answer=f"{package}.finders:found")
    study["variants"]["mine"]["mode"] = f"{package}.rules:late"
    study["variants"]["mine"]["credit"] = {
        "spans": f"{package}.gone:find",
        "options": {f"{package}.rules:late": {"a": 1}},
    }
    built = build_study(check_study(study, "mine.yaml"))
    with pytest.raises(UserError) as refused:
        require_own_code(built)
    lines = str(refused.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        *("credit.answer", "variants.mine.mode", "variants.mine.credit.spans")
    ]
    study["variants"]["mine"] |= {"mode": f"{package}.rules:Late", "credit": {}}
    require_own_code(
        build_study(study_of(spans=f"{package}.finders:find") | {"variants": study["variants"]})
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modes": ["a.b:C"]}, "modes.0: 'a.b:C' has no name; give it one in variants"),
        ({"credit": {"rule": "a.b:C"}}, "credit.rule: a rule of one's own is a variant's mode"),
        ({"credit": {"spans": "a.b"}}, "credit.spans: 'a.b' is not one of arithmetic, code, nor a"),
        ({"credit": {"answer": "a/b:c"}}, "credit.answer: 'a/b:c' is not one of number"),
    ],
)
def test_a_wrong_form_is_told_with_the_right_one(change, message):
    study = study_of() | {key: value for key, value in change.items() if key == "modes"}
    study["credit"] |= change.get("credit", {})
    with pytest.raises(UserError, match=message):
        check_study(study, "mine.yaml")


def test_the_file_is_named_where_it_is_asked_for(package, tmp_path):
    assert source_of(f"{package}.rules:Late") == tmp_path / package / "rules.py"
