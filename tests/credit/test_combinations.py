"""All interventions and sinks from one reading: the drops of one by one, each trunk read once."""

import pytest
import torch

from cfdapo.credit.combinations import measure_combinations
from cfdapo.credit.importance import measure_drops_batch
from cfdapo.credit.interventions import DropRequest
from cfdapo.credit.padding import padded_drops
from cfdapo.policy.models import load_base
from cfdapo.vocabulary import COMBINATIONS

PAIRS = [tuple(name.split("/")) for name in COMBINATIONS]
REQUESTS = [
    DropRequest(
        [5, 6, 7], [11, 12, 13, 14, 15, 16, 17, 18], [slice(1, 3), slice(4, 5)], slice(6, 8)
    ),
    DropRequest([5, 6, 7], [21, 22, 23, 24], [slice(0, 2)], slice(3, 4)),
    DropRequest([8], [21, 22], [], slice(1, 2)),
]
PAD = 2


@pytest.fixture(scope="module")
def model(prepared):
    return load_base(prepared / "model")[0].eval()


@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
def test_equal_to_measuring_one_alone(model, pair):
    together = measure_combinations(model, REQUESTS, PAD, PAIRS)
    alone = measure_drops_batch(
        model, REQUESTS, PAD, method="serial", intervention=pair[0], sink=pair[1]
    )
    for both, one in zip(together, alone.drops, strict=True):
        torch.testing.assert_close(both[pair], one, atol=1e-4, rtol=1e-4)


def test_nothing_asked_nothing_measured(model):
    assert measure_combinations(model, REQUESTS, PAD, []) == [{}, {}, {}]
    assert measure_combinations(model, [], PAD, PAIRS) == []


def log_probability(model, row: list[int], first: int) -> float:
    """Of row[first:], by the plain sum over a full pass."""
    with torch.no_grad():
        logs = torch.log_softmax(model(torch.tensor([row])).logits[0].double(), -1)
    return sum(float(logs[i - 1, row[i]]) for i in range(first, len(row)))


@pytest.mark.parametrize("count", [0, 1, 7])
def test_padding_is_scored_with_the_answer(model, count):
    request = REQUESTS[0]
    found = padded_drops(model, request, PAD, [7, 0, 1])[count]
    whole = [5, 6, 7, 11, 12, 13, 14, 15, 16, 17, 18] + [PAD] * count
    # Three of the prompt, then the span's own places; the answer begins at 3 + 6.
    masked = [
        [5, 6, 7, 11, PAD, PAD, 14, 15, 16, 17, 18] + [PAD] * count,
        [5, 6, 7, 11, 12, 13, 14, PAD, 16, 17, 18] + [PAD] * count,
    ]
    expected = [log_probability(model, row, 9) - log_probability(model, whole, 9) for row in masked]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_without_pads_and_with_the_answer_last_it_is_equation_3(model):
    padded = padded_drops(model, REQUESTS[0], PAD, [0])[0]
    drops = measure_drops_batch(model, REQUESTS[:1], PAD).drops[0]
    torch.testing.assert_close(padded, drops, atol=1e-4, rtol=1e-4)
