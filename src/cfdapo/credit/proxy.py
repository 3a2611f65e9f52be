"""A second model that measures drops in the policy's place, with a tokenizer of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from cfdapo.credit.alignment import CharacterRange, completion_text, to_tokens


@dataclass(frozen=True)
class Proxy:
    """A loaded causal language model and its tokenizer (Appendix A, second improvement).

    Spans are characters of the completion's text, so they mean the same to every tokenizer.
    """

    model: nn.Module
    tokenizer: Any

    def place(self, text: str, ranges: Sequence[CharacterRange]) -> tuple[list[int], list[slice]]:
        """The proxy's token ids of `text`, and in them the slice of each range of characters.

        `ranges` are sorted and disjoint. All slices are empty where the ids do not decode to
        exactly `text` (a tokenizer that normalises it, or lacks some of its characters): then no
        character can be placed for certain.
        """
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if completion_text(ids, self.tokenizer) != text:
            return ids, [slice(0, 0)] * len(ranges)
        return ids, to_tokens(ranges, ids, self.tokenizer)
