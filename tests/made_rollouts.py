"""A made-up batch as credit rules read it: two groups of four solutions, by a tiny model."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from cfdapo.credit.alignment import completion_text
from cfdapo.credit.rule import Prefix, Rollout
from cfdapo.policy.tiny import make_model, make_tokenizer
from cfdapo.problems.answers import is_correct

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.06,
}
QUESTIONS = (
    "Mia has 3 pens. Mia buys 4 more. Mia then has 2 times as many. How many pens does Mia have?",
    "Tom has 9 eggs. Tom sells 2. How many eggs does Tom have?",
)
# Group by group; the third of each goes wrong in its first line, the fourth in its last.
SOLUTIONS = (
    "Now 3 + 4 = 7.\nSo 7 * 2 = 14.\n#### 14",
    "So 3 + 4 = 7.\nThis is easy.\nThen 7 * 2 = 14.\n#### 14",
    "Now 3 + 2 = 5.\nSo 5 * 2 = 10.\n#### 10",
    "Now 3 + 4 = 7.\nSo 7 * 3 = 21.\n#### 21",
    "So 9 - 2 = 7.\n#### 7",
    "Tom has 9 eggs.\nNow 9 - 2 = 7.\n#### 7",
    "Now 9 + 2 = 11.\n#### 11",
    "So 9 - 2 = 7.\nSo 7 - 2 = 5.\n#### 5",
)
GOLD = ("14", "7")


@functools.cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Of the made problems' language, every digit a token."""
    return make_tokenizer([*QUESTIONS, *SOLUTIONS] * 3, 300)


@functools.cache
def model() -> PreTrainedModel:
    """A tiny Qwen3 with random weights."""
    return make_model("qwen3", SHAPE, tokenizer(), seed=0).eval()


def make_rollout(
    rewards: Sequence[float] | None = None,
    solutions: Sequence[str] = SOLUTIONS,
    group: int = 4,
    **others: Any,
) -> Rollout:
    """The batch; `rewards` are those of the grader unless given, `others` replace fields."""
    texts = list(solutions)
    golds = [GOLD[index // group] for index in range(len(texts))]
    if rewards is None:
        rewards = [float(is_correct(*pair)) for pair in zip(texts, golds, strict=True)]
    prompts = [
        tokenizer().apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        for question in QUESTIONS
    ]
    completions = [[*tokenizer()(text)["input_ids"], tokenizer().eos_token_id] for text in texts]
    values = torch.tensor(rewards, dtype=torch.float32)
    grouped = values.view(-1, group)
    base = (grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)
    fields = {
        "policy": model(),
        "prompts": [prompts[index // group] for index in range(len(texts))],
        "completions": completions,
        "texts": [completion_text(ids, tokenizer()) for ids in completions],
        "groups": [index // group for index in range(len(texts))],
        "rewards": values,
        "advantages": base.flatten(),
        "rows": [
            {"answer": gold, "prompt": [{"role": "user", "content": QUESTIONS[index // group]}]}
            for index, gold in enumerate(golds)
        ],
        "step": 0,
        "generator": torch.Generator().manual_seed(0),
        "temperature": 1.0,
        "sample": refuse_to_sample,
        "encode": lambda prompt: tokenizer().apply_chat_template(
            prompt, add_generation_prompt=True, return_dict=False
        ),
        "grade": lambda found, rows: [
            float(is_correct(text, golds[row])) for text, row in zip(found, rows, strict=True)
        ],
    }
    return Rollout(**(fields | others))


def refuse_to_sample(prefixes: Sequence[Prefix], n: int) -> Any:
    """For rules that say they do not sample."""
    raise AssertionError("a rule samples without saying so")
