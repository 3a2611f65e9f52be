"""The loss with a divergence of its own: the library's mean, its clipping, and no credit on it."""

import pytest
import torch
from trl import GRPOTrainer

from cfdapo.checksums import finish
from cfdapo.files import UserError, as_jsonl, sha256_of
from cfdapo.integrity import read_history
from cfdapo.policy import penalised
from cfdapo.policy.divergences import kl, over_vocabulary, prob_l2
from cfdapo.policy.penalised import LOSSES, PenalisedTrainer
from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.policy.training import PenalisedStudyTrainer, StudyTrainer, history

SMALL = {"max_completion_tokens": 32}


def chosen(name: str, coefficient: float = 0.5, estimator: str = "sampled") -> dict:
    mirror = {"mirror": {"seed": 42, "scale": 0.01}} if name == "neural_mirror" else {}
    return {"name": name, "coefficient": coefficient, "estimator": estimator} | mirror


def rollout(trainer: CFDAPOTrainer) -> dict:
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # set by train() itself
    return trainer._generate_and_score_completions(batch)


def gradients(trainer, loss: torch.Tensor) -> torch.Tensor:
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, trained, retain_graph=True)
    return torch.cat([one.flatten() for one in found])


def test_only_the_loss_is_overridden_beside_the_scoring():
    """One method more than `CFDAPOTrainer`, which is not touched."""
    changed = {name for name in vars(PenalisedTrainer) if hasattr(CFDAPOTrainer, name)}
    assert {name for name in changed if not name.startswith("__")} == {
        "_generate_and_score_completions",
        "_compute_loss",
    }
    assert CFDAPOTrainer._compute_loss is GRPOTrainer._compute_loss


@pytest.mark.parametrize("divergence", [None, chosen("none", 0.0), chosen("kl")], ids=str)
def test_none_and_kl_are_the_librarys_own(build, divergence):
    trainer = build("vanilla", **({"divergence": divergence} if divergence else {}))
    known = divergence is None or divergence["name"] == "none"
    assert type(trainer) is (StudyTrainer if known else PenalisedStudyTrainer)
    assert trainer.beta == (divergence or {"coefficient": 0.0})["coefficient"]
    assert (trainer.loss_type, trainer.scale_rewards) == ("dapo", "group")
    # Every argument is that of a study that knows kl_coefficient alone.
    before = build("vanilla", kl_coefficient=trainer.beta)
    assert trainer.args.to_dict() == before.args.to_dict()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_over_tokens_is_the_librarys_own(build, loss):
    """With the library's KL as the divergence, loss and gradient are those of its own term.

    But for what the library adds to that gradient: it multiplies its KL by the ratio to the policy
    that sampled, which is 1 and has a gradient.
    """
    own = build("vanilla", loss=loss, kl_coefficient=0.5, **SMALL)
    ours = build("vanilla", loss=loss, divergence=chosen("l2_log"), **SMALL)
    ours.divergence = kl
    assert own.scale_rewards == ours.scale_rewards == ("none" if loss == "dr_grpo" else "group")
    assert own.args.use_bias_correction_kl
    own.args.use_bias_correction_kl = False
    inputs = rollout(own)
    # A reference that disagrees, or the term is 0, and two passes a step.
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(inputs["ref_per_token_logps"].shape, generator=generator)
    inputs["ref_per_token_logps"] = inputs["ref_per_token_logps"] - noise
    for trainer in (own, ours):
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 2
    expected, found = (trainer._compute_loss(trainer.model, inputs) for trainer in (own, ours))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(ours, found), gradients(own, expected))
    silent = GRPOTrainer._compute_loss(ours, ours.model, inputs)
    assert (expected - silent).abs() > 1e-3


