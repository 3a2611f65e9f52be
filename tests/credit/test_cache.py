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
