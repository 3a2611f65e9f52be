"""Attacks on the verdict: whatever the code does to the channel, it can only say values."""

import math
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cfdapo.files import UserError
from cfdapo.problems.sandbox import host
from cfdapo.problems.sandbox.host import Call, Capabilities, Job, Limits, capabilities, run

GUESSES = '["list","ok",41]\\n'


def call(code: str, *arguments: object, calls: int = 1, **limits: int):
    return run(Job(code, "f", [arguments] * calls, Limits(**limits)))


def test_values_come_back_as_they_are():
    code = "def f(x): return x"
    values = [None, True, 1, -(2**80), 0.5, -0.0, math.inf, "aé\ud800\n", b"\0\xff", 1 + 2j]
    values += [[1, (2, [3])], {1, 2}, frozenset({(1, 2)}), {"a": {1: [2.0]}, (1,): None}, (), []]
    outcome = run(Job(code, "f", [[value] for value in values]))
    assert [one.value for one in outcome.calls] == values
    assert [type(one.value) for one in outcome.calls] == [type(value) for value in values]


def test_errors_come_back_as_words():
    code = "def f(x):\n    if x: raise ValueError('no ' + x)\n    return x"
    outcome = run(Job(code, "f", [["good"], [""], ["way"]]))
    assert outcome.status == "finished"
    assert [one.error for one in outcome.calls] == [
        "ValueError: no good",
        None,
        "ValueError: no way",
    ]
    outcome = run(Job(code, "f", [[""], ["good"], [""]], stop_at_error=True))
    assert outcome.status == "finished"
    assert outcome.calls == [Call(""), Call(error="ValueError: no good")]


@pytest.mark.parametrize("code", ["def f(:", "1 / 0", "g = 1", "raise SystemExit(0)", "", "\0"])
def test_code_that_defines_nothing(code):
    assert call(code, 1).status == "undefined"


@pytest.mark.parametrize(
    "body",
    ["os._exit(0)", "os.close(3)", "os.closerange(0, 99)", "ctypes.string_at(0)", "os.abort()"],
)
@pytest.mark.parametrize("where", ["inside", "outside"])
def test_leaving_early_is_no_pass(body, where):
    code = f"import ctypes, os\n{body}\ndef f(): return 42"
    if where == "inside":
        code = f"import ctypes, os\ndef f():\n    {body}\n    return 42"
    outcome = call(code)
    assert outcome.status == "died" and outcome.calls == []


