"""Attacks on the machine: each fails, and leaves this process and its files as they were."""

import contextlib
import functools
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cfdapo.files import UserError
from cfdapo.problems.sandbox import host
from cfdapo.problems.sandbox.host import Job, Limits, run_many

SOURCE = str(Path(__file__).resolve().parents[3] / "src")
# Runs each of ATTEMPTS and returns the names of those that did not fail.
HARNESS = """
import ctypes, os, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def f(*arguments):
    done = []
    for attempt in ATTEMPTS:
        try:
            result = attempt(*arguments)
        except Exception as error:
            continue
        if result != -1:
            done.append(attempt.__name__)
    return done
"""


def succeeded(outcome) -> list[str]:
    """Names of the attempts that came through."""
    assert outcome.status == "finished", outcome
    return outcome.calls[0].value


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """A word in the command line of every keeper, guest and process made by one from now on."""
    word = f"cfdapo_{os.getpid()}_{time.monotonic_ns()}"
    monkeypatch.setattr(host, "_OPTIONS", (*host._OPTIONS, "-X", word))
    return word


def marked_processes(mark: str) -> list[str]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # gone meanwhile
            found += [line.parent.name] if mark.encode() in line.read_bytes().split(b"\0") else []
    return found


def wait_until_gone(mark: str) -> None:
    """Killed processes take a moment to leave."""
    for _ in range(100):
        if not marked_processes(mark):
            return
        time.sleep(0.05)
    raise AssertionError(f"still running: {marked_processes(mark)}")


def test_fork_bomb(attack, mark):
    outcome = attack("import os\ndef f():\n    while True: os.fork()")
    # The first fork fails already, and the error ends the loop.
    assert outcome.calls[0].error.split(":")[0] in ("PermissionError", "BlockingIOError")
    wait_until_gone(mark)


def test_threads_and_programs(attack):
    code = f"""{HARNESS}
import subprocess, threading
def thread(): threading.Thread(target=print).start()
def program(): return subprocess.run(["/bin/true"]).returncode
def become(): os.execv(sys.executable, [sys.executable, "-c", "1"])
ATTEMPTS = [thread, program, become]"""
    assert succeeded(attack(code)) == []


def test_daemon_does_not_survive(attack, mark):
    code = """
import contextlib, os, time
def f():
    for _ in range(2):
        with contextlib.suppress(OSError):
            if os.fork(): os._exit(0)
        with contextlib.suppress(OSError):
            os.setsid()
    time.sleep(600)"""
    attack(code, limits=Limits(wall_seconds=0.5))
    wait_until_gone(mark)


def test_ten_gigabytes(attack):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for expression in ("bytearray(10 << 30)", "[bytes(1 << 20) for _ in range(10**4)]"):
        outcome = attack(f"def f(): return len({expression})")
        assert outcome.calls[0].error.startswith("MemoryError")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (64 << 10)


def test_memory_outside_the_address_space(attack, walls):
    """Shared memory that no limit of the process counts; seccomp has no way in."""
    if "seccomp" not in walls:
        pytest.skip("what seccomp is for")
    code = f"""{HARNESS}
def system_v(): return libc.shmget(0, 1 << 30, 0o1600)
def anonymous_file(): return os.memfd_create("x")
ATTEMPTS = [system_v, anonymous_file]"""
    assert succeeded(attack(code)) == []


def test_endless_loop(attack):
    code = """
import contextlib, signal
def f():
    for number in range(1, 65):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    while True: pass"""
    outcome = attack(code, limits=Limits(cpu_seconds=1))
    assert (outcome.status, outcome.detail) == ("time", "CPU")


def test_sleep(attack):
    outcome = attack("import time\ndef f(): time.sleep(600)", limits=Limits(wall_seconds=0.5))
    assert (outcome.status, outcome.detail) == ("time", "wall")
    assert outcome.wall_seconds < 10


