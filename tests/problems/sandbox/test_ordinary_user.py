"""The sandbox for who is not root: some of the attacks again, by a user without rights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NOBODY = 65534
# One of each kind: reading and writing, other processes, the network, limits, and a plain result.
ATTACKS = (
    "files_outside",
    "processes_outside",
    "no_network",
    "no_new_rights",
    "fork_bomb",
    "ten_gigabytes",
    "values_come_back",
    "right_code",
    "ends_with_its_keeper",
    "installed_packages",
)
# Another Python of the same version can use this one's packages.
ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": os.pathsep.join(
        [str(HERE.parents[2] / "src"), str(Path(pytest.__file__).parents[1])]
    ),
    "PYTHONDONTWRITEBYTECODE": "1",
}


def interpreter_for(user: dict[str, object]) -> str | None:
    """A Python that this user may start, and that finds pytest and these tests."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    code = f"import pytest, cfdapo; open({str(HERE / 'conftest.py')!r})"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        try:
            subprocess.run([python, "-c", code], env=ENVIRONMENT, cwd="/", check=True, **user)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="who runs the tests is an ordinary user already")
def test_the_walls_stand_for_a_user_without_rights(open_folder):
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    python = interpreter_for(as_nobody)
    if python is None:
        pytest.skip("the checkout, or every fitting Python, lies where only root can read")
    home = open_folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    found = subprocess.run(
        [
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--basetemp", str(home / "tests"), "-k", " or ".join(ATTACKS)),
            *(str(HERE / f"test_{name}.py") for name in ("attacks", "verdicts", "right_code")),
        ],
        cwd=HERE.parents[2],
        env={**ENVIRONMENT, "HOME": str(home)},
        capture_output=True,
        text=True,
        **as_nobody,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr
    passed = int(found.stdout.rpartition(" passed")[0].rpartition("\n")[2].split()[-1])
    # With one set of walls at least, each of the attacks ran.
    assert passed >= len(ATTACKS)
