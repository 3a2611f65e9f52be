"""The walls around a guest, by the kernel's own means: namespaces, Landlock, seccomp, limits.

Each function puts up one wall around the calling process, for good, or raises OSError. They call
the C library directly, as Python 3.11 has no names for these calls; constants are the kernel's.
"""

import contextlib
import ctypes
import os
import resource
import select
import struct
import sys
from collections.abc import Iterable

from cfdapo.problems.sandbox.syscalls import filter_program

# Where a guest may write, and its current folder: a file system of its own in memory. No name that
# an interpreter or a library may lie below, as it hides what is there.
PRIVATE = "/private"
# What an interpreter reads besides its own standard library: shared libraries.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_NOBODY = 65534
_STACK_BYTES = 8 << 20
_OPEN_FILES = 32

_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS = 0x20000, 0x2000000, 0x4000000
_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWPID = 0x8000000, 0x10000000, 0x20000000
_CLONE_NEWNET = 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH, _AT_RECURSIVE = 2, 0x8000
_READ_ONLY_NOSUID_NODEV = 1 | 2 | 4  # MOUNT_ATTR_*
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_SIGKILL, _LAST_CAPABILITY = 9, 63
_SYS_MOUNT_SETATTR, _SYS_LANDLOCK = 442, (444, 445, 446)  # the same on every architecture

# Landlock's rights (linux/landlock.h): all on files up to ABI 3, then ioctl on devices (ABI 5).
_FS_LIST, _FS_READ = 1 << 3, (1 << 2) | (1 << 3)
_FS_ALL_3, _FS_IOCTL_DEV = (1 << 15) - 1, 1 << 15
_FS_WRITE = (1 << 1) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 14)
_FS_OF_A_FILE = (1 << 1) | (1 << 2) | (1 << 14)
_TCP, _SCOPES = 3, 3
# Before it, Landlock lets files be truncated.
LEAST_LANDLOCK_ABI = 3

_libc = ctypes.CDLL(None, use_errno=True)


def readable_paths() -> list[str]:
    """What a guest may read, but for `hidden_folders`: the standard library and the shared
    libraries that it loads."""
    own = [
        path for path in (*sys.path, os.path.join(sys.base_prefix, "lib")) if os.path.isabs(path)
    ]
    found = dict.fromkeys(path for path in (*_LIBRARIES, *own) if os.path.exists(path))
    return [p for p in found if not any(p != q and p.startswith(f"{q}/") for q in found)]


def hidden_folders(paths: list[str]) -> list[str]:
    """Where below `paths` packages are installed that are not Python's own."""
    found = []
    for path in paths:
        beside = [path, *(entry.path for entry in _pythons(path))]
        found += [f"{one}/{name}" for one in beside for name in ("site-packages", "dist-packages")]
    return [folder for folder in found if os.path.isdir(folder)]


