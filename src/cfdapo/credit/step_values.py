"""What a completion was worth at the end of each step, by continuing from there many times."""

from collections.abc import Sequence
from typing import Any

from cfdapo.credit.alignment import completion_text
from cfdapo.credit.rule import Prefix, Rollout
from cfdapo.credit.steps import Step

_Key = tuple[tuple[int, ...], tuple[int, ...]]


class StepValues:
    """V at the ends of the steps of a batch, by `continuations` samples of each different prefix.

    `steps` holds each completion's, none for one that is not to be measured. `budget` bounds the
    samples of the batch: fewer are drawn from each prefix, but at least one. `generations` counts
    them. With `start`, prompts are continued too; else a completion is worth its group's mean
    reward before its first step.
    """

    def __init__(
        self,
        rollout: Rollout,
        steps: Sequence[Sequence[Step]],
        tokenizer: Any,
        continuations: int,
        budget: int,
        start: bool = False,
    ):
        self.rollout, self.steps, self.tokenizer = rollout, steps, tokenizer
        self.start = start
        # Each prefix with a completion that it stands in, whose problem its continuations answer.
        prefixes: dict[_Key, int] = {}
        for index, found in enumerate(steps):
            if start and found:
                prefixes.setdefault(self._key(index, 0), index)
            for step in found[:-1]:
                prefixes.setdefault(self._key(index, step.tokens.stop), index)
        each = max(1, min(continuations, budget // max(1, len(prefixes))))
        self.generations = each * len(prefixes)
        self._rewards = dict(zip(prefixes, self._sampled(prefixes, each), strict=True))

    def of(self, completion: int) -> list[float]:
        """V before the first step and after each one, (steps + 1,); nothing where there is none."""
        found = self.steps[completion]
        if not found:
            return [0.0]
        means = self.rewards(completion)
        inner = [sum(rewards) / len(rewards) for rewards in means]
        return [self._start(completion), *inner, float(self.rollout.rewards[completion])]

    def rewards(self, completion: int) -> list[list[float]]:
        """The rewards of the continuations behind each step but the last."""
        stops = [step.tokens.stop for step in self.steps[completion][:-1]]
        return [self._rewards[self._key(completion, stop)] for stop in stops]

    def of_start(self, completion: int) -> list[float]:
        """The rewards of the prompt's continuations; KeyError where it was not continued."""
        return self._rewards[self._key(completion, 0)]

    def _key(self, completion: int, stop: int) -> _Key:
        rollout = self.rollout
        return tuple(rollout.prompts[completion]), tuple(rollout.completions[completion][:stop])

    def _start(self, completion: int) -> float:
        if self.start:
            rewards = self.of_start(completion)
            return sum(rewards) / len(rewards)
        groups = self.rollout.groups
        own = [i for i, group in enumerate(groups) if group == groups[completion]]
        return float(self.rollout.rewards[own].mean())

    def _sampled(self, prefixes: dict[_Key, int], each: int) -> list[list[float]]:
        if not prefixes:
            return []
        wanted: list[Prefix] = [(list(prompt), list(start)) for prompt, start in prefixes]
        drawn = self.rollout.sample(wanted, each)
        texts = [
            completion_text([*start, *ids], self.tokenizer)
            for (_, start), found in zip(wanted, drawn, strict=True)
            for ids in found
        ]
        rows = [row for row in prefixes.values() for _ in range(each)]
        graded = self.rollout.grade(texts, rows)
        return [graded[place : place + each] for place in range(0, len(graded), each)]
