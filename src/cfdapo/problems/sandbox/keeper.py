"""The fresh interpreter around a guest: puts up the walls, forks the guest, holds the clock.

It reads one job, a line of JSON, from standard input, and writes one line of JSON about how the
guest ended to standard output, then the bytes that the guest wrote. The guest cannot reach it.
"""

import contextlib
import json
import os
import select
import signal
import time
from typing import Any, NoReturn

from cfdapo.problems.sandbox import walls
from cfdapo.problems.sandbox.guest import run_calls

_CHUNK = 1 << 16
_GUESTS_PIPE = 3
# The keeper itself was started with the standard three and has opened a handful.
_MOST_DESCRIPTORS = 256


def main() -> None:
    # A host that ignores it hands that down, and then nobody learns how the guest ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    job = json.loads(_read_line(0))
    paths = walls.readable_paths()
    processes = -1
    with contextlib.suppress(OSError):
        processes = os.open("/proc", os.O_PATH)
    try:
        if "namespaces" in job["walls"]:
            walls.enter_namespaces()
        guest, pipe = _start(job, paths)
    except OSError as error:
        _report({"ended": "walls", "detail": str(error)})
        return
    began = time.monotonic()
    ended, output = _watch(pipe, _Clock(guest, processes, began), job)
    wall = time.monotonic() - began
    status, usage = _end(guest)
    _report(
        {
            "ended": ended,
            "exit": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "wall_seconds": wall,
        },
        output,
    )


def _start(job: dict[str, Any], paths: list[str]) -> tuple[int, int]:
    """The guest's process number, and the end of its pipe; OSError where a wall does not stand."""
    ready_read, ready_write = os.pipe()
    pipe_read, pipe_write = os.pipe()
    guest = os.fork()
    if guest == 0:
        try:
            # Now nobody but the keeper reads from this pipe.
            os.close(ready_read)
            _be_guest(job, paths, ready_write, pipe_write)
        finally:
            os._exit(1)
    os.close(ready_write)
    os.close(pipe_write)
    # Its other end is closed before a line of the code runs, so only our own words come through.
    trouble = os.read(ready_read, _CHUNK)
    os.close(ready_read)
    if trouble:
        os.waitpid(guest, 0)
        raise OSError(trouble.decode(errors="replace"))
    return guest, pipe_read


def _be_guest(job: dict[str, Any], paths: list[str], ready: int, pipe: int) -> NoReturn:
    """Put up the walls around this process, then run the code; `ready` hears what went wrong."""
    try:
        walls.die_with_parent(ready)
        os.setsid()
        _put_up(job, paths, ready)
    except BaseException as error:
        os.write(ready, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os.dup2(pipe, _GUESTS_PIPE)
    os.closerange(_GUESTS_PIPE + 1, _MOST_DESCRIPTORS)
    run_calls(job, _GUESTS_PIPE)
    os._exit(0)


def _put_up(job: dict[str, Any], paths: list[str], ready: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.chdir("/")
    writable = None
    if "namespaces" in job["walls"]:
        walls.enter_root(paths, job["disk_bytes"])
        walls.leave_root()
        writable = walls.PRIVATE
    walls.set_limits(job["cpu_seconds"], job["memory_bytes"], job["disk_bytes"])
    walls.drop_capabilities()
    # Again: a change of users undid it.
    walls.die_with_parent(ready)
    if "landlock" in job["walls"]:
        walls.restrict_files(paths, writable)
    # Last: it forbids what the others need.
    if "seccomp" in job["walls"]:
        walls.restrict_calls()


class _Clock:
    """How long a guest has run, and how much of that it was asleep.

    That is neither computing nor waiting for a processor, as the scheduler counts; a kernel that
    does not say has guests that never sleep.
    """

    def __init__(self, guest: int, processes: int, began: float):
        self.began = began
        self.statistics = -1
        # By the open folder: the guest takes away the root that both see.
        with contextlib.suppress(OSError):
            self.statistics = os.open(f"{guest}/schedstat", os.O_RDONLY, dir_fd=processes)
        self.busy_before = self._busy() or 0.0

    def wall(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def asleep(self) -> float:
        """Seconds of them."""
        wall, busy = self.wall(), self._busy()
        return 0.0 if busy is None else wall - (busy - self.busy_before)

    def _busy(self) -> float | None:
        try:
            running, waiting, *_ = os.pread(self.statistics, 100, 0).split()
        except (OSError, ValueError):
            return None
        return (int(running) + int(waiting)) / 1e9


def _watch(pipe: int, clock: _Clock, job: dict[str, Any]) -> tuple[str, bytes]:
    """Why to end the guest, and what it wrote: it "closed" the pipe, its "time" or the time that it
    may be "asleep" is over, its "output" is too long, or the "host" is gone."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.register(0, 0)  # only hang-ups
    output = bytearray()
    while (left := job["wall_seconds"] - clock.wall()) > 0:
        awake = job["idle_seconds"] - clock.asleep()
        if awake <= 0:
            return "asleep", bytes(output)
        # It cannot fall asleep for longer than time passes.
        ready = dict(poll.poll(min(left, awake) * 1000 + 1))
        if 0 in ready:
            return "host", b""
        if pipe in ready:
            piece = os.read(pipe, _CHUNK)
            if not piece:
                return "closed", bytes(output)
            output += piece
            if len(output) > job["output_bytes"]:
                return "output", b""
    return "time", bytes(output)


def _end(guest: int) -> tuple[int, Any]:
    """Kill the guest, and with it, where it is the first process of a namespace, all it started."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(guest, signal.SIGKILL)
    _, status, usage = os.wait4(guest, 0)
    return status, usage


def _read_line(descriptor: int) -> bytes:
    """Up to the line's end; the other side keeps its end open, as a sign of life."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(descriptor, _CHUNK)
        if not piece:
            raise SystemExit("no job")
        line += piece
    return bytes(line)


def _report(ending: dict[str, Any], output: bytes = b"") -> None:
    rest = json.dumps(ending).encode() + b"\n" + output
    while rest:
        rest = rest[os.write(1, rest) :]
