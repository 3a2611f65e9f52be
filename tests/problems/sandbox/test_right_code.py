"""Right code runs: what one process may want of a machine, behind every set of walls."""

import pytest

# Each returns True.
PROGRAMS = {
    "event loop": """
import asyncio
async def double(x):
    await asyncio.sleep(0.001)
    return 2 * x
async def main():
    return await asyncio.gather(*map(double, range(3)))
def f():
    return asyncio.run(main()) == [0, 2, 4]""",
    "event loop, by hand": """
import asyncio
async def producer(queue):
    for n in range(3): await queue.put(n)
async def consumer(queue):
    return [await queue.get() for _ in range(3)]
def f():
    loop = asyncio.new_event_loop()
    queue = asyncio.Queue(1)
    loop.call_later(0.001, loop.call_soon_threadsafe, print)
    async def run():
        return await asyncio.gather(producer(queue), asyncio.wait_for(consumer(queue), 5))
    found = loop.run_until_complete(run())
    loop.close()
    return found == [None, [0, 1, 2]]""",
    "pair of sockets": """
import socket
def f():
    one, two = socket.socketpair()
    two.setblocking(False)
    one.sendall(b"x")
    return two.recv(10) == b"x" and one.getsockname() == ''""",
    "null device": """
import contextlib, os
def f():
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        print("x")
    with open("/dev/null", "rb") as null:
        return null.read() == b""  """,
    "inheritance of descriptors": """
import os
def f():
    one, two = os.pipe()
    os.set_inheritable(one, True)
    os.set_blocking(two, False)
    return os.get_inheritable(one) and not os.get_blocking(two)""",
}
# Without namespaces there is nowhere to write.
WRITERS = {
    "named temporary file": """
import tempfile
def f():
    with tempfile.NamedTemporaryFile("w+") as stream:
        stream.write("x")
        stream.flush()
        with open(stream.name) as again:
            return again.read() == "x" """,
    "temporary file": """
import tempfile
def f():
    with tempfile.TemporaryFile() as stream, tempfile.SpooledTemporaryFile(1) as spooled:
        for one in (stream, spooled):
            one.write(b"xyz")
            one.seek(0)
        return stream.read() == spooled.read() == b"xyz" """,
    "temporary folder": """
import os, tempfile
def f():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/below")
        open(folder + "/below/file", "w").close()
    number, name = tempfile.mkstemp()
    os.close(number)
    return not os.path.exists(folder) and os.path.exists(name)""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_right_code_runs(program, attack):
    outcome = attack(PROGRAMS[program])
    assert outcome.calls[0].value is True, outcome


@pytest.mark.parametrize("program", WRITERS)
def test_right_code_writes_into_its_folder(program, attack, walls):
    if "namespaces" not in walls:
        pytest.skip("without namespaces there is nowhere to write")
    outcome = attack(WRITERS[program])
    assert outcome.calls[0].value is True, outcome
