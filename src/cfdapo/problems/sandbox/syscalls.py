"""The system calls that a guest may make, as a seccomp filter; every other one fails (EPERM).

What one process needs that computes, reads files that the other walls leave it, and writes into its
private folder. Not among them, so that new kernels add nothing either: other processes and threads
(clone, fork, execve), sockets but a pair that is connected to itself, signals, ptrace, prlimit64
(which reaches other processes), System V and POSIX shared memory, mounts, namespaces, keys,
io_uring, bpf, changing owners and modes.
"""

import os
import struct

# Name: number on x86_64, on aarch64 (None: does not exist there).
ALLOWED: dict[str, tuple[int, int | None]] = {
    # Files.
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66),
    "pread64": (17, 67), "pwrite64": (18, 68), "close": (3, 57), "lseek": (8, 62),
    "open": (2, None), "openat": (257, 56), "fstat": (5, 80), "stat": (4, None),
    "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291), "access": (21, None),
    "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49),
    "statfs": (137, 43), "fstatfs": (138, 44), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "pipe": (22, None), "pipe2": (293, 59), "poll": (7, None),
    "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72), "ftruncate": (77, 46),
    "fsync": (74, 82), "fdatasync": (75, 83), "fadvise64": (221, 223), "unlink": (87, None),
    "unlinkat": (263, 35), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "umask": (95, 166),
    # Memory.
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226),
    "madvise": (28, 233), "brk": (12, 214), "futex": (202, 98),
    # Its own signal handlers and timers.
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128), "alarm": (37, None),
    "setitimer": (38, 103), "getitimer": (36, 102),
    # Clocks and random bytes.
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
    "getrusage": (98, 165), "getrandom": (318, 278),
    # Who and where it is.
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158),
    "getpgrp": (111, None), "uname": (63, 160), "sysinfo": (99, 179),
    "sched_getaffinity": (204, 123), "sched_yield": (24, 124), "rseq": (334, 293),
    "set_robust_list": (273, 99), "arch_prctl": (158, None),
    "exit": (60, 93), "exit_group": (231, 94),
    # Of the pair of sockets.
    "recvfrom": (45, 207), "getsockname": (51, 204),
}  # fmt: skip
# Calls that pass with some values of some arguments, by their place: their lower 32 bits, which is
# all that the kernel reads of an int, or, for an address, all 64.
SOME: dict[str, tuple[tuple[int, int], dict[int, tuple[int, ...]]]] = {
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. With F_SETOWN and F_SETSIG a
    # process has the kernel send signals for it.
    "fcntl": ((72, 25), {1: (0, 1, 2, 3, 4, 1030)}),
    # FIONBIO, FIONCLEX, FIOCLEX: what F_SETFL and F_SETFD do.
    "ioctl": ((16, 29), {1: (0x5421, 0x5450, 0x5451)}),
    # AF_UNIX and SOCK_STREAM, with SOCK_NONBLOCK and SOCK_CLOEXEC or without: an event loop wakes
    # itself by such a pair. It reaches nobody else, and passes no descriptors without sendmsg.
    "socketpair": ((53, 199), {0: (1,), 1: (1, 0x801, 0x80001, 0x80801)}),
    # To nobody but the other end.
    "sendto": ((44, 206), {4: (0,)}),
}
ADDRESSES = frozenset({("sendto", 4)})

# AUDIT_ARCH_* of linux/audit.h, and the column of the tables above. Calls of the x32 ABI pass for
# x86_64 and have another bit set: none is on the list.
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Instructions of classic BPF (linux/filter.h), and where struct seccomp_data has its fields.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS, _BYTES = 0, 4, 16, 8
_ALLOW, _KILL, _FAIL_EPERM = 0x7FFF0000, 0x80000000, 0x00050001


def filter_program(machine: str | None = None) -> bytes:
    """The filter for this (or another) machine, an array of struct sock_filter.

    OSError on an architecture that has no list.
    """
    machine = machine or os.uname().machine
    if machine not in ARCHITECTURES:
        raise OSError(f"no list of system calls for {machine}")
    architecture, column = ARCHITECTURES[machine]
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, architecture, skip_if_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
    ]
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            program += _return_if_equal(number, _ALLOW)
    for name, (numbers, arguments) in SOME.items():
        checks = _checks(name, arguments)
        program.append(_instruction(_JUMP_IF_EQUAL, numbers[column], skip_if_false=len(checks)))
        program += checks
    program.append(_instruction(_RETURN, _FAIL_EPERM))
    return b"".join(program)


def _checks(name: str, arguments: dict[int, tuple[int, ...]]) -> list[bytes]:
    """Instructions that allow a call with these values of its arguments, and fail it otherwise."""
    found = []
    for place, values in arguments.items():
        # Both architectures are little-endian: the lower 32 bits stand first.
        found += _fail_unless(_ARGUMENTS + _BYTES * place, values)
        if (name, place) in ADDRESSES:
            found += _fail_unless(_ARGUMENTS + _BYTES * place + 4, (0,))
    return [*found, _instruction(_RETURN, _ALLOW)]


def _fail_unless(offset: int, values: tuple[int, ...]) -> list[bytes]:
    """Go on behind these instructions where the 32 bits at `offset` are one of `values`."""
    jumps = [
        _instruction(_JUMP_IF_EQUAL, value, skip_if_true=len(values) - number)
        for number, value in enumerate(values)
    ]
    return [_instruction(_LOAD, offset), *jumps, _instruction(_RETURN, _FAIL_EPERM)]


def _return_if_equal(value: int, verdict: int) -> list[bytes]:
    return [
        _instruction(_JUMP_IF_EQUAL, value, skip_if_false=1),
        _instruction(_RETURN, verdict),
    ]


def _instruction(code: int, operand: int, skip_if_true: int = 0, skip_if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_if_true, skip_if_false, operand)
