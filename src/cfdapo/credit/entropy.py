"""How uncertain a policy was of each token that it drew."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cfdapo.credit.scoring import Scorer, evaluating


def token_entropies(
    model: Any, prompt: Sequence[int], completion: Sequence[int], temperature: float
) -> Tensor:
    """Entropy, in nats, of the distribution that each token was drawn from, (T,), float32.

    At the sampling temperature, as the trainer logs it, and over the whole vocabulary.
    """
    scorer = Scorer(model)
    ids = torch.tensor([[*prompt, *completion]], device=scorer.device)
    keep = torch.arange(len(prompt) - 1, ids.shape[1] - 1, device=scorer.device)
    with evaluating(model), torch.no_grad():
        logits = scorer.logits(keep, input_ids=ids[:, :-1]) / temperature
        logs = torch.log_softmax(logits, dim=-1)
        return -(logs.exp() * logs).sum(-1).cpu()
