"""One forward pass over many sequences with common beginnings: no token twice, no padding.

Sequences that begin alike form a tree of segments. All segments of a pass lie end to end in a
single row, so that everything but attention sees no padding; an attention function of our own,
registered with transformers, lets every token see its segment's ancestors and nothing else. What
else a layer hides (a sliding window, a chunk) it says by the mask function that the model hands to
transformers, which is asked here by positions. A model that wants more of its attention than is
known here is refused (`Inexact`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.masking_utils import causal_mask_function

_NAME = "cfdapo_packed"
# A block of similar segments may pad its attention to this multiple of what is needed, plus a
# constant worth one more call of the attention kernel.
_PADDING = 1.25
_CALL = 20_000
# Keys are copied a layer at a time for every segment of a block; more than this starts a new one.
_BLOCK_KEYS = 65_536
# Capped scores of at most this many numbers (256 MiB in float32) are held at once.
_SCORES = 2**26
# What attention may be handed beside queries, keys, values and mask without attending otherwise:
# windows are in the mask, and the others are about training, kernels or what is returned.
_IGNORED = {
    "cache_position",
    "cu_seq_lens_k",
    "cu_seq_lens_q",
    "dropout",
    "is_causal",
    "logits_to_keep",
    "max_length_k",
    "max_length_q",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "position_embeddings",
    "position_ids",
    "return_dict",
    "sliding_window",
    "use_cache",
}

# transformers' "may this query see that key?", of batch, head, query and key index.
MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Inexact(ValueError):
    """The model wants something that packed passes do not do; the message says what."""


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

    `queries` (R, Q) and `keys` (R, K) are indices, `query_positions` and `key_positions` the
    positions of these in their sequences; `real` (R, Q) marks queries that are no padding, or is
    None where all are real; `sees` (R, Q, K) is true where a query sees a key, as far as the tree
    of segments goes.
    """

    queries: Tensor
    keys: Tensor
    query_positions: Tensor
    key_positions: Tensor
    real: Tensor | None
    sees: Tensor
    _biases: dict[tuple[MaskFunction, int], Tensor] = field(default_factory=dict)

    def bias(self, allowed: MaskFunction, repeats: int, dtype: torch.dtype) -> Tensor:
        """What is seen as numbers to add to the scores, shape (R, 1, repeats * Q, K).

        Made in the first layer of its kind and used in all: the CPU kernel takes a boolean mask at
        half speed.
        """
        if (allowed, repeats) not in self._biases:
            sees = self._allowed(allowed)
            bias = torch.zeros(sees.shape, dtype=dtype, device=sees.device)
            bias.masked_fill_(~sees, float("-inf"))
            self._biases[allowed, repeats] = bias.repeat(1, repeats, 1)[:, None]
        return self._biases[allowed, repeats]

    def _allowed(self, allowed: MaskFunction) -> Tensor:
        """`sees` without the keys that the layer's own mask hides, shape (R, Q, K)."""
        if allowed is causal_mask_function:
            return self.sees
        zero = self.queries.new_zeros(())
        found = allowed(
            zero, zero, self.query_positions[:, :, None], self.key_positions[:, None, :]
        )
        # A query that is only padding must see something, or its softmax would be nan.
        return self.sees & (found if self.real is None else found | ~self.real[:, :, None])


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
        self.positions_of = {segment: segment.position for segment in self.begin}
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
        positions = torch.tensor([segment.position for segment in rows])
        real = steps < sizes[:, None]
        queries = starts[:, None] + torch.where(real, steps, 0)
        # Keys stand in the order of the sequence, hence "sees" is one comparison.
        sees = columns <= seen[:, None, None] + steps[:, None]
        return Block(
            queries.to(self.device),
            _keys(rows, key_width, self.begin).to(self.device),
            (positions[:, None] + steps).to(self.device),
            _keys(rows, key_width, self.positions_of).to(self.device),
            None if bool(real.all()) else real.to(self.device),
            sees.to(self.device),
        )

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, allowed: MaskFunction, how: "Scores"
    ) -> Tensor:
        """Attention of the next layer: (1, heads, N, size) to (1, N, heads, size)."""
        # Layers are told apart by their turn: not every one knows its number.
        layer, self.calls = self.calls, self.calls + 1
        query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
        if self.kept.length:
            old_key, old_value = self.kept.layers[layer]
            key, value = torch.cat([old_key, key]), torch.cat([old_value, value])
        if self.keep:
            self._new_layers[layer] = (
                key[self.keep_index].detach(),
                value[self.keep_index].detach(),
            )
        outputs = [_attend(block, query, key, value, allowed, how) for block in self.blocks]
        return torch.cat(outputs)[None]

    def finish(self) -> None:
        """Put what is to be kept in the place of what was."""
        self.kept.segments = self.keep
        self.kept.length = len(self.keep_index)
        self.kept.layers = self._new_layers


def _keys(rows: Sequence[Segment], width: int, first: dict[Segment, int]) -> Tensor:
    """A number for each of every row's keys, counted from its segment's in `first`, (R, K).

    Keys are the ancestors' in order, then the row's own; padding has 0.
    """
    parts = [[*segment.context, (segment, len(segment.tokens))] for segment in rows]
    depth = max(map(len, parts))
    begins = torch.tensor([[first[s] for s, _ in row] + [0] * (depth - len(row)) for row in parts])
    counts = torch.tensor([[n for _, n in row] + [0] * (depth - len(row)) for row in parts])
    ends = counts.cumsum(1)
    columns = torch.arange(width)
    part = (columns[None, :, None] >= ends[:, None, :]).sum(2)
    padding = part == depth
    shift = (begins - ends + counts).gather(1, part.clamp(max=depth - 1))
    return torch.where(padding, 0, columns + shift)


