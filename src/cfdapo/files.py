"""Read and write the study's files; what others read appears whole or not at all."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

# A disk, a quota or a limit that is used up.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """Something the user can mend: what is wrong, where, and what is allowed.

    Stages print it as ``error: …`` without a traceback and exit with code 2.
    """


def atomic_write(path: str | Path, content: str | bytes) -> None:
    """Write to a temporary name in the same folder, flush to disk, then rename onto `path`.

    Raises `UserError` naming the file where there is no room for it; what stood at `path` then
    still stands.
    """
    with atomic_stream(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_stream(path: str | Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes appear as `path` when the block ends; nothing does if it fails.

    Raises `UserError` as `atomic_write`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        share(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise cannot_write(path, error) from error
        raise


@contextmanager
def append_stream(path: str | Path) -> Iterator[IO[str]]:
    """A stream that adds text to `path`, made if it is absent.

    Raises `UserError` naming the file where there is no room for more.
    """
    try:
        with open(path, "a", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        # One with a name is of another file.
        if error.errno in NO_ROOM and not error.filename:
            raise cannot_write(path, error) from error
        raise


def cannot_write(path: str | Path, error: Exception) -> UserError:
    """What to tell the user when `path` could not be written, because of `error`."""
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return UserError(f"{path}: cannot be written ({reason}); make room there and run again")


def share(path: str | Path) -> None:
    """Give a file the mode that the user's mask says.

    Temporary files, and those that safetensors writes, are readable by their owner alone; results
    are shared on clusters.
    """
    os.chmod(path, 0o666 & ~_umask())


def flush(path: str | Path) -> None:
    """Wait until a file's, or a folder's, content is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: Any) -> None:
    """Write one JSON document, indented, keys in the order given."""
    atomic_write(path, as_json(value))


def as_json(value: Any) -> str:
    """One JSON document as text, indented, keys in the order given."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object; raises `UserError` naming the file when it is absent, torn or none."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    return _as_object(value, path)


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    atomic_write(path, as_jsonl(rows))


def as_jsonl(rows: Iterable[dict[str, Any]]) -> str:
    """One JSON object a line, as text."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read one JSON object a line; raises `UserError` with file and line of the first bad one."""
    return [row for _, row in parse_jsonl(read_text(path), path)]


def parse_jsonl(
    text: str, source: str | Path, exact: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line that is not blank; `UserError` naming `source` and a bad line.

    `exact` keeps decimals as they are written, as `Decimal`. A byte order mark is passed over.
    """
    decimals = Decimal if exact else None
    # Not splitlines(): a completion may hold U+2028, which JSON does not escape.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        try:
            value = json.loads(line, parse_float=decimals)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not valid JSON ({error})") from error
        if "\\ud" in line.lower():
            _require_text(value, where)
        yield number, _as_object(value, where)


def _require_text(value: Any, where: str) -> None:
    r"""Refuse half of a surrogate pair, as \ud83d alone: JSON can say it, no file can hold it."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: holds half of a surrogate pair, which is no text") from error


def _as_object(value: Any, where: str | Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: is no JSON object but {json.dumps(value)[:40]}")
    return value


def read_text(path: str | Path) -> str:
    """A file's text; raises `UserError` naming it when it cannot be read or is no UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error})") from error


def sha256_of(path: str | Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