@pytest.mark.parametrize("mode", ["vanilla", "random"])
def test_credit_weighs_no_divergence(build, mode):
    trainer = build(mode, divergence=chosen("prob_l2"), **SMALL)
    output = rollout(trainer)
    reference = output["ref_per_token_logps"] - 1.0
    mask = output["completion_mask"]
    silent = {"advantages": torch.zeros_like(output["advantages"])}
    loss = trainer._compute_loss(
        trainer.model, output | silent | {"ref_per_token_logps": reference}
    )
    # The policy is the reference before its first step.
    each = prob_l2(reference + 1.0, reference) * mask
    torch.testing.assert_close(loss.detach(), 0.5 * each.sum() / mask.sum())
    assert loss > 0


def test_exact_is_the_sum_over_the_vocabulary(build):
    trainer = build("vanilla", divergence=chosen("prob_l2", estimator="exact"), **SMALL)
    output = rollout(trainer)
    mask = output["completion_mask"]
    states = output["ref_states"]
    model = trainer.accelerator.unwrap_model(trainer.model)
    generator = torch.Generator().manual_seed(0)
    moved = states + 0.3 * torch.randn(states.shape, generator=generator)
    output["advantages"] = torch.zeros_like(output["advantages"])
    loss = trainer._compute_loss(trainer.model, output | {"ref_states": moved})
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    whole = torch.cat([output["prompt_mask"], mask], dim=1)
    logits = model(input_ids=ids, attention_mask=whole).logits[:, -mask.shape[1] - 1 : -1]
    reference = model.get_output_embeddings()(moved)
    each = over_vocabulary(
        trainer.divergence, logits / trainer.temperature, reference / trainer.temperature
    )
    expected = 0.5 * (each * mask).sum() / mask.sum()
    assert loss > 0
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(
        gradients(trainer, loss), gradients(trainer, expected), rtol=1e-3, atol=1e-8
    )


def test_exact_rounds_weights_of_16_bits_no_more_than_the_library_does(build):
    """At a low temperature a second rounding would be taken for logits that a model scales."""
    low = {"precision": "bfloat16", "temperature": 0.05}
    trainer = build("vanilla", divergence=chosen("prob_l2", estimator="exact"), **low, **SMALL)
    output = rollout(trainer)
    states, reference = output["ref_states"], output["ref_per_token_logps"]
    seen = []
    trainer.divergence = lambda log_p, log_q: seen.append(log_p) or prob_l2(log_p, log_q)
    trainer._exactly(trainer.model, states, reference, output)
    ours = torch.stack(seen).gather(-1, output["completion_ids"].unsqueeze(-1)).squeeze(-1)
    difference = (ours - reference)[output["completion_mask"].bool()]
    assert states.dtype == torch.bfloat16 and difference.abs().median() < 1e-4


def test_losses_and_models_that_a_divergence_does_not_know_are_refused(build):
    trainer = build("vanilla", divergence=chosen("prob_l2"), **SMALL)
    given = {
        "reward_funcs": trainer.reward_funcs,
        "train_dataset": trainer.train_dataset,
        "processing_class": trainer.processing_class,
        "credit": trainer.credit,
        "divergence": prob_l2,
        "coefficient": 0.1,
    }
    base = trainer.model.unload()
    with pytest.raises(ValueError, match="this model has none; give the trainer a peft_config"):
        PenalisedTrainer(base, args=trainer.args, **given)
    trainer.args.loss_type = "bnpo"
    with pytest.raises(ValueError, match="loss_type is 'bnpo'; .* dapo, dr_grpo, grpo"):
        PenalisedTrainer(base, args=trainer.args, **given)


def test_exact_is_refused_where_the_logits_are_not_the_output_layers(build):
    """As where a model scales them; here the trainer does, behind its own back."""
    trainer = build("vanilla", divergence=chosen("prob_l2", estimator="exact"), **SMALL)
    output = rollout(trainer)
    trainer.temperature *= 2
    with pytest.raises(UserError, match="estimator: exact needs a model whose logits"):
        trainer._compute_loss(trainer.model, output)


LEARNING = {"steps": 3, "checkpoint_every": 1, "learning_rate": 5e-2, **SMALL}
LEARNING |= {"gradient_accumulation": 2, "batch_size": 4}


