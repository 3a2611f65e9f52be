"""What a result came from: code, configuration, versions and machine."""

import ast
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cfdapo.files import UserError, read_json, sha256_of
from cfdapo.own_code import imports_of, is_own, source_hash, sources
from cfdapo.settings import CreditSettings
from cfdapo.study import ROOT

PACKAGES = (
    *("torch", "transformers", "peft", "trl", "datasets", "accelerate", "tokenizers"),
    *("numpy", "pandas", "scipy", "matplotlib", "math-verify"),
)


def environment(packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """The git state, the interpreter's prefix and the versions that are at work."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {"git": git_state(), "sys_prefix": sys.prefix, "versions": versions}


def git_state() -> dict[str, Any]:
    """Commit of the code and whether the tree differed from it; None outside a clone."""
    commit = _git("rev-parse", "HEAD")
    dirty = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if dirty is None else bool(dirty)}


# The folder that the package lies in: the repository's src, or where it is installed.
SOURCE = Path(__file__).resolve().parents[1]


def _git(*arguments: str) -> str | None:
    # Installed, it may lie in somebody else's repository.
    if SOURCE != ROOT / "src":
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


MANIFEST = "manifest.json"
WEIGHTS = "*.safetensors"


def origin_of(folder: str | Path, name: str | None = None) -> dict[str, Any]:
    """What tells the base model of a prepared `folder` from any other: its source and its hashes.

    Those of weights are the manifest's, which are compared with the weights where these are loaded;
    those of the other files, such as the chat template, are of what the folder holds now. Of a hub
    model's files only the weights: its commit stands for the others, and a cache may hold more of
    them than were asked for.

    Raises:
        UserError: its manifest is absent or torn, or is that of another model than `name`.
    """
    path = Path(folder) / MANIFEST
    manifest = read_json(path)
    if name is not None and manifest.get("model") != name:
        raise UserError(
            f"{path}: is the manifest of {manifest.get('model')}, not of {name}; delete its folder "
            "and run the study again"
        )
    own, fetched = manifest.get("sha256", {}), manifest.get("files", {})
    if not isinstance(own, dict) or not isinstance(fetched, dict):
        raise UserError(f"{path}: is no manifest; delete its folder and run the study again")
    weights = {name: found for name, found in {**own, **fetched}.items() if is_weights(name)}
    others = [file for file in sorted(Path(folder).iterdir()) if not file.name.startswith(".")]
    small = {
        file.name: sha256_of(file)
        for file in others
        if file.is_file() and file.name != MANIFEST and not is_weights(file.name)
    }
    return {
        **{key: manifest.get(key) for key in ("source", "id", "revision")},
        "sha256": {**small, **weights},
    }


def is_weights(name: str) -> bool:
    """Whether a file of a model holds weights, which are large."""
    return Path(name).match(WEIGHTS)


def same_model(one: Any, other: Any) -> bool:
    """Whether two `origin_of` are of one source and the same weights."""
    return _weights_of(one) == _weights_of(other)


def _weights_of(origin: Any) -> Any:
    if not isinstance(origin, dict) or not isinstance(origin.get("sha256"), dict):
        return origin
    weights = {name: found for name, found in origin["sha256"].items() if is_weights(name)}
    return origin | {"sha256": weights}


def hardware() -> dict[str, Any]:
    """The processor, its cores and, where torch sees one, the accelerator."""
    import torch

    accelerator = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def peak_memory() -> dict[str, int | None]:
    """Most memory this process held so far, in bytes: resident, and on the accelerator."""
    import resource

    import torch

    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    resident *= 1 if sys.platform == "darwin" else 1024
    on_device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {"resident": resident, "accelerator": on_device}


# Modules that carry or check settings and files but decide no number; editing them reruns nothing.
CARRIERS = (
    "cfdapo.files",
    "cfdapo.checksums",
    "cfdapo.integrity",
    "cfdapo.study",
    "cfdapo.study_conflicts",
    "cfdapo.study_schema",
    "cfdapo.settings",
    "cfdapo.provenance",
    "cfdapo.locks",
    "cfdapo.devices",
    "cfdapo.environments",
    # It loads rules and finders of one's own, which are hashed themselves.
    "cfdapo.own_code",
)

# Modules of analysis print its display names; all others use its names, which are settings, alone.
VOCABULARY = "cfdapo.vocabulary"
# What changes in the declaration of a table or figure, Snakemake sees by itself.
REGISTRY = "cfdapo.analysis.registry"
LEFT_OUT = frozenset({*CARRIERS, REGISTRY})

# Imports no task; the module of a study's task is loaded by its name, out of TASKS.
TASK_INTERFACE = "cfdapo.problems.task"
TASKS = "cfdapo.problems.tasks"

# The credit rules; the module of a run's own is loaded by its name.
RULES = "cfdapo.credit.rules"

# Endings of the text that a module of the same name puts into what it writes.
RESOURCES = (".html", ".css", ".js")


def source_files(module: str, task: str | None = None) -> list[str]:
    """Files, relative to the repository, whose code decides what running `module` leaves.

    The module itself and all of the package that it imports, at any depth and also inside
    functions, and their resources: files beside a module with its name and an ending of
    `RESOURCES`. `CARRIERS`, `REGISTRY` and the packages' own files are left out, and `VOCABULARY`
    where no module of analysis imports it. Where the interface to tasks
    is among them, so are the module of the study's `task` and what that imports.

    Raises:
        ValueError: no `task` is named where one is used.
    """
    found: dict[str, Path] = {}
    _collect(module, found)
    if TASK_INTERFACE in found:
        if task is None:
            raise ValueError(f"{module}: depends on the study's task, which is not named")
        _collect(f"{TASKS}.{task}", found)
    return sorted(map(_in_repository, found.values()))


def _in_repository(path: Path) -> str:
    """A file of the package as the repository has it, whether it is installed or not."""
    return str("src" / path.relative_to(SOURCE))


def _collect(module: str, found: dict[str, Path]) -> None:
    if module in found or module in LEFT_OUT:
        return
    path = SOURCE / f"{module.replace('.', '/')}.py"
    try:
        modified = path.stat().st_mtime_ns
    except OSError:  # a package, or the name of something in a module
        return
    found[module] = path
    for resource in (path.with_suffix(ending) for ending in RESOURCES):
        if resource.is_file():
            found[str(resource)] = resource
    for name in _imported(path, modified):
        in_words = name != VOCABULARY or module.startswith("cfdapo.analysis.")
        if in_words:
            _collect(name, found)


@cache
def _imported(path: Path, modified: int) -> tuple[str, ...]:
    """What a file imports of this package, by what may be a module's name.

    A study's DAG asks for the files of hundreds of jobs: each is parsed once.
    """
    names: list[str] = []
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(name for name in names if name.startswith("cfdapo.")))


# Where statements hold further statements; expressions, most of a file, hold none.
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements within a module or statement, at any depth."""
    for block in BLOCKS:
        inner = getattr(node, block, ())
        for statement in inner if isinstance(inner, list) else ():
            yield statement
            yield from _statements(statement)


def rule_module(mode: str) -> str:
    """The module of a credit rule, which no stage imports by its name."""
    return f"{RULES}.{mode}"


def code_hash(module: str, task: str | None = None) -> str:
    """sha256 over the content of `source_files(module, task)`."""
    return _hash_of(source_files(module, task))


def _hash_of(files: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\0{sha256_of(SOURCE / Path(file).relative_to('src'))}\n".encode())
    return digest.hexdigest()


def rule_hash(mode: str) -> str:
    """`code_hash` of a credit rule; of one's own, over its code and what it has of the package.

    Raises:
        UserError: the code of one's own is not there.
    """
    return _own_hash(mode) if is_own(mode) else code_hash(rule_module(mode))


def _own_hash(name: str) -> str:
    return hashlib.sha256(f"{source_hash(name)}{_hash_of(_imported_by(name))}".encode()).hexdigest()


def own_hashes(credit: CreditSettings) -> dict[str, str]:
    """Path -> hash of the code of one's own that the settings name, finders and rule."""
    return {name: _own_hash(name) for name in sorted(set(_own_names(credit)))}


def with_own_code(made_from: dict[str, Any], *credits: CreditSettings) -> dict[str, Any]:
    """`made_from` and, where the settings name code of one's own, its hashes as `own`."""
    found = {name: own for credit in credits for name, own in own_hashes(credit).items()}
    return made_from | ({"own": found} if found else {})


def credit_sources(credit: CreditSettings) -> tuple[list[str], list[Path]]:
    """Files that decide what a mode's rule and the settings' finders give, and no other mode's.

    Those of the package relative to the repository, then those of one's own.
    """
    package: set[str] = set()
    own: set[Path] = set()
    mode = getattr(credit, "mode", None)
    if mode is not None and not is_own(mode):
        package |= set(source_files(rule_module(mode)))
    for name in _own_names(credit):
        package |= set(_imported_by(name))
        own |= set(sources(name).values())
    return sorted(package), sorted(own)


def _own_names(credit: CreditSettings) -> list[str]:
    named = (getattr(credit, key, None) for key in ("mode", "spans", "answer"))
    return [one for one in named if isinstance(one, str) and is_own(one)]


def _imported_by(name: str) -> list[str]:
    """Files of the package that code of one's own imports, relative to the repository."""
    found: dict[str, Path] = {}
    for module in sorted(imports_of(name)):
        _collect(module, found)
    return sorted(map(_in_repository, found.values()))
