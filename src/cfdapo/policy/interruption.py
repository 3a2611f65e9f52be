"""SIGTERM and SIGINT while training: stop where nothing is lost, at once where that is possible."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

# Exit code of a job that was stopped, saved its state and goes on from there when it is run again
# (EX_TEMPFAIL of sysexits.h).
RESUME_ME = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The process was asked to end. Not an Exception, so that nothing in between handles it."""


class Interruption(TrainerCallback):
    """Raises `Interrupted` in a training that is asked to end.

    A step can take longer than the time between SIGTERM and SIGKILL, so it is not waited for:
    until the optimizer moves, the policy is still that of the step before, and the step that was
    begun can be given up anywhere. From there on, until the next step begins, the request waits.
    """

    def __init__(self) -> None:
        self.asked = False
        # Before the first step everything can be given up.
        self._free = True
        self._process = os.getpid()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Handle the signals within."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def hold(self) -> None:
        """From here on only take note of a request."""
        self._free = False

    def _handle(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:  # a forked helper just ends
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if not self.asked:
            # Not print: the signal may have come in the middle of one.
            os.write(2, f"\n{signal.Signals(number).name}: saving, then ending\n".encode())
        self.asked = True
        self._raise_if_free()

    def _raise_if_free(self) -> None:
        if self.asked and self._free:
            self._free = False
            raise Interrupted

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._free = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._free = True
        self._raise_if_free()
