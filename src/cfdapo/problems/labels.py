"""What an answer owes to the sentences of a solution, where that is known."""

from dataclasses import dataclass
from typing import Literal

Label = Literal["causal", "restatement", "filler", "distractor"]


@dataclass(frozen=True)
class Sentence:
    """One sentence of a solution and what the answer owes to it.

    `start` and `end` are characters of the solution, end exclusive. `result` is the value it
    computes, if any. `dependants` counts the later causal steps that need it; the last has none.
    """

    start: int
    end: int
    label: Label
    result: int | None = None
    dependants: int = 0
