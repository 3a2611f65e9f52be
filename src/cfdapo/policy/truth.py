"""What every step of a policy's completions was truly worth, and what credit rules made of it."""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages
from cfdapo.credit.step_values import StepValues
from cfdapo.credit.steps import Step, find_steps, spread
from cfdapo.files import UserError
from cfdapo.policy.gradient_noise import GroupGradients, adapted_weights, differentiable
from cfdapo.policy.measured import LoadedPolicy, Problem
from cfdapo.problems.task import Row


@dataclass(frozen=True)
class _Value:
    """A share of `of` continuations that are right, in all and by halves; `of` 0 is no estimate."""

    whole: float
    halves: tuple[float, float]
    of: int = 0

    @property
    def variance(self) -> float:
        """Of the share, with a right and a wrong one added, so that no share is quite certain."""
        likely = (self.whole * self.of + 1) / (self.of + 2)
        return likely * (1 - likely) / self.of if self.of else 0.0


@dataclass(frozen=True)
class _Worth:
    """A step, and the value of its completion before and after it."""

    step: Step
    before: _Value
    after: _Value

    @property
    def advantage(self) -> float:
        return self.after.whole - self.before.whole


class TruthRecorder:
    """Measures groups of one policy: true step advantages, and the token advantages of `rules`.

    `rules` are by name, vanilla among them, which others are compared with. `continuations` is K,
    the samples of each different prefix, and `samples` the size of a group. `seed` is the
    measurement's; each batch draws by its own.
    """

    def __init__(
        self,
        policy: LoadedPolicy,
        rules: Mapping[str, CreditRule],
        continuations: int,
        samples: int,
        seed: int,
    ):
        self.policy, self.rules = policy, dict(rules)
        self.continuations, self.samples, self.seed = continuations, samples, seed

    def settle(self, prompt: int, problems: Sequence[Problem]) -> None:
        """Refuse, before anything is sampled, rules that this model or these problems do not fit.

        `prompt` is the most tokens of one. Raises `UserError` naming the rule.
        """
        for name, rule in self.rules.items():
            missing = [c for c in rule.columns if any(c not in one.row for one in problems)]
            if missing:
                raise UserError(
                    f"measurement.rules: {name} needs problems with {', '.join(missing)}, which "
                    "this task's have not"
                )
            try:
                rule.settle(self.policy.model, prompt, self.policy.longest, self.samples)
            except ValueError as error:
                raise UserError(f"measurement.rules: {name}: {error}") from error

    def record(self, problems: Sequence[Problem], first: int) -> tuple[list[Row], list[Row]]:
        """(steps, rules) of a batch of problems, the measurement's from number `first` on.

        Columns are `STEP_COLUMNS` and `RULE_COLUMNS` of `analysis.records.truth`. The first group
        of each problem is the one that measured credit is of; the second is for the gradient alone.
        """
        # As `measure_credit` seeds it.
        groups = self.policy.groups(problems, self.samples, self.seed * 1_000_003 + first)
        twins = self.policy.groups(problems, self.samples, self._seed(first, "twins"))
        given, costs, of_twins = {}, {}, {}
        for name, rule in self.rules.items():
            # Before those whose time counts, as what comes first is also checked and warms up.
            purpose = f"{name} of twins"
            of_twins[name], _ = self._assign(rule, twins, groups, self._seed(first, purpose))
            given[name], costs[name] = self._assign(rule, groups, twins, self._seed(first, name))
        values = self._values(groups, first)
        steps = [
            row
            for index, own in enumerate(values)
            if own
            for row in self._completion(groups, first, index, own, given)
        ]
        rules = self._rules((groups, twins), first, (given, of_twins), values, costs)
        return steps, rules

    def _seed(self, first: int, purpose: str) -> int:
        """Of what is drawn for one purpose, whatever else is measured."""
        text = f"{self.seed} {first} {purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])

    def _assign(
        self, rule: CreditRule, rollout: Rollout, before: Rollout, seed: int
    ) -> tuple[TokenAdvantages, dict[str, float]]:
        """What `rule` gives, and its costs; a rule that learns has seen the batch `before` alone.

        So it is the same whichever batches were measured before an interruption.
        """
        if rule.learns:
            rule.load_state({})
            rule(before)
        torch.manual_seed(seed)
        rollout.generator.manual_seed(seed)
        began = time.perf_counter()
        given = rule(rollout)
        cost = {"passes": given.passes, "generations": given.generations}
        return given, cost | {"seconds": time.perf_counter() - began}

    # Steps.

    def _values(self, rollout: Rollout, first: int) -> list[list[_Worth]]:
        """Each completion's steps with their values; none for those that teach nothing."""
        active = rollout.active()
        steps = [
            find_steps(text, ids, self.policy.tokenizer) if taught else []
            for text, ids, taught in zip(rollout.texts, rollout.completions, active, strict=True)
        ]
        torch.manual_seed(self._seed(first, "truth"))
        size = self.continuations * sum(len(found) + 1 for found in steps)
        drawn = StepValues(
            rollout, steps, self.policy.tokenizer, self.continuations, max(1, size), start=True
        )
        found = []
        for index, own in enumerate(steps):
            values: list[_Value] = []
            if own:
                reward = float(rollout.rewards[index])
                values = [*map(_estimated, [drawn.of_start(index), *drawn.rewards(index)])]
                values.append(_Value(reward, (reward, reward)))
            found.append([_Worth(*one) for one in zip(own, values, values[1:], strict=False)])
        return found

    def _completion(
        self,
        rollout: Rollout,
        first: int,
        index: int,
        values: Sequence[_Worth],
        given: Mapping[str, TokenAdvantages],
    ) -> list[Row]:
        name = completion_name(first, index, self.samples)
        verdicts = self._verdicts(rollout, index, [one.step for one in values])
        return [
            {
                "completion": name,
                "problem": rollout.rows[index]["id"],
                "step": number,
                "token_start": one.step.tokens.start,
                "token_end": one.step.tokens.stop,
                "correct": float(rollout.rewards[index]) == 1,
                "first_wrong": verdict,
                "value_before": one.before.whole,
                "value_after": one.after.whole,
                "advantage": one.advantage,
                "error": math.sqrt(one.before.variance + one.after.variance),
                "halves": [b - a for a, b in zip(one.before.halves, one.after.halves, strict=True)],
                "rules": {
                    rule: _on_step(own.advantages[index][one.step.tokens])
                    for rule, own in given.items()
                },
            }
            for number, (one, verdict) in enumerate(zip(values, verdicts, strict=True))
        ]

    def _verdicts(self, rollout: Rollout, index: int, steps: Sequence[Step]) -> list[bool | None]:
        """Whether each step is the first wrong line; None where nobody knows."""
        judge = self.policy.task.judge
        if judge is None:
            return [None] * len(steps)
        lines = [rollout.texts[index][step.start : step.end] for step in steps]
        return [verdict is False for verdict in judge(rollout.rows[index], lines)]

    # Rules.

    def _rules(
        self,
        rollouts: tuple[Rollout, Rollout],
        first: int,
        given: tuple[Mapping[str, TokenAdvantages], Mapping[str, TokenAdvantages]],
        values: Sequence[Sequence[_Worth]],
        costs: Mapping[str, Mapping[str, float]],
    ) -> list[Row]:
        rows = []
        truth = [
            spread([one.step for one in own], [one.advantage for one in own], len(ids))
            for own, ids in zip(values, rollouts[0].completions, strict=True)
        ]
        members = rollouts[0].members()
        weights = adapted_weights(self.policy.model)
        for number, own in enumerate(members):
            right = int(rollouts[0].rewards[own].sum())
            common = {"group": first + number, "problem": rollouts[0].rows[own[0]]["id"]}
            common |= {"completions": len(own), "right": right}
            with differentiable(weights):
                known = truth if values[own[0]] else None
                gradients = GroupGradients(self.policy.model, rollouts, own, known)
                for rule in self.rules:
                    pair = [one[rule].advantages for one in given]
                    row = {"rule": rule, "mass": sum(_mass(one, own) for one in pair)}
                    row |= asdict(gradients.noise(pair))
                    shared = {key: value / len(members) for key, value in costs[rule].items()}
                    rows.append(common | row | shared)
        return rows


def completion_name(first: int, index: int, samples: int) -> str:
    """The id of a batch's completion, as measured credit has it; `first` is its first problem."""
    return f"sampled-{first + index // samples}-{index % samples}"


def _estimated(rewards: Sequence[float]) -> _Value:
    middle = len(rewards) // 2
    halves = [sum(half) / len(half) for half in (rewards[:middle], rewards[middle:])]
    return _Value(sum(rewards) / len(rewards), (halves[0], halves[1]), len(rewards))


def _on_step(advantages: Any) -> dict[str, float]:
    exact = advantages.double()
    # Rounded to float32, as equal advantages must not differ by how many tokens a step has.
    mean = float(exact.mean().float()) if len(exact) else 0.0
    return {"sum": float(exact.sum()), "mean": mean, "mass": float(exact.abs().sum())}


def _mass(advantages: Sequence[Any], members: Sequence[int]) -> float:
    return sum(float(advantages[index].abs().sum()) for index in members)
