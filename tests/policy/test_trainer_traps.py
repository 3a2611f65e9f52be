"""One test for every known fault of an earlier implementation's trainer, named after it."""

import pytest
import torch
from trl import GRPOTrainer

from cfdapo.policy.trainer import CFDAPOTrainer


def rollout(trainer: CFDAPOTrainer) -> dict:
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # set by train() itself
    return trainer._generate_and_score_completions(batch)


def test_trap_loss_clip_higher_is_on(build):
    trainer = build("counterfactual")
    assert (trainer.epsilon_low, trainer.epsilon_high) == (0.2, 0.28)


def test_trap_loss_is_the_librarys_and_no_copy():
    assert CFDAPOTrainer._compute_loss is GRPOTrainer._compute_loss
    assert CFDAPOTrainer.compute_loss is GRPOTrainer.compute_loss


def test_trap_loss_weights_do_not_multiply_the_kl_term(build):
    """Without an advantage the loss is the KL term alone, and the same in either mode."""
    losses = []
    for mode in ("vanilla", "random"):
        trainer = build(mode, kl_coefficient=0.5)
        output = rollout(trainer)
        output["ref_per_token_logps"] = output["ref_per_token_logps"] - 1.0
        output["advantages"] = 0.0 * output["advantages"]
        losses.append(trainer._compute_loss(trainer.model, output).detach())
    assert losses[0] > 0
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("right", [0.0, 1.0], ids=["all wrong", "all correct"])
def test_trap_skipping_is_by_group_and_not_by_micro_batch(build, assignments, right):
    """Two groups share a micro-batch; the one whose rewards are all equal is skipped."""
    trainer = build("counterfactual", {"method": "serial"})
    trainer.reward_funcs = [
        lambda completions, **_: [right if i < 4 else float(i % 2) for i in range(len(completions))]
    ]
    made = assignments(trainer)
    advantages = rollout(trainer)["advantages"]
    assert trainer.args.per_device_train_batch_size == 8
    assert not advantages[:4].any() and advantages[4:].any()
    (assignment,) = made
    assert all(not credit.text and credit.weights.eq(1).all() for credit in assignment.credits[:4])
    # The other group was looked at whole, the completions of negative advantage too.
    assert all(credit.text for credit in assignment.credits[4:])


def test_trap_skipping_correct_is_the_reward_and_not_a_positive_advantage(build, assignments):
    """A group that is all correct has no positive advantage, and yet its reward is 1."""
    trainer = build("counterfactual")
    trainer.reward_funcs = [lambda completions, **_: [1.0] * len(completions)]
    made = assignments(trainer)
    assert not rollout(trainer)["advantages"].any()
    (assignment,) = made
    assert assignment.passes == 0
    assert trainer._metrics["train"]["reward"] == [1.0]
    assert trainer._metrics["train"]["frac_reward_zero_std"] == [1.0]
