"""Whole training runs: methods agree, modes weigh as documented, options do what they say."""

import math

import pytest
import torch

from cfdapo.files import UserError
from cfdapo.policy.models import load_base
from cfdapo.policy.training import COLUMNS, OPTIONAL_COLUMNS, history
from cfdapo.study import load_document

# Drops agree to 1e-4 nats, so weights do to about 1e-3 and adapters, moved by at most the learning
# rate (1e-3) a step, to far less: 5e-7 as measured, while another mode's differ by 7e-3.
TOLERANCE = 1e-5
STEPS = 4
RUN = {"steps": STEPS, "checkpoint_every": STEPS, "learning_rate": 1e-3}


def train(trainer) -> tuple[torch.Tensor, list[dict]]:
    """All trained weights in one tensor, and the history."""
    trainer.train()
    weights = [p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad]
    return torch.cat(weights), history(trainer.state.log_history)


def column(rows: list[dict], name: str) -> list[float]:
    return [row[name] for row in rows]


def test_a_run_with_prefix_ends_where_one_with_serial_does(build):
    prefix, quick = train(build("counterfactual", {"method": "prefix"}, **RUN))
    serial, slow = train(build("counterfactual", {"method": "serial"}, **RUN))
    inverted, _ = train(build("inverted", {"method": "prefix"}, **RUN))
    torch.testing.assert_close(prefix, serial, rtol=0, atol=TOLERANCE)
    assert (prefix - inverted).abs().max() > 100 * TOLERANCE
    torch.testing.assert_close(
        torch.tensor(column(quick, "weight_mean")),
        torch.tensor(column(slow, "weight_mean")),
        rtol=0,
        atol=1e-3,
    )
    passes = sum(column(quick, "credit_passes")), sum(column(slow, "credit_passes"))
    assert 0 < passes[0] <= STEPS and passes[1] > 2 * passes[0]


@pytest.mark.parametrize("mode", ["counterfactual", "inverted"])
def test_weights_of_a_real_run_are_as_documented(build, assignments, mode):
    trainer = build(mode, batch_size=16, group_size=8, **RUN)
    made = assignments(trainer)
    train(trainer)
    credits = [credit for assignment in made for credit in assignment.credits]
    measured = [credit for credit in credits if credit.tokens]
    assert len(made) == STEPS and sum(len(credit.tokens) > 1 for credit in measured) > 2
    for credit in credits:
        expected = torch.ones(len(credit.weights))
        if credit.tokens:
            # Equations 4, 6 and 7 with the paper's 0.5 and 4.0, epsilon 1e-4.
            importance = -credit.drops
            share = importance - importance.min()
            share = share / (importance.max() - importance.min() + 1e-4)
            share = 1 - share if mode == "inverted" else share
            for tokens, value in zip(credit.tokens, share, strict=True):
                expected[tokens] = 0.5 + 3.5 * value
            expected[credit.answer] = 1.5
        torch.testing.assert_close(credit.weights, expected)


def test_modes_turn_the_same_first_rollout_around(build, assignments):
    first = {}
    for mode in ("counterfactual", "inverted"):
        trainer = build(mode, batch_size=16, group_size=8)
        made = assignments(trainer)
        train(trainer)
        first[mode] = made[0].credits
    compared = 0
    for one, other in zip(first["counterfactual"], first["inverted"], strict=True):
        assert one.text == other.text
        for tokens in one.tokens:
            # w and w_min + w_max - w.
            both = one.weights[tokens] + other.weights[tokens]
            torch.testing.assert_close(both, torch.full_like(both, 4.5))
            compared += 1
    assert compared > 2


def test_history_has_the_documented_columns_and_no_hits_without_a_cache(build):
    _, rows = train(build("counterfactual"))
    assert list(rows[0]) == ["step", *COLUMNS, "seconds_update"]
    assert all(value is not None for value in rows[0].values())


def test_what_is_no_finite_number_is_null_in_the_history():
    times = {COLUMNS[name]: 1.0 for name in ("seconds_generation", "seconds_credit")}
    entry = {"step": 1, "reward": 0.5, "grad_norm": math.inf, "loss": math.nan}
    entry |= {OPTIONAL_COLUMNS["penalty_gradient"]: math.inf}
    (row,) = history([entry | times | {COLUMNS["seconds_step"]: 3.0}])
    assert (row["reward"], row["grad_norm"], row["loss"]) == (0.5, None, None)
    assert row["penalty_gradient"] is None and "divergence" not in row


def test_every_second_step_is_measured(build):
    _, rows = train(build("counterfactual", {"every": 2}, **RUN))
    passes, means = column(rows, "credit_passes"), column(rows, "weight_mean")
    assert passes[1] == passes[3] == 0 and means[1] == means[3] == 1
    assert sum(passes) > 0 and max(means) > 1


def test_cache_hits_stand_in_the_history(build):
    """All ten problems in every step, nearly greedy, by a policy that hardly moves."""
    still = {"temperature": 1e-4, "learning_rate": 1e-9, "steps": 2, "checkpoint_every": 2}
    trainer = build(
        "counterfactual", {"cache": 100}, problems="test", batch_size=20, group_size=2, **still
    )
    _, rows = train(trainer)
    hits, passes = column(rows, "cache_hits"), column(rows, "credit_passes")
    assert hits[0] == 0 < hits[1] and passes[0] > 0


def test_a_proxy_reads_the_prompts_by_its_own_template_and_does_not_learn(build, prepared):
    trainer = build("counterfactual", {"proxy": "test"}, prepared / "model", **RUN)
    trainer.proxy_chat = {"chat_template": "Q: {{ messages[0]['content'] }}\nA:"}
    calls, assign = [], trainer.rule.assigner.assign
    trainer.rule.assigner.assign = lambda *a: calls.append(a) or assign(*a)
    _, rows = train(trainer)
    assert sum(column(rows, "credit_passes")) > 0
    assert [call[5] for call in calls] == list(range(STEPS))
    tokenizer, proxy = trainer.processing_class, trainer.rule.assigner.proxy
    for _, prompts, _, _, _, _, read, _ in calls:
        for own, other in zip(prompts, read, strict=True):
            question = tokenizer.decode(own).removeprefix("<|user|>").removesuffix("<|assistant|>")
            assert tokenizer.decode(other) == f"Q: {question}\nA:"
    untouched, _ = load_base(prepared / "model")
    for one, other in zip(proxy.model.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(one, other) and not one.requires_grad


def test_a_proxy_is_loaded_only_where_it_measures(build):
    assert build("vanilla", {"proxy": "test"}).proxy is None
    with pytest.raises(UserError, match="credit.proxy: test needs its prepared folder"):
        build("counterfactual", {"proxy": "test"})


def test_no_shipped_study_turns_an_option_of_the_appendix_on():
    for name in ("tiny", "smollm2", "paper", "smoke"):
        credit = load_document(name)["credit"]
        options = (credit["select"], credit["every"], credit["cache"], credit["proxy"])
        assert options == ("all", 1, 0, None)
