"""Locks: one holder at a time, freed by the kernel."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from cfdapo import locks
from cfdapo.locks import only_one, try_lock

HOLDER = """
import sys, time
from cfdapo.locks import only_one
with only_one(sys.argv[1], "the work") as waited:
    print(waited, flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> subprocess.Popen:
    source = str(Path(locks.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-u", "-c", HOLDER, str(path), str(seconds)],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_lock_has_one_holder_and_is_free_when_it_is_closed(tmp_path):
    first = try_lock(tmp_path / "lock")
    assert first is not None and try_lock(tmp_path / "lock") is None
    os.close(first)
    again = try_lock(tmp_path / "lock")
    assert again is not None
    os.close(again)


def test_a_second_process_waits_until_the_first_is_killed(tmp_path):
    path = tmp_path / "new" / "lock"
    first = holder(path, 600)
    assert first.stdout.readline() == "False\n"
    second = holder(path, 0)
    assert second.stdout.readline() == (
        "another process does this: the work; waiting for it to end\n"
    )
    first.send_signal(signal.SIGKILL)
    assert second.communicate()[0] == "True\n" and second.returncode == 0
    assert first.wait() == -signal.SIGKILL


def test_where_no_lock_can_be_had_the_work_is_done_without(tmp_path, capsys):
    path = tmp_path / "lock"
    path.symlink_to(tmp_path / "elsewhere")  # not followed
    with only_one(path, "the work") as waited:
        assert not waited
    assert "cannot be locked here" in capsys.readouterr().out
