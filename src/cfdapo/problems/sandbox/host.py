"""Start sandboxed runs and read, with suspicion, what comes back."""

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cfdapo.files import UserError
from cfdapo.problems.sandbox import keeper
from cfdapo.problems.sandbox.values import dumps, loads

WALLS = ("namespaces", "landlock", "seccomp")

_SOURCE = str(Path(__file__).resolve().parents[3])
# The package's folder is on the path for the imports alone.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    f"from {keeper.__name__} import main; del sys.path[0]; main()"
)
# No current folder, no user's or site's packages, nothing written beside the sources.
_OPTIONS = ("-P", "-s", "-S", "-B", "-X", "utf8")
# All there is. Sets are iterated in the same order in every run.
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
_CHUNK = 1 << 16
_PATIENCE_SECONDS = 30
# Imports modules in Python and in C that the keeper has not loaded before the walls stand.
_PROBE = "import heapq, random\ndef f(): return len(heapq.nsmallest(2, [random.random()] * 3))"


@dataclass(frozen=True)
class Limits:
    """What a run may use.

    `cpu_seconds` and `wall_seconds`: of the whole run. `idle_seconds`: of the whole run, time in
    which it neither computes nor waits for a processor. `memory_bytes`: address space.
    `disk_bytes`: of the private folder, and of each file. `output_bytes`: of all results as text.
    """

    cpu_seconds: int = 10
    wall_seconds: float = 60.0
    idle_seconds: float = 10.0
    memory_bytes: int = 512 << 20
    disk_bytes: int = 16 << 20
    output_bytes: int = 8 << 20


@dataclass(frozen=True)
class Job:
    """Code that defines `function`, the arguments of every call of it, and what it may use.

    With `stop_at_error` calls after one that raises are left out. With `listed` results are
    iterated, and come as lists.
    """

    code: str
    function: str
    calls: Sequence[Sequence[Any]] = ()
    limits: Limits = Limits()
    stop_at_error: bool = False
    listed: bool = False


