"""Where a failed completion leaves what its right siblings worked out; nothing is sampled.

Process supervision without labels: `oracle` knows which line went wrong first, and here the group's
right completions stand for it. A rule of our own, from what `sibling_value` compares.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cfdapo.credit.assigner import CODE_ANSWERS, find_sink
from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, with_group_mass
from cfdapo.credit.states import steps_and_states
from cfdapo.credit.steps import Step, spread
from cfdapo.own_code import is_own

# Equal rewards have equal advantages but for rounding.
_BEST = 1 - 1e-4


class Rule(CreditRule):
    """Steps up to the last state shared with a right sibling are praised, the next one is blamed.

    Right are the completions of a group that have its largest advantage, if that is above 0. Praise
    is the group's largest advantage, blame its smallest. The state after a step is what the
    completion has worked out so far (`credit.states`; of programs where `config.spans` is "code");
    the start is shared by all. A right completion's steps have the praise where the state changes,
    and so have a failed one's, up to its last shared state; the first step behind that whose state
    changes has the blame, the answer's step where none does, as where all was worked out and the
    answer is another. Steps that change nothing, and those behind the blamed one, have 0. The
    answer's step has the praise in right completions: it is the one in which the answer begins that
    the completion states (`config.answer`; in code the last return), the last where it states none.

    Where rewards are graded, the group's best stand for right ones, however little they earned: the
    rule compares siblings and does not know what a right completion earns. The others count for as
    much as their own advantage is of the group's largest, or smallest, of its sign: their praise
    and blame are multiplied by it, and where it is 0 they have 0. One above 0 that is not the best
    is not blamed.

    With `drawn` the blamed step is drawn at random from those that change the state: the control
    that has everything of the rule but what it knows. With `blame_only` a failed completion has
    nothing but the blame: the control that asks whether the praise of its right steps counts. Every
    group's sum of |A| is DAPO's. Its praise outweighs its blame, as one step is blamed where
    several are praised, which makes the policy surer of all that it does; with `balanced` either is
    scaled to what DAPO gives of it.
    """

    keeps = "group"

    @dataclass(frozen=True)
    class Options:
        """drawn: whether the step to blame is drawn and not found. Others: see the rule."""

        drawn: bool = False
        blame_only: bool = False
        balanced: bool = False

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        steps, states = steps_and_states(rollout, self.tokenizer, self.config.spans == "code")
        advantages = [torch.zeros(len(ids)) for ids in rollout.completions]
        for members in rollout.members():
            own = rollout.advantages[members]
            praise, blame = float(own.max()), float(own.min())
            shares = {i: _share(float(rollout.advantages[i]), praise, blame) for i in members}
            ground = {state for i in members if shares[i] > _BEST for state in states[i]}
            for i in members:
                last = self._answers_step(rollout, i, steps[i])
                signs = self._signs(states[i], ground, last, shares[i], rollout)
                values = [
                    abs(shares[i]) * (praise if sign > 0 else blame) if sign else 0.0
                    for sign in signs
                ]
                advantages[i] = spread(steps[i], values, len(rollout.completions[i]))
        if self.options.balanced:
            advantages = _balanced(rollout, advantages)
        return TokenAdvantages(with_group_mass(rollout, advantages))

    def _signs(
        self,
        states: Sequence[Hashable],
        ground: set[Hashable],
        last: int,
        share: float,
        rollout: Rollout,
    ) -> list[int]:
        """1 for each of a completion's steps that is praised, -1 for the blamed one, else 0."""
        if share > _BEST:
            return praised(states, last)
        signs = blamed_at(states, self._step_to_blame(states, ground, last, rollout))
        if share >= 0:
            return [max(sign, 0) for sign in signs]
        return [min(sign, 0) for sign in signs] if self.options.blame_only else signs

    def _answers_step(self, rollout: Rollout, index: int, steps: Sequence[Step]) -> int:
        """The number of the step in which the stated answer begins, the last where none is."""
        kind = self.config.answer
        is_named = not callable(kind) and not is_own(kind)
        if is_named and (self.config.spans == "code" or kind in CODE_ANSWERS):
            kind = "returns"
        answer = find_sink(rollout.texts[index], kind, rollout.rows[index].get("function"))
        if answer is None:
            return len(steps) - 1
        return max((n for n, step in enumerate(steps) if step.start <= answer.start), default=0)

    def _step_to_blame(
        self, states: Sequence[Hashable], ground: set[Hashable], last: int, rollout: Rollout
    ) -> int:
        if not self.options.drawn:
            return departure(states, ground, last)
        places = [n for n, changed in enumerate(changes(states)) if changed]
        if not places:
            return last
        return places[int(torch.randint(len(places), (1,), generator=rollout.generator))]


def _share(advantage: float, largest: float, smallest: float) -> float:
    """An advantage as a multiple, from -1 to 1, of the group's extreme one of its sign."""
    if advantage > 0:
        return advantage / largest
    return -advantage / smallest if advantage < 0 else 0.0


def _balanced(rollout: Rollout, advantages: Sequence[Tensor]) -> list[Tensor]:
    """Advantages whose praise and blame sum, in every group, to the same as DAPO's do.

    Where DAPO's differ, as they do where right completions are longer or shorter, so do these.
    """
    balanced = list(advantages)
    for members in rollout.members():
        whole = {i: rollout.advantages[i].expand(len(rollout.completions[i])) for i in members}
        for sign in (1, -1):
            wanted = sum(float((sign * whole[i]).clamp(min=0).sum()) for i in members)
            given = sum(float((sign * advantages[i]).clamp(min=0).sum()) for i in members)
            for i in members:
                part = advantages[i] * (sign * advantages[i] > 0)
                scaled = part * (wanted / given if given else 1.0)
                balanced[i] = balanced[i] - part + scaled
    return balanced


def departure(states: Sequence[Hashable], ground: set[Hashable], last: int) -> int:
    """The number of the first step that works something out behind the last state in `ground`.

    `last`, which states the answer, where there is none. `states` begins with the start and has one
    more than there are steps; `ground` holds all states of right siblings.
    """
    shared = max((n for n, state in enumerate(states) if state in ground), default=0)
    behind = [n for n, changed in enumerate(changes(states)) if changed and n >= shared]
    return behind[0] if behind else last


def praised(states: Sequence[Hashable], last: int) -> list[int]:
    """1 for each step of a right completion that changes its state, and for `last`; else 0."""
    return [int(changed or n == last) for n, changed in enumerate(changes(states))]


def blamed_at(states: Sequence[Hashable], blamed: int) -> list[int]:
    """-1 for the step `blamed`, 1 for those before it that change the state; else 0."""
    return [
        -1 if n == blamed else int(changed and n < blamed)
        for n, changed in enumerate(changes(states))
    ]


def changes(states: Sequence[Hashable]) -> list[int]:
    """1 for each step that leaves another state than it found, and not that of no work; else 0."""
    return [
        int(after not in (before, frozenset(), ()))
        for before, after in zip(states, states[1:], strict=False)
    ]
