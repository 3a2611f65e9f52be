"""Dataclasses as rows of a CSV: text, whole numbers, and numbers that may be undefined."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from cfdapo import checksums
from cfdapo.files import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def write_rows(
    path: str | Path,
    kind: type[Row],
    rows: Sequence[Row],
    made_from: dict[str, Any] | None = None,
) -> None:
    """Write rows as CSV with every digit; what is undefined is an empty field.

    The checksum beside them keeps what they were `made_from`.
    """
    stream = io.StringIO()
    names = [field.name for field in fields(kind)]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    checksums.finish(path, stream.getvalue(), made_from)


def read_rows(path: str | Path, kind: type[Row]) -> list[Row]:
    """Read the rows that `write_rows` wrote.

    Raises:
        UserError: the file is absent or damaged, or a line is no such row.
    """
    checksums.check(path)
    hints = get_type_hints(kind)
    name = f"not a table of {kind.__name__} rows"
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if list(reader.fieldnames or []) != list(hints):
                raise UserError(f"{path}: {name}; its columns should be {', '.join(hints)}")
            return [kind(**{key: _parse(row[key], hints[key]) for key in hints}) for row in reader]
    except (csv.Error, TypeError, ValueError) as error:
        raise UserError(f"{path}: {name} ({error})") from error


def _parse(text: str, hint: Any) -> Any:
    if hint is str:
        return text
    if hint is int:
        return int(text)
    return float(text) if text else None
