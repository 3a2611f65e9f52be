"""Where two sequences of tokens differ, by an alignment of the fewest edits."""

from collections.abc import Sequence

import numpy as np


def edit_table(one: Sequence[int], other: Sequence[int]) -> np.ndarray:
    """Levenshtein distances of all their beginnings, shape (len(one) + 1, len(other) + 1)."""
    rows, columns = len(one), len(other)
    table = np.zeros((rows + 1, columns + 1), dtype=np.int32)
    table[0] = steps = np.arange(columns + 1)
    ahead = np.asarray(other)
    for row in range(1, rows + 1):
        table[row, 0] = row
        if columns:
            replaced = table[row - 1, :-1] + (ahead != one[row - 1])
            table[row, 1:] = np.minimum(table[row - 1, 1:] + 1, replaced)
        # Insertions: the least of what stands to the left plus the way from there.
        table[row] = np.minimum.accumulate(table[row] - steps) + steps
    return table


def distance(one: Sequence[int], other: Sequence[int]) -> int:
    """The Levenshtein distance: insertions, deletions and replacements."""
    return int(edit_table(one, other)[-1, -1])


def unchanged(one: Sequence[int], other: Sequence[int]) -> list[bool]:
    """Which tokens of `one` an alignment of the fewest edits leaves as they are, (len(one),).

    Of several such alignments, the one that keeps what stands last.
    """
    table = edit_table(one, other)
    kept = [False] * len(one)
    row, column = len(one), len(other)
    while row and column:
        same = one[row - 1] == other[column - 1]
        if table[row, column] == table[row - 1, column - 1] + (not same):
            row, column = row - 1, column - 1
            kept[row] = same
        elif table[row, column] == table[row - 1, column] + 1:
            row -= 1
        else:
            column -= 1
    return kept
