"""The environment of a job: what its shell starts with, and the check of a conda environment.

`python -m cfdapo.environments` refuses a job outside the conda environment it was given. Snakemake
activates a rule's environment in the job's shell, and a failed activation is silent: the job would
run with whatever `python` comes first. So with --use-conda every job starts with this check. It
needs the standard library only, as the wrong environment may have nothing else.
"""

import importlib.metadata
import os
import re
import shlex
import site
import sys
from collections.abc import Mapping
from pathlib import Path

# A conda dependency "- python=3.11" is no such pin; "- numpy==2.4.6" of the pip section is.
_PIN = re.compile(r"^\s*-\s*([A-Za-z0-9_.-]+)==([^\s#]+)", re.MULTILINE)

# What a user may have set for other work, and would change here which code runs, or numbers.
_NOT_FOR_JOBS = (
    "PYTHONHOME PYTHONINSPECT PYTHONOPTIMIZE",
    # A job is one process, also within a launcher of several, and its precision is the study's.
    "RANK LOCAL_RANK WORLD_SIZE ${!ACCELERATE_@} ${!PMI_@} ${!OMPI_COMM_WORLD_@} ${!MV2_COMM_@}",
    "NVIDIA_TF32_OVERRIDE TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "MPLBACKEND MATPLOTLIBRC",
)


def shell_prefix(source: Path, conda: bool) -> str:
    """What the shell (bash) of every job runs first, whatever the user's environment is.

    `python` then is that of the conda environment that was activated before this, where `conda`,
    and else the one that runs the workflow; and `cfdapo` comes from `source`, not from the user's
    PYTHONPATH, nor anything from the folder that the job runs in.
    """
    first = '"${CONDA_PREFIX:-}/bin"' if conda else shlex.quote(str(Path(sys.executable).parent))
    variables = {"PYTHONPATH": shlex.quote(str(source)), "PYTHONSAFEPATH": 1}
    variables["TOKENIZERS_PARALLELISM"] = "false"
    if conda:
        # Without conda, jobs may need what Snakemake itself has from there.
        variables["PYTHONNOUSERSITE"] = 1
    # Where another environment was active, conda puts its own in that one's place on PATH, which
    # may stand behind other folders with a python.
    variables["PATH"] = f'{first}:"$PATH"'
    commands = [
        "set -euo pipefail",
        f"unset {' '.join(_NOT_FOR_JOBS)}",
        f"export {' '.join(f'{name}={value}' for name, value in variables.items())}",
        *(["python -m cfdapo.environments"] if conda else []),
    ]
    return "".join(f"{command}; " for command in commands)


def leave_out_user_packages() -> None:
    """Let pip, when it fills a conda environment, see no packages of ~/.local or PYTHONPATH.

    It would take one that is there for installed, and jobs would then miss it. Either stays where
    this process has itself imported something from it: on a cluster, jobs start Snakemake again.
    """
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]

    def used(*folders: str) -> bool:
        return any(
            file and Path(file).is_relative_to(folder) for file in files for folder in folders
        )

    if not used(site.getusersitepackages()):
        os.environ["PYTHONNOUSERSITE"] = "1"
    if not used(*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))):
        os.environ.pop("PYTHONPATH", None)


def pins(text: str) -> dict[str, str]:
    """The exactly pinned packages of an environment file, with their versions."""
    return dict(_PIN.findall(text))


def faults(prefix: str, environment: Mapping[str, str]) -> tuple[list[str], str]:
    """Why the interpreter of `prefix` is not that of the job's environment, and what to do.

    No reasons and no advice if it is. Snakemake keeps the file that an environment was made from
    beside it, as `{environment}.yaml`; an environment without one was activated by somebody else.
    """
    activated = environment.get("CONDA_PREFIX")
    in_use = f"python is that of {prefix}"
    if not activated:
        return [f"no conda environment is activated; {in_use}"], _NOT_ACTIVATED
    source = Path(f"{activated}.yaml")
    if not source.is_file():
        foreign = f"{activated} was not made by this workflow (no {source.name} beside it)"
        return [f"{foreign}; {in_use}"], _NOT_ACTIVATED
    if Path(prefix).resolve() != Path(activated).resolve():
        found = [f"{in_use}, not of the activated {activated}"]
    else:
        found = _other_versions(pins(source.read_text(encoding="utf-8")))
    return found, f"delete {activated} and run again, {_OTHERWISE}" if found else ""


_OTHERWISE = "or run without --use-conda"
_NOT_ACTIVATED = (
    "the activation of the job's environment failed, and what it said stands above; see whether "
    f"`conda activate` works in a new shell, {_OTHERWISE}"
)


def _other_versions(wanted: Mapping[str, str]) -> list[str]:
    found = []
    for package, version in wanted.items():
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
    found, advice = faults(sys.prefix, os.environ)
    if found:
        what = "; ".join(found)
        print(f"error: conda was asked for, but this job's environment is wrong: {what}")
        print(advice)
        sys.exit(2)


if __name__ == "__main__":
    main()
