"""Made texts for a policy that cannot write any: prompts and completions of any length.

What a random policy generates is text without spans. So after a real generation, or in its place,
made texts become the completions, and the rest of the step is the trainer's own.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tiny_run
import torch
from inputs import encode_text
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
)

from cfdapo.credit.assigner import CreditConfig
from cfdapo.policy.generation import encode_prompt, messages
from cfdapo.policy.tiny import make_tokenizer
from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.policy.training import RunSettings, build_trainer
from cfdapo.problems.arithmetic import iterate_problems
from cfdapo.problems.task import Task, get_task
from cfdapo.settings import TrainingSettings
from gpu_parts.sizes import paper_study

Row = dict[str, Any]

TASK = "arithmetic"
VOCABULARY = 400
PROBLEMS = 100


@dataclass(frozen=True)
class Texts:
    """Problems to train on, a step's completions, and the tokenizer of both.

    Its ids are the first few of a model's vocabulary, whatever its size.
    """

    tokenizer: PreTrainedTokenizerBase
    problems: list[Row]
    completions: list[list[int]]

    @property
    def mean_length(self) -> float:
        """Tokens of a completion."""
        return sum(map(len, self.completions)) / len(self.completions)


def make_texts(training: TrainingSettings, spans: int) -> Texts:
    """Prompts and completions of almost as many tokens as `training` allows, with `spans` spans."""
    stream = iterate_problems("train", seed=1)
    some = list(islice(stream, PROBLEMS))
    texts = (text for row in some for text in (row["question"], row["solution"]))
    tokenizer, task = make_tokenizer(texts, VOCABULARY), get_task(TASK)
    longest, most = training.max_prompt_tokens, training.max_completion_tokens
    count = training.batch_size * training.gradient_accumulation
    return Texts(
        tokenizer,
        [_long_problem(row, task, tokenizer, longest) for row in some],
        [_completion(stream, tokenizer, most, spans) for _ in range(count)],
    )


def _completion(
    problems: Iterator[Row], tokenizer: PreTrainedTokenizerBase, most: int, spans: int
) -> list[int]:
    """`spans` equations with the text of other problems between them, and an answer.

    Equations are kept before other spans, so these are the measured ones, spread over the whole.
    """
    ids: list[int] = []
    for span in range(spans):
        *lines, answer = next(problems)["solution"].split("\n")
        ids += encode_text(next(line for line in lines if "=" in line) + "\n", tokenizer)
        end = [*encode_text(answer, tokenizer), tokenizer.eos_token_id]
        while True:
            told = encode_text(next(problems)["question"] + "\n", tokenizer)
            if len(ids) + len(told) > (span + 1) * (most - len(end)) // spans:
                break
            ids += told
    return ids[: most - len(end)] + end


def _long_problem(row: Row, task: Task, tokenizer: PreTrainedTokenizerBase, most: int) -> Row:
    """A problem whose prompt has almost `most` tokens; it need make no sense."""
    words = (row["question"].split() * most)[:most]
    while True:
        made = row | {"question": " ".join(words)}
        over = len(encode_prompt(tokenizer, messages(task, made), {})) - most
        if over <= 0 or len(words) == 1:
            return made
        del words[-max(1, over // 4) :]


def made_trainer(
    base: PreTrainedModel,
    texts: Texts,
    training: TrainingSettings,
    credit: CreditConfig,
    output: Path,
    callbacks: Sequence[TrainerCallback] = (),
    generates: Callable[[], bool] = lambda: False,
) -> CFDAPOTrainer:
    """The real trainer, with the paper's LoRA, whose completions are those of `texts`.

    Where `generates` says so it generates as many tokens as it may before. Every second completion
    is rewarded, so that no group is passed over.
    """
    tokenizer = texts.tokenizer
    base.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    settings = RunSettings(TASK, {}, paper_study().lora, training, credit)
    trainer = build_trainer(base, tokenizer, texts.problems, 0, settings, output, callbacks)
    trainer.reward_funcs = [tiny_run.reward_by_parity]
    _replace_completions(trainer, texts, generates)
    return trainer


def _replace_completions(
    trainer: CFDAPOTrainer, texts: Texts, generates: Callable[[], bool]
) -> None:
    """Let the first completions of every step be those of `texts`; a rule may draw more."""
    policy, tokenizer = trainer.model, texts.tokenizer
    original = policy.generate
    rows = [torch.tensor(ids) for ids in texts.completions]
    answers = pad_sequence(rows, True, tokenizer.pad_token_id)
    replaced: set[int] = set()

    def generate(*, input_ids: Tensor, generation_config: Any, **inputs: Any) -> Tensor:
        step = trainer.state.global_step
        if step in replaced:
            return original(input_ids=input_ids, generation_config=generation_config, **inputs)
        replaced.add(step)
        if generates():
            config = deepcopy(generation_config)
            config.min_new_tokens = config.max_new_tokens
            original(input_ids=input_ids, generation_config=config, **inputs)
        return torch.cat([input_ids, answers.to(input_ids.device)], dim=1)

    policy.generate = generate
