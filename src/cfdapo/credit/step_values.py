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
    them.
    """

    def __init__(
        self,
        rollout: Rollout,
        steps: Sequence[Sequence[Step]],
        tokenizer: Any,
        continuations: int,
        budget: int,
    ):
        self.rollout, self.steps, self.tokenizer = rollout, steps, tokenizer
        # Each prefix with a completion that it stands in, whose problem its continuations answer.
        prefixes: dict[_Key, int] = {}
        for index, found in enumerate(steps):
            for step in found[:-1]:
                prefixes.setdefault(self._key(index, step), index)
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
        return [self._rewards[self._key(completion, s)] for s in self.steps[completion][:-1]]

    def _key(self, completion: int, step: Step) -> _Key:
        rollout = self.rollout
        start = rollout.completions[completion][: step.tokens.stop]
        return tuple(rollout.prompts[completion]), tuple(start)

    def _start(self, completion: int) -> float:
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
