"""Every span's drop to first order from one forward and one backward pass (method "gradient")."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cfdapo.credit.interventions import Plan
from cfdapo.credit.packing import PackedPass, Segment, packed_attention
from cfdapo.credit.prefix import Forest, passes
from cfdapo.credit.scoring import Scorer, embedding, pick


def gradient_drops(
    scorer: Scorer, plans: Sequence[Plan], placeholder_id: int, token_budget: int
) -> list[tuple[Tensor, float]]:
    """Estimated drops, shape (K,), and the answer's baseline log-probability of every plan.

    D(s) ~ sum over t in s of <d log P(a | x, r) / d e_t, e(placeholder) - e_t>, where e_t is the
    token's input embedding: the first term of the Taylor series of equation 3 in the embeddings.
    """
    forest = Forest([replace(plan, contrasts=()) for plan in plans])
    scores = torch.zeros(forest.scores, dtype=torch.float64)
    # The estimate of every token that a span could hold, by the segment it stands in.
    estimates: dict[Segment, Tensor] = {}
    with packed_attention(scorer.model):
        for packed in passes(forest.segments, token_budget, scorer.vocabulary, scorer.device):
            change = _packed_change(scorer, packed, placeholder_id, scores)
            for segment in packed.segments:
                begin = packed.offset(segment)
                estimates[segment] = change[begin : begin + len(segment.tokens)]
    return [
        (
            _of_spans(plan, estimates[forest.trunks[i]], forest.trunks[i].position),
            float(scores[forest.numbers[i][2]]),
        )
        for i, plan in enumerate(plans)
    ]


def single_gradient_drops(scorer: Scorer, plan: Plan, placeholder_id: int) -> tuple[Tensor, float]:
    """As `gradient_drops`, by a pass of this plan's sequence alone, for any model."""
    trunk = torch.tensor([plan.trunk], device=scorer.device)
    ids, targets = trunk[:, :-1], trunk[0, plan.answer_start :]
    keep = torch.arange(plan.answer_start - 1, ids.shape[1], device=scorer.device)
    rows = torch.arange(len(keep), device=scorer.device)

    def score(leaf: Tensor) -> Tensor:
        mask = torch.ones_like(ids)
        return pick(scorer.logits(keep, inputs_embeds=leaf, attention_mask=mask), rows, targets)

    change, picked = _change(scorer, ids, placeholder_id, score)
    return _of_spans(plan, change, 0), float(picked.cpu().double().sum())


def _packed_change(
    scorer: Scorer, packed: PackedPass, placeholder_id: int, scores: Tensor
) -> Tensor:
    """Every token's part in its sequence's drop, (N,), on the CPU; adds up the scores."""
    keep, rows, targets, into = packed.wants()

    def score(leaf: Tensor) -> Tensor:
        return pick(scorer.packed_logits(keep, packed, inputs_embeds=leaf), rows, targets)

    change, picked = _change(scorer, packed.ids(), placeholder_id, score)
    scores.index_add_(0, into, picked.cpu().double())
    return change


def _change(
    scorer: Scorer, ids: Tensor, placeholder_id: int, score: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """What replacing each token of one row would change to first order, (N,), and the scores."""
    embed = embedding(scorer.model)
    placeholder = embed(torch.tensor([placeholder_id], device=scorer.device)).float()
    embedded = embed(ids)
    with torch.enable_grad():
        leaf = embedded.detach().requires_grad_()
        picked = score(leaf)
        # Only the embeddings' gradient is asked for: the parameters' own is left as it was.
        (gradient,) = torch.autograd.grad(picked.sum(), leaf)
    change = ((placeholder - embedded[0].float()) * gradient[0].float()).sum(-1)
    return change.cpu(), picked.detach()


def _of_spans(plan: Plan, change: Tensor, first: int) -> Tensor:
    """The sum over each span, where `change` begins at position `first`."""
    return torch.stack([change[start - first : stop - first].sum() for start, stop in plan.spans])
