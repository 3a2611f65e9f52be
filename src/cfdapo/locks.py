"""Locks on files that the kernel frees when their holder dies, however it dies."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds between two tries.
PATIENCE = 1.0


def try_lock(path: str | Path) -> int | None:
    """Lock `path` for this process; the open file that holds the lock, or None if it is taken.

    Closing the file, or the end of the process, frees it. Raises OSError where the file system
    knows no locks or the file cannot be made.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    os.utime(handle)  # else what tidies up old files in /tmp could take it away
    return handle


def is_held(path: str | Path) -> bool | None:
    """Whether a process holds the lock `path`; nothing is written.

    None where that cannot be told: the file system knows no locks, or keeps them to each machine
    and another one locked it last (`only_one` leaves its name in the file). Whoever wants the lock
    in the very moment of the question finds it taken, and tries again.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False if os.read(handle, 256) == _machine() else None
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)


def _machine() -> bytes:
    return socket.gethostname().encode() + b"\n"


@contextmanager
def only_one(path: str | Path, work: str) -> Iterator[bool]:
    """Let one process at a time do `work`; gives whether another one had to be waited for.

    A workflow that is killed can leave its jobs behind; started again, it must not write beside
    them. Where the file system knows no locks nothing is locked.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    waited = False
    try:
        while (handle := try_lock(path)) is None:
            if not waited:
                print(f"another process does this: {work}; waiting for it to end", flush=True)
            waited = True
            time.sleep(PATIENCE)
    except OSError:
        print(f"{path}: cannot be locked here; nothing else should do this: {work}", flush=True)
        yield False
        return
    # For `is_held`; a full disk has no room for it, and the work's own files will say so.
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, _machine())
    try:
        yield waited
    finally:
        os.close(handle)