def test_sleep_counts_like_work(attack):
    """In one piece or many, and whatever the wall limit is."""
    for code in ("time.sleep(600)", "[time.sleep(0.01) for _ in range(10**6)]"):
        limits = Limits(wall_seconds=120.0, idle_seconds=0.3)
        outcome = attack(f"import time\ndef f(): {code}", limits=limits)
        assert (outcome.status, outcome.detail) == ("time", "asleep")
    # Who computes is not asleep, also while it waits for a processor.
    code = "import time\ndef f():\n    while time.process_time() < 0.5: pass"
    assert attack(code, limits=Limits(idle_seconds=0.3)).status == "finished"


def test_endless_output(attack):
    printing = "def f():\n    while True: print('x' * 10**6)"
    assert attack(printing, limits=Limits(wall_seconds=0.5)).status == "time"
    to_the_pipe = "import os\ndef f():\n    while True: os.write(3, b'1')"
    assert attack(to_the_pipe, limits=Limits(output_bytes=1000)).status == "output"


def test_deep_recursion(attack):
    start = "import sys\nsys.setrecursionlimit(10**9)\n"
    in_python = "def f(): return f()"
    in_c = "class A:\n    def __repr__(self): return repr([self])\ndef f(): return repr(A())"
    for code in (in_python, in_c):
        outcome = attack(start + code, limits=Limits(memory_bytes=64 << 20))
        assert outcome.status == "died" or outcome.calls[0].error


def test_files_outside_cannot_be_deleted_changed_or_read(attack, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "expected.json").write_text("[42]")
    before = (home / "expected.json").stat()
    code = f"""{HARNESS}
import shutil
def list_it(home): return os.listdir(home)
def read_it(home): return open(home + "/expected.json").read()
def delete_all(home): shutil.rmtree(home)
def delete_one(home): os.remove(home + "/expected.json")
def move(home): os.rename(home + "/expected.json", home + "/other")
def move_folder(home): os.rename(home, home + "-gone")
def empty(home): os.truncate(home + "/expected.json", 0)
def empty_by_opening(home): os.open(home + "/expected.json", os.O_RDONLY | os.O_TRUNC)
def write(home): open(home + "/expected.json", "w")
def add(home): open(home + "/new", "w")
def make_folder(home): os.mkdir(home + "/folder")
def link(home): os.link(home + "/expected.json", "link")
def mode(home): os.chmod(home + "/expected.json", 0)
def owner(home): os.chown(home + "/expected.json", 1, 1)
def date(home): os.utime(home + "/expected.json", (0, 0))
def attribute(home): os.setxattr(home + "/expected.json", "user.x", b"x")
ATTEMPTS = [list_it, read_it, delete_all, delete_one, move, move_folder, empty, empty_by_opening,
            write, add, make_folder, link, mode, owner, date, attribute]"""
    assert succeeded(attack(code, str(home))) == []
    after = (home / "expected.json").stat()
    assert os.listdir(home) == ["expected.json"]
    assert (home / "expected.json").read_text() == "[42]"
    for field in ("st_ino", "st_mode", "st_uid", "st_mtime_ns", "st_size", "st_nlink"):
        assert getattr(before, field) == getattr(after, field)


def test_nothing_is_written_elsewhere(attack):
    name = f"cfdapo{time.monotonic_ns()}"
    places = ["/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/etc", SOURCE, sys.base_prefix + "/lib"]
    code = """
def f(places, name):
    written = []
    for place in places:
        try:
            open(place + "/" + name, "w").write("x")
            written.append(place)
        except OSError:
            pass
    return written"""
    assert succeeded(attack(code, places, name)) == []
    assert not [place for place in places if (Path(place) / name).exists()]


