"""Sampling repeats itself by its seed; advantages are the trainer's; entropies by hand."""

import math

import pytest
import torch

from cfdapo.credit.entropy import token_entropies
from cfdapo.policy.models import load_base
from cfdapo.policy.sampling import group_advantages, sample


@pytest.fixture(scope="module")
def loaded(prepared):
    return load_base(prepared / "model")


def test_the_seed_decides(loaded):
    prompts = [[5, 6, 7]] * 4

    def draw(seed):
        return sample(*loaded, prompts, 8, temperature=1.0, top_p=1.0, seed=seed)

    first = draw(1)
    assert first == draw(1) != draw(2)
    assert len({tuple(ids) for ids in first}) > 1
    assert all(0 < len(ids) <= 8 for ids in first)


def test_advantages_have_the_unbiased_deviation():
    # Rewards 1, 0, 0, 0: mean 1/4; variance (9/16 + 3/16) / 3 = 1/4, so the deviation is 1/2.
    found = group_advantages([1.0, 0.0, 0.0, 0.0])
    assert found == pytest.approx([0.75 / 0.5001] + [-0.25 / 0.5001] * 3)


@pytest.mark.parametrize("rewards", [[1.0] * 4, [0.0] * 4, [1.0], []])
def test_equal_rewards_have_no_advantage(rewards):
    assert group_advantages(rewards) == [0.0] * len(rewards)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_entropies_are_those_of_the_predicting_positions(loaded, temperature):
    model, _ = loaded
    prompt, completion = [5, 6, 7], [8, 9]
    found = token_entropies(model, prompt, completion, temperature)
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0] / temperature
    for index in range(2):
        # The token at position 3 + index is predicted at the position before it.
        p = torch.softmax(logits[2 + index], -1).tolist()
        assert float(found[index]) == pytest.approx(-sum(x * math.log(x) for x in p), rel=1e-4)


def test_advantages_equal_the_trainer_s():
    from trl.trainer.utils import nanstd

    rewards = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])
    expected = (rewards - rewards.mean()) / (nanstd(rewards) + 1e-4)
    assert group_advantages(rewards.tolist()) == pytest.approx(expected.tolist(), abs=1e-5)
