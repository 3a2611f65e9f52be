"""One forward pass over many sequences with common beginnings: no token twice, no padding.

Sequences that begin alike form a tree of segments. All segments of a pass lie end to end in a
single row, so that everything but attention sees no padding; an attention function of our own,
registered with transformers, lets every token see its segment's ancestors and nothing else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

_NAME = "cfdapo_packed"
# A block of similar segments may pad its attention to this multiple of what is needed, plus a
# constant worth one more call of the attention kernel.
_PADDING = 1.25
_CALL = 20_000
# Keys are copied a layer at a time for every segment of a block; more than this starts a new one.
_BLOCK_KEYS = 65_536


@dataclass(eq=False)
class Segment:
    """Consecutive tokens after `context`: ancestors and how many of their tokens are seen.

    `position` is the first token's position in its sequence. `wants` are log-probabilities to
    compute: (index of the predicting token, target token, number of the score to add it to).
    """

    tokens: Sequence[int]
    position: int
    context: tuple[tuple["Segment", int], ...] = ()
    wants: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """How many tokens of its ancestors the segment sees."""
        return sum(count for _, count in self.context)


@dataclass(eq=False)
class Block:
    """Segments whose attention is computed together; R rows, Q queries and K keys after padding.

    `queries` (R, Q) and `keys` (R, K) are indices; `real` (R, Q) marks queries that are no
    padding, or is None where all are real; `sees` (R, Q, K) is true where a query sees a key.
    """

    queries: Tensor
    keys: Tensor
    real: Tensor | None
    sees: Tensor
    _bias: Tensor | None = None

    def bias(self, repeats: int, dtype: torch.dtype) -> Tensor:
        """`sees` as numbers to add to the scores, shape (R, 1, repeats * Q, K).

        Made in the first layer and used in all: the CPU kernel takes a boolean mask at half speed.
        """
        if self._bias is None:
            bias = torch.zeros(self.sees.shape, dtype=dtype, device=self.sees.device)
            bias.masked_fill_(~self.sees, float("-inf"))
            self._bias = bias.repeat(1, repeats, 1)[:, None]
        return self._bias


class KeyValues:
    """Keys and values, by layer, that outlive their pass because later segments see them."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.length = 0
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}