@dataclass(frozen=True)
class Scores:
    """How a layer makes its attention's weights out of queries and keys.

    `scaling` multiplies the scores (None: 1 / sqrt(size)); `sinks`, shape (heads,), are scores of
    one more key a head that every query sees and whose value is zero; `cap` bounds scores to
    cap * tanh(score / cap) before anything is hidden.
    """

    scaling: float | None = None
    sinks: Tensor | None = None
    cap: float | None = None


def _attend(
    block: Block,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: MaskFunction,
    how: Scores,
) -> Tensor:
    rows, width = block.queries.shape
    heads, size = query.shape[1:]
    groups = key.shape[1]
    # Query heads that share a key head become further queries, so that keys are not repeated.
    q = query[block.queries].view(rows, width, groups, heads // groups, size)
    q = q.permute(0, 2, 3, 1, 4).reshape(rows, groups, -1, size)
    k = key[block.keys].transpose(1, 2)
    v = value[block.keys].transpose(1, 2)
    bias = block.bias(allowed, heads // groups, q.dtype)
    scaling = how.scaling
    if how.sinks is not None:
        scaling = size**-0.5 if scaling is None else scaling
        q, k, v, bias = _with_sinks(q, k, v, bias, how.sinks / scaling)
    if how.cap is not None:
        out = _capped_attention(q, k, v, bias, scaling, how.cap)
    else:
        out = scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scaling)
    out = out.view(rows, heads, width, -1).transpose(1, 2)
    return out.flatten(0, 1) if block.real is None else out[block.real]


def _with_sinks(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, sinks: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same attention with one key more, whose product with a head's queries is its sink.

    That number is the queries' in a dimension of its own, in which every real key is 0. A bias by
    head would do as well, and be as many times larger as there are heads.
    """
    rows, groups, queries, _ = q.shape
    sinks = sinks.to(q.dtype).view(groups, -1, 1)
    column = sinks.expand(-1, -1, queries // sinks.shape[1]).reshape(1, groups, queries, 1)
    q = torch.cat([q, column.expand(rows, -1, -1, -1)], dim=-1)
    sink = torch.zeros_like(k[:, :, :1])
    k = torch.cat([pad(k, (0, 1)), pad(sink, (0, 1), value=1.0)], dim=2)
    return q, k, pad(v, (0, 0, 0, 1)), pad(bias, (0, 1))


def _capped_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scaling: float | None, cap: float
) -> Tensor:
    """Attention whose scores are cap * tanh(score / cap), softmax in float32 (Gemma 2's)."""
    scaling = q.shape[-1] ** -0.5 if scaling is None else scaling
    outputs = []
    for rows in torch.arange(len(q)).split(max(1, _SCORES // (q[0, ..., 0].numel() * k.shape[2]))):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        scores = torch.matmul(q[part], k[part].transpose(2, 3)) * scaling
        scores = torch.tanh(scores / cap) * cap + bias[part]
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
        outputs.append(torch.matmul(weights, v[part]))
    return torch.cat(outputs)


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


@dataclass(frozen=True)
class PackedMask:
    """What a layer gets in a mask's place: the pass, and what else the layer hides, by positions.

    It is no tensor, so that a model that would change its mask cannot do so unnoticed.
    """

    packed: PackedPass
    allowed: MaskFunction


# The pass that is running.
_PASS: ContextVar[PackedPass] = ContextVar("packed pass")


def _packed_mask(
    *,
    q_length: int,
    kv_length: int,
    mask_function: MaskFunction,
    use_vmap: bool = False,
    **_: Any,
) -> PackedMask:
    if kv_length != q_length:
        raise Inexact("has keys of no token of the sequence, such as a learned prefix")
    if use_vmap:
        raise Inexact("hides keys by something else than their positions")
    return PackedMask(_PASS.get(), mask_function)


def _packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: PackedMask | None,
    scaling: float | None = None,
    s_aux: Tensor | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    if not isinstance(attention_mask, PackedMask):
        raise Inexact("makes attention masks of its own")
    if key.shape[2] != query.shape[2]:
        raise Inexact("has keys of no token of the sequence, such as a learned prefix")
    if s_aux is not None and s_aux.numel() != query.shape[1]:
        raise Inexact("has attention sinks that are not one number a head")
    unknown = sorted(
        name for name, given in others.items() if given is not None and name not in _IGNORED
    )
    if unknown:
        raise Inexact(f"attends by {', '.join(unknown)}, which packed passes do not know")
    how = Scores(scaling, s_aux, softcap)
    packed = attention_mask.packed
    return packed.attend(query, key, value, attention_mask.allowed, how), None


AttentionInterface.register(_NAME, _packed_attention)
AttentionMaskInterface.register(_NAME, _packed_mask)


@contextmanager
def packed_attention(model: nn.Module) -> Iterator[None]:
    """Let `model` attend by the pass that is `running`; afterwards it attends as before."""
    # A part of the model may have a configuration of its own. Those of wholes come before those of
    # their parts, and setting one sets its parts' too.
    configs = {id(c): c for c in _configs(model)}.values()
    before = [(config, config._attn_implementation) for config in configs]
    try:
        for config in configs:
            config._attn_implementation = _NAME
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name


def _configs(model: nn.Module) -> Iterator[PreTrainedConfig]:
    for module in model.modules():
        if isinstance(config := getattr(module, "config", None), PreTrainedConfig):
            yield config


@contextmanager
def running(packed: PackedPass) -> Iterator[None]:
    """Hand `packed` to the attention layers of a model's forward pass."""
    token = _PASS.set(packed)
    try:
        yield
    finally:
        _PASS.reset(token)