def test_the_private_folder_has_an_end(attack, walls):
    code = """
def f():
    total = 0
    try:
        for number in range(1000):
            with open(f"file{number}", "wb", buffering=0) as stream:
                total += stream.write(bytes(1 << 20))
    except OSError:
        pass
    return total"""
    total = attack(code, limits=Limits(disk_bytes=4 << 20)).calls[0].value
    if "namespaces" in walls:
        assert 0 < total <= 4 << 20
    else:
        assert total == 0


def test_processes_outside_cannot_be_seen_or_touched(attack, monkeypatch, request):
    secret = "expected-outputs-" + str(time.monotonic_ns())
    monkeypatch.setenv("EXPECTED", secret)
    received = []
    for number in (signal.SIGUSR1, signal.SIGIO):
        request.addfinalizer(functools.partial(signal.signal, number, signal.getsignal(number)))
        signal.signal(number, lambda *_: received.append(1))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = f"""{HARNESS}
import fcntl, resource, struct
def memory(pid): return open(f"/proc/{{pid}}/mem", "rb")
def environment(pid): return open(f"/proc/{{pid}}/environ", "rb").read()
def descriptors(pid): return os.listdir(f"/proc/{{pid}}/fd")
def ptrace(pid): return libc.ptrace(16, pid, 0, 0)
def seize(pid): return libc.ptrace(0x4206, pid, 0, 0)
def read_memory(pid):
    buffer = ctypes.create_string_buffer(8)
    vector = struct.pack("PN", ctypes.addressof(buffer), 8)
    return libc.process_vm_readv(pid, vector, 1, vector, 1, 0)
def send(pid): os.kill(pid, signal.SIGUSR1)
def send_queued(pid): return libc.sigqueue(pid, signal.SIGUSR1, 0)
def send_by_pidfd(pid): signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGUSR1)
def send_by_kernel(pid):
    read, write = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, pid)
    fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
    os.write(write, b"x")
def limit(pid): resource.prlimit(pid, resource.RLIMIT_NOFILE, (9, 9))
def slow_down(pid): os.setpriority(os.PRIO_PROCESS, pid, 19)
def pin(pid): os.sched_setaffinity(pid, {{0}})
ATTEMPTS = [memory, environment, descriptors, ptrace, seize, read_memory, send, send_queued,
            send_by_pidfd, send_by_kernel, limit, slow_down, pin]"""
    affinity, priority = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    assert succeeded(attack(code, os.getpid())) == []
    assert not received and resource.getrlimit(resource.RLIMIT_NOFILE) == limits
    assert (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)) == (affinity, priority)


def test_the_keeper_cannot_be_touched(attack):
    code = f"""{HARNESS}
def keeper():
    if not os.getppid(): raise OSError("in a namespace the keeper has no number")
    return os.getppid()
def send(): os.kill(keeper(), signal.SIGKILL)
def memory(): return open(f"/proc/{{keeper()}}/mem", "rb")
def own_memory(): return open("/proc/self/mem", "rb")
ATTEMPTS = [send, memory, own_memory]"""
    assert succeeded(attack(code)) == []


def test_no_network(attack):
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        udp.bind(("127.0.0.1", 0))
        abstract.bind(f"\0cfdapo-{os.getpid()}-{time.monotonic_ns()}")
        abstract.listen()
        code = f"""{HARNESS}
def tcp(port, *_): socket.create_connection(("127.0.0.1", port), timeout=2)
def udp(_, port, *rest):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))
def abstract(*ports): socket.socket(socket.AF_UNIX).connect(ports[2])
def name_service(*_): socket.getaddrinfo("example.org", 80)
def raw(*_): socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
def packet(*_): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
ATTEMPTS = [tcp, udp, abstract, name_service, raw, packet]"""
        ports = tcp.getsockname()[1], udp.getsockname()[1], abstract.getsockname()
        assert succeeded(attack(code, *ports)) == []
        for listener in (tcp, udp, abstract):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(1) if listener is udp else listener.accept()


