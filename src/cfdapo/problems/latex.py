"""Compare answers in LaTeX by the library math-verify, in a process of its own with limits.

A completion may state any formula, and a computer algebra system can take any time over one: here
`CPU_SECONDS` of computing and `MEMORY` bytes. What takes more is not equal, whatever the machine is
busy with; the process is then started anew. The library is imported there alone.

python -m cfdapo.problems.latex 5 answers pairs, a JSON list [gold, stated] a line, by true or
false, or ends where one takes more than 5 seconds.
"""

import functools
import importlib.metadata
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import Any

from cfdapo.files import UserError

LIBRARY = "math-verify"
CPU_SECONDS = 5.0
MEMORY = 2 * 2**30
# For a machine on which the process gets no turn.
WALL_SECONDS = 900.0
_READY = "ready"


def version() -> str:
    """The library's version; `UserError` where it is not installed."""
    try:
        return importlib.metadata.version(LIBRARY)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"data.answer: latex needs the package {LIBRARY}, which is not installed"
        ) from None


@functools.lru_cache(maxsize=100_000)
def equal(gold: str, stated: str) -> bool:
    """Whether `stated` is the value of `gold`, both in LaTeX without a formula's marks.

    Equal texts are. Not symmetric: the library lets a stated equation or set say more than a gold
    value, and not the other way round.

    Raises `UserError` where the library is not installed.
    """
    if gold.split() == stated.split():
        return True
    # Nothing stated is the worker's question whether it can read the gold answer.
    return bool(stated.strip()) and _WORKER.ask(gold, stated)


def can_read(gold: str) -> bool:
    """Whether the library makes anything but text of an answer."""
    return _WORKER.ask(gold, "")


class _Worker:
    """The process that compares; one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, gold: str, stated: str) -> bool:
        with self._lock:
            version()
            if self._process is None or self._process.poll() is not None:
                self._process = self._start()
            question = json.dumps([gold, stated]) + "\n"
            answer = self._exchange(self._process, question.encode())
            if answer not in ("true", "false"):  # its limits ended it
                self._process.kill()
                self._process.wait()
                self._process = None
            return answer == "true"

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, sys.path))
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(CPU_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        if self._exchange(process, b"") != _READY:
            process.kill()
            raise UserError(f"data.answer: latex: the package {LIBRARY} cannot be used here")
        return process

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], question: bytes) -> str:
        """What the process answers; nothing where it has ended, or does not."""
        assert process.stdin and process.stdout
        try:
            process.stdin.write(question)
            process.stdin.flush()
        except BrokenPipeError:
            return ""
        ready, _, _ = select.select([process.stdout], [], [], WALL_SECONDS)
        return process.stdout.readline().decode().strip() if ready else ""


_WORKER = _Worker()


def _answer(pairs: Iterable[str], seconds: float) -> None:
    """Answer pairs, a line each, in at most so much computing; `_Worker` asks them."""
    # What is asked must not be kept from its end by a signal that Python handles between steps.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compare = _comparison()
    print(_READY, flush=True)
    for line in pairs:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        told = json.dumps(compare(*json.loads(line)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(told, flush=True)


def _comparison() -> Any:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    configs = [LatexExtractionConfig(), ExprExtractionConfig()]

    def read(answer: str) -> Any:
        return parse(f"$\\boxed{{{answer}}}$", configs, parsing_timeout=None)

    def compare(gold: str, stated: str) -> bool:
        try:
            wanted = read(gold)
            if not stated:
                return any(not isinstance(one, str) for one in wanted)
            return verify(wanted, read(stated), timeout_seconds=None)
        except (Exception, RecursionError, MemoryError):  # of any formula that it cannot take
            return False

    return compare


if __name__ == "__main__":
    _answer(sys.stdin, float(sys.argv[1]))