@dataclass(frozen=True)
class Call:
    """What a call returned, or, with `value` None, what it raised ("ValueError: …")."""

    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `status`: "finished" (every call has its line, or the run stopped at an error as it was told
    to), "undefined" (no such function, or the code raised before it was called), "time" (CPU,
    wall, or asleep), "output" (too much of it), "died" (left early, was killed, lacked memory) or
    "garbled" (said what is no line of results). `calls`: what the guest says that its first calls
    gave, never more than there were. `detail`: for people. `cpu_seconds`, `wall_seconds`.
    """

    status: str
    calls: list[Call] = field(default_factory=list)
    detail: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


@dataclass(frozen=True)
class Capabilities:
    """Which walls stand on this machine, and for each of the others why not."""

    walls: frozenset[str]
    missing: dict[str, str]

    @property
    def sufficient(self) -> bool:
        """Whether they hold untrusted code: seccomp, and namespaces or Landlock."""
        return "seccomp" in self.walls and len(self.walls) > 1


class GivenUp(Exception):
    """Nobody waits for this run any more."""


@functools.cache
def capabilities() -> Capabilities:
    """Try every wall once, in this process's place and with its rights.

    A wall behind which the standard library cannot be imported, as its files are their owner's
    alone, does not count: right code would fail there.
    """
    walls, missing = set(), {}
    for wall in WALLS:
        job = Job(_PROBE, "f", [[]])
        try:
            outcome = _judge(job, *_exchange(job, frozenset({wall})))
        except UserError as error:
            missing[wall] = str(error)
            continue
        if outcome.calls == [Call(2)]:
            walls.add(wall)
        else:
            missing[wall] = f"sandbox: {_python()} does not find its library: {outcome.detail}"
    return Capabilities(frozenset(walls), missing)


def run(
    job: Job,
    *,
    walls: Iterable[str] | None = None,
    allow_weak: bool = False,
    stop: int | None = None,
) -> Outcome:
    """Run `job` in a fresh interpreter behind `walls`, by default all that stand here.

    What its code does is an outcome, never an exception. Raises `UserError` where a wall does not
    stand, and where the walls are not `sufficient`, unless `allow_weak`: then only limits and the
    walls given are between the code and this machine. Raises `GivenUp`, and ends the run, when the
    pipe `stop` is closed at its other end.
    """
    chosen = capabilities().walls if walls is None else frozenset(walls)
    if not allow_weak and not Capabilities(chosen, {}).sufficient:
        reasons = "; ".join(f"{name}: {why}" for name, why in capabilities().missing.items())
        raise UserError(
            "sandbox: this machine cannot hold untrusted code; needed are seccomp, and namespaces "
            f"or Landlock (Linux 6.2 or later). {reasons}"
        )
    return _judge(job, *_exchange(job, chosen, stop))


def run_many(jobs: Iterable[Job], workers: int | None = None) -> list[Outcome]:
    """`run` for every job, `workers` at a time (by default as many as there are cores).

    Where this is interrupted, by an exception of a signal's handler, all runs are given up.
    """
    workers = workers or len(os.sched_getaffinity(0))
    heard, given_up = os.pipe()
    pool = ThreadPoolExecutor(workers)
    try:
        return list(pool.map(functools.partial(run, stop=heard), jobs))
    finally:
        os.close(given_up)
        pool.shutdown(cancel_futures=True)
        os.close(heard)


def _python() -> str:
    """The interpreter itself, also from within a virtual environment."""
    return getattr(sys, "_base_executable", sys.executable)


def _exchange(
    job: Job, walls: frozenset[str], stop: int | None = None
) -> tuple[dict[str, Any], bytes]:
    """A keeper's report, and what its guest wrote; `UserError` where there was no guest."""
    if sys.platform != "linux":
        raise UserError(f"sandbox: needs Linux, not {sys.platform}")
    request = {
        "code": job.code,
        "function": job.function,
        "calls": [dumps(list(arguments)) for arguments in job.calls],
        "stop_at_error": job.stop_at_error,
        "listed": job.listed,
        "walls": sorted(walls),
        **asdict(job.limits),
    }
    process = subprocess.Popen(
        [_python(), *_OPTIONS, "-c", _BOOT, _SOURCE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    with process:
        assert process.stdin and process.stderr  # pipes
        try:
            answer = _converse(process, json.dumps(request), job.limits.wall_seconds, stop)
            trouble = process.stderr.read() if not answer else b""
        finally:
            # Also when this process is interrupted: the keeper ends its guest as stdin closes.
            process.stdin.close()
    report, _, output = answer.partition(b"\n")
    if not report:
        last = trouble.decode(errors="replace").strip().rpartition("\n")[2]
        raise UserError(f"sandbox: {_python()} gave no answer: {last}")
    ending = json.loads(report)
    if ending["ended"] == "walls":
        raise UserError(f"sandbox: {ending['detail']}")
    return ending, output


def _converse(
    process: subprocess.Popen[bytes], request: str, seconds: float, stop: int | None
) -> bytes:
    """Send the request and read all that the keeper writes; it is killed if it takes too long."""
    assert process.stdin and process.stdout  # pipes
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
    deadline = time.monotonic() + seconds + _PATIENCE_SECONDS
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    if stop is not None:
        poll.register(stop, 0)  # only hang-ups
    answer = bytearray()
    while ready := poll.poll(max(deadline - time.monotonic(), 0) * 1000):
        if stop in dict(ready):
            raise GivenUp
        piece = os.read(process.stdout.fileno(), _CHUNK)
        if not piece:
            return bytes(answer)
        answer += piece
    process.kill()
    return b""


def _judge(job: Job, ending: dict[str, Any], output: bytes) -> Outcome:
    """What the guest's lines amount to; they may say anything."""
    used = {key: ending[key] for key in ("cpu_seconds", "wall_seconds")}
    # What follows the last line's end is a line that was cut off.
    lines = output.split(b"\n")[:-1]
    try:
        said = [_read_line(line) for line in lines]
    except ValueError as error:
        return Outcome("garbled", detail=str(error), **used)
    if len(said) == 1 and said[0][0] == "undefined":
        return Outcome("undefined", detail=said[0][1], **used)
    calls = [Call(value) if tag == "ok" else Call(error=value) for tag, value in said]
    if len(calls) > len(job.calls) or any(tag == "undefined" for tag, _ in said):
        return Outcome("garbled", detail="other lines than one a call", **used)
    stopped = job.stop_at_error and calls and calls[-1].error is not None
    if len(calls) == len(job.calls) or stopped:
        return Outcome("finished", calls, **used)
    status, detail = _cut_short(ending, job.limits)
    return Outcome(status, calls, detail, **used)


def _cut_short(ending: dict[str, Any], limits: Limits) -> tuple[str, str]:
    """Status and detail of a run that did not come to its end."""
    if ending["ended"] in ("time", "asleep"):
        return "time", "wall" if ending["ended"] == "time" else "asleep"
    if ending["ended"] == "output":
        return "output", ""
    # The kernel counts by ticks more than it reports, much more on a busy machine. Nothing but its
    # limit, or its lack of memory, sends this signal from outside.
    if ending["exit"] == -signal.SIGKILL and ending["cpu_seconds"] > 0.5 * limits.cpu_seconds:
        return "time", "CPU"
    code = ending["exit"]
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return "died", how


def _read_line(line: bytes) -> list[Any]:
    said = loads(line)
    if not (isinstance(said, list) and len(said) == 2):
        raise ValueError("a line is a pair")
    tag, value = said
    if tag != "ok" and not (tag in ("raised", "undefined") and isinstance(value, str)):
        raise ValueError("a line is ok with a value, or raised with a message")
    return said
