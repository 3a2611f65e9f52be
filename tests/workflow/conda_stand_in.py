"""A stand-in for conda, for tests only: it is not conda, and takes what Snakemake asks of conda.

What is real: the environment file is read as it is, its dependencies are solved and installed into
the prefix by py-rattler, a conda solver and installer, from a local channel in conda's format. What
is not: the channel holds just the running CPython and its pip (as links to the files that are
there), and the `pip:` section is linked from the running interpreter's packages, version by
version, and nothing else. As with pip, a package that the environment's own interpreter finds
elsewhere counts as installed; as with conda, an environment that is activated takes the place on
PATH of one that is active.

`install(folder)` leaves `folder`/bin/conda and `folder`/bin/activate.
"""

import asyncio
import hashlib
import importlib.metadata
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PLATFORM = "linux-64"
SITE = f"lib/python{VERSION}/site-packages"
CONDA = """\
#!/bin/sh
exec {python} -P {file} {folder} "$@"
"""
ACTIVATE = """\
# source activate PREFIX
if [ ! -x "$1/bin/python" ]; then echo "no environment: $1" >&2; return 1; fi
if [ "${CONDA_SHLVL:-0}" -gt 0 ] && [[ ":$PATH:" == *":$CONDA_PREFIX/bin:"* ]]; then
    PATH=":$PATH:"
    PATH="${PATH/":$CONDA_PREFIX/bin:"/":$1/bin:"}"
    PATH="${PATH#:}" PATH="${PATH%:}"
else
    PATH="$1/bin:$PATH"
fi
export CONDA_PREFIX="$1" CONDA_SHLVL="$((${CONDA_SHLVL:-0} + 1))" PATH
"""


def install(folder: Path) -> Path:
    """Put the stand-in and its channel into `folder`; returns the folder to put on PATH."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    settings = {"python": sys.executable, "file": __file__, "folder": folder}
    (programs / "conda").write_text(CONDA.format(**settings))
    (programs / "conda").chmod(0o755)
    (programs / "activate").write_text(ACTIVATE)
    _make_channel(folder / "channel")
    return programs


def _make_channel(folder: Path) -> None:
    base = Path(sys.base_prefix)
    version = ".".join(map(str, sys.version_info[:3]))
    library = base / "lib" / f"python{VERSION}"
    interpreter = {"bin/python": base / "bin" / f"python{VERSION}"} | {
        f"lib/python{VERSION}/{path.name}": path
        for path in library.iterdir()
        if path.name not in ("site-packages", "__pycache__")
    }
    pip = {f"{SITE}/{path.name}": path for path in (library / "site-packages").glob("pip*")}
    packages = [
        _package(folder, "python", version, [], interpreter),
        _package(folder, "pip", importlib.metadata.version("pip"), ["python"], pip),
    ]
    for platform, held in ((PLATFORM, dict(packages)), ("noarch", {})):
        (folder / platform).mkdir(exist_ok=True)
        index = {"info": {"subdir": platform}, "packages": held, "packages.conda": {}}
        (folder / platform / "repodata.json").write_text(json.dumps(index))


def _package(
    folder: Path, name: str, version: str, depends: list[str], links: dict[str, Path]
) -> tuple[str, dict[str, Any]]:
    """Write a conda package of links; returns its file name and its entry in the index.

    Programs are copied, since Python finds its prefix from where its program really lies.
    """
    about = {"name": name, "version": version, "build": "0", "build_number": 0}
    about |= {"depends": depends, "subdir": PLATFORM, "platform": "linux", "arch": "x86_64"}
    paths = [{"_path": path, "path_type": _kind(path)} for path in links]
    texts = {
        "info/index.json": json.dumps(about),
        "info/files": "".join(f"{path}\n" for path in links),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
    }
    file = folder / PLATFORM / f"{name}-{version}-0.tar.bz2"
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:bz2") as archive:
        for path, text in texts.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        for path, target in links.items():
            if _kind(path) == "hardlink":
                archive.add(target.resolve(), path)
                continue
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, str(target)
            archive.addfile(entry)
    data = file.read_bytes()
    sums = {"sha256": hashlib.sha256(data).hexdigest(), "md5": hashlib.md5(data).hexdigest()}
    return file.name, {**about, **sums, "size": len(data)}


def _kind(path: str) -> str:
    """How conda's format calls a file that is copied, and one that is a link."""
    return "hardlink" if path.startswith("bin/") else "softlink"


def create(folder: Path, file: Path, prefix: Path) -> None:
    """What `conda env create --file F --prefix P` does."""
    wanted = yaml.safe_load(file.read_text())
    assert wanted["channels"] == ["conda-forge"], wanted["channels"]
    conda = [spec for spec in wanted["dependencies"] if isinstance(spec, str)]
    pip = [pin for spec in wanted["dependencies"] if isinstance(spec, dict) for pin in spec["pip"]]
    asyncio.run(_solve_and_install(folder, conda, prefix))
    _link(pip, prefix)


async def _solve_and_install(folder: Path, specs: list[str], prefix: Path) -> None:
    import rattler

    channel = rattler.Channel((folder / "channel").resolve().as_uri())
    records = await rattler.solve([channel], specs, platforms=[PLATFORM, "noarch"])
    await rattler.install(
        records, target_prefix=prefix, cache_dir=folder / "cache", show_progress=False
    )


def _link(pins: list[str], prefix: Path) -> None:
    """Link pinned packages from the running interpreter's, but for those that are installed."""
    site = prefix / SITE
    site.mkdir(parents=True, exist_ok=True)
    for pin in set(pins) - _installed(prefix):
        name, version = pin.split("==")
        distribution = importlib.metadata.distribution(name)
        found = distribution.version.partition("+")[0]
        assert found == version, f"{pin}: the running interpreter has {found}"
        for path in {Path(str(file)).parts[0] for file in distribution.files or []}:
            source = Path(str(distribution.locate_file(path)))
            if path not in ("..", "__pycache__") and source.exists() and not (site / path).exists():
                (site / path).symlink_to(source)


def _installed(prefix: Path) -> set[str]:
    """The packages, as pins, that the environment's own interpreter finds."""
    code = "from importlib.metadata import distributions as d; "
    code += "print(*(f'{one.name}=={one.version}' for one in d()))"
    return set(subprocess.check_output([prefix / "bin/python", "-c", code], text=True).split())


def main(folder: Path, *arguments: str) -> None:
    """Answer as conda does; anything that Snakemake does not ask is an error."""
    if arguments == ("info", "--json"):
        print(json.dumps({"conda_prefix": str(folder), "platform": PLATFORM}))
    elif arguments == ("--version",):
        print("conda 24.7.1")
    elif arguments == ("config", "--get", "channel_priority", "--json"):
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif arguments == ("clean", "-y", "--tarballs"):
        pass
    elif arguments[:2] == ("env", "create"):
        given = dict(zip(arguments, arguments[1:], strict=False))
        with open(folder / "asked.txt", "a") as stream:
            stream.write(given["--file"] + "\n")
        create(folder, Path(given["--file"]), Path(given["--prefix"]))
    else:
        sys.exit(f"the stand-in for conda does not know: {' '.join(arguments)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
