"""The drops of the same spans by several interventions and sinks, each completion read once."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from cfdapo.credit.crosscheck import Crosscheck, crosscheck
from cfdapo.credit.exactness import Way
from cfdapo.credit.importance import TOKEN_BUDGET, choose_way, measure_plans
from cfdapo.credit.interventions import DropRequest, Plan, make_plan
from cfdapo.credit.scoring import Scorer, measuring

# An intervention and a sink.
Combination = tuple[str, str]


def measure_combinations(
    model: nn.Module,
    requests: Sequence[DropRequest],
    placeholder_id: int,
    combinations: Sequence[Combination],
    token_budget: int = TOKEN_BUDGET,
    precision: str = "policy",
) -> list[dict[Combination, Tensor]]:
    """Drops by combination for every request, as `measure_drops_batch` by "prefix" has them, (K,).

    A prompt and a completion are read once for all combinations, and a changed completion that two
    of them share once for both. Names and errors are `measure_drops_batch`'s.
    """
    if not combinations or not requests:
        return [{} for _ in requests]
    plans = [_merged(request, placeholder_id, combinations) for request in requests]
    scorer = Scorer(model)
    with measuring(model, precision):
        way = _choose_way(model, plans, combinations)
        measured = measure_plans(scorer, plans, way, "prefix", placeholder_id, token_budget)
    return [
        dict(zip(combinations, drops.split(len(request.spans)), strict=True))
        if request.spans
        else {combination: torch.empty(0) for combination in combinations}
        for request, (drops, _) in zip(requests, measured, strict=True)
    ]


def settle_combinations(
    model: nn.Module,
    request: DropRequest,
    placeholder_id: int,
    combinations: Sequence[Combination],
    precision: str = "policy",
) -> None:
    """Choose how to measure requests as large as `request`; warnings and errors as in measuring."""
    if combinations:
        plan = _merged(request, placeholder_id, combinations)
        with measuring(model, precision):
            _choose_way(model, [plan], combinations)


def crosscheck_combinations(
    model: nn.Module,
    request: DropRequest,
    placeholder_id: int,
    combinations: Sequence[Combination],
    token_budget: int = TOKEN_BUDGET,
    precision: str = "policy",
) -> Crosscheck:
    """Measure one completion by all combinations twice (see `credit.crosscheck`)."""
    plan = _merged(request, placeholder_id, combinations)
    with measuring(model, precision):
        way = _choose_way(model, [plan], combinations)
        return crosscheck(model, plan, way, "prefix", placeholder_id, token_budget)


def _choose_way(
    model: nn.Module, plans: Sequence[Plan], combinations: Sequence[Combination]
) -> Way:
    """The way that is exact for every intervention; ValueError where one has none."""
    interventions = dict.fromkeys(intervention for intervention, _ in combinations)
    ways = [choose_way(model, plans, "prefix", intervention) for intervention in interventions]
    return ways[-1]


def _merged(request: DropRequest, placeholder_id: int, combinations: Sequence[Combination]) -> Plan:
    """One plan with the contrasts of all combinations, those of the first in front."""
    plans = [make_plan(request, placeholder_id, *combination) for combination in combinations]
    contrasts = tuple(contrast for plan in plans for contrast in plan.contrasts)
    return replace(plans[0], spans=plans[0].spans * len(plans), contrasts=contrasts)
