"""The cache of drops: exact keys, the least recently used goes first."""

import torch

from cfdapo.credit.cache import DropCache

DROPS = torch.tensor([-1.0, 0.5])


def test_finds_exactly_the_same_ids_and_nothing_else():
    cache = DropCache(4)
    cache.put([1, 2], torch.tensor([3, 4]), DROPS)
    assert torch.equal(cache.get((1, 2), [3, 4]), DROPS)
    # The same tokens, cut elsewhere.
    assert cache.get([1], [2, 3, 4]) is None and cache.get([1, 2, 3], [4]) is None


def test_forgets_what_went_unused_the_longest():
    cache = DropCache(2)
    for token in (1, 2):
        cache.put([token], [9], DROPS * token)
    assert cache.get([1], [9]) is not None
    cache.put([3], [9], DROPS * 3)
    assert cache.get([2], [9]) is None
    assert torch.equal(cache.get([1], [9]), DROPS) and torch.equal(cache.get([3], [9]), DROPS * 3)


def test_renews_what_is_measured_again():
    cache = DropCache(2)
    for drops in (DROPS, -DROPS):
        cache.put([1], [9], drops)
    assert torch.equal(cache.get([1], [9]), -DROPS)


def test_changing_what_went_in_or_came_out_changes_nothing_inside():
    cache, drops = DropCache(1), DROPS.clone()
    cache.put([1], [9], drops)
    drops.zero_()
    cache.get([1], [9]).zero_()
    assert torch.equal(cache.get([1], [9]), DROPS)


def test_size_zero_keeps_nothing():
    cache = DropCache(0)
    cache.put([1], [9], DROPS)
    assert cache.get([1], [9]) is None


def test_another_cache_goes_on_from_a_saved_state():
    """The same drops, and the same order in which pairs are forgotten."""
    cache = DropCache(3)
    for size in (1, 2, 4):
        cache.put([7] * size, list(range(size + 1)), torch.arange(size, dtype=torch.float32))
    cache.put([5], [6], torch.empty(0))  # the pair of size 1 is forgotten
    cache.get([7] * 2, [0, 1, 2])  # now the pair of size 4 went unused the longest
    other = DropCache(3)
    other.put([1], [1], torch.ones(1))
    other.load_state(cache.state())
    assert other.get([1], [1]) is None and other.get([7], [0, 1]) is None
    for one in (cache, other):
        one.put([8], [8], torch.ones(2))
        assert one.get([7] * 4, list(range(5))) is None
        assert one.get([7] * 2, [0, 1, 2]).tolist() == [0, 1]
        assert one.get([5], [6]).tolist() == []
    assert {k: v.tolist() for k, v in other.state().items()} == {
        k: v.tolist() for k, v in cache.state().items()
    }


def test_an_empty_cache_has_no_state():
    cache = DropCache(2)
    assert cache.state() == {}
    cache.load_state({})
    assert cache.state() == {}