@pytest.mark.parametrize("error", ["SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "Liar()"])
def test_exceptions_of_every_kind_are_errors(error):
    liar = "class Liar(BaseException):\n    def __str__(self): raise SystemExit(0)\n"
    outcome = call(f"{liar}def f(): raise {error}")
    assert outcome.status == "finished" and outcome.calls[0].error


def test_printing_a_verdict_says_nothing():
    code = f"def f():\n    print('{GUESSES}passed', flush=True)\n    return 7"
    assert call(code).calls == [Call(7)]


def test_writing_to_the_pipe_says_values_and_no_more_of_them_than_were_asked_for():
    # Instead of running at all: a value is only what the code says it is.
    instead = f"import os\nos.write(3, b'{GUESSES}' * 2)\nos._exit(0)\ndef f(): pass"
    assert call(instead, calls=2).calls == [Call(41), Call(41)]
    assert call(instead, calls=3).status == "died"
    assert call(instead, calls=1).status == "garbled"
    # And as well.
    more = f"import os\ndef f():\n    os.write(3, b'{GUESSES}')\n    return 42"
    assert call(more).status == "garbled"
    nonsense = "import os\ndef f():\n    os.write(3, b'passed')\n    return 42"
    assert call(nonsense).status == "garbled"


def test_patched_equality_says_nothing():
    code = """
class Equal(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
class Opaque:
    def __eq__(self, other): return True
def f(x): return Equal(1) if x else Opaque()"""
    subclass, opaque = run(Job(code, "f", [[1], [0]])).calls
    assert type(subclass.value) is int and subclass.value == 1 and subclass.value != 42
    assert opaque.value != 42 and opaque.value != 42 and repr(opaque.value) == "<Opaque>"


@pytest.mark.parametrize(
    "patch",
    [
        'json.dumps = lambda *a, **k: \'["list","ok",42]\'',
        "sys.modules['cfdapo.problems.sandbox.guest'].dumps = lambda x: ''",
        "builtins.isinstance = lambda *a: True",
        "builtins.type = lambda *a: int",
        "os.write = lambda descriptor, text: len(text)",
        "sys.settrace(lambda *a: None); builtins.__import__ = None",
        "sys.modules.clear()",
        "builtins.__dict__.clear()",
    ],
)
def test_patched_builtins_give_at_most_values(patch):
    code = f"import builtins, json, os, sys\ndef f():\n    {patch}\n    return 7"
    outcome = call(code)
    # Nothing in the guest knows what is expected of it; 42 is what the first patch makes up.
    assert outcome.status != "finished" or outcome.calls[0].value in (7, 42, None)
    said_more = len(outcome.calls) > 1
    assert not said_more


def test_huge_and_cyclic_results():
    assert call("def f(): return 'x' * (30 << 20)", output_bytes=1 << 20).status == "output"
    cyclic = "def f():\n    x = []\n    x.append(x)\n    return x"
    assert call(cyclic).calls[0].error.startswith("ValueError: nested")
    deep = "def f():\n    x = []\n    for _ in range(10**5): x = [x]\n    return x"
    assert call(deep).calls[0].error.startswith("ValueError: nested")
    endless = (
        "class L(list):\n    def __iter__(self):\n        while True: yield 1\ndef f(): return L()"
    )
    assert call(endless).calls == [Call([])]


def test_the_guest_is_told_no_more_than_code_and_arguments():
    code = """
import sys
def f(secret):
    frame, found = sys._getframe(), set()
    while frame := frame.f_back:
        for value in frame.f_locals.values():
            if isinstance(value, dict):
                found |= {key for key in value if isinstance(key, str) and key.islower()}
    return found"""
    found = call(code, "argument").calls[0].value
    assert {"code", "function", "calls"} <= found
    assert not {word for word in found if "expect" in word or "answer" in word or "gold" in word}


def test_runs_share_nothing():
    leave = "import os\ndef f():\n    open('left', 'w').write('x')\n    return os.listdir('.')"
    for _ in range(2):
        value = call(leave).calls[0]
        assert value.error or value.value == ["left"]


def test_sets_come_in_the_same_order_in_every_run():
    code = "def f(): return list({str(number) for number in range(50)})"
    assert call(code).calls == call(code).calls


def test_weak_walls_are_refused(monkeypatch):
    job = Job("def f(): return 1", "f", [[]])
    for walls in ((), ("seccomp",), ("namespaces", "landlock")):
        with pytest.raises(UserError, match="cannot hold untrusted code"):
            run(job, walls=walls)
    monkeypatch.setattr(host, "capabilities", lambda: Capabilities(frozenset(), {"seccomp": "why"}))
    with pytest.raises(UserError, match="seccomp: why"):
        run(job)
    assert run(job, allow_weak=True).calls == [Call(1)]


def test_a_wall_that_does_not_stand_is_an_error_not_a_gap(monkeypatch):
    monkeypatch.setattr(host, "_BOOT", host._BOOT.replace("; main()", BROKEN_LANDLOCK))
    with pytest.raises(UserError, match="Landlock has version 0 here"):
        run(Job("def f(): return 1", "f", [[]]), walls=("landlock", "seccomp"))


BROKEN_LANDLOCK = """
from cfdapo.problems.sandbox import walls
walls.landlock_abi = lambda: 0
main()"""


def test_capabilities_ask_whether_the_library_can_be_imported(open_folder, monkeypatch):
    """An interpreter that was installed with umask 077 is its owner's alone."""
    if os.geteuid() or not {"namespaces", "landlock"} <= capabilities().walls:
        pytest.skip("only a guest that root starts is somebody else, and only in namespaces")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = open_folder / "lib" / version
    left_out = shutil.ignore_patterns(
        "site-packages", "test", "idlelib", "ensurepip", "__pycache__"
    )
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=left_out)
    (open_folder / "bin").mkdir()
    python = open_folder / "bin" / version
    shutil.copy(Path(sys._base_executable).resolve(), python)
    monkeypatch.setattr(host, "_python", lambda: str(python))
    assert host.capabilities.__wrapped__().walls == capabilities().walls
    for path in (library / "heapq.py", library / "random.py"):
        path.chmod(0o600)
    found = host.capabilities.__wrapped__()
    assert "namespaces" not in found.walls and "heapq" in found.missing["namespaces"]
    # Where its owner runs it, it works.
    assert found.sufficient
    job = Job("import heapq\ndef f(): return heapq.nlargest(1, [1, 2])", "f", [[]])
    assert run(job, walls=found.walls).calls == [Call([2])]


def test_a_host_that_ignores_its_children():
    """As what starts it may do; nobody then tells a keeper how its guest ended."""
    script = """
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
sys.path.insert(0, sys.argv[1])
from cfdapo.problems.sandbox.host import Job, capabilities, run
print(sorted(capabilities().missing), run(Job("def f(): return 1", "f", [[]])).calls[0].value)"""
    source = str(Path(host.__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", script, source], capture_output=True, text=True)
    assert done.stdout == f"{sorted(capabilities().missing)} 1\n", done.stderr


def test_capabilities_name_every_wall():
    found = capabilities()
    assert found.walls | set(found.missing) == set(host.WALLS)
    assert not found.walls & set(found.missing)