def test_a_pair_of_sockets_reaches_nobody(attack, walls, tmp_path):
    """What an event loop wakes itself by; datagrams go to whoever has a name."""
    if "seccomp" not in walls:
        pytest.skip("what seccomp is for")
    name = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.setblocking(False)
        code = f"""{HARNESS}
def datagrams(name): socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", name)
def packets(name): socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
def internet(name): socket.socketpair(socket.AF_INET, socket.SOCK_STREAM)
def named(name): socket.socketpair()[0].sendto(b"x", name)
def connect(name): socket.socketpair()[0].connect(name)
def bind(name): socket.socketpair()[0].bind("here")
def rights(name): socket.send_fds(socket.socketpair()[0], [b"x"], [1])
def signals(name):
    import fcntl
    fcntl.ioctl(socket.socketpair()[0], 0x8901, ctypes.byref(ctypes.c_int(1)))  # FIOSETOWN
def asynchronous(name):
    import fcntl
    fcntl.ioctl(socket.socketpair()[0], 0x5452, ctypes.byref(ctypes.c_int(1)))  # FIOASYNC
ATTEMPTS = [datagrams, packets, internet, named, connect, bind, rights, signals, asynchronous]"""
        assert succeeded(attack(code, name)) == []
        with pytest.raises(BlockingIOError):
            listener.recv(1)


def test_no_device_but_the_null_device(attack):
    code = f"""{HARNESS}
def make(): os.mknod("null", 0o666 | 0x2000, os.makedev(1, 3))
def memory(): open("/dev/mem", "rb")
def terminal(): open("/dev/tty", "rb")
def disk(): os.listdir("/dev/disk")
def beside(): open("/dev/shm/x", "w")
def replace(): os.rename("/dev/null", "/dev/other")
def remove(): os.remove("/dev/null")
ATTEMPTS = [make, memory, terminal, disk, beside, replace, remove]"""
    before = os.stat(os.devnull)
    assert succeeded(attack(code)) == []
    assert os.stat(os.devnull).st_mode == before.st_mode


def test_installed_packages_cannot_be_read(attack):
    """Those of the interpreter that runs the guest, and the system's."""
    folders = {
        str(Path(folder).resolve())
        for base in (sys.base_prefix, "/usr", "/usr/local")
        for kind in ("site", "dist")
        for folder in Path(base, "lib").glob(f"python*/{kind}-packages")
    }
    assert folders
    code = """
import os, sys
def f(folders):
    sys.path += folders
    for name in ("pip", "numpy", "setuptools", "_pytest", "six"):
        try:
            return __import__(name).__file__
        except ImportError:
            pass
        except OSError as error:
            pass
    read = []
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                try:
                    read.append(open(parent + "/" + name, "rb").read())
                except OSError:
                    pass
    return len(read)"""
    assert succeeded(attack(code, sorted(folders))) == 0


def test_no_new_rights(attack, walls):
    if "seccomp" not in walls:
        pytest.skip("what seccomp is for: a user namespace of the guest's own")
    code = f"""{HARNESS}
def namespace(): return libc.unshare(0x10000000)
def mounts(): return libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)
def change_root(): os.chroot("/")
def host_name(): socket.sethostname("x")
def clock(): time.clock_settime(time.CLOCK_REALTIME, 0)
def processor_time():
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))
ATTEMPTS = [namespace, mounts, change_root, host_name, clock, processor_time]"""
    assert succeeded(attack(code)) == []


