"""What a step says whatever its numbers are: pairs of its words and signs, as a vector.

A decision is seldom one word: that "drops" stands beside "-" is right, that it stands beside "+" is
not. Pairs let a linear model tell these apart. Numbers are left out, as the same decision comes
back with others.
"""

import hashlib
import re
from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

_WORD = re.compile(r"[^\W\d]+|[^\w\s]")


def pair_features(lines: Sequence[str], size: int) -> Tensor:
    """Hashed counts of every line's pairs of different words, and single ones, (lines, size).

    Float32. A pair has a place and a sign by its hash, so that pairs which share a place cancel on
    average (feature hashing, arXiv 0902.2206); nothing has to be known of the words beforehand.
    """
    features = torch.zeros(len(lines), size)
    for row, line in zip(features, lines, strict=True):
        words = sorted(set(_WORD.findall(line.lower())))
        for pair in combinations_with_replacement(words, 2):
            place, sign = hashed(pair, size)
            row[place] += sign
    return features


def hashed(pair: tuple[str, str], size: int) -> tuple[int, int]:
    """The pair's place below `size`, and its sign, 1 or -1; the same on every machine."""
    digest = hashlib.blake2b(" ".join(pair).encode(), digest_size=8).digest()
    code = int.from_bytes(digest, "big")
    return (code >> 1) % size, 1 if code % 2 else -1
