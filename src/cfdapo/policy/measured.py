"""A loaded policy as credit rules find it in training, for measuring them outside of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cfdapo.credit.alignment import completion_text
from cfdapo.credit.rule import Prefix, Prompt, Rollout, TokenIds
from cfdapo.credit.scoring import evaluating
from cfdapo.policy.generation import continue_all, encode_either, generation_config, messages
from cfdapo.policy.sampling import as_in_training, group_advantages, sample
from cfdapo.problems.task import Row, Task


@dataclass(frozen=True)
class Problem:
    """A row of the data, its prompt's tokens, and the prompt in the proxy's, where there is one."""

    row: Row
    prompt: TokenIds
    proxy_prompt: TokenIds | None = None


@dataclass(frozen=True)
class LoadedPolicy:
    """A model that samples and grades by the settings of a study's rollouts.

    `temperature`, `top_p` and `longest`, the most tokens of a completion, are those of training;
    `chat` holds the arguments of the chat template.
    """

    model: Any
    tokenizer: Any
    task: Task
    chat: Mapping[str, Any]
    temperature: float
    top_p: float
    longest: int

    def sample(self, prefixes: Sequence[Prefix], n: int) -> list[list[TokenIds]]:
        """`credit.rule.Sample`; draws from torch's own generator."""
        how = as_in_training(self.temperature, self.top_p)
        config = generation_config(self.model, self.tokenizer, self.longest, **how)
        wanted = [(prompt, start) for prompt, start in prefixes for _ in range(n)]
        with evaluating(self.model):
            drawn = continue_all(self.model, self.tokenizer, wanted, self.longest, config)
        return [drawn[index * n : (index + 1) * n] for index in range(len(prefixes))]

    def encode(self, prompt: Prompt) -> TokenIds:
        """`credit.rule.Encode`; text where the data set has no conversations."""
        return encode_either(self.tokenizer, prompt, self.chat)

    def groups(self, problems: Sequence[Problem], samples: int, seed: int) -> Rollout:
        """A batch of `samples` completions of each problem, as the trainer would hand it to a rule.

        A rule's own generator is seeded with `seed` too.
        """
        each = [problem for problem in problems for _ in range(samples)]
        prompts = [problem.prompt for problem in each]
        ids = sample(
            self.model, self.tokenizer, prompts, self.longest, self.temperature, self.top_p, seed
        )
        texts = [completion_text(one, self.tokenizer) for one in ids]
        rewards = self.task.grade_many(texts, [problem.row["answer"] for problem in each])
        groups = [rewards[start : start + samples] for start in range(0, len(rewards), samples)]
        advantages = [value for group in groups for value in group_advantages(group)]
        proxy_prompts = [one.proxy_prompt for one in each if one.proxy_prompt is not None]
        return Rollout(
            policy=self.model,
            prompts=prompts,
            completions=ids,
            texts=texts,
            groups=[index // samples for index in range(len(each))],
            rewards=torch.tensor(rewards, dtype=torch.float32),
            advantages=torch.tensor(advantages, dtype=torch.float32),
            rows=[self._row(problem.row) for problem in each],
            step=0,
            generator=torch.Generator().manual_seed(seed),
            temperature=self.temperature,
            sample=self.sample,
            grade=lambda texts, rows: self._grade(texts, [each[row].row for row in rows]),
            encode=self.encode,
            proxy_prompts=proxy_prompts if len(proxy_prompts) == len(each) else None,
        )

    def _grade(self, texts: Sequence[str], rows: Sequence[Row]) -> list[float]:
        return list(map(float, self.task.grade_many(texts, [row["answer"] for row in rows])))

    def _row(self, row: Row) -> Row:
        """The columns of the trainer's data, and all others that a rule may read."""
        named = {"prompt": messages(self.task, row), "function": self.task.entry_point(row)}
        return {**row, **named}
