"""Prompts to token ids, and completions out of a policy: one way, in training and evaluation."""

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from cfdapo.credit.rule import Prefix, Prompt
from cfdapo.files import UserError, read_jsonl
from cfdapo.policy.models import end_tokens, load_tokenizer
from cfdapo.policy.roomy_cache import roomy_cache
from cfdapo.policy.templates import naming_faults, require_steady
from cfdapo.problems.task import Task, get_task
from cfdapo.settings import ChatVariables, TrainingSettings

Conversation = list[dict[str, str]]

# Continuations that are sampled together: more gain little on a CPU and cost memory on a GPU.
SAMPLED_AT_ONCE = 256

# Tokens after which finished rows leave a batch: beginning again costs about a token's time.
STRETCH = 32


def messages(task: Task, row: dict[str, Any]) -> Conversation:
    """The conversation that asks for one problem's solution."""
    return [{"role": "user", "content": task.prompt(row)}]


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, conversation: Conversation, chat: ChatVariables
) -> list[int]:
    """Token ids of a conversation up to where the model is to answer, as training encodes it too.

    `chat` holds the arguments of the chat template. Raises `UserError` where that cannot be used.
    """
    with naming_faults(tokenizer.name_or_path):
        # Of one conversation, token ids; its type has all that the method can be asked for.
        ids: Any = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=False, **chat
        )
    return ids


def encode_either(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, chat: ChatVariables
) -> list[int]:
    """`encode_prompt` of a conversation, or the ids of a text, as the trainer encodes either."""
    if isinstance(prompt, str):
        return tokenizer(prompt)["input_ids"]
    return encode_prompt(tokenizer, prompt, chat)


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Conversation],
    chat: ChatVariables,
) -> list[list[int]]:
    """`encode_prompt` of each; `UserError` where that depends on the day, or on chance."""
    require_steady(tokenizer, conversations, chat)
    return [encode_prompt(tokenizer, conversation, chat) for conversation in conversations]


def prompts_hash(prompts: Sequence[list[int]]) -> str:
    """sha256 of prompts, in their order; what a run or an evaluation is depends on them."""
    return hashlib.sha256(json.dumps(prompts).encode()).hexdigest()


def hash_of_prompts(folder: Path, problems: Path, task: str, chat: ChatVariables) -> str:
    """`prompts_hash` of the file `problems`, encoded for the prepared model of `folder`."""
    asked = [messages(get_task(task), row) for row in read_jsonl(problems)]
    return prompts_hash(encode_prompts(load_tokenizer(folder), asked, chat))


def fitting_prompts(
    rows: Sequence[dict[str, Any]],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    training: TrainingSettings,
    chat: ChatVariables,
) -> list[dict[str, Any]]:
    """The rows whose prompt fits `training.max_prompt_tokens`.

    Raises `UserError` naming the first longer ones unless `overlong_prompts` is "drop".
    """
    limit = training.max_prompt_tokens
    prompts = encode_prompts(tokenizer, [messages(task, row) for row in rows], chat)
    lengths = [len(prompt) for prompt in prompts]
    longer = [
        f"{row['id']} ({length} tokens)"
        for row, length in zip(rows, lengths, strict=True)
        if length > limit
    ]
    if longer and training.overlong_prompts == "error":
        raise UserError(
            f"training.max_prompt_tokens: {len(longer)} prompts are longer than {limit}, first "
            f"{', '.join(longer[:3])}; raise the limit or set training.overlong_prompts: drop"
        )
    return [row for row, length in zip(rows, lengths, strict=True) if length <= limit]


def generation_config(
    model: Any, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int, **sampling: Any
) -> GenerationConfig:
    """How completions end; greedy unless `sampling` (do_sample, temperature, top_p) says more."""
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=end_tokens(model, tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        **{"do_sample": False, **sampling},
    )


def generate(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    batch_size: int,
    **sampling: Any,
) -> Iterator[list[int]]:
    """Completions of `prompts`, in order, up to and with the first of `end_tokens`.

    Greedy unless `sampling` (do_sample, temperature, top_p) says otherwise. Batches are cut at
    fixed places, so an interrupted evaluation repeats its last batch to the bit; `by_length` puts
    prompts in an order in which little of them is padding.
    """
    config = generation_config(model, tokenizer, max_new_tokens, **sampling)
    for start in range(0, len(prompts), batch_size):
        yield from _batch(model, tokenizer, prompts[start : start + batch_size], config)


