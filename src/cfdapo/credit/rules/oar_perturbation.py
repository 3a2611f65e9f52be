"""OAR by perturbations (arXiv 2601.07408): how far the answer's distribution moves with a token."""

import torch
from torch import Tensor

from cfdapo.credit.importance import placeholder_id
from cfdapo.credit.reshaping import Reshaping, answers_inputs
from cfdapo.credit.rule import TokenIds
from cfdapo.credit.scoring import LOGITS, Scorer


class Rule(Reshaping):
    """s_t = KL(p || p with the placeholder in t's place), its mean over the answer's tokens.

    p is the policy's distribution of each of the answer's tokens behind those before it. As many
    sequences a completion as there are tokens before the answer, and one, `token_budget` tokens a
    pass. (The authors' code averages the logits over the answer's tokens first.)
    """

    def sensitivities(
        self, scorer: Scorer, prompt: TokenIds, ids: TokenIds, answer: slice
    ) -> Tensor:
        read, keep, _ = answers_inputs(scorer, prompt, ids, answer)
        places = torch.arange(len(prompt), len(prompt) + answer.start, device=scorer.device)
        changed = read.repeat(len(places), 1)
        changed[torch.arange(len(places)), places] = placeholder_id(self.tokenizer)
        whole = self._log_probabilities(scorer, read, keep)
        size = max(1, self.config.token_budget // read.shape[1])
        size = max(1, min(size, LOGITS // (len(keep) * scorer.vocabulary)))
        found = [
            (whole.exp() * (whole - self._log_probabilities(scorer, rows, keep))).sum(-1).mean(-1)
            for rows in changed.split(size)
        ]
        # Rounding leaves a divergence of nothing a little below 0.
        return torch.cat(found).clamp(min=0).cpu()

    def _log_probabilities(self, scorer: Scorer, rows: Tensor, keep: Tensor) -> Tensor:
        """Of every token, at the answer's places, (rows, answer, vocabulary)."""
        logits = scorer.batch_logits(keep, input_ids=rows, attention_mask=torch.ones_like(rows))
        return torch.log_softmax(logits, dim=-1)
