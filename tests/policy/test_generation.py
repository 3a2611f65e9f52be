"""One prompt for training and evaluation; greedy completions that do not depend on their batch."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig

from cfdapo.files import UserError, read_jsonl
from cfdapo.policy import generation
from cfdapo.policy.generation import encode_prompt, fitting_prompts, generate, messages
from cfdapo.policy.models import load_base
from cfdapo.problems.task import get_task
from cfdapo.study import load_study

TASK = get_task("arithmetic")


@pytest.fixture(scope="module")
def loaded(prepared):
    model, tokenizer = load_base(prepared / "model")
    rows = read_jsonl(prepared / "test.jsonl")
    return model.eval(), tokenizer, rows


def test_prompt_is_the_question_between_the_roles(loaded):
    _, tokenizer, rows = loaded
    ids = encode_prompt(tokenizer, messages(TASK, rows[0]), {})
    assert tokenizer.decode(ids) == f"<|user|>{rows[0]['question']}<|assistant|>"


def test_completions_do_not_depend_on_the_batch(loaded):
    model, tokenizer, rows = loaded
    prompts = [encode_prompt(tokenizer, messages(TASK, row), {}) for row in rows]
    together = list(generate(model, tokenizer, prompts, 20, batch_size=10))
    alone = list(generate(model, tokenizer, prompts, 20, batch_size=1))
    assert together == alone
    assert all(0 < len(ids) <= 20 for ids in together)


@pytest.mark.parametrize("stretch", [1, 3, 50])
def test_rows_that_are_done_leave_the_batch_and_change_nothing(loaded, monkeypatch, stretch):
    model, tokenizer, rows = loaded
    prompts = [encode_prompt(tokenizer, messages(TASK, row), {}) for row in rows]
    monkeypatch.setattr(generation, "end_tokens", lambda *of: ends_at)
    with monkeypatch.context() as patch:
        patch.setattr(generation, "_keeps_rows_apart", lambda model: False)
        ends_at = [tokenizer.eos_token_id]
        # This model has learned so little that it hardly ends: take what it says for an end.
        ends_at = [
            ids[7 * row] for row, ids in enumerate(generate(model, tokenizer, prompts, 64, 10))
        ]
        whole = list(generate(model, tokenizer, prompts, 64, batch_size=10))
    monkeypatch.setattr(generation, "STRETCH", stretch)
    sizes, step = [], model.forward

    def forward(*passed, **inputs):
        sizes.append(len(inputs["input_ids"]))
        return step(*passed, **inputs)

    monkeypatch.setattr(model, "forward", forward)
    assert list(generate(model, tokenizer, prompts, 64, batch_size=10)) == whole
    ends = sorted(len(ids) for ids in whole)
    assert ends[0] < ends[-1] and len(sizes) == ends[-1]
    # Of 10 rows those go on that had not ended when the last stretch did.
    assert sizes == [
        sum(end > done // stretch * stretch for end in ends) for done in range(ends[-1])
    ]


@pytest.mark.parametrize(
    ("architecture", "apart"),
    [("qwen2", True), ("gemma3_text", True), ("qwen3_next", False), ("mamba", False)],
)
def test_rows_leave_where_only_keys_and_values_are_kept(architecture, apart):
    config = AutoConfig.for_model(architecture, num_hidden_layers=6)
    assert generation._keeps_rows_apart(SimpleNamespace(config=config)) is apart


def test_one_batch_stays_as_it_is_and_more_are_by_length():
    prompts = [[0] * length for length in (2, 5, 3, 5)]
    assert generation.by_length(prompts, 4) == [0, 1, 2, 3]
    assert generation.by_length(prompts, 3) == [1, 3, 2, 0]


def test_completion_ends_with_its_first_end_of_text(loaded):
    model, tokenizer, rows = loaded
    prompts = [encode_prompt(tokenizer, messages(TASK, row), {}) for row in rows]
    sampled = generate(
        model, tokenizer, prompts, 60, 10, do_sample=True, temperature=2.0, top_k=0, top_p=1.0
    )
    torch.manual_seed(1)
    completions = list(sampled)
    end = tokenizer.eos_token_id
    assert any(end in ids for ids in completions)
    assert all(end not in ids[:-1] for ids in completions)


def test_long_prompts_are_an_error_that_names_them_or_are_dropped(loaded):
    _, tokenizer, rows = loaded
    lengths = [len(encode_prompt(tokenizer, messages(TASK, row), {})) for row in rows]
    limit = max(lengths) - 1
    training = replace(load_study("smoke").training, max_prompt_tokens=limit)
    longest = rows[lengths.index(max(lengths))]["id"]
    with pytest.raises(UserError, match=rf"longer than {limit}, first .*{longest}"):
        fitting_prompts(rows, TASK, tokenizer, training, {})
    kept = fitting_prompts(rows, TASK, tokenizer, replace(training, overlong_prompts="drop"), {})
    assert [row["id"] for row in kept] == [
        row["id"] for row, length in zip(rows, lengths, strict=True) if length <= limit
    ]
