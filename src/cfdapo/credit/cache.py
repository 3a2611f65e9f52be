"""Drops that were measured before, by prompt and completion (Appendix A)."""

from collections import OrderedDict
from collections.abc import Sequence

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


def _pair(prompt: Sequence[int], completion: Sequence[int]) -> _Pair:
    return tuple(map(int, prompt)), tuple(map(int, completion))
