"""A diagnostic: what a drop becomes when padding behind the answer is scored as well.

Equation 5 scores the answer's tokens. An implementation that sums up to the width of a padded batch
and masks nothing scores the padding too; how much that adds is seen by doing it on purpose.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cfdapo.credit.interventions import DropRequest
from cfdapo.credit.scoring import Scorer, evaluating, pick


def padded_drops(
    model: nn.Module, request: DropRequest, placeholder_id: int, padding: Sequence[int]
) -> dict[int, Tensor]:
    """Number of pads -> drops of intervention "pad" with that many pads scored, (K,), in nats.

    The score is the log-probability of the answer's tokens, of all that follows it in the
    completion, end-of-text included, and of the pads (`placeholder_id`) behind that; no attention
    mask hides the pads. A drop is the masked score less the unchanged one, as in equation 3. With 0
    pads it still scores what follows the answer. One pass a sequence, for all numbers of pads.
    """
    rows = [_row(request, placeholder_id, span, max(padding)) for span in (None, *request.spans)]
    first = len(request.prompt_ids) + request.answer.start
    end = len(request.prompt_ids) + len(request.completion_ids)
    scorer = Scorer(model)
    with evaluating(model), torch.no_grad():
        sums = torch.stack([_running_sum(scorer, row, first) for row in rows])
    found = sums[:, [end - first + count - 1 for count in padding]]
    return {
        count: (found[1:, column] - found[0, column]).float()
        for column, count in enumerate(padding)
    }


def _row(request: DropRequest, placeholder_id: int, span: slice | None, pads: int) -> list[int]:
    """The prompt, the completion with `span` replaced, and the pads."""
    completion = list(map(int, request.completion_ids))
    if span is not None:
        completion[span] = [placeholder_id] * (span.stop - span.start)
    return [*map(int, request.prompt_ids), *completion, *([placeholder_id] * pads)]


def _running_sum(scorer: Scorer, row: list[int], first: int) -> Tensor:
    """Log-probability of ``row[first:]`` up to each of its tokens, float64 on the CPU."""
    ids = torch.tensor([row], device=scorer.device)
    keep = torch.arange(first - 1, len(row) - 1, device=scorer.device)
    logits = scorer.logits(keep, input_ids=ids[:, :-1], attention_mask=torch.ones_like(ids[:, :-1]))
    scores = pick(logits, torch.arange(len(keep), device=scorer.device), ids[0, first:])
    return scores.cpu().double().cumsum(0)
