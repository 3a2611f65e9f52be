"""Dataclasses as rows of a CSV: text, whole numbers, and numbers that may be undefined."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from cfdapo.files import UserError, atomic_write

Row = TypeVar("Row")


def write_rows(path: str | Path, kind: type[Row], rows: Sequence[Row]) -> None:
    """Write rows as CSV with every digit; what is undefined is an empty field."""
    stream = io.StringIO()
    names = [field.name for field in fields(kind)]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    atomic_write(path, stream.getvalue())


def read_rows(path: str | Path, kind: type[Row]) -> list[Row]:
    """Read the rows that `write_rows` wrote.

    Raises:
        UserError: the file is absent, or a line is no such row.
    """
    hints = get_type_hints(kind)
    name = f"not a table of {kind.__name__} rows"
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if list(reader.fieldnames or []) != list(hints):
                raise UserError(f"{path}: {name}; its columns should be {', '.join(hints)}")
            return [kind(**{key: _parse(row[key], hints[key]) for key in hints}) for row in reader]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (csv.Error, TypeError, ValueError) as error:
        raise UserError(f"{path}: {name} ({error})") from error


def _parse(text: str, hint: Any) -> Any:
    if hint is str:
        return text
    if hint is int:
        return int(text)
    return float(text) if text else None
