"""Check that a model in the hub's local cache is what the hub has at that commit."""

import hashlib
import re
from pathlib import Path

from cfdapo.files import UserError, sha256_of
from cfdapo.provenance import WEIGHTS


def verify_snapshot(snapshot: Path) -> dict[str, str]:
    """Compare every file of a cached snapshot with the hash that the hub gave for it.

    In the cache a file is a link to a blob that is named by the hub's own hash of its content:
    sha256 for large files, git's sha1 for the others.

    Returns:
        The sha256 of every file, by its name in the model's repository.

    Raises:
        UserError: no weights, or files that are not what the hub has; all are named.
    """
    files = sorted(path for path in snapshot.rglob("*") if path.is_file())
    if not any(path.match(WEIGHTS) for path in files):
        raise UserError(f"{snapshot}: has no {WEIGHTS}; weights in other formats are not loaded")
    damaged = [path for path in files if not _is_intact(path)]
    if damaged:
        names = ", ".join(str(path) for path in damaged)
        raise UserError(
            f"models: not what the hub has, so torn or changed: {names}; delete these files and "
            "what they link to, and run the target downloads again"
        )
    return {str(path.relative_to(snapshot)): sha256_of(path) for path in files}


def _is_intact(path: Path) -> bool:
    """Whether the content has the hash that its blob is named by; true where it has no such name.

    A cache on a file system without links holds plain files, of which nothing more is known.
    """
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return sha256_of(blob) == blob.name
    if re.fullmatch(r"[0-9a-f]{40}", blob.name):
        return _git_hash(blob) == blob.name
    return True


def _git_hash(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
