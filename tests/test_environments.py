"""A job refuses every environment but the one that conda was asked for."""

import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cfdapo.environments import faults, pins, shell_prefix
from cfdapo.study import ROOT

NUMPY = importlib.metadata.version("numpy")


@pytest.fixture
def activated(tmp_path):
    """Make an environment that Snakemake would have made from a file with these pins."""

    def make(*pinned: str) -> dict[str, str]:
        prefix = tmp_path / "env"
        prefix.mkdir(exist_ok=True)
        lines = "".join(f"      - {pin}\n" for pin in pinned)
        (tmp_path / "env.yaml").write_text(f"dependencies:\n  - python=3.11\n  - pip:\n{lines}")
        return {"CONDA_PREFIX": str(prefix)}

    return make


def test_the_right_environment_has_no_faults(activated, tmp_path):
    assert faults(str(tmp_path / "env"), activated(f"numpy=={NUMPY}")) == ([], "")


def test_without_activation_the_python_in_use_is_named_and_deleting_is_no_advice():
    (fault,), advice = faults("/usr", {})
    assert fault == "no conda environment is activated; python is that of /usr"
    assert "activation of the job's environment failed" in advice and "delete" not in advice


def test_with_anothers_python_the_environment_to_delete_is_named(activated, tmp_path):
    (fault,), advice = faults("/usr", activated(f"numpy=={NUMPY}"))
    assert fault == f"python is that of /usr, not of the activated {tmp_path / 'env'}"
    assert f"delete {tmp_path / 'env'} and run again" in advice


@pytest.mark.parametrize("prefix", ["base", "elsewhere"])
def test_an_environment_of_the_users_own_is_refused(tmp_path, prefix):
    (fault,), advice = faults(str(tmp_path / prefix), {"CONDA_PREFIX": str(tmp_path / "base")})
    assert f"{tmp_path / 'base'} was not made by this workflow" in fault
    assert f"python is that of {tmp_path / prefix}" in fault and "delete" not in advice


def test_other_and_absent_versions_are_named(activated, tmp_path):
    given = activated("numpy==0.1", "no-such-package==1.0")
    found, advice = faults(str(tmp_path / "env"), given)
    assert found == [f"numpy is {NUMPY}, not 0.1", "no-such-package is absent, not 1.0"]
    assert f"delete {tmp_path / 'env'}" in advice


def test_pins_are_those_of_the_environments_files():
    found = pins((ROOT / "envs" / "analysis.yaml").read_text())
    assert found["numpy"] == NUMPY and "python" not in found and "torch" not in found


def test_the_check_ends_a_job_with_code_2_and_needs_nothing_but_python(activated, tmp_path):
    # -S and -I: no site-packages at all, as in an environment that lacks everything.
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); import runpy; "
    code += "runpy.run_module('cfdapo.environments', run_name='__main__')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        "error: conda was asked for, but this job's environment is wrong: no conda" in done.stdout
    )


# Variables of a user's that would change which code jobs run, or their numbers.
LEAKING = {
    "PYTHONHOME": "/nowhere", "PYTHONOPTIMIZE": "2", "PYTHONINSPECT": "1",
    "LOCAL_RANK": "0", "WORLD_SIZE": "4", "PMI_SIZE": "4", "OMPI_COMM_WORLD_SIZE": "4",
    "ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_USE_FSDP": "true",
    "NVIDIA_TF32_OVERRIDE": "1", "MPLBACKEND": "none such",
}  # fmt: skip


def job(code: str, cwd: Path, conda: bool = False, **environment: str) -> str:
    """What a job of `python -c` prints whose shell starts as the workflow's do."""
    prefix = shell_prefix(ROOT / "src", conda).replace("python -m cfdapo.environments; ", "")
    command = ["bash", "-c", f"{prefix} python -c {shlex.quote(code)}"]
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, stdout=-1, text=True)
    assert done.returncode == 0
    return done.stdout.strip()


def test_what_a_user_has_set_for_other_work_does_not_reach_jobs(tmp_path):
    printed = job("import json, os; print(json.dumps(dict(os.environ)))", tmp_path, **LEAKING)
    assert not set(json.loads(printed)) & set(LEAKING)


@pytest.mark.parametrize("conda", [False, True])
def test_a_jobs_python_and_code_are_the_workflows(tmp_path, conda):
    here = Path(sys.executable)
    for folder in ("bin", "path", "work"):
        (tmp_path / folder).mkdir()
    for name in ("bin/python", "path/cfdapo.py", "work/cfdapo.py", "work/json.py"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/python").chmod(0o755)
    code = (
        "import json, sys, cfdapo; print(sys.executable, cfdapo.__file__, sys.flags.no_user_site)"
    )
    printed = job(
        code,
        tmp_path / "work",
        conda,
        CONDA_PREFIX=str(here.parents[1]),
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        PYTHONPATH=str(tmp_path / "path"),
    )
    assert printed == f"{here} {ROOT / 'src/cfdapo/__init__.py'} {int(conda)}"


@pytest.mark.parametrize("used", [False, True])
def test_pip_sees_no_packages_of_the_users_own_unless_snakemake_is_one(tmp_path, used):
    user, path = tmp_path / "user", tmp_path / "path"
    code = "import site, sys; site.getusersitepackages = lambda: sys.argv[1]; "
    code += f"sys.path += [{str(ROOT / 'src')!r}, {str(user)!r}]; import os, cfdapo.environments; "
    code += "import first, second; " if used else ""
    code += "cfdapo.environments.leave_out_user_packages(); "
    code += "print(os.environ.get('PYTHONNOUSERSITE'), os.environ.get('PYTHONPATH'))"
    for folder, name in ((user, "first"), (path, "second")):
        folder.mkdir()
        (folder / f"{name}.py").touch()
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONNOUSERSITE"}
    done = subprocess.run(
        [sys.executable, "-c", code, user],
        env=kept | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == (["None", str(path)] if used else ["1", "None"])
