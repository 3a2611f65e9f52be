"""The trainer in a script of one's own: it does what GRPOTrainer does, or says why not."""

import re
import warnings
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from cfdapo.credit.assigner import CreditConfig
from cfdapo.policy.trainer import WITHOUT_ANSWER, WITHOUT_SPAN, CFDAPOTrainer
from cfdapo.policy.training import StudyTrainer

DOCUMENT = Path(__file__).parents[2] / "docs" / "trainer.md"
NUMBERS = ("3 + 4 = 7. 7 - 2 = 5. The answer is 5.", "3 * 2 = 6. The answer is 6.")
LETTERS = ("Two and two is four. That is B. Answer: B", "It is three. Answer: A")
UNSTATED = ("Two and two is four, so I choose option B.", "It is three")
ROWS = [{"prompt": f"What is {number} and 2?"} for number in range(8)]


def parity(completions, **_):
    return [float(index % 2) for index in range(len(completions))]


@pytest.fixture
def script(prepared, tmp_path) -> Callable[..., CFDAPOTrainer]:
    """Makes a trainer of all weights; keywords change GRPOConfig. It writes `texts`, in turn."""

    def make(
        credit: CreditConfig,
        rewards: object = parity,
        kind: type[CFDAPOTrainer] = CFDAPOTrainer,
        texts: tuple[str, ...] = NUMBERS,
        **changed: object,
    ) -> CFDAPOTrainer:
        how = {
            "output_dir": str(tmp_path / "out"),
            "max_steps": 2,
            "save_steps": 1,
            "per_device_train_batch_size": 4,
            "num_generations": 2,
            "max_completion_length": 64,
            "learning_rate": 1e-3,
            "loss_type": "dapo",
            "logging_steps": 1,
            "report_to": [],
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
        }
        trainer = kind(
            AutoModelForCausalLM.from_pretrained(prepared / "model"),
            rewards,
            args=GRPOConfig(**{**how, **changed}),
            train_dataset=Dataset.from_list(ROWS),
            eval_dataset=Dataset.from_list(ROWS[:2]),
            processing_class=AutoTokenizer.from_pretrained(prepared / "model"),
            credit=credit,
        )
        writing(trainer, texts)
        return trainer

    return make


