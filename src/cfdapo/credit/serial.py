"""The reference that the quicker methods are held against: every sequence whole.

One at a time this is method "serial". Several at once, padded to one length, it is what stands in
for "prefix" where sequences cannot share what they have in common.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from cfdapo.credit.interventions import Branch, Plan
from cfdapo.credit.scoring import LOGITS, Scorer, hiding, pick

# A plan's number, and a continuation of its trunk that is to be scored.
_Row = tuple[int, Branch]


def serial_drops(scorer: Scorer, plan: Plan) -> tuple[Tensor, float]:
    """Drops, shape (K,), and the answer's baseline log-probability; 1 + K passes for "pad"."""
    return batched_drops(scorer, [plan], 1)[0]


def batched_drops(
    scorer: Scorer, plans: Sequence[Plan], token_budget: int
) -> list[tuple[Tensor, float]]:
    """Drops, shape (K,), and the answer's baseline log-probability of every plan.

    A pass holds sequences of at most `token_budget` tokens, padding included, or one sequence.
    """
    rows = [(number, branch) for number, plan in enumerate(plans) for branch in sequences(plan)]
    scores: dict[_Row, Tensor] = {}
    for batch in _batches(rows, plans, token_budget, max(1, LOGITS // scorer.vocabulary)):
        scores |= zip(batch, _token_scores(scorer, plans, batch), strict=True)
    return [
        _drops(plan, {branch: scores[number, branch] for branch in sequences(plan)})
        for number, plan in enumerate(plans)
    ]


def sequences(plan: Plan) -> list[Branch]:
    """What has to be run: the unchanged trunk, and every branch that differs from it."""
    sides = [side for contrast in plan.contrasts for side in (contrast.masked, contrast.kept)]
    changed = [side for side in sides if side != plan.trunk_branch(side.attach)]
    return list(dict.fromkeys([_trunk(plan), *changed]))


def length(branch: Branch) -> int:
    """How many tokens of the branch's sequence are inputs; the last one is only predicted."""
    return branch.attach + len(branch.tokens) - 1


def _trunk(plan: Plan) -> Branch:
    """The unchanged sequence, scored from the first token that any drop is about."""
    starts = (contrast.kept.attach for contrast in plan.contrasts)
    return plan.trunk_branch(min([plan.answer_start, *starts]))


def _drops(plan: Plan, scores: dict[Branch, Tensor]) -> tuple[Tensor, float]:
    first = _trunk(plan).attach
    trunk = scores[_trunk(plan)]

    def score(branch: Branch) -> Tensor:
        return scores[branch].sum() if branch in scores else trunk[branch.attach - first :].sum()

    drops = [score(contrast.masked) - score(contrast.kept) for contrast in plan.contrasts]
    return torch.stack(drops).float(), float(trunk[plan.answer_start - first :].sum())


def _batches(
    rows: Iterable[_Row], plans: Sequence[Plan], token_budget: int, logit_budget: int
) -> Iterator[list[_Row]]:
    """Rows in batches, the longest first, so that little is padding."""
    batch: list[_Row] = []
    width, kept = 0, set[int]()
    for row in sorted(rows, key=lambda row: -length(row[1])):
        wanted = kept | set(_targets(row[1]))
        size = len(batch) + 1
        if batch and (size * width > token_budget or size * len(wanted) > logit_budget):
            yield batch
            batch, wanted = [], set(_targets(row[1]))
        if not batch:
            width = length(row[1])
        batch.append(row)
        kept = wanted
    yield batch


def _targets(branch: Branch) -> range:
    """Positions of the tokens that predict those to be scored."""
    return range(branch.attach + branch.first_target - 1, length(branch))


def _token_scores(scorer: Scorer, plans: Sequence[Plan], batch: Sequence[_Row]) -> list[Tensor]:
    """Log-probability of every token of each row's sink, float64 on the CPU."""
    device = scorer.device
    branches = [branch for _, branch in batch]
    tokens = [plans[number].trunk[: branch.attach] + branch.tokens for number, branch in batch]
    # Padding stands behind the tokens, where no token sees it, and so needs no mask.
    width = max(map(length, branches))
    ids = torch.tensor([row[:-1] + (0,) * (width + 1 - len(row)) for row in tokens], device=device)
    keep = sorted({position for branch in branches for position in _targets(branch)})
    with _hidden_spans(scorer, branches):
        logits = scorer.batch_logits(
            torch.tensor(keep, device=device), input_ids=ids, attention_mask=torch.ones_like(ids)
        )
    column = {position: i for i, position in enumerate(keep)}
    found = []
    for own, row, branch in zip(logits, tokens, branches, strict=True):
        targets = _targets(branch)
        columns = torch.tensor([column[position] for position in targets], device=device)
        wanted = torch.tensor(row[targets.start + 1 :], device=device)
        found.append(pick(own[columns], torch.arange(len(columns), device=device), wanted))
    return [scores.cpu().double() for scores in found]


def _hidden_spans(scorer: Scorer, branches: Sequence[Branch]) -> AbstractContextManager[None]:
    """Hides from each row's tokens behind `attach` the keys from `visible` up to there."""
    if all(branch.visible == branch.attach for branch in branches):
        return nullcontext()
    begin = torch.tensor([branch.visible for branch in branches], device=scorer.device)
    end = torch.tensor([branch.attach for branch in branches], device=scorer.device)

    def allowed(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query < end[row]) | (key < begin[row]) | (key >= end[row])

    return hiding(scorer.model, allowed)