def by_length(prompts: Sequence[list[int]], batch_size: int) -> list[int]:
    """The prompts' places, the longest first, so that a batch is of like lengths.

    As they are where one batch holds them all. The longest come first so that what does not fit in
    memory shows at once.
    """
    places = range(len(prompts))
    if len(prompts) <= batch_size:
        return list(places)
    return sorted(places, key=lambda place: (-len(prompts[place]), place))


def continue_all(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prefixes: Sequence[Prefix],
    longest: int,
    config: GenerationConfig,
) -> list[list[int]]:
    """One continuation of each prefix by `config`, in order, up to and with the first of its ends.

    A prefix's start and its continuation are at most `longest` tokens. Those of like length are
    sampled together, at most `SAMPLED_AT_ONCE`, so that little is padding; a prefix that is
    `longest` already gets nothing.
    """
    room = [longest - len(start) for _, start in prefixes]
    order = sorted(range(len(prefixes)), key=lambda index: (-room[index], index))
    order = [index for index in order if room[index] > 0]
    found: list[list[int]] = [[] for _ in prefixes]
    for begin in range(0, len(order), SAMPLED_AT_ONCE):
        batch = order[begin : begin + SAMPLED_AT_ONCE]
        config.max_new_tokens = room[batch[0]]
        rows = [[*prefixes[index][0], *prefixes[index][1]] for index in batch]
        for index, ids in zip(batch, _batch(model, tokenizer, rows, config), strict=True):
            found[index] = ids[: room[index]]
    return found


def _batch(
    model: Any, tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]], config: Any
) -> Iterator[list[int]]:
    """What `model` adds to each of `rows`, generated together."""
    ends = torch.tensor(config.eos_token_id)
    batch = tokenizer.pad(
        {"input_ids": [list(ids) for ids in rows]}, padding_side="left", return_tensors="pt"
    ).to(model.device)
    # Draws of a sample depend on the batch that they are made for; greedy choices do not.
    together = config.do_sample or not _keeps_rows_apart(model)
    how = _in_one_go if together else _leaving_when_done
    with torch.no_grad():
        completions = how(model, batch["input_ids"], batch["attention_mask"], config)
    for completion in completions:
        stops = torch.isin(completion, ends).nonzero()
        length = int(stops[0]) + 1 if len(stops) else len(completion)
        yield completion[:length].tolist()


def _in_one_go(model: Any, ids: Tensor, mask: Tensor, config: GenerationConfig) -> list[Tensor]:
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return list(output[:, ids.shape[1] :].cpu())


def _leaving_when_done(
    model: Any, ids: Tensor, mask: Tensor, config: GenerationConfig
) -> list[Tensor]:
    """The same in stretches of `STRETCH` tokens, after each of which finished rows leave the batch.

    Few completions are as long as the longest: without this all rows are computed up to its end.
    """
    ends = torch.tensor(config.eos_token_id, device=ids.device)
    prompt, left, cache = ids.shape[1], config.max_new_tokens, roomy_cache(model.config)
    rows, found = list(range(len(ids))), [torch.empty(0)] * len(ids)
    while rows:
        stretch = copy.deepcopy(config)
        stretch.update(max_new_tokens=min(STRETCH, left), return_dict_in_generate=True)
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=stretch,
        )
        new = output.sequences[:, ids.shape[1] :]
        ids, cache, left = output.sequences, output.past_key_values, left - new.shape[1]
        mask = torch.cat([mask, torch.ones_like(new)], dim=1)
        going = ~torch.isin(new, ends).any(dim=1) if left else torch.zeros(len(ids)).bool()
        for row, completion, goes_on in zip(rows, ids[:, prompt:].cpu(), going, strict=True):
            if not goes_on:
                found[row] = completion
        keep = going.nonzero().squeeze(1)
        rows = [rows[index] for index in keep]
        if rows and len(rows) < len(ids):
            ids, mask = ids[keep], mask[keep]
            cache.batch_select_indices(keep)
    return found


def _keeps_rows_apart(model: Any) -> bool:
    """Whether what is kept of earlier tokens is keys and values alone, a row of them a sequence."""
    layers = DynamicCache(config=model.config).layers
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
