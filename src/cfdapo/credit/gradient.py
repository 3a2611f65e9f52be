"""Every span's drop to first order from one forward and one backward pass (method "gradient")."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cfdapo.credit.interventions import Plan
from cfdapo.credit.packing import PackedPass, Segment, packed_attention
from cfdapo.credit.prefix import Forest, passes
from cfdapo.credit.scoring import Scorer, pick


def gradient_drops(
    scorer: Scorer, plans: Sequence[Plan], placeholder_id: int, token_budget: int
) -> list[tuple[Tensor, float]]:
    """Estimated drops, shape (K,), and the answer's baseline log-probability of every plan.

    D(s) ~ sum over t in s of <d log P(a | x, r) / d e_t, e(placeholder) - e_t>, where e_t is the
    token's input embedding: the first term of the Taylor series of equation 3 in the embeddings.
    """
    forest = Forest([replace(plan, contrasts=()) for plan in plans])
    embedding = scorer.model.get_input_embeddings()
    placeholder = embedding(torch.tensor([placeholder_id], device=scorer.device)).float()
    scores = torch.zeros(forest.scores, dtype=torch.float64)
    # The estimate of every token that a span could hold, by the segment it stands in.
    estimates: dict[Segment, Tensor] = {}
    vocabulary = scorer.model.config.vocab_size
    with packed_attention(scorer.model):
        for packed in passes(forest.segments, token_budget, vocabulary, scorer.device):
            embedded = embedding(packed.ids())
            gradient = _gradient(scorer, packed, embedded, scores)
            change = ((placeholder - embedded[0].float()) * gradient).sum(-1).cpu()
            for segment in packed.segments:
                begin = packed.offset(segment)
                estimates[segment] = change[begin : begin + len(segment.tokens)]
    return [
        (_spans(plan, forest.trunks[i], estimates), float(scores[forest.numbers[i][2]]))
        for i, plan in enumerate(plans)
    ]


def _gradient(scorer: Scorer, packed: PackedPass, embedded: Tensor, scores: Tensor) -> Tensor:
    """The gradient of all scores of a pass at its embeddings, (N, size); adds up the scores."""
    keep, rows, targets, into = packed.wants()
    with torch.enable_grad():
        leaf = embedded.detach().requires_grad_()
        logits = scorer.packed_logits(keep, packed, inputs_embeds=leaf)
        picked = pick(logits, rows, targets)
        # Only the embeddings' gradient is asked for: the parameters' own is left as it was.
        (gradient,) = torch.autograd.grad(picked.sum(), leaf)
    scores.index_add_(0, into, picked.detach().cpu().double())
    return gradient[0].float()


def _spans(plan: Plan, trunk: Segment, estimates: dict[Segment, Tensor]) -> Tensor:
    change = estimates[trunk]
    return torch.stack(
        [change[start - trunk.position : stop - trunk.position].sum() for start, stop in plan.spans]
    )
