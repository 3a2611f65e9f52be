"""Where a failed completion leaves what its right siblings worked out; nothing is sampled.

Process supervision without labels: `oracle` knows which line went wrong first, and here the group's
right completions stand for it. A rule of our own, from what `sibling_value` compares.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cfdapo.credit.rule import CreditRule, Rollout, TokenAdvantages, with_group_mass
from cfdapo.credit.states import steps_and_states
from cfdapo.credit.steps import spread


class Rule(CreditRule):
    """Steps up to the last state shared with a right sibling are praised, the next one is blamed.

    Right are the completions of a group whose advantage is above 0. Praise is the group's largest
    advantage, blame its smallest. The state after a step is what the completion has worked out so
    far (`credit.states`; of programs where `config.spans` is "code"); the start is shared by all. A
    right completion's steps have the praise where the state changes, and so have a failed one's, up
    to its last shared state; the first step behind that whose state changes has the blame, the last
    step where none does, as where all was worked out and the answer is another. Steps that change
    nothing, and those behind the blamed one, have 0. The last step, which states the answer, has
    the praise in right completions. With `drawn` the blamed step is drawn at random from those that
    change the state: the control that has everything of the rule but what it knows. With
    `blame_only` a failed completion has nothing but the blame: the control that asks whether the
    praise of its right steps counts. Every group's sum of |A| is DAPO's. Its praise outweighs its
    blame, as one step is blamed where several are praised, which makes the policy surer of all that
    it does; with `balanced` either is scaled to what DAPO gives of it.
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
            right = [i for i in members if rollout.advantages[i] > 0]
            ground = {state for i in right for state in states[i]}
            for i in members:
                if i in right:
                    signs = praised(states[i])
                else:
                    signs = blamed_at(states[i], self._step_to_blame(states[i], ground, rollout))
                    if self.options.blame_only:
                        signs = [min(sign, 0) for sign in signs]
                values = [praise if sign > 0 else blame if sign else 0.0 for sign in signs]
                advantages[i] = spread(steps[i], values, len(rollout.completions[i]))
        if self.options.balanced:
            advantages = _balanced(rollout, advantages)
        return TokenAdvantages(with_group_mass(rollout, advantages))

    def _step_to_blame(
        self, states: Sequence[Hashable], ground: set[Hashable], rollout: Rollout
    ) -> int:
        if not self.options.drawn:
            return departure(states, ground)
        places = [n for n, changed in enumerate(changes(states)) if changed]
        if not places:
            return len(states) - 2
        return places[int(torch.randint(len(places), (1,), generator=rollout.generator))]


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


def departure(states: Sequence[Hashable], ground: set[Hashable]) -> int:
    """The number of the first step that works something out behind the last state in `ground`.

    The last step's where there is none. `states` begins with the start and has one more than there
    are steps; `ground` holds all states of right siblings.
    """
    shared = max((n for n, state in enumerate(states) if state in ground), default=0)
    behind = [n for n, changed in enumerate(changes(states)) if changed and n >= shared]
    return behind[0] if behind else len(states) - 2


def praised(states: Sequence[Hashable]) -> list[int]:
    """1 for each step of a right completion that changes its state, and for the last; else 0."""
    return [*changes(states)[:-1], 1]


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
