"""A cache with room: what transformers' own would hold, without copying it for every token."""

import pytest
import torch
from transformers import AutoConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from cfdapo.policy.roomy_cache import ROOM, RoomyLayer, roomy_cache

ROWS, HEADS, SIZE = 3, 2, 4


def tokens(count, seed, rows=ROWS):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, HEADS, count, SIZE, generator=draw) for _ in "kv"]


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: None,
        lambda layer: layer.batch_select_indices(torch.tensor([2, 0, 1])),
        lambda layer: layer.reorder_cache(torch.tensor([1, 1, 0])),
        lambda layer: layer.crop(-3),
        lambda layer: layer.reset(),
    ],
    ids=["nothing", "rows", "order", "cut", "anew"],
)
def test_a_layer_holds_what_transformers_layer_holds(change):
    ours, theirs = RoomyLayer(), DynamicLayer()
    # A prompt, tokens past the room behind it, a change, and tokens of the same room again.
    for number, count in enumerate([5, *[1] * (ROOM + 2), 0, *[1] * 3]):
        for layer in (ours, theirs):
            if count:
                found = layer.update(*tokens(count, number))
                assert found[0] is layer.keys and found[1] is layer.values
            else:
                change(layer)
        assert ours.get_seq_length() == theirs.get_seq_length()
        if theirs.get_seq_length():
            assert torch.equal(ours.keys, theirs.keys)
            assert torch.equal(ours.values, theirs.values)


def test_fewer_rows_go_on_as_they_were():
    ours, theirs = RoomyLayer(), DynamicLayer()
    for layer in (ours, theirs):
        layer.update(*tokens(5, 0))
        layer.batch_select_indices(torch.tensor([2]))
        layer.update(*tokens(1, 1, rows=1))
    assert torch.equal(ours.keys, theirs.keys) and ours.keys.shape == (1, HEADS, 6, SIZE)


def test_nothing_is_copied_while_there_is_room():
    layer = RoomyLayer()
    layer.update(*tokens(5, 0))
    places = set()
    for number in range(ROOM):
        layer.update(*tokens(1, number))
        places.add((layer.keys.data_ptr(), layer.values.data_ptr()))
    assert len(places) == 1
    layer.update(*tokens(1, 0))
    assert (layer.keys.data_ptr(), layer.values.data_ptr()) not in places


def test_layers_of_a_window_stay_as_they_are():
    config = AutoConfig.for_model("gemma3_text", num_hidden_layers=6)
    kinds = {type(layer) for layer in roomy_cache(config).layers}
    assert kinds == {RoomyLayer, DynamicSlidingWindowLayer}