def _pythons(path: str) -> list[os.DirEntry[str]]:
    """The folders in `path` that are some Python's library."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return [entry for entry in entries if entry.name.startswith("python") and entry.is_dir()]
    return []


def die_with_parent(pipe: int) -> None:
    """Be killed when the process that made this one ends, also where it has ended already.

    Only the parent reads from `pipe`. (In a namespace of its own a process cannot tell by its
    parent's number.)
    """
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    poll = select.poll()
    poll.register(pipe, 0)  # only that nobody reads
    if poll.poll(0):
        os._exit(1)


def enter_namespaces() -> None:
    """Mounts, network, IPC, host name and control groups of its own; children get process numbers
    of their own. Whoever is not root first gets a user namespace, to be allowed to."""
    user, group = os.geteuid(), os.getegid()
    kinds = (
        _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
        | _CLONE_NEWCGROUP
    )  # fmt: skip
    if user == 0:
        _call("unshare", kinds)
        return
    _call("unshare", kinds | _CLONE_NEWUSER)
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as stream:
            stream.write(line)


def enter_root(paths: list[str], disk_bytes: int) -> None:
    """See no files but those below `paths`, read-only and without the packages installed there,
    /dev/null, and `PRIVATE`, empty, of at most `disk_bytes`; there is no /proc, /sys or home. Needs
    the namespaces."""
    base = "/sys"  # any folder that is everywhere and below which no path lies
    os.umask(0o022)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", base, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,nr_inodes=1k,mode=755")
    for path in paths:
        if os.path.isdir(path):
            os.makedirs(f"{base}{path}")
        else:
            _make_file(f"{base}{path}")
        _mount(path, f"{base}{path}", None, _MS_BIND | _MS_REC)
    for folder in hidden_folders(paths):
        _mount("tmpfs", f"{base}{folder}", "tmpfs", _MS_NOSUID | _MS_NODEV, "size=4k,nr_inodes=1")
    os.mkdir(f"{base}{PRIVATE}")
    _make_file(f"{base}{os.devnull}")
    _set_read_only(base)
    # A device, so not among what has just been told to have none.
    _mount(os.devnull, f"{base}{os.devnull}", None, _MS_BIND)
    user, group = _ordinary_user()
    _mount(
        "tmpfs", f"{base}{PRIVATE}", "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC,
        f"size={disk_bytes},nr_inodes=256,mode=700,uid={user},gid={group}",
    )  # fmt: skip
    os.chdir(base)
    # The old root ends up on top of the new one, and is taken away.
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _MNT_DETACH)
    os.chdir(PRIVATE)


def _make_file(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def leave_root() -> None:
    """Become nobody, if root: root may start processes whatever their limit."""
    user, group = _ordinary_user()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)


def _ordinary_user() -> tuple[int, int]:
    """User and group that a guest in namespaces runs as."""
    return (_NOBODY, _NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [part and part.encode() for part in (source, target, kind, data)]
    _call("mount", *encoded[:3], ctypes.c_ulong(flags), encoded[3])


def _set_read_only(path: str) -> None:
    """This mount and all below it."""
    attributes = struct.pack("=QQQQ", _READ_ONLY_NOSUID_NODEV, 0, 0, 0)
    _call(
        "syscall", ctypes.c_long(_SYS_MOUNT_SETATTR), -100, path.encode(), _AT_RECURSIVE,
        attributes, ctypes.c_size_t(len(attributes)),
    )  # fmt: skip


def set_limits(cpu_seconds: int, memory_bytes: int, file_bytes: int) -> None:
    """Limits of the kernel for this process, which cannot raise them again.

    It may start no other process or thread, unless it is root's.
    """
    for name, value in (
        ("CPU", cpu_seconds), ("AS", memory_bytes), ("DATA", memory_bytes),
        ("FSIZE", file_bytes), ("NPROC", 1), ("NOFILE", _OPEN_FILES), ("STACK", _STACK_BYTES),
        ("CORE", 0), ("MEMLOCK", 0), ("MSGQUEUE", 0), ("NICE", 0), ("RTPRIO", 0),
        ("SIGPENDING", 64),
    ):  # fmt: skip
        limit = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def drop_capabilities() -> None:
    """Be an ordinary process for good, also when root."""
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(_LAST_CAPABILITY + 1):
        # Those the kernel does not know, or a process without rights, cannot be dropped.
        with contextlib.suppress(OSError):
            _call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _call("capset", struct.pack("=Ii", 0x20080522, 0), bytes(24))
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def landlock_abi() -> int:
    """The version of Landlock that the kernel has, 0 for none."""
    number = ctypes.c_long(_SYS_LANDLOCK[0])
    return max(_libc.syscall(number, None, ctypes.c_size_t(0), ctypes.c_uint32(1)), 0)


def restrict_files(readable: list[str], writable: str | None) -> None:
    """Landlock: read below `readable`, but no installed packages there, read and write below
    `writable` and in /dev/null, and no other file.

    Names can be seen everywhere, and what `stat` says of a file. As far as the kernel's version
    knows them, also no TCP, and no signals or abstract sockets to processes outside.
    """
    abi = landlock_abi()
    if abi < LEAST_LANDLOCK_ABI:
        raise OSError(f"Landlock has version {abi} here, and {LEAST_LANDLOCK_ABI} is needed")
    handled = _FS_ALL_3 | (_FS_IOCTL_DEV if abi >= 5 else 0)
    attributes = struct.pack("=QQQ", handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    create, add_rule, restrict_self = map(ctypes.c_long, _SYS_LANDLOCK)
    attributes = attributes[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = _call("syscall", create, attributes, ctypes.c_size_t(len(attributes)), 0)
    # In a root of its own (`enter_root`) nothing lies there.
    hidden = [] if writable else hidden_folders(readable)
    rights = _reading([(path, os.path.isdir(path)) for path in readable], hidden)
    rights[os.devnull] = (_FS_READ | _FS_WRITE) & _FS_OF_A_FILE
    if writable:
        rights[writable] = _FS_READ | _FS_WRITE
    for path, right in rights.items():
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _call("syscall", add_rule, ruleset, 1, struct.pack("=Qi", right, folder), 0)
        os.close(folder)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("syscall", restrict_self, ruleset, 0)
    os.close(ruleset)


def _reading(paths: Iterable[tuple[str, bool]], hidden: list[str]) -> dict[str, int]:
    """Landlock's rights to read `paths`, each with whether it is a folder, without `hidden` ones.

    A right holds for all that is below, so in a folder with a hidden one only listing is allowed,
    and reading in each of the others.
    """
    rights = {}
    for path, is_folder in paths:
        if not is_folder:
            rights[path] = _FS_READ & _FS_OF_A_FILE
        elif not any(folder.startswith(f"{path}/") for folder in hidden):
            rights |= {} if path in hidden else {path: _FS_READ}
        else:
            rights[path] = _FS_LIST
            with os.scandir(path) as entries:
                rights |= _reading([(entry.path, entry.is_dir()) for entry in entries], hidden)
    return rights


def restrict_calls() -> None:
    """seccomp: the system calls of `syscalls`, and no others."""
    program = filter_program()
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions, and where they are.
    filled = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", _PR_SET_SECCOMP, 2, filled, 0, 0)


def _call(name: str, *arguments: object) -> int:
    result = getattr(_libc, name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
