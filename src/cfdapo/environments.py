"""Refuse a job outside the conda environment it was given: `python -m cfdapo.environments`.

Snakemake activates a rule's environment in the job's shell, and a failed activation is silent: the
job would run with whatever `python` comes first. So with --use-conda every job starts with this
check. It needs the standard library only, as the wrong environment may have nothing else.
"""

import importlib.metadata
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

# A conda dependency "- python=3.11" is no such pin; "- numpy==2.4.6" of the pip section is.
_PIN = re.compile(r"^\s*-\s*([A-Za-z0-9_.-]+)==([^\s#]+)", re.MULTILINE)


def pins(text: str) -> dict[str, str]:
    """The exactly pinned packages of an environment file, with their versions."""
    return dict(_PIN.findall(text))


def faults(prefix: str, environment: Mapping[str, str]) -> list[str]:
    """Why the interpreter of `prefix` is not that of the activated environment; none if it is.

    Snakemake keeps the file that an environment was made from beside it, as `{environment}.yaml`;
    an environment without one was activated by somebody else.
    """
    activated = environment.get("CONDA_PREFIX")
    if not activated:
        return ["no conda environment is activated"]
    if Path(prefix).resolve() != Path(activated).resolve():
        return [f"python is that of {prefix}, not of the activated {activated}"]
    source = Path(f"{activated}.yaml")
    if not source.is_file():
        return [f"{activated} was not made by this workflow (no {source.name} beside it)"]
    found = []
    for package, version in pins(source.read_text(encoding="utf-8")).items():
        installed = _version(package)
        # A local build of the same release, such as torch's for CPUs, is that release.
        if installed is None or installed.partition("+")[0] != version:
            found.append(f"{package} is {installed or 'absent'}, not {version}")
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Exit with code 2 and say why where this is not the activated environment."""
    found = faults(sys.prefix, os.environ)
    if found:
        what = "; ".join(found)
        print(f"error: conda was asked for, but this job's environment is wrong: {what}")
        print("delete .snakemake/conda and run again, or run without --use-conda")
        sys.exit(2)


if __name__ == "__main__":
    main()
