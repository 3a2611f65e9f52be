"""A run's saved state on disk: marked as whole when it is, checked and thinned out.

`state` holds the last checkpoints, `checkpoint-{step}`, and in `adapters/step{step}` the adapter of
every step that is evaluated later. A folder counts once its mark, written last, lists the size and
sha256 of each of its files; a kill while writing leaves a folder without a mark.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError

from cfdapo.files import UserError, flush, read_json, sha256_of, share, write_json

MARK = "complete.json"
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
# Checkpoints that stay: the last one, and the one before should a disk damage the last.
KEPT = 2


def checkpoint(state: Path, step: int) -> Path:
    """The folder of the checkpoint of `step`."""
    return state / f"checkpoint-{step}"


def kept_adapter(state: Path, step: int) -> Path:
    """The folder of the adapter that was kept at `step`."""
    return state / "adapters" / f"step{step}"


def mark(folder: Path) -> None:
    """Vouch for all files in `folder`, once they are on the disk."""
    files = {}
    for path in _files(folder):
        flush(path)
        files[str(path.relative_to(folder))] = {
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
    flush(folder)
    write_json(folder / MARK, {"files": files})
    flush(folder)


def flaw(folder: Path) -> str | None:
    """What is wrong with a marked folder, or None if all its files are as they were."""
    try:
        files = read_json(folder / MARK)["files"]
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != expected["bytes"] or sha256_of(path) != expected["sha256"]:
                return f"{name} is damaged"
    except (UserError, KeyError, TypeError, AttributeError):
        return "it was not finished"
    return None


def keep_adapter(state: Path, step: int) -> None:
    """Keep the adapter of a checkpoint that is thinned out later."""
    target = kept_adapter(state, step)
    shutil.rmtree(target, ignore_errors=True)
    place_adapter(checkpoint(state, step), target)
    mark(target)


def place_adapter(source: Path, target: Path) -> None:
    """Put an adapter's files in `target`, each whole or not at all.

    They are the same files under a second name, where the disk can: nobody writes into them again,
    and a large adapter takes neither time nor room twice.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in ADAPTER_FILES:
        temporary = target / f".{name}"
        temporary.unlink(missing_ok=True)
        try:
            os.link(source / name, temporary)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source / name, temporary)
            flush(temporary)
        share(temporary)
        os.replace(temporary, target / name)


def adapter_hashes(folder: Path, steps: Iterable[int]) -> dict[str, str | None]:
    """By step, what tells its adapter in `folder`/step{step} from any other; None if it is missing.

    It is the start of a sha256 over the sha256 of its files: every row of an evaluation holds one.
    """
    return {str(step): adapter_hash(folder / f"step{step}") for step in steps}


def adapter_hash(folder: Path) -> str | None:
    """What tells the adapter in `folder` from any other; see `adapter_hashes`."""
    paths = [folder / name for name in ADAPTER_FILES]
    if not all(path.is_file() for path in paths):
        return None
    return hashlib.sha256("".join(map(sha256_of, paths)).encode()).hexdigest()[:16]


def thin_out(state: Path) -> None:
    """Remove all checkpoints but the last `KEPT`."""
    for step in _steps(state)[:-KEPT]:
        shutil.rmtree(checkpoint(state, step))


def last_whole(state: Path, kept: Iterable[int] = ()) -> Path | None:
    """The last checkpoint that training can go on from; None if there is none.

    `kept` are the steps whose adapters are kept: those up to the checkpoint's must be whole too, as
    nothing would make them again. Checkpoints that are not whole are removed, with a message.
    """
    faults = {step: flaw(kept_adapter(state, step)) for step in kept}
    for step in reversed(_steps(state)):
        folder = checkpoint(state, step)
        wrong = flaw(folder)
        for other, fault in sorted(faults.items()):
            if fault and other <= step:
                wrong = wrong or f"the adapter of step {other}: {fault}"
        if wrong is None:
            return folder
        print(f"{folder}: removed, as training cannot go on from it ({wrong})", flush=True)
        shutil.rmtree(folder)
    return None


def is_about_writing(error: Exception) -> bool:
    """Whether a failed save is the disk's fault, and no mistake in code nor the accelerator's.

    On a full disk torch raises RuntimeError with various texts, and tokenizers a bare Exception.
    """
    known = (OSError, SafetensorError, UserError)
    return isinstance(error, known) or type(error) in (RuntimeError, Exception)


def _steps(state: Path) -> list[int]:
    """Steps of the checkpoints in `state`, whole or not, the first one first."""
    found = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in state.glob("checkpoint-*")]
    return sorted(int(match[1]) for match in found if match)


def _files(folder: Path) -> list[Path]:
    """All files below `folder` but its mark; a checkpoint can hold a second adapter in a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MARK)
