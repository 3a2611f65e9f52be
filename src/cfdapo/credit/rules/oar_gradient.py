"""OAR by gradients (arXiv 2601.07408): what the stated answer hangs on to first order."""

import torch
from torch import Tensor, nn

from cfdapo.credit.exactness import settle
from cfdapo.credit.reshaping import Reshaping, answers_inputs
from cfdapo.credit.rule import TokenIds
from cfdapo.credit.scoring import Scorer, embedding, pick


class Rule(Reshaping):
    """s_t = |e_t . dl/de_t|, l the mean log-probability of the answer's tokens, e_t an embedding.

    One forward and one backward pass a completion. Their code can also take the gradient of a
    divergence at embeddings with a little noise on them, as it is 0 without.
    """

    def settle(self, model: nn.Module, prompt: int, completion: int, group: int) -> None:
        settle(model, prompt + completion, "gradient", "pad")

    def sensitivities(
        self, scorer: Scorer, prompt: TokenIds, ids: TokenIds, answer: slice
    ) -> Tensor:
        read, keep, targets = answers_inputs(scorer, prompt, ids, answer)
        embedded = embedding(scorer.model)(read).detach()
        rows = torch.arange(len(keep), device=scorer.device)
        with torch.enable_grad():
            leaf = embedded.clone().requires_grad_()
            logits = scorer.logits(keep, inputs_embeds=leaf, attention_mask=torch.ones_like(read))
            # Only the embeddings' gradient is asked for: the parameters' own is left as it was.
            (gradient,) = torch.autograd.grad(pick(logits, rows, targets).mean(), leaf)
        change = (gradient[0].float() * embedded[0].float()).sum(-1).abs().cpu()
        return change[len(prompt) : len(prompt) + answer.start]
