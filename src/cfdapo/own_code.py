"""Code of one's own that settings name by a path, as `mypackage.rules:MyRule`: found and loaded.

The workflow finds it, checks it and hashes it without running it, since that may need torch; the
job that uses it loads it. It lies in the folders of `CFDAPO_PATH`, which the workflow sets to those
where it was called and those of PYTHONPATH, or in the environment.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cfdapo.files import UserError, sha256_of

VARIABLE = "CFDAPO_PATH"
EXAMPLE = "mypackage.module:name"
# Its source is hashed with the package's own, by `provenance`.
PACKAGE = "cfdapo"


def is_own(name: Any) -> bool:
    """Whether a setting is the path of one's own code and no name that the package knows."""
    return isinstance(name, str) and ":" in name


def search_folders() -> list[str]:
    """Folders that modules of one's own are looked for in, before the environment's."""
    given = os.environ.get(VARIABLE)
    if given is None:
        given = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    return list(dict.fromkeys(map(os.path.abspath, filter(None, given.split(os.pathsep)))))


def folders_from(*called: str | Path) -> str:
    """`CFDAPO_PATH` of a workflow: the folders `called`, then those of PYTHONPATH, all whole."""
    first = Path(called[0])
    given = [*called, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.pathsep.join(dict.fromkeys(str(first / Path(one).expanduser()) for one in given))


def source_of(name: str) -> Path:
    """The file of the module that `name`, a path as `EXAMPLE`, names, without running it.

    Raises:
        UserError: there is no such module, it is no Python, or it does not define the name.
    """
    module, _, wanted = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), wanted]):
        raise UserError(f"{name!r} is no path such as {EXAMPLE}")
    path = _locate(module).get(module)
    if path is None:
        looked = ", ".join(search_folders())
        raise UserError(f"{name}: there is no module {module} in {looked}, nor in the environment")
    tree = _parsed(path)
    known = _names(tree)
    if wanted not in known and "*" not in known and "__getattr__" not in known:
        defined = [one.name for one in tree.body if isinstance(one, ast.ClassDef | ast.FunctionDef)]
        raise UserError(
            f"{name}: {path} defines no {wanted}; it defines {', '.join(defined) or 'nothing'}"
        )
    return path


def require_sources(named: Mapping[str, str]) -> None:
    """Refuse paths whose code is not there; `named` has them by the key that they stand at.

    Raises:
        UserError: naming each key. What its code is, the job sees that loads it.
    """
    faults = []
    for key, name in named.items():
        try:
            path = source_of(name)
            if key.endswith("mode"):
                _require_class(name, path)
        except UserError as error:
            faults.append(f"{key}: {error}")
    if faults:
        raise UserError("\n".join(faults))


def _require_class(name: str, path: Path) -> None:
    """Refuse what is plainly no credit rule: a function, or a class that inherits nothing."""
    wanted = name.partition(":")[2]
    for node in _parsed(path).body:
        if getattr(node, "name", None) != wanted:
            continue
        if not isinstance(node, ast.ClassDef):
            raise UserError(f"{name}: is no class; a rule is a CreditRule of cfdapo.credit")
        if not node.bases:
            raise UserError(f"{name}: is no CreditRule; a rule inherits that of cfdapo.credit")


def sources(name: str) -> dict[str, Path]:
    """Module -> file of all code of one's own that `name` runs: its module and what that imports.

    Of what it imports, modules of the same package and those in `search_folders`, at any depth;
    libraries count by their versions, which records keep. Raises `UserError` as `source_of`.
    """
    source_of(name)
    found: dict[str, Path] = {}
    module = name.partition(":")[0]
    _collect(module, module.partition(".")[0], found)
    return found


def imports_of(name: str) -> set[str]:
    """Modules of this package that the code of one's own imports."""
    found = {one for path in sources(name).values() for one in _imports("", path)}
    return {one for one in found if one.startswith(f"{PACKAGE}.")}


def source_hash(name: str) -> str:
    """sha256 over the modules' names and the contents of `sources`; not over where they lie."""
    digest = hashlib.sha256()
    for module, path in sorted(sources(name).items()):
        digest.update(f"{module}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


@functools.cache
def load(name: str) -> Any:
    """What the path names, imported as any other module is.

    Raises:
        UserError: as `source_of`; the import fails; or another module has that name here.
    """
    path, (module, _, wanted) = source_of(name), name.partition(":")
    # Behind what is installed, so that a folder's own files stand in nothing's place.
    sys.path += [folder for folder in search_folders() if folder not in sys.path]
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{name}: {path} cannot be imported ({reason})") from error
    found = getattr(loaded, "__file__", None)
    if not found or not Path(found).samefile(path):
        raise UserError(f"{name}: the environment has another {module}, {found}; rename {path}")
    if not hasattr(loaded, wanted):
        raise UserError(f"{name}: {path} defines no {wanted}")
    return getattr(loaded, wanted)


def _collect(module: str, top: str, found: dict[str, Path]) -> None:
    """Add the module, the packages that it lies in, and what these import of one's own code."""
    for name, path in _locate(module).items():
        if name in found or not _counts(name, path, top):
            continue
        found[name] = path
        for imported in _imports(name, path):
            _collect(imported, top, found)


def _counts(module: str, path: Path, top: str) -> bool:
    """Whether a module is one's own: of that package, or right in one of `search_folders`."""
    own, depth = module.partition(".")[0], module.count(".")
    root = path.parents[depth + (path.name == "__init__.py")]
    return own != PACKAGE and (own == top or str(root) in search_folders())


def _locate(module: str) -> dict[str, Path]:
    """Package or module -> its file, from the outermost on to `module`, as far as there are any.

    Packages without `__init__.py` have no file.
    """
    found: dict[str, Path] = {}
    *packages, last = module.split(".")
    places = [*search_folders(), *sys.path]
    for depth, part in enumerate([*packages, last]):
        name = ".".join([*packages, last][: depth + 1])
        path, places = _in_places(part, places)
        if depth == 0 and path is None and not places:
            path, places = _by_finders(part)
        if path is not None:
            found[name] = path
        elif not places:
            break
    return found


def _in_places(part: str, places: list[str]) -> tuple[Path | None, list[str]]:
    """The file of a module or package, and the folders of a package's modules."""
    bare = []
    for folder in places:
        own = Path(folder or ".") / part
        if (own / "__init__.py").is_file():
            return own / "__init__.py", [str(own)]
        if own.with_name(f"{part}.py").is_file():
            return own.with_name(f"{part}.py"), []
        if own.is_dir():
            bare.append(str(own))
    return None, bare


def _by_finders(top: str) -> tuple[Path | None, list[str]]:
    """The same of what only Python's own finders know, as packages that were installed editable."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not (spec.origin or "").endswith(".py"):
        return None, []
    return Path(str(spec.origin)), list(spec.submodule_search_locations or [])


@functools.cache
def _tree(path: Path, changed: int) -> ast.Module:
    return ast.parse(path.read_bytes())


def _parsed(path: Path) -> ast.Module:
    try:
        return _tree(path, path.stat().st_mtime_ns)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path}: is no Python ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _names(tree: ast.Module) -> set[str]:
    """Names that a module may define; "*" where it takes all of another's."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
    return found


def _imports(module: str, path: Path) -> Iterator[str]:
    """Modules that a file may import, at any depth and inside functions; some are no modules."""
    inside = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = inside.split(".")[: len(inside.split(".")) - node.level + 1]
                base = ".".join([*filter(None, above), *filter(None, [node.module])])
            yield from filter(None, [base])
            yield from (f"{base}.{alias.name}".strip(".") for alias in node.names)
