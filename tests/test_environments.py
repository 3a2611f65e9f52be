"""A job refuses every environment but the one that conda was asked for."""

import importlib.metadata
import subprocess
import sys

import pytest

from cfdapo.environments import faults, pins
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
    assert faults(str(tmp_path / "env"), activated(f"numpy=={NUMPY}")) == []


def test_without_activation_or_with_anothers_python_it_is_refused(activated, tmp_path):
    assert faults("/usr", {}) == ["no conda environment is activated"]
    (fault,) = faults("/usr", activated(f"numpy=={NUMPY}"))
    assert fault == f"python is that of /usr, not of the activated {tmp_path / 'env'}"


def test_an_environment_of_the_users_own_is_refused(tmp_path):
    (fault,) = faults(str(tmp_path), {"CONDA_PREFIX": str(tmp_path)})
    assert "was not made by this workflow" in fault


def test_other_and_absent_versions_are_named(activated, tmp_path):
    given = activated("numpy==0.1", "no-such-package==1.0")
    assert faults(str(tmp_path / "env"), given) == [
        f"numpy is {NUMPY}, not 0.1",
        "no-such-package is absent, not 1.0",
    ]


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