def test_nothing_is_inherited(attack, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_TOKEN", "swordfish")
    (tmp_path / "file").write_text("secret")
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    code = """
import os, sys
def f():
    opened = []
    for number in range(256):
        try:
            os.fstat(number)
            opened.append(number)
        except OSError:
            pass
    return dict(os.environ), sys.argv, sys.path, opened, os.read(0, 10)"""
    environment, argv, path, opened, stdin = succeeded(attack(code))
    os.close(descriptor)
    assert set(environment) <= {"PYTHONHASHSEED", "LC_CTYPE"}
    assert opened == [0, 1, 2, 3] and stdin == b""
    assert not [entry for entry in path if "site-packages" in entry or entry in ("", SOURCE)]


def test_a_guest_ends_with_its_host(mark, tmp_path):
    """Also when the host is killed and can say nothing."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
sys.path.insert(0, {SOURCE!r})
from cfdapo.problems.sandbox import host
host._OPTIONS = {host._OPTIONS!r}
host.run(host.Job("import time\\ndef f(): time.sleep(600)", "f", [[]]), walls={host.WALLS!r})
""")
    process = subprocess.Popen([sys.executable, str(script)])
    try:
        for _ in range(200):
            if len(marked_processes(mark)) == 2:
                break
            time.sleep(0.05)
        assert len(marked_processes(mark)) == 2  # a keeper and its guest
    finally:
        process.kill()
        process.wait()
    wait_until_gone(mark)


# The keeper is killed when its guest comes to a point, which then goes on a little later.
KILLED_KEEPER = """
import os, signal, time
from cfdapo.problems.sandbox import keeper, walls
heard, told = os.pipe()
def come(name):
    if name == POINT:
        os.write(told, b"x")
        time.sleep(0.3)
def fork(original=os.fork):
    guest = original()
    if guest:
        os.read(heard, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    come("fork")
    return guest
os.fork = fork
def behind(name, original):
    def wrapped(*arguments):
        result = original(*arguments)
        come(name)
        return result
    return wrapped
for name in ("enter_root", "leave_root", "set_limits", "drop_capabilities"):
    setattr(walls, name, behind(name, getattr(walls, name)))
keeper.run_calls = behind("never", keeper.run_calls)
main()"""


@pytest.mark.parametrize("point", ["fork", "enter_root", "leave_root", "set_limits"])
def test_a_guest_ends_with_its_keeper(point, walls, mark, monkeypatch):
    """Also where that is killed while the walls are put up, before a limit of time holds."""
    if point.endswith("root") and "namespaces" not in walls:
        pytest.skip("without namespaces there is no root of its own")
    killed = KILLED_KEEPER.replace("POINT", repr(point))
    monkeypatch.setattr(host, "_BOOT", host._BOOT.replace("; main()", killed))
    job = Job("import time\ntime.sleep(600)\ndef f(): pass", "f", [[]])
    with pytest.raises(UserError, match="gave no answer"):
        host.run(job, walls=walls, allow_weak=True)
    wait_until_gone(mark)


class Stopped(BaseException):
    """What a signal's handler raises."""


def test_a_stop_gives_up_what_runs_and_what_waits(mark):
    """Of twenty jobs, two of which sleep, for ten minutes each if they may."""
    started = []

    def stop(*_):
        raise Stopped

    def ask():
        for _ in range(200):
            if len(marked_processes(mark)) >= 4:
                break
            time.sleep(0.05)
        started.append(len(marked_processes(mark)))
        os.kill(os.getpid(), signal.SIGUSR1)

    limits = Limits(wall_seconds=600.0, idle_seconds=600.0)
    jobs = [Job("import time\ndef f(): time.sleep(600)", "f", [[]], limits)] * 20
    before = signal.signal(signal.SIGUSR1, stop)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with pytest.raises(Stopped):
            run_many(jobs, workers=2)
    finally:
        asking.join()
        signal.signal(signal.SIGUSR1, before)
    assert started == [4]  # two keepers and their guests
    wait_until_gone(mark)


def test_many_at_once_keep_their_order():
    jobs = [Job("def f(x): return x * x", "f", [[number]]) for number in range(12)]
    jobs[5] = Job("import os\nos._exit(0)", "f", [[5]])
    outcomes = run_many(jobs, workers=4)
    assert [o.calls[0].value if o.calls else None for o in outcomes] == [
        number * number if number != 5 else None for number in range(12)
    ]
