"""A completion's steps, which are its lines, and how an advantage of each becomes one of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfdapo.credit.alignment import token_offsets


@dataclass(frozen=True)
class Step:
    """One line that is not blank: its characters in the text and its tokens, which tile the whole.

    `start` and `end` are the line's own characters. `tokens` also holds the line's end, blank lines
    behind it and, in the last step, what follows the text, such as the end-of-text token.
    """

    start: int
    end: int
    tokens: slice


def find_steps(text: str, completion_ids: Sequence[int], tokenizer: Any) -> list[Step]:
    """The steps of a completion; their token slices follow each other from 0 to its length.

    A token belongs to the line in which its first character stands. A completion without a line
    that holds anything is one step. Raises ValueError as `alignment.token_offsets` does.
    """
    lines = find_lines(text) or [(0, len(text))]
    offsets = token_offsets(completion_ids, tokenizer)
    starts = [0, *(begin for begin, _ in lines[1:])]
    begins = [0]
    for start in starts[1:]:
        begins.append(_first_token(offsets, start, begins[-1]))
    ends = [*begins[1:], len(completion_ids)]
    return [
        Step(start, end, slice(begin, stop))
        for (start, end), begin, stop in zip(lines, begins, ends, strict=True)
    ]


def spread(steps: Sequence[Step], values: Sequence[float], length: int) -> Tensor:
    """Each step's value on all of its tokens, float32, shape (length,)."""
    tokens = torch.zeros(length)
    for step, value in zip(steps, values, strict=True):
        tokens[step.tokens] = value
    return tokens


def find_lines(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of each line that is not blank."""
    found, start = [], 0
    for line in text.split("\n"):
        if line.strip():
            found.append((start, start + len(line)))
        start += len(line) + 1
    return found


def _first_token(offsets: Sequence[tuple[int, int]], start: int, at: int) -> int:
    """The first token, from number `at` on, that begins at or behind the character `start`."""
    for index in range(at, len(offsets)):
        begin, end = offsets[index]
        if begin >= start and end > begin:
            return index
    return len(offsets)
