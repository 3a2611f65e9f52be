"""The house rules that code can check: imports go down, pins agree, nothing unsafe."""

import ast
import dataclasses
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cfdapo import settings
from cfdapo.analysis.registry import FIGURES, TABLES
from cfdapo.problems.task import TASKS
from cfdapo.provenance import CARRIERS, code_hash, source_files
from cfdapo.study import ROOT

PACKAGE = ROOT / "src" / "cfdapo"
MODULES = sorted(PACKAGE.rglob("*.py"))
GROUND = {"problems", "credit", "analysis"}
# What each floor may import; the carriers and the vocabulary, below all of them, may be imported
# anywhere, and the vocabulary imports nothing.
BELOW = {"vocabulary", *(name.split(".")[1] for name in CARRIERS)}
ALLOWED = {
    "problems": {"problems"},
    "credit": {"problems", "credit"},
    "analysis": {"analysis"},
    "policy": {"policy", *GROUND},
    "stages": {"stages", "policy", *GROUND},
    "commands": {"commands", "policy", *GROUND},
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
    floors = {name.split(".")[1] for name in own} - BELOW
    if floor in ALLOWED:
        assert floors <= ALLOWED[floor]
    else:
        assert not floors  # the carriers import no floor


# The streets of analysis: measured in the last ones, from what the others give.
GIVING = {"statistics", "records", "rendering", "paper"}
STREETS = {
    "statistics": set(),
    "records": set(),
    "rendering": {"statistics"},
    "paper": {"statistics", "records", "rendering"},
    "outcomes": GIVING,
    "credit": GIVING,
    "costs": GIVING,
    "credit_map": {"records", "rendering"},
    # It names the modules of tables and figures, which are imported when one is made.
    "registry": set(),
}


@pytest.mark.parametrize("street", STREETS)
def test_streets_of_analysis_import_down(street):
    folder = PACKAGE / "analysis"
    paths = [*(folder / street).rglob("*.py"), *folder.glob(f"{street}.py")]
    found = {name for path in paths for name in imported(path)}
    others = {name.split(".")[2] for name in found if name.startswith("cfdapo.analysis.")}
    assert paths and others - {street} <= STREETS[street]


def test_every_module_of_analysis_is_in_a_street():
    inside = {path.name.removesuffix(".py") for path in (PACKAGE / "analysis").iterdir()}
    assert inside - {"__init__", "__pycache__"} == set(STREETS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_say_what_they_are_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_analysis_and_the_vocabulary_import_no_torch():
    paths = [*(PACKAGE / "analysis").rglob("*.py"), PACKAGE / "vocabulary.py"]
    assert len(paths) > 50  # streets and what is in them
    for path in paths:
        assert not {name.split(".")[0] for name in imported(path)} & {"torch", "transformers"}, path


def test_the_workflow_asks_the_registry_without_loading_what_makes_tables():
    program = (
        "import sys; import cfdapo.analysis.registry;"
        "print(sorted({'pandas', 'numpy', 'scipy', 'matplotlib', 'seaborn'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_nothing_unsafe_is_called():
    for path in MODULES:
        text = path.read_text()
        # Said with False, transformers does not ask the terminal either.
        assert not re.search(r"trust_remote_code(?!\": False|=False)", text), path
        assert not re.search(r"pickle|yaml\.load\(|torch\.load\(", text), path


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^[\s\"-]*([A-Za-z0-9_.-]+)==([^\s\",]+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


LOCK = pins((ROOT / "requirements" / "lock.txt").read_text())


@pytest.mark.parametrize("name", ["envs/train.yaml", "envs/analysis.yaml"])
def test_pins_equal_the_lock(name):
    found = pins((ROOT / name).read_text())
    assert len(found) >= 7
    assert {package: LOCK.get(package) for package in found} == found


def required(names: set[str]) -> set[str]:
    """The packages of these names and all that they require here, at any depth."""
    found, left = set(), [(name, frozenset()) for name in names]
    while left:
        package = left.pop()
        if package in found:
            continue
        found.add(package)
        name, extras = package
        for need in map(Requirement, importlib.metadata.requires(name) or []):
            wanted = [{"extra": extra} for extra in ("", *extras)]
            if need.marker is None or any(map(need.marker.evaluate, wanted)):
                left.append((canonicalize_name(need.name), frozenset(need.extras)))
    return {name for name, _ in found}


@pytest.mark.parametrize("name", ["train", "analysis"])
def test_conda_environments_pin_what_their_packages_require_as_the_lock_does(name):
    # Snakemake hands conda a copy of the file in another folder, so it can name no other file,
    # such as the lock, as pip's constraints.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    found = pins((ROOT / "envs" / f"{name}.yaml").read_text())
    wanted = {package: LOCK[package] for package in required(direct & set(found))}
    assert found == wanted


def test_only_training_needs_torch():
    analysis = pins((ROOT / "envs" / "analysis.yaml").read_text())
    assert "torch" not in analysis and "torch" in pins((ROOT / "envs" / "train.yaml").read_text())
    stages = ("collect_curves", "compare_modes", "make_table", "plot_figure", "draw_credit_map")
    stages += ("status",)
    modules = [f"cfdapo.stages.{stage}" for stage in stages]
    modules += [spec.module for spec in TABLES + FIGURES]
    for file in {file for module in modules for file in source_files(module)}:
        assert not file.endswith(".py") or "torch" not in imported(ROOT / file), file


def test_lock_is_what_is_installed():
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
    train = source_files("cfdapo.stages.train", "gsm8k")
    figures = source_files("cfdapo.stages.plot_figure")
    assert "src/cfdapo/credit/weights.py" in train and "src/cfdapo/problems/answers.py" in train
    assert not any("analysis" in file for file in train)
    assert "src/cfdapo/analysis/rendering/figures.py" in figures
    assert not any("cfdapo/credit/" in file or "/policy/" in file for file in figures)
    carriers = ("files.py", "study.py", "study_schema.py", "study_conflicts.py", "provenance.py")
    assert not any(file.endswith(carriers) for file in train)


def test_source_files_hold_a_modules_page_style_and_script():
    found = source_files("cfdapo.stages.draw_credit_map")
    beside = [
        f"src/cfdapo/analysis/credit_map/page.{ending}" for ending in ("css", "html", "js", "py")
    ]
    assert set(beside) <= set(found) and len(found) == len(set(found))
    assert all(file.endswith(".py") for file in source_files("cfdapo.stages.train", "gsm8k"))


# What stands in problems/ for every task: the interface, numbers' grader, code's places for spans.
COMMON = {"task", "labels", "answers", "code_places", "code_blocks"}
COMMON |= {"clauses", "lexing", "number_words", "numerals", "stated", "statements", "thinking"}
SANDBOX = {f"sandbox/{name}" for name in ("guest", "host", "keeper", "syscalls", "values", "walls")}
CODE = {"code_task", "code_tests"} | SANDBOX


@pytest.mark.parametrize(
    "stage", ["train", "evaluate", "measure_credit", "measure_truth", "profile_overhead"]
)
@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("arithmetic", {"arithmetic", "made"}),
        ("verbs", {"verbs", "arithmetic", "made"}),
        ("programs", CODE | {"programs", "made", "slicing"}),
        ("gsm8k", {"gsm8k", "value_flow"}),
        ("mbpp", CODE | {"mbpp"}),
        ("jsonl", {"own_data", "own_answers", "latex", "gsm8k"}),
    ],
)
def test_of_the_problems_a_stage_depends_on_its_own_task_only(stage, task, own):
    folder = "src/cfdapo/problems/"
    files = source_files(f"cfdapo.stages.{stage}", task)
    found = {file[len(folder) : -len(".py")] for file in files if file.startswith(folder)}
    assert found - COMMON == own | {f"tasks/{task}"} and found >= {"task", "labels", "answers"}


def test_importing_a_task_imports_no_other_and_no_sandbox_where_none_runs():
    program = (
        "import sys; from cfdapo.problems.task import get_task; get_task('gsm8k');"
        "print([name for name in sys.modules if name.startswith('cfdapo.problems.')])"
    )
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "tasks.gsm8k" in done.stdout
    assert not re.search(r"mbpp|arithmetic|programs|sandbox|code_", done.stdout)


def test_the_hash_of_a_stages_code_is_another_for_each_task():
    hashes = {code_hash("cfdapo.stages.train", task) for task in TASKS}
    assert len(hashes) == len(TASKS)


def test_a_stage_that_uses_tasks_is_not_hashed_without_one():
    with pytest.raises(ValueError, match="cfdapo.stages.train: depends on the study's task"):
        code_hash("cfdapo.stages.train")


def test_what_stands_beside_the_modules_is_installed_with_them():
    kept = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = {
        (package, Path(pattern).suffix)
        for package, found in kept["package-data"].items()
        for pattern in found
    }
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
            assert (package, path.suffix) in patterns, path


def test_every_key_of_the_schema_is_explained():
    explained = (ROOT / "config" / "README.md").read_text()
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "study.schema.yaml").read_text())

    def keys(node):
        for key, sub in node.get("properties", {}).items():
            yield key
            yield from keys(sub)

    wanted = set(keys(schema)) | {k for sub in schema["$defs"].values() for k in keys(sub)}
    # As a word of a heading or of code, by itself or within a dotted name; "r" is in most words.
    named = re.findall(r"`([^`\n]+)`|^## (.*)$", explained, re.MULTILINE)
    words = {word for texts in named for word in re.findall(r"[A-Za-z_]\w*", " ".join(texts))}
    assert not wanted - {"description"} - words
    assert {"r", "id", "answer"} <= wanted and not {"ration", "nswer"} & words


