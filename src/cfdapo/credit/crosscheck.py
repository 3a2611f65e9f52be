"""A run's first completion measured twice, by the run's own way and by the reference.

Whatever the class of a model: what neither its code nor a trial with a few tokens shows, this does,
before anything is learned from it. It costs one completion, once a process.
"""

import time
from dataclasses import dataclass

import torch
from torch import nn

from cfdapo.credit.exactness import SINGLE, Way, model_name
from cfdapo.credit.importance import measure_plans
from cfdapo.credit.interventions import Plan
from cfdapo.credit.scoring import Scorer
from cfdapo.files import UserError

# How far the two may be apart, in nats and as a part of the larger of the largest drop and the
# answer's own log-probability: in float32, and in 16 bits. docs/architectures.md has what was seen.
_ALLOWED = ((1e-3, 1e-3), (0.5, 0.05))


@dataclass(frozen=True)
class Crosscheck:
    """What the comparison found and cost: `difference` and `allowed` in nats."""

    difference: float
    allowed: float
    passes: int
    tokens: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"first completion measured twice: the two ways differ by {self.difference:.1e} nats "
            f"({self.allowed:.1e} allowed); this took {self.passes} passes, {self.tokens} tokens "
            f"and {self.seconds:.1f} s"
        )


def crosscheck(
    model: nn.Module, plan: Plan, way: Way, method: str, placeholder_id: int, token_budget: int
) -> Crosscheck:
    """Measure `plan` by `way` and one whole sequence at a time; to be called while `measuring`.

    Raises `UserError` where drops, or the answer's log-probabilities, differ by more than rounding.
    """
    began = time.perf_counter()
    scorer = Scorer(model)
    own, reference = (
        measure_plans(scorer, [plan], tried, method, placeholder_id, token_budget)[0]
        for tried in (way, SINGLE)
    )
    one, other = (torch.cat([drops, torch.tensor([score])]) for drops, score in (own, reference))
    nats, part = _ALLOWED[model.dtype.itemsize < 4]
    found = Crosscheck(
        float((one - other).abs().max()),
        nats + part * float(other.abs().max()),
        scorer.passes,
        scorer.tokens,
        time.perf_counter() - began,
    )
    # Also true where one of them is not a number.
    if not found.difference <= found.allowed:
        raise UserError(
            f"credit.method: {method} differs from serial by {found.difference:.3g} nats in the "
            f"first completion of {model_name(model)}, where rounding explains "
            f"{found.allowed:.1g}; use method serial, and report this"
        )
    return found