def trained(trainer: CFDAPOTrainer, resume: str | None = None) -> tuple[torch.Tensor, list[dict]]:
    """What a run ends with: its weights and its history."""
    trainer.train(resume_from_checkpoint=resume)
    weights = [p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad]
    return torch.cat(weights), history(trainer.state.log_history)


@pytest.mark.parametrize("name", ["kl", "prob_l2"])
def test_where_nothing_is_rewarded_the_penalty_is_all_of_loss_and_gradient(
    build, monkeypatch, name
):
    monkeypatch.setattr(penalised, "GRADIENT_EVERY", 1)
    trainer = build("vanilla", divergence=chosen(name), loss="dr_grpo", **LEARNING)
    # Two steps move the policy off its reference, the third has equal rewards.
    rewarded, (reward,) = iter([True, True, False]), trainer.reward_funcs
    trainer.reward_funcs = [
        lambda completions, **more: (
            reward(completions) if next(rewarded) else [0.0] * len(completions)
        )
    ]
    _, rows = trained(trainer)
    *_, last = rows
    assert last["penalty_loss"] > 0 and last["reward_std"] == 0
    assert last["loss"] == pytest.approx(last["penalty_loss"], rel=1e-3, abs=5e-5)
    assert last["grad_norm"] == pytest.approx(last["penalty_gradient"], rel=1e-3)
    assert rows[1]["penalty_gradient"] < rows[1]["grad_norm"]


def test_measuring_the_penalty_changes_no_bit_and_other_histories_have_none(
    build, monkeypatch, tmp_path
):
    monkeypatch.setattr(penalised, "GRADIENT_EVERY", 2)
    plain, without = trained(build("vanilla", kl_coefficient=0.5, **LEARNING))
    weights, rows = trained(build("vanilla", divergence=chosen("kl"), **LEARNING))
    assert torch.equal(weights, plain)
    assert ["penalty_gradient" in row for row in rows] == [False, True, False]
    assert all("penalty_loss" in row for row in rows)
    assert {*rows[0]} - {*without[0]} == {"divergence", "penalty_loss"}
    assert not {*without[0]} & {"divergence", "penalty_loss", "penalty_gradient"}
    # A file of it is whole, though a column is not in every line.
    path = tmp_path / "history.jsonl"
    finish(path, as_jsonl(rows), {})
    assert read_history(path, {"steps": 3, "history": sha256_of(path)}) == rows


def test_divergence_and_credit_are_independent_in_a_run_that_resumes(build, tmp_path, monkeypatch):
    monkeypatch.setattr(penalised, "GRADIENT_EVERY", 1)
    divergence = {"divergence": chosen("prob_l2", coefficient=10.0)}
    whole, rows = trained(build("sibling_value", **LEARNING, **divergence))
    drift = [row["divergence"] for row in rows]
    assert drift[0] < 1e-12 and drift[-1] > 1e-10
    half = str(tmp_path / "checkpoint-2")
    again, resumed = trained(build("sibling_value", **LEARNING, **divergence), resume=half)
    assert torch.equal(whole, again)
    for column in ("divergence", "penalty_loss", "penalty_gradient"):
        assert [row[column] for row in resumed] == [row[column] for row in rows]
    free, rows = trained(build("sibling_value", **LEARNING))
    assert "divergence" not in rows[0] and not torch.equal(whole, free)


def test_the_penaltys_gradient_is_measured_also_with_gradient_checkpointing(build, monkeypatch):
    monkeypatch.setattr(penalised, "GRADIENT_EVERY", 1)
    small = {**LEARNING, "steps": 2, "gradient_accumulation": 1, "max_completion_tokens": 16}
    rows = [
        trained(build("vanilla", **small, divergence=chosen("l2_log"), gradient_checkpointing=on))[
            1
        ]
        for on in (False, True)
    ]
    (_, plain), (_, checkpointed) = rows
    assert plain["penalty_gradient"] > 0
    assert checkpointed["penalty_gradient"] == pytest.approx(plain["penalty_gradient"], rel=1e-3)
