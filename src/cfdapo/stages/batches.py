"""Work that is done in batches, each written down as it is finished, so that none is done twice."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from cfdapo.files import append_stream

Batch = Callable[[], dict[str, Any]]


def run_batches(partial: Path, identity: str, batches: Iterable[Batch]) -> Iterator[dict[str, Any]]:
    """The results of all `batches`, in order; those that `partial` holds are not computed again.

    `partial` gets a line a batch, with its sha256, after a line with the `identity` of the work:
    results of other work, a torn last line, and all from a damaged line on, are thrown away. The
    caller deletes it when all is written.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    done = _finished(partial, identity)
    with append_stream(partial) as stream:
        for number, batch in enumerate(batches):
            if number < len(done):
                yield done[number]
                continue
            result = batch()
            stream.write(_line(result) + "\n")
            stream.flush()
            print(f"batch {number + 1}: done", flush=True)
            yield result


def _line(result: dict[str, Any]) -> str:
    text = json.dumps(result, ensure_ascii=False)
    return f"{hashlib.sha256(text.encode()).hexdigest()} {text}"


def _finished(partial: Path, identity: str) -> list[dict[str, Any]]:
    """The whole lines of an interrupted run of the same work; the file is cut to them."""
    head = json.dumps({"identity": identity}).encode()
    lines = partial.read_bytes().split(b"\n")[:-1] if partial.is_file() else []
    if lines[:1] != [head]:
        if lines:
            print("the saved records are of another configuration; starting anew", flush=True)
        lines = [head]
    whole = list(takewhile(_is_whole, lines[1:]))
    if len(whole) < len(lines) - 1:
        print(f"{partial}: damaged behind batch {len(whole)}; going on from there", flush=True)
    partial.write_bytes(b"".join(line + b"\n" for line in [head, *whole]))
    return [json.loads(line.partition(b" ")[2]) for line in whole]


def _is_whole(line: bytes) -> bool:
    sha256, _, text = line.partition(b" ")
    return hashlib.sha256(text).hexdigest().encode() == sha256
