"""The reference that the quicker methods are held against: one full, unbatched pass a sequence."""

import torch
from torch import Tensor

from cfdapo.credit.interventions import Branch, Plan
from cfdapo.credit.scoring import Scorer, pick


def serial_drops(scorer: Scorer, plan: Plan) -> tuple[Tensor, float]:
    """Drops, shape (K,), and the answer's baseline log-probability; 1 + K passes for "pad"."""
    first = min([plan.answer_start, *(contrast.kept.attach for contrast in plan.contrasts)])
    trunk = _token_scores(scorer, plan.trunk, plan.trunk_branch(first))

    def score(branch: Branch) -> Tensor:
        if branch == plan.trunk_branch(branch.attach):
            return trunk[branch.attach - first :].sum()
        return _token_scores(scorer, plan.trunk, branch).sum()

    drops = [score(contrast.masked) - score(contrast.kept) for contrast in plan.contrasts]
    return torch.stack(drops).float(), float(trunk[plan.answer_start - first :].sum())


def _token_scores(scorer: Scorer, trunk: tuple[int, ...], branch: Branch) -> Tensor:
    """Log-probability of every token of the branch's sink, float64 on the CPU."""
    row = trunk[: branch.attach] + branch.tokens
    first = branch.attach + branch.first_target
    ids = torch.tensor([row], device=scorer.device)
    # The last token is only predicted, never an input.
    keep = torch.arange(first - 1, len(row) - 1, device=scorer.device)
    mask = torch.ones_like(ids[:, :-1])
    if branch.visible < branch.attach:
        sees = torch.ones((1, len(row) - 1, len(row) - 1), dtype=torch.bool, device=scorer.device)
        sees.tril_()[:, branch.attach :, branch.visible : branch.attach] = False
        mask = scorer.mask(sees)
    logits = scorer.logits(keep, input_ids=ids[:, :-1], attention_mask=mask)
    rows = torch.arange(len(keep), device=scorer.device)
    return pick(logits, rows, ids[0, first:]).cpu().double()