def writing(trainer: CFDAPOTrainer, texts: tuple[str, ...]) -> None:
    """Let the trainer go on from `texts` where it has generated."""
    tokenizer, generate = trainer.processing_class, trainer._generate_single_turn
    written = cycle(
        [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        for text in texts
    )

    def written_instead(*arguments, **options):
        completions, *others = generate(*arguments, **options)
        return [list(next(written)) for _ in completions], *others

    trainer._generate_single_turn = written_instead


def logged(trainer: CFDAPOTrainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


COUNTERFACTUAL = CreditConfig(mode="counterfactual")


@pytest.mark.parametrize(
    ("saving", "left"),
    [
        ({"save_strategy": "no"}, set()),
        ({"save_total_limit": 1}, {"checkpoint-2"}),
        ({}, {"checkpoint-1", "checkpoint-2"}),
    ],
    ids=["no", "limit", "steps"],
)
def test_full_fine_tuning_saves_what_the_library_would(script, tmp_path, saving, left):
    trainer = script(CreditConfig(mode="random"), **saving)
    trainer.train()
    assert {path.name for path in (tmp_path / "out").glob("*-*")} == left
    for name in left:
        assert (tmp_path / "out" / name / "model.safetensors").is_file()


def test_a_batch_that_is_reused_keeps_every_tokens_advantage(script):
    trainer = script(COUNTERFACTUAL, steps_per_generation=2, num_iterations=2, max_steps=4)
    made, score = [], trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda rows: made.append(score(rows)) or made[-1]
    trainer.train()
    assert len(made) == 1 and len(logged(trainer, "reward")) == 1
    (whole,), slices = made, trainer._buffered_inputs
    assert len(slices) == 2
    expected = {
        (tuple(ids.tolist()), tuple(values.tolist()))
        for ids, values in zip(whole["completion_ids"], whole["advantages"], strict=True)
    }
    found = {
        (tuple(ids.tolist()), tuple(values.tolist()))
        for part in slices
        for ids, values in zip(part["completion_ids"], part["advantages"], strict=True)
    }
    assert found == expected and len(found) > 1
    assert all(len(set(values)) > 2 for _, values in found)
    # The second time around the policy has moved, so that the ratio is no longer 1.
    assert "old_per_token_logps" in whole


def test_every_counts_batches_and_batches_of_one_step_draw_differently(script):
    trainer = script(
        CreditConfig(mode="random", every=2),
        steps_per_generation=1,
        gradient_accumulation_steps=2,
        max_steps=2,
    )
    made, rule = [], trainer.rule
    trainer.rule = lambda rollout: made.append((rollout, rule(rollout))) or made[-1][1]
    trainer.rule.generates = False
    trainer.train()
    assert [rollout.step for rollout, _ in made] == [0, 0, 1, 1]
    first, second, *others = [assigned.weights[0] for _, assigned in made]
    assert not torch.equal(first, second)
    assert all(weights.eq(1).all() for weights in others)


def test_evaluation_has_groups_of_its_own_size_and_spends_no_pass(script):
    trainer = script(COUNTERFACTUAL, num_generations_eval=1, per_device_eval_batch_size=2)
    trainer.rule = None  # would fail if it were asked
    assert trainer.evaluate()["eval_reward"] == 0.5


def test_completions_without_credit_are_warned_of_once_and_logged(script):
    trainer = script(COUNTERFACTUAL, texts=(*UNSTATED, "#### 7", NUMBERS[0]))
    with pytest.warns(
        UserWarning, match="of 4 completions 2 state no answer and 1 have no"
    ) as told:
        trainer.train()
    assert len([one for one in told if "state no answer" in str(one.message)]) == 1
    assert logged(trainer, WITHOUT_ANSWER) == [0.5, 0.5]
    assert logged(trainer, WITHOUT_SPAN) == [0.25, 0.25]


def test_functions_find_answers_and_spans_of_another_form(script):
    def letter(text):
        found = re.search(r"Answer: ([A-D])", text)
        return found and found.span(1)

    def sentences(text, max_spans, answer):
        return [one.span() for one in re.finditer(r"[^.]+\.", text[: answer.start])]

    trainer = script(
        CreditConfig(mode="counterfactual", spans=sentences, answer=letter), texts=LETTERS
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="credit: of")
        trainer.train()
    assert logged(trainer, WITHOUT_ANSWER) == logged(trainer, WITHOUT_SPAN) == [0.0, 0.0]
    assert logged(trainer, "credit/spans_per_completion") == [1.5, 1.5]
    assert min(logged(trainer, "credit/weight_std")) > 0


def test_rewards_of_one_name_are_added_by_weight_and_an_unscored_one_teaches_nothing(script):
    first, second = [0.5, -2.0, None, 4.0], [10.0, 20.0, None, None]
    rewards = [lambda completions, **_: first, lambda completions, **_: second]
    trainer = script(CreditConfig(mode="sibling_value"), rewards, reward_weights=[2.0, 0.1])
    made, rule = [], trainer.rule
    trainer.rule = lambda rollout: made.append(rollout) or rule(rollout)
    trainer.rule.generates = False
    score, outputs = trainer._generate_and_score_completions, []
    trainer._generate_and_score_completions = lambda r: outputs.append(score(r)) or outputs[-1]
    trainer.train()
    # Its group's mean stands where no function says anything.
    torch.testing.assert_close(made[0].rewards, torch.tensor([2.0, -2.0, 8.0, 8.0]))
    assert outputs[0]["advantages"][:2].any() and not outputs[0]["advantages"][2].any()


def test_what_checkpoints_do_not_hold_is_said(script):
    cached = CreditConfig(mode="counterfactual", cache=4)
    with pytest.warns(UserWarning, match="counterfactual keeps something from batch to batch"):
        script(cached)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="mode counterfactual keeps")
        script(cached, save_strategy="no")
        script(cached, kind=StudyTrainer)


@pytest.mark.parametrize(
    ("mode", "changed", "message"),
    [
        ("monte_carlo", {"use_vllm": True}, "monte_carlo samples continuations.*use_vllm"),
        ("ibpo_revision", {"scale_rewards": "batch"}, "scale_rewards is 'batch'.*'group'"),
        (
            "sibling_value",
            {"multi_objective_aggregation": "normalize_then_sum"},
            "sibling_value reads the weighted sum.*'sum_then_normalize'",
        ),
    ],
)
def test_what_a_rule_cannot_do_is_refused_before_anything_is_generated(
    script, mode, changed, message
):
    with pytest.raises(ValueError, match=message):
        script(CreditConfig(mode=mode), [parity, parity], **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_iterations": 2}, "within one optimizer step"),
        ({"save_strategy": "no"}, "save_strategy is 'no' and must be 'steps'"),
        ({"save_total_limit": 3}, "save_total_limit is 3 and must be None"),
    ],
)
def test_the_mixin_refuses_what_it_would_not_do(script, changed, message):
    with pytest.raises(ValueError, match=message):
        script(CreditConfig(mode="random"), kind=StudyTrainer, **changed)


def test_the_mixin_resumes_full_fine_tuning_to_the_same_bits(script, tmp_path):
    def ended(resume: str | None) -> torch.Tensor:
        trainer = script(CreditConfig(mode="random"), kind=StudyTrainer)
        trainer.train(resume_from_checkpoint=resume)
        return torch.cat([one.detach().flatten() for one in trainer.model.parameters()])

    whole = ended(None)
    assert torch.equal(whole, ended(str(tmp_path / "out" / "checkpoint-1")))


def test_the_page_runs(prepared, tmp_path, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 26
    short = 'GRPOConfig("out", max_steps=1, max_completion_length=16, use_cpu=True, bf16=False, '
    code = code.replace("path/to/model", str(prepared / "model"))
    code = code.replace('GRPOConfig("out", ', short + "report_to=[], ")
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(code, scope)
    assert scope["trainer"].state.global_step == 1