# The parts of a study; past study.py each is a dataclass of cfdapo.settings.
PARTS = {"settings", "study", "data", "model", "models", "entry", "variant", "variants", "lora"}
PARTS |= {"training", "pretraining", "credit", "evaluation", "overhead", "measurement"}
PARTS |= {"resources", "config", "configuration"}
# What checks the YAML, and what makes the dataclasses.
UNCHECKED = {"study.py", "study_conflicts.py", "study_schema.py", "settings.py"}


def untyped_settings(text: str) -> list[str]:
    """Parameters, results and fields that are named as a part of a study and are mere objects."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            of = node.args
            given = [*of.posonlyargs, *of.args, *of.kwonlyargs]
            named = [(one.arg, one.annotation) for one in given]
            if node.name.endswith(("settings", "config")):
                named.append(("settings", node.returns))
        elif isinstance(node, ast.AnnAssign):
            named = [(ast.unparse(node.target).rpartition(".")[2], node.annotation)]
        else:
            continue
        for name, kind in named:
            told = re.sub(r"\s|typing\.", "", ast.unparse(kind)) if kind else ""
            if name.strip("_") in PARTS and re.match(r"([dD]ict|Mapping)(\[str,Any\]|$)", told):
                found.append(f"{name}: {told}")
    return found


def test_past_the_study_no_settings_are_mere_objects():
    for path in MODULES:
        if str(path.relative_to(PACKAGE)) not in UNCHECKED:
            assert not untyped_settings(path.read_text()), path


@pytest.mark.parametrize(
    "text",
    [
        "def f(settings: dict[str, Any]): ...",
        "def f(*, training: 'x' = 1, lora: Mapping[str, Any] | None = None): ...",
        "def _credit_settings(study) -> dict[str, Any]: ...",
        "class A:\n    training: typing.Dict[str, typing.Any]",
        "async def f(a, entry: dict): ...",
        "def f(self):\n    self.credit: dict[str, Any] = {}",
    ],
)
def test_settings_that_are_mere_objects_are_found(text):
    assert untyped_settings(text)
    assert not untyped_settings(text.replace("Any", "int").replace("dict)", "Credit)"))


def test_the_type_checker_is_told_to_ignore_nothing_but_libraries_without_types():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    overrides = told.pop("overrides")
    assert told["files"] == ["src/cfdapo"] and "ignore-without-code" in told["enable_error_code"]
    assert not {"ignore_errors", "ignore_missing_imports", "exclude", "disable_error_code"} & set(
        told
    )
    for one in overrides:
        assert set(one) == {"module", "ignore_missing_imports"}
        assert not any(name.startswith(("cfdapo", "*")) for name in one["module"])


def test_an_ignored_type_says_which_and_why():
    for path in MODULES:
        for line in path.read_text().splitlines():
            if "type: ignore" in line or "# mypy:" in line:
                assert re.search(r"# type: ignore\[[a-z-]+\]  # \w+", line), (path, line)


def test_every_part_of_a_study_has_the_keys_of_the_schema():
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "study.schema.yaml").read_text())

    def compare(kind, node, where):
        hints = typing.get_type_hints(kind)
        wanted = set(node["properties"]) | ({"labels"} if kind is settings.Study else set())
        assert {one.name for one in dataclasses.fields(kind)} == wanted - {"label"}, where
        for key, sub in node["properties"].items():
            if dataclasses.is_dataclass(hints.get(key)):
                target = schema["$defs"]["resources"] if "$ref" in sub else sub
                compare(hints[key], target, f"{where}.{key}")

    compare(settings.Study, schema, "study")
    for kind in typing.get_args(settings.ModelSettings):
        (source,) = typing.get_args(typing.get_type_hints(kind)["source"])
        compare(kind, schema["$defs"][f"{source}_model"], source)
    compare(settings.DivergenceSettings, schema["$defs"]["divergence"], "divergence")
    compare(
        settings.MirrorSettings, schema["$defs"]["divergence"]["properties"]["mirror"], "mirror"
    )
    compare(settings.EvolutionSettings, schema["properties"]["evolution"], "evolution")
    variant = schema["properties"]["variants"]["additionalProperties"]
    compare(settings.VariantTraining, variant["properties"]["training"], "variants.training")
    assert {one.name for one in dataclasses.fields(settings.Variant)} == set(variant["properties"])
