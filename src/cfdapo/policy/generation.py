"""Prompts to token ids, and completions out of a policy: one way, in training and evaluation."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from cfdapo.files import UserError
from cfdapo.problems.task import Task


def messages(task: Task, row: dict[str, Any]) -> list[dict[str, str]]:
    """The conversation that asks for one problem's solution."""
    return [{"role": "user", "content": task.prompt(row)}]


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, conversation: list[dict[str, str]], chat: dict[str, Any]
) -> list[int]:
    """Token ids of a conversation up to where the model is to answer."""
    return tokenizer.apply_chat_template(
        conversation, add_generation_prompt=True, tokenize=True, return_dict=False, **chat
    )


def fitting_prompts(
    rows: Sequence[dict[str, Any]],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    training: dict[str, Any],
    chat: dict[str, Any],
) -> list[dict[str, Any]]:
    """The rows whose prompt fits `training["max_prompt_tokens"]`.

    Raises `UserError` naming the first longer ones unless `overlong_prompts` is "drop".
    """
    limit = training["max_prompt_tokens"]
    lengths = [len(encode_prompt(tokenizer, messages(task, row), chat)) for row in rows]
    longer = [
        f"{row['id']} ({length} tokens)"
        for row, length in zip(rows, lengths, strict=True)
        if length > limit
    ]
    if longer and training["overlong_prompts"] == "error":
        raise UserError(
            f"training.max_prompt_tokens: {len(longer)} prompts are longer than {limit}, first "
            f"{', '.join(longer[:3])}; raise the limit or set training.overlong_prompts: drop"
        )
    return [row for row, length in zip(rows, lengths, strict=True) if length <= limit]


def generate(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    batch_size: int,
    **sampling: Any,
) -> Iterator[list[int]]:
    """Completions of `prompts`, in order, up to and with the end-of-text token.

    Greedy unless `sampling` (do_sample, temperature, top_p) says otherwise. Batches are cut at
    fixed places, so an interrupted evaluation repeats its last batch to the bit.
    """
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=model.generation_config.eos_token_id or tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        **{"do_sample": False, **sampling},
    )
    ends = torch.tensor(_as_list(config.eos_token_id))
    for start in range(0, len(prompts), batch_size):
        batch = tokenizer.pad(
            {"input_ids": [list(ids) for ids in prompts[start : start + batch_size]]},
            padding_side="left",
            return_tensors="pt",
        ).to(model.device)
        with torch.no_grad():
            output = model.generate(**batch, generation_config=config)
        for completion in output[:, batch["input_ids"].shape[1] :].cpu():
            stops = torch.isin(completion, ends).nonzero()
            length = int(stops[0]) + 1 if len(stops) else len(completion)
            yield completion[:length].tolist()


def _as_list(value: int | list[int]) -> list[int]:
    return value if isinstance(value, list) else [value]
