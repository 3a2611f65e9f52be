"""Endless streams of made problems, in splits that never share a question."""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from cfdapo.files import UserError
from cfdapo.settings import DataSettings

Row = dict[str, Any]


def stream(
    split: str, seed: int, draw: Callable[[random.Random], Row | None]
) -> Iterator[dict[str, Any]]:
    """Different problems of one split (pretrain, train or test), without ids and without end.

    `draw` makes a row with a "question", or None where what it drew is not usable.
    """
    generator = random.Random(f"{seed}-{split}")
    seen: set[str] = set()
    while True:
        row = draw(generator)
        if row is None or row["question"] in seen or split_of(row["question"]) != split:
            continue
        seen.add(row["question"])
        yield row


def split_of(question: str) -> str:
    """The only split a question may belong to: one in ten is for testing, two for training."""
    bucket = random.Random(question).randrange(10)
    return "test" if bucket == 0 else "train" if bucket < 3 else "pretrain"


def numbered(rows: Iterator[Row], count: int, prefix: str) -> list[Row]:
    """The first `count` rows, with the ids {prefix}-0, {prefix}-1, …"""
    return [{"id": f"{prefix}-{n}", **row} for n, row in enumerate(islice(rows, count))]


def loader(
    make: Callable[[str, int, int], list[Row]],
) -> Callable[[str, DataSettings], list[Row]]:
    """`Task.load` of problems that `make` makes from a split, how many, and a seed."""

    def load(split: str, data: DataSettings) -> list[Row]:
        count = data.problems(split)
        if count is None:
            raise UserError(f"data.{split}_problems: made problems never end; say how many to make")
        return make(split, count, data.seed)

    return load
