"""What happens inside the walls: run the code, call its function, say what came back."""

import os
import sys
import types
from typing import Any

from cfdapo.problems.sandbox.values import dumps, loads

_LONGEST_MESSAGE = 300


def run_calls(job: dict[str, Any], pipe: int) -> None:
    """Write a line for every call of `job`: ["ok", value] or ["raised", what].

    Where the code does not define the function, the only line is ["undefined", why]. `job` has
    `code`, `function`, `calls` (lists of arguments), `listed` and `stop_at_error`; arguments and
    lines are in the notation of `values`. From `exec` on nothing here can be relied on: the code
    shares this interpreter and may write lines of its own.
    """
    calls = [loads(call) for call in job["calls"]]
    function, error = _define(job["code"], job["function"])
    if error:
        _write(pipe, dumps(["undefined", error]))
        return
    for arguments in calls:
        line, succeeded = _answer(function, arguments, job["listed"])
        _write(pipe, line)
        if job["stop_at_error"] and not succeeded:
            return


def _define(code: str, name: str) -> tuple[Any, str]:
    """The function `name` that `code` defines, or None and what went wrong."""
    module = types.ModuleType("solution")
    # Dataclasses and others look up the module that they are defined in.
    sys.modules["solution"] = module
    try:
        exec(compile(code, "solution.py", "exec"), module.__dict__)
        return getattr(module, name), ""
    except BaseException as error:
        return None, _describe(error)


def _answer(function: Any, arguments: list[Any], listed: bool) -> tuple[str, bool]:
    """The line for one call, and whether it gave a value."""
    try:
        value = function(*arguments)
        return dumps(["ok", list(value) if listed else value]), True
    except BaseException as error:
        return dumps(["raised", _describe(error)]), False


def _describe(error: BaseException) -> str:
    try:
        message = str(error)[:_LONGEST_MESSAGE]
    except BaseException:
        message = ""
    return f"{type(error).__name__}: {message}"


def _write(pipe: int, line: str) -> None:
    rest = line.encode() + b"\n"
    while rest:
        rest = rest[os.write(pipe, rest) :]
