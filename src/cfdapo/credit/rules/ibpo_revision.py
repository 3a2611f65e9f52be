"""Partial reward for completions that a revision sets right, and credit where the revision edits.

IBPO's estimator (arXiv 2605.16302) as third parties describe it; the paper's own text could not be
read. What those notes leave open is ours: the words of the request, and the first of the siblings.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cfdapo.credit.alignment import completion_text
from cfdapo.credit.edits import unchanged
from cfdapo.credit.rule import CreditRule, Prefix, Prompt, Rollout, TokenAdvantages, TokenIds

REQUEST = (
    "{question}\n\nHere is a solution that may be wrong:\n{attempt}\n\n"
    "Here is another solution:\n{reference}\n\nWrite a corrected solution in the same form."
)
# As in the trainer, added to a group's standard deviation.
_EPSILON = 1e-4


class Rule(CreditRule):
    """A wrong y_i is revised beside a sibling, a right one if there is any; one sample each.

    s_i = rho where the revision is right; R' = R + lambda s, and A' its group's normalised R'. With
    `mask`, tokens of such a y_i that its revision keeps get 0. Where nothing was set right, all is
    DAPO's. Right means: with no less reward than that sibling, the group's best.
    """

    generates = True
    reads_rewards = True

    @dataclass(frozen=True)
    class Options:
        """rho, lam: see the rule. mask: whether only what the revision edits has credit."""

        rho: float = 0.5
        lam: float = 0.6
        mask: bool = True

    def assign(self, rollout: Rollout) -> TokenAdvantages:
        wrong = self._wrong(rollout)
        revisions = self._revise(rollout, wrong)
        texts = [completion_text(ids, self.tokenizer) for ids in revisions]
        graded = rollout.grade(texts, list(wrong)) if wrong else []
        righted = {
            i: revision
            for i, revision, reward in zip(wrong, revisions, graded, strict=True)
            if reward >= rollout.rewards[wrong[i]]
        }
        rewards = rollout.rewards.clone()
        for i in righted:
            rewards[i] += self.options.lam * self.options.rho
        base = _normalised(rollout, rewards)
        advantages = [
            float(base[i]) * self._mask(ids, righted.get(i))
            for i, ids in enumerate(rollout.completions)
        ]
        return TokenAdvantages(advantages, generations=len(wrong))

    def _wrong(self, rollout: Rollout) -> dict[int, int]:
        """Completions below their group's best reward, each with the sibling to be shown."""
        found = {}
        for members in rollout.members():
            best = max(members, key=lambda i: float(rollout.rewards[i]))
            for i in members:
                if rollout.rewards[i] < rollout.rewards[best]:
                    found[i] = best
        return found

    def _revise(self, rollout: Rollout, wrong: dict[int, int]) -> list[TokenIds]:
        requests = [self._request(rollout, i, j) for i, j in wrong.items()]
        prefixes: list[Prefix] = [(rollout.encode(request), []) for request in requests]
        return [drawn[0] for drawn in rollout.sample(prefixes, 1)] if prefixes else []

    def _request(self, rollout: Rollout, attempt: int, reference: int) -> Prompt:
        """The prompt of `attempt` with the request in place of its question, its last message."""
        prompt = rollout.rows[attempt]["prompt"]
        question = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        request = REQUEST.format(
            question=question,
            attempt=rollout.texts[attempt].strip(),
            reference=rollout.texts[reference].strip(),
        )
        if isinstance(prompt, str):
            return request
        return [*prompt[:-1], {**prompt[-1], "content": request}]

    def _mask(self, ids: TokenIds, revision: TokenIds | None) -> Tensor:
        if revision is None or not self.options.mask:
            return torch.ones(len(ids))
        return 1.0 - torch.tensor(unchanged(ids, revision), dtype=torch.float32)


def _normalised(rollout: Rollout, rewards: Tensor) -> Tensor:
    """(R' - mean) / (std + 1e-4) of each group, as the trainer has it; DAPO's where R' is R."""
    base = rollout.advantages.clone()
    for members in rollout.members():
        own = rewards[members]
        if not torch.equal(own, rollout.rewards[members]):
            base[members] = (own - own.mean()) / (own.std() + _EPSILON)
    return base
