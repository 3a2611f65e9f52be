"""CF-DAPO's one change to the trainer: advantages of shape (B, T), weighted by token."""

import json
import math

import pytest
import torch
from trl import GRPOTrainer

from cfdapo.credit.assigner import Credit, CreditAssigner
from cfdapo.files import write_jsonl
from cfdapo.policy.rollouts import step_generator
from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.problems.programs import make_problems


def rollout(trainer: CFDAPOTrainer) -> dict:
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # set by train() itself
    return trainer._generate_and_score_completions(batch)


def test_only_the_scoring_method_is_overridden():
    """And the rewards' is listened to: the library's log merges functions of one name."""
    changed = {
        name
        for name in vars(CFDAPOTrainer)
        if name in vars(GRPOTrainer) and not name.startswith("__")
    }
    assert changed == {"_generate_and_score_completions", "_calculate_rewards"}


def test_random_weights_multiply_the_advantages_of_each_token(build, assignments):
    trainer = build("random")
    assigned = assignments(trainer)
    output = rollout(trainer)
    weights = [credit.weights for credit in assigned[0].credits]
    assert sum(own.unique().numel() > 2 for own in weights) >= 2
    mask = output["completion_mask"].bool()
    assert output["advantages"].shape == mask.shape
    signs = torch.tensor([-1.0, 1.0] * 4)
    for row, kept, own, sign in zip(output["advantages"], mask, weights, signs, strict=True):
        # Two of four rewarded: sample standard deviation sqrt(1/3), TRL's epsilon 1e-4.
        expected = sign * 0.5 / (math.sqrt(1 / 3) + 1e-4) * own
        torch.testing.assert_close(row[kept], expected)


def test_vanilla_loss_is_the_librarys_own(build):
    trainer = build("vanilla")
    output = rollout(trainer)
    ours = trainer._compute_loss(trainer.model, output)
    scalar = output | {"advantages": output["advantages"][:, 0]}
    torch.testing.assert_close(ours, GRPOTrainer._compute_loss(trainer, trainer.model, scalar))


def test_loss_is_equation_8(build):
    """On policy the ratio is 1, so the loss is the token sum of -w A over all tokens."""
    trainer = build("random")
    output = rollout(trainer)
    loss = trainer._compute_loss(trainer.model, output)
    mask = output["completion_mask"]
    expected = -(output["advantages"] * mask).sum() / mask.sum()
    torch.testing.assert_close(loss.detach(), expected)


def test_weights_leave_the_kl_term_alone(build):
    trainer = build("random", kl_coefficient=0.5)
    output = rollout(trainer)
    # A reference that disagrees, and no advantage: what is left of the loss is KL only.
    output["ref_per_token_logps"] = output["ref_per_token_logps"] - 1.0
    silent = output | {"advantages": torch.zeros_like(output["advantages"])}
    uniform = output | {"advantages": torch.zeros(len(output["advantages"]))}
    kl = trainer._compute_loss(trainer.model, silent)
    assert kl > 0
    torch.testing.assert_close(kl, trainer._compute_loss(trainer.model, uniform))


@pytest.mark.parametrize(("shift", "bound"), [(0.6, 1.28), (-0.6, 0.8)])
def test_clip_higher_is_on(build, shift, bound):
    """A ratio beyond 1 + 0.28 (or below 1 - 0.2 where A < 0) is cut, so no gradient flows."""
    trainer = build("vanilla")
    output = rollout(trainer)
    mask = output["completion_mask"]
    logps, _, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model,
        torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1),
        torch.cat([output["prompt_mask"], mask], dim=1),
        mask.shape[1],
    )
    sign = math.copysign(1.0, shift)
    moved = output | {
        "old_per_token_logps": logps.detach() - shift,
        "advantages": torch.full(mask.shape, sign),
    }
    loss = trainer._compute_loss(trainer.model, moved)
    torch.testing.assert_close(loss.detach(), torch.tensor(-sign * bound))
    loss.backward()
    gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    assert gradients and all(g.abs().max() == 0 for g in gradients)


def test_random_weights_follow_run_seed_and_step(build):
    trainer = build("random")
    first = torch.rand(4, generator=step_generator(trainer))
    assert torch.equal(first, torch.rand(4, generator=step_generator(trainer)))
    trainer.state.global_step = 1
    assert not torch.equal(first, torch.rand(4, generator=step_generator(trainer)))


def test_reward_is_the_graders_verdict(build):
    trainer = build("vanilla", graded=True)
    (reward,) = trainer.reward_funcs
    completions = [[{"role": "assistant", "content": text}] for text in ("#### 7", "#### 8", "")]
    assert reward(completions=completions, answer=["7"] * 3) == [1.0, 0.0, 0.0]
    assert json.dumps(trainer.args.epsilon_high) == "0.28"


def test_credit_for_code_is_told_the_function_that_is_graded(build, tmp_path, monkeypatch):
    write_jsonl(tmp_path / "programs.jsonl", make_problems("train", 8, seed=1))
    credit = {"spans": "code", "answer": "returns"}
    trainer = build("counterfactual", credit, problems=str(tmp_path / "programs"), task="programs")
    told = []
    assigner = trainer.rule.assigner
    monkeypatch.setattr(assigner, "locate", lambda *given: told.append(given[-1]) or REST)
    rollout(trainer)
    assert told == ["f"] * 8


REST = Credit(torch.ones(1)), None


@pytest.mark.parametrize("varied", [(), (0,), (1,), (0, 1)], ids=str)
def test_groups_of_equal_rewards_are_skipped_by_group_before_any_pass(build, varied):
    """AlignTune skips by micro-batch: one group with an advantage pays for all."""
    trainer = build("counterfactual", {"method": "serial"}, batch_size=16, group_size=8)

    def reward(completions, **_):
        return [float(i % 2) if i // 8 in varied else 1.0 for i in range(len(completions))]

    trainer.reward_funcs = [reward]
    passes, costs, weights = [], [], []
    assign = trainer.rule.assigner.assign
    alone = CreditAssigner(trainer.processing_class, trainer.credit)

    def counted(model, prompts, completions, *others):
        hook = model.register_forward_hook(lambda *_: passes.append(1))
        assignment = assign(model, prompts, completions, *others)
        hook.remove()
        assert assignment.passes == len(passes)
        for group in (slice(8), slice(8, 16)):
            costs.append(alone.assign(model, prompts[group], completions[group]).passes)
            weights.append(torch.cat([credit.weights for credit in assignment.credits[group]]))
        return assignment

    trainer.rule.assigner.assign = counted
    advantages = rollout(trainer)["advantages"]
    assert min(costs) > 0
    assert len(passes) == sum(costs[group] for group in varied)
    for group in (0, 1):
        assert advantages[8 * group : 8 * group + 8].any() == (group in varied)
        assert weights[group].ne(1).any() == (group in varied)
