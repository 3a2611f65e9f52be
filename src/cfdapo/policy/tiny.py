"""Make and pretrain the tiny models of the embedded study, so that it needs no hub and no GPU."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from cfdapo.settings import PretrainingSettings

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_IGNORED = -100

# A digit, a line's end, or a word with the space before it and, before a digit, the one after it:
# spaces of their own would make sequences a quarter longer.
_PIECES = r"\d|\n| ?[^\s\d]+ (?=\d)| ?[^\s\d]+| "


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `texts`; every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, USER, ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def make_model(
    architecture: str, shape: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast, seed: int
) -> PreTrainedModel:
    """A randomly initialised causal model of a transformers `architecture` (its `model_type`)."""
    config = AutoConfig.for_model(
        architecture,
        **shape,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
        attention_dropout=0.0,
    )
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


class _Solutions(torch.utils.data.Dataset):
    """Prompts with their reference solutions, tokenised; only the solution is a target."""

    def __init__(self, rows: Iterator[dict[str, Any]], count: int, tokenizer: Any, prompt: Any):
        self.examples = []
        for row in islice(rows, count):
            asked = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt(row)}],
                add_generation_prompt=True,
                return_dict=False,
            )
            solved = tokenizer(row["solution"], add_special_tokens=False)["input_ids"]
            solved = solved + [tokenizer.eos_token_id]
            self.examples.append(
                {"input_ids": asked + solved, "labels": [_IGNORED] * len(asked) + solved}
            )

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self.examples[index]


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Iterator[dict[str, Any]],
    prompt: Any,
    settings: PretrainingSettings,
    folder: str,
) -> float:
    """Teach `model` the reference solutions of `rows` in one pass; returns the mean loss.

    `prompt` maps a row to the user's message. `folder` is scratch space of the
    trainer; nothing is left in it.
    """
    examples = _Solutions(rows, settings.steps * settings.batch_size, tokenizer, prompt)
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.01,
        seed=settings.seed,
        save_strategy="no",
        report_to=[],
        logging_steps=50,
        disable_tqdm=True,
    )
    collator = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=_IGNORED)
    trainer = Trainer(model, arguments, collator, train_dataset=examples)
    return trainer.train().training_loss