class PackedPass:
    """The layout of one pass: the order of tokens, the blocks, and what to keep for later.

    `kept` holds the keys and values of earlier passes; after the pass it holds those of the
    segments in `keep`, which are all in this pass or were held before.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        kept: KeyValues,
        keep: Sequence[Segment],
        device: torch.device,
    ):
        self.kept = kept
        self.device = device
        self.calls = 0
        self.rows = list(_in_blocks(segments))
        self.segments = [segment for rows in self.rows for segment in rows]
        self.begin: dict[Segment, int] = {}
        offset = 0
        for segment in [*kept.segments, *self.segments]:
            self.begin[segment] = offset
            offset += len(segment.tokens)
        self.blocks = [self._block(rows) for rows in self.rows]
        self.keep = list(keep)
        self.keep_index = self._to_device(
            [i for s in self.keep for i in range(self.begin[s], self.begin[s] + len(s.tokens))]
        )
        self._new_layers: dict[int, tuple[Tensor, Tensor]] = {}

    def _to_device(self, values: list) -> Tensor:
        return torch.tensor(values, dtype=torch.long).to(self.device)

    def offset(self, segment: Segment) -> int:
        """Where a segment of this pass begins in its row."""
        return self.begin[segment] - self.kept.length

    def ids(self) -> Tensor:
        """Token ids, shape (1, N)."""
        return self._to_device([[t for s in self.segments for t in s.tokens]])

    def positions(self) -> Tensor:
        """Position ids, shape (1, N)."""
        return self._to_device(
            [[p for s in self.segments for p in range(s.position, s.position + len(s.tokens))]]
        )

    def wants(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions to keep logits at; then, for every want, its row there, target and score."""
        triples = [
            (self.offset(s) + index, target, score)
            for s in self.segments
            for index, target, score in s.wants
        ]
        keep = sorted({position for position, _, _ in triples})
        row = {position: i for i, position in enumerate(keep)}
        return (
            self._to_device(keep),
            self._to_device([row[position] for position, _, _ in triples]),
            self._to_device([target for _, target, _ in triples]),
            torch.tensor([score for _, _, score in triples], dtype=torch.long),
        )

    def _block(self, rows: Sequence[Segment]) -> Block:
        sizes = torch.tensor([len(segment.tokens) for segment in rows])
        seen = torch.tensor([segment.seen for segment in rows])
        width, key_width = int(sizes.max()), int((seen + sizes).max())
        steps, columns = torch.arange(width), torch.arange(key_width)
        starts = torch.tensor([self.offset(s) for s in rows])
        real = steps < sizes[:, None]
        queries = starts[:, None] + torch.where(real, steps, 0)
        # Keys stand in the order of the sequence, hence "sees" is one comparison.
        sees = columns <= seen[:, None, None] + steps[:, None]
        return Block(
            queries.to(self.device),
            self._keys(rows, key_width).to(self.device),
            None if bool(real.all()) else real.to(self.device),
            sees.to(self.device),
        )

    def _keys(self, rows: Sequence[Segment], width: int) -> Tensor:
        """Indices of every row's keys: its ancestors' in order, then its own; padded, (R, K)."""
        parts = [[*segment.context, (segment, len(segment.tokens))] for segment in rows]
        depth = max(map(len, parts))
        begins = torch.tensor(
            [[self.begin[s] for s, _ in row] + [0] * (depth - len(row)) for row in parts]
        )
        counts = torch.tensor([[n for _, n in row] + [0] * (depth - len(row)) for row in parts])
        ends = counts.cumsum(1)
        columns = torch.arange(width)
        part = (columns[None, :, None] >= ends[:, None, :]).sum(2)
        padding = part == depth
        shift = (begins - ends + counts).gather(1, part.clamp(max=depth - 1))
        return torch.where(padding, 0, columns + shift)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
    ) -> Tensor:
        """Attention of one layer: (1, heads, N, size) to (1, N, heads, size)."""
        self.calls += 1
        query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
        if self.kept.length:
            old_key, old_value = self.kept.layers[layer]
            key, value = torch.cat([old_key, key]), torch.cat([old_value, value])
        if self.keep:
            self._new_layers[layer] = (
                key[self.keep_index].detach(),
                value[self.keep_index].detach(),
            )
        outputs = [_attend(block, query, key, value, scaling) for block in self.blocks]
        return torch.cat(outputs)[None]

    def finish(self) -> None:
        """Put what is to be kept in the place of what was."""
        self.kept.segments = self.keep
        self.kept.length = len(self.keep_index)
        self.kept.layers = self._new_layers


def _attend(
    block: Block, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
) -> Tensor:
    rows, width = block.queries.shape
    heads, size = query.shape[1:]
    groups = key.shape[1]
    # Query heads that share a key head become further queries, so that keys are not repeated.
    q = query[block.queries].view(rows, width, groups, heads // groups, size)
    q = q.permute(0, 2, 3, 1, 4).reshape(rows, groups, -1, size)
    k = key[block.keys].transpose(1, 2)
    v = value[block.keys].transpose(1, 2)
    bias = block.bias(heads // groups, q.dtype)
    out = scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scaling)
    out = out.view(rows, heads, width, -1).transpose(1, 2)
    return out.flatten(0, 1) if block.real is None else out[block.real]


def _in_blocks(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Cut segments, longest first, where padding them alike would cost more than a call."""
    rows: list[Segment] = []
    needed = keys = 0
    for segment in sorted(segments, key=lambda s: (-len(s.tokens), -s.seen)):
        size = len(segment.tokens)
        wide = max(keys, segment.seen + size)
        more = needed + size * (segment.seen + size)
        if rows:
            padded = (len(rows) + 1) * len(rows[0].tokens) * wide
            if padded > _PADDING * more + _CALL or (len(rows) + 1) * wide > _BLOCK_KEYS:
                yield rows
                rows, more, wide = [], size * (segment.seen + size), segment.seen + size
        rows.append(segment)
        needed, keys = more, wide
    if rows:
        yield rows


def _packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: PackedPass,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    return packed.attend(module.layer_idx, query, key, value, scaling), None


AttentionInterface.register(_NAME, _packed_attention)


@contextmanager
def packed_attention(model: nn.Module) -> Iterator[None]:
    """Let `model` attend by `PackedPass`; afterwards it attends as before."""
    before = model.config._attn_implementation
    model.config._attn_implementation = _NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before
