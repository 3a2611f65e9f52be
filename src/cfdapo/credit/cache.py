"""Drops that were measured before, by prompt and completion (Appendix A)."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

# A prompt's and a completion's token ids.
_Pair = tuple[tuple[int, ...], tuple[int, ...]]


class DropCache:
    """The drops of the `size` pairs of prompt and completion that were used last.

    What is found is as old as its measurement: drops belong to the policy that they were measured
    with, which has since moved by as many steps. Only those of a model that does not learn, such
    as a proxy, stay exact. With `size` 0 nothing is kept.
    """

    def __init__(self, size: int):
        self.size = size
        self._drops: OrderedDict[_Pair, Tensor] = OrderedDict()

    def get(self, prompt: Sequence[int], completion: Sequence[int]) -> Tensor | None:
        """Drops of exactly these token ids, shape (K,), or None."""
        if not self.size or (pair := _pair(prompt, completion)) not in self._drops:
            return None
        self._drops.move_to_end(pair)
        # A copy, as the caller may change what it gets.
        return self._drops[pair].clone()

    def put(self, prompt: Sequence[int], completion: Sequence[int], drops: Tensor) -> None:
        """Keep `drops`, and forget those that went unused the longest."""
        if not self.size:
            return
        pair = _pair(prompt, completion)
        self._drops[pair] = drops.clone()
        self._drops.move_to_end(pair)
        if len(self._drops) > self.size:
            self._drops.popitem(last=False)

    def state(self) -> dict[str, Tensor]:
        """All that is kept, those that went unused the longest first; empty if nothing is.

        `prompts`, `completions` and `drops` of all pairs in a row, shape (sum of lengths,), each
        with its lengths in `{name}.lengths`, shape (pairs,).
        """
        if not self._drops:
            return {}
        prompts, completions = zip(*self._drops, strict=True)
        columns = {
            "prompts": [torch.tensor(ids, dtype=torch.int64) for ids in prompts],
            "completions": [torch.tensor(ids, dtype=torch.int64) for ids in completions],
            "drops": list(self._drops.values()),
        }
        state = {name: torch.cat(column) for name, column in columns.items()}
        lengths = {
            f"{name}.lengths": torch.tensor([len(one) for one in column])
            for name, column in columns.items()
        }
        return state | lengths

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Keep what `state` of another cache gave, and nothing else."""
        self._drops.clear()
        if not state:
            return
        prompts, completions, drops = (
            state[name].split(state[f"{name}.lengths"].tolist())
            for name in ("prompts", "completions", "drops")
        )
        for prompt, completion, measured in zip(prompts, completions, drops, strict=True):
            self.put(prompt.tolist(), completion.tolist(), measured)


def _pair(prompt: Sequence[int], completion: Sequence[int]) -> _Pair:
    return tuple(map(int, prompt)), tuple(map(int, completion))
