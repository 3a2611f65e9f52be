"""Pieces of a long measurement, each in a bounded process of its own that reports as it goes.

What goes wrong in one, memory that is used up and a crash included, is a line of the record, and
the next begins with a fresh process. The processes are forked from one that has imported all that
they need and never touches the accelerator; where that does not work they are started anew.
"""

import importlib
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

# What the start of a process raises where the one that was to fork it has died.
_DEAD_SERVER = (EOFError, OSError)

# Takes a name and values to keep under it; what was there under it before stays.
Emit = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Machine:
    """Where the units run: on `device`, cuda or cpu, and with `tiny` sizes or the paper's.

    `method` is how processes start: "forkserver", or "spawn", which imports everything anew.
    """

    device: str
    tiny: bool
    method: str = "forkserver"

    @property
    def nested(self) -> str:
        """How a unit's own processes start; it has imported all and not touched the device."""
        return "fork" if self.method == "forkserver" else "spawn"


class OutOfTime(Exception):
    """A unit stopped itself before it was done, as its time was up."""


@dataclass(frozen=True)
class Clock:
    """Until when a unit has to be done or to stop; soon afterwards it is ended by force."""

    end: float

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def check(self) -> None:
        """Raise `OutOfTime` where none are."""
        if self.left < 0:
            raise OutOfTime("its time was up")


@dataclass(frozen=True)
class Unit:
    """A call of the function `run` of a module of `gpu_parts`, which is to take `weight` seconds.

    It is called with an `Emit`, a `Clock`, a `Machine` and the `arguments`.
    """

    part: str
    name: str
    module: str
    weight: float
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: "done", "failed" (with the error), "cut" by its time, or "not begun"."""

    status: str
    error: str | None = None
    traceback: str | None = None


def start_processes(machine: Machine, preload: Sequence[str]) -> tuple[Machine, Any]:
    """A multiprocessing context, and the machine with the method of starting that it has.

    Forked processes have imported the modules `preload`; returns once that is done, which takes a
    while. Where it fails, processes start anew.
    """
    if machine.method == "forkserver":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(preload))
        first = context.Process(target=int)
        try:
            first.start()
            first.join()
        except _DEAD_SERVER:
            machine = replace(machine, method="spawn")
    return machine, multiprocessing.get_context(machine.method)


def run_unit(
    context: Any, unit: Unit, machine: Machine, log: Path, seconds: float, emit: Emit
) -> Outcome:
    """Run `unit` in a process of its own, what it prints going to `log`.

    After `seconds` it is killed; it is told to stop by itself a little earlier.
    """
    receiver, sender = context.Pipe(duplex=False)
    limit = time.monotonic() + seconds
    clock = Clock(limit - 0.1 * seconds)
    process = context.Process(target=_child, args=(unit, machine, clock, log, sender))
    try:
        process.start()
    except _DEAD_SERVER as error:
        return Outcome("failed", f"no process could be started: {describe(error)}")
    sender.close()
    try:
        return _listen(receiver, process, limit, emit)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        receiver.close()


def _listen(receiver: Any, process: Any, limit: float, emit: Emit) -> Outcome:
    while (left := limit - time.monotonic()) > 0 and receiver.poll(left):
        try:
            kind, *values = receiver.recv()
        except EOFError:
            process.join()
            return Outcome("failed", f"the process ended with code {process.exitcode}")
        if kind == "end":
            return Outcome(*values)
        emit(*values)
    return Outcome("cut", "its time was up")


def _child(unit: Unit, machine: Machine, clock: Clock, log: Path, sender: Any) -> None:
    end_with_parent()
    redirect(log)
    print(f"\n== {unit.part}: {unit.name}", flush=True)
    try:
        module = importlib.import_module(f"gpu_parts.{unit.module}")
        module.run(
            lambda name, values: sender.send(("emit", name, values)),
            clock,
            machine,
            **unit.arguments,
        )
    except OutOfTime as error:
        sender.send(("end", "cut", str(error)))
    except KeyboardInterrupt:
        sender.send(("end", "cut", "it was interrupted"))
    except Exception as error:
        traceback.print_exc()
        sender.send(("end", "failed", describe(error), traceback.format_exc()))
    else:
        sender.send(("end", "done"))
    print(f"{time.process_time():.1f} s of this process on the processor", flush=True)


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however that did."""

    def watch() -> None:
        connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def redirect(log: Path) -> None:
    """Let all that this process prints, and what libraries of C print, go to the end of `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(handle, 1)
    os.dup2(handle, 2)


def describe(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def attempt(emit: Emit, name: str, action: Callable[[], Any]) -> Any:
    """What `action` returns; None where it fails, with the error emitted under `name`.

    So the rest of a unit goes on, with the memory that the action held. `OutOfTime` ends it.
    """
    try:
        return action()
    except OutOfTime:
        raise
    except Exception as error:
        traceback.print_exc()
        emit(name, {"error": describe(error)})
    _free_memory()
    return None


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
