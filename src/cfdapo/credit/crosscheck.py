"""A run's first completion measured twice, by the run's own way and by the reference.

Whatever the class of a model: what neither its code nor a trial with a few tokens shows, this does,
before anything is learned from it. It costs one completion, once a process.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfdapo.credit.exactness import SINGLE, Way, model_name
from cfdapo.credit.importance import measure_plans
from cfdapo.credit.interventions import Plan
from cfdapo.credit.scoring import Scorer, dtype_of
from cfdapo.files import UserError

# How far the two may be apart, in nats and as a part of the largest drop or log-probability: in
# float32, where up to 1e-4 was seen, and in 16 bits, where two nats may be rounding.
_ALLOWED = ((1e-3, 1e-3), (1.5, 0.1))


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
    # As one of a group of two, so that packed passes share what they share in a run.
    group = [plan, plan] if way.name == "packed" else [plan]
    how = method, placeholder_id, token_budget
    found = [_numbers(one) for one in measure_plans(scorer, group, way, *how)]
    expected = _numbers(measure_plans(scorer, [plan], SINGLE, *how)[0])
    nats, part = _ALLOWED[dtype_of(model).itemsize < 4]
    check = Crosscheck(
        float((torch.stack(found) - expected).abs().max()),
        nats + part * float(expected.abs().max()),
        scorer.passes,
        scorer.tokens,
        time.perf_counter() - began,
    )
    # Also true where one of them is not a number.
    if not check.difference <= check.allowed:
        raise UserError(
            f"credit.method: {method} differs from serial by {check.difference:.3g} nats in the "
            f"first completion of {model_name(model)}, where rounding explains "
            f"{check.allowed:.1g}; use method serial, and report this"
        )
    return check


def _numbers(measured: tuple[Tensor, float]) -> Tensor:
    """The drops, and the answer's log-probability behind them."""
    drops, score = measured
    return torch.cat([drops, torch.tensor([score])])
