"""A checksum beside every finished record, with what the record was made from.

Beside `evaluation.jsonl` stands `evaluation.jsonl.checksum.json`: the record's name, the sha256 of
its bytes, and `made_from`, whatever tells the parents of this record from those of another. It is
written just before the record gets its name, so that a kill leaves no record without it.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfdapo.files import UserError, atomic_stream, flush, read_json, sha256_of, write_json

ENDING = ".checksum.json"
REDO = "delete it and run the study again, or unpack its archive again"


@dataclass(frozen=True)
class Checksum:
    """The sha256 of a record's bytes, and what the record was made from."""

    sha256: str
    made_from: dict[str, Any]


def beside(path: str | Path) -> Path:
    """Where the checksum of the record `path` stands."""
    return Path(path).with_name(Path(path).name + ENDING)


def finish(path: str | Path, content: str | bytes, made_from: dict[str, Any] | None = None) -> str:
    """Write a record and its checksum, each whole or not at all; returns the sha256.

    Raises `UserError` naming the file where there is no room for it.
    """
    data = content.encode() if isinstance(content, str) else content
    sha256 = hashlib.sha256(data).hexdigest()
    with atomic_stream(path) as stream:
        stream.write(data)
        stream.flush()
        _write(path, sha256, made_from)
    return sha256


def finish_file(partial: Path, path: Path, made_from: dict[str, Any] | None = None) -> None:
    """Give a file that is complete the name `path`, with a checksum."""
    flush(partial)
    _write(path, sha256_of(partial), made_from)
    os.replace(partial, path)


def _write(path: str | Path, sha256: str, made_from: dict[str, Any] | None) -> None:
    record = {"record": Path(path).name, "sha256": sha256, "made_from": made_from or {}}
    write_json(beside(path), record)


def check(path: str | Path) -> Checksum:
    """Compare a record with the checksum beside it, which is returned.

    Raises:
        UserError: the record is absent or not what was finished, or it has no checksum of its own.
    """
    found = sha256_of(path)
    expected = read(path)
    if found != expected.sha256:
        raise UserError(
            f"{path}: damaged or changed since it was finished (its sha256 is {found[:12]}…, its "
            f"checksum says {expected.sha256[:12]}…); {REDO}"
        )
    return expected


def read(path: str | Path) -> Checksum:
    """The checksum beside a record, whose bytes are not looked at; faults as `check`."""
    file = beside(path)
    if not file.is_file():
        raise UserError(
            f"{path}: has no checksum beside it ({file.name}); a record of an older version, or "
            "one put here by hand, cannot be told from a damaged one: run the study again, copy "
            "the checksum too, or use the commit that made it (git.commit in run.json)"
        )
    said = read_json(file)
    sha256, made_from = said.get("sha256"), said.get("made_from")
    if not isinstance(sha256, str) or not isinstance(made_from, dict):
        raise UserError(f"{file}: is no checksum; delete it and {path}, and run the study again")
    if said.get("record") != Path(path).name:
        raise UserError(f"{file}: is the checksum of {said.get('record')}; {REDO}")
    return Checksum(sha256, made_from)


def sha256_of_input(path: str | Path) -> str:
    """The sha256 of a file that a job is handed, checked where a checksum stands beside it.

    Problems may be the user's own, whose hash the results then keep.
    """
    return check(path).sha256 if beside(path).is_file() else sha256_of(path)
