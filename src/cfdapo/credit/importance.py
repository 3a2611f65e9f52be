"""How much the final answer's log-probability drops when a span is taken away (equation 3)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from cfdapo.credit.exactness import Way, model_name, settle
from cfdapo.credit.gradient import gradient_drops, single_gradient_drops
from cfdapo.credit.interventions import INTERVENTIONS, SINKS, DropRequest, Plan, make_plan
from cfdapo.credit.prefix import Forest, prefix_drops
from cfdapo.credit.scoring import PRECISIONS, Scorer, measuring
from cfdapo.credit.serial import batched_drops, length, sequences

METHODS = ("prefix", "serial", "gradient")
# On a CPU more than a few thousand tokens a pass gain nothing; a large GPU wants more.
TOKEN_BUDGET = 4096


@dataclass(frozen=True)
class Measurement:
    """The drops of a batch and what they cost.

    `drops`: a float32 tensor of shape (K,) on the CPU for every request. `baselines`: float32,
    shape (requests,), equation 5 for the unchanged completions, in nats; nan where K is 0.
    `passes`: forward passes. `tokens`: positions that they computed.
    """

    drops: list[Tensor]
    baselines: Tensor
    passes: int
    tokens: int


def measure_drops(
    model: nn.Module,
    prompt_ids: Sequence[int],
    completion_ids: Sequence[int],
    spans: Sequence[slice],
    answer: slice,
    placeholder_id: int,
    method: str = "prefix",
) -> Tensor:
    """Equation 3 for the K `spans` of one completion: float32 on the CPU, shape (K,), in nats.

    D = log P(a | x, r with the span replaced) - log P(a | x, r); negative: the span matters. Slices
    count tokens of the completion. See `measure_drops_batch` for methods and errors.
    """
    request = DropRequest(prompt_ids, completion_ids, spans, answer)
    return measure_drops_batch(model, [request], placeholder_id, method=method).drops[0]


def measure_drops_batch(
    model: nn.Module,
    requests: Sequence[DropRequest],
    placeholder_id: int,
    *,
    method: str = "prefix",
    intervention: str = "pad",
    sink: str = "answer",
    token_budget: int = TOKEN_BUDGET,
    precision: str = "policy",
) -> Measurement:
    """Equation 3 for every span of every request: the sink's log-probability without less with it.

    `model` is a causal language model of transformers, PEFT-wrapped or not. Its training state,
    its parameters' gradients and its attention implementation are afterwards as before.

    Methods: "prefix" computes shared beginnings once (a prompt for all its completions, a
    completion for all its spans) in packed passes; "serial", the reference, runs every sequence
    on its own; "gradient" estimates "pad" on "answer" to first order and, unlike the others, keeps
    a pass's activations. Where packed passes would not be exact for the model, whole sequences
    take their place, with a warning that says how many more tokens that is (see
    `credit.exactness`). A request equal to an earlier one is not measured again.

    Interventions: "pad" (the paper's: the placeholder repeated to the span's length), "delete",
    "attention" (no later token sees the span's keys; positions stay), "truncate": D =
    log P(sink | x, r before the span) - log P(sink | x, r before the span, span), negative where
    adding the step to what came before makes the sink more likely. Sinks: "answer" (the paper's)
    and "rest" (all that follows the span, up to the answer's last token; "truncate" then equals
    "delete").

    `token_budget` bounds a pass's tokens, unless one segment (prompt, completion or branch) or one
    whole sequence is longer, and with it the memory for activations, keys and values. `precision`
    "policy" computes as the model does, "float32" with float32 copies of weights of 16 bits, which
    take twice the weights' memory meanwhile: in 16 bits many a drop is rounding alone.

    Raises ValueError for unknown names, an empty prompt, an empty answer, a span that is empty,
    out of range or not before the answer, and for models that an intervention or a method cannot
    serve ("attention" where tokens go forward by more than attention; "gradient" where more is read
    of a token than its embedding).
    """
    _check_names(method, intervention, sink, precision)
    plans = [make_plan(request, placeholder_id, intervention, sink) for request in requests]
    distinct = list(dict.fromkeys(plan for plan in plans if plan.spans))
    scorer = Scorer(model)
    measured: dict[Plan, tuple[Tensor, float]] = {}
    if distinct:
        with measuring(model, precision):
            way = choose_way(model, distinct, method, intervention)
            results = measure_plans(scorer, distinct, way, method, placeholder_id, token_budget)
        measured = dict(zip(distinct, results, strict=True))
    nothing = torch.empty(0), float("nan")
    found = [measured.get(plan, nothing) for plan in plans]
    # Equal requests do not share a tensor that a caller might change.
    drops = [drops.clone() for drops, _ in found]
    baselines = torch.tensor([baseline for _, baseline in found])
    return Measurement(drops, baselines, scorer.passes, scorer.tokens)


def measure_plans(
    scorer: Scorer,
    plans: Sequence[Plan],
    way: Way,
    method: str,
    placeholder_id: int,
    token_budget: int,
) -> list[tuple[Tensor, float]]:
    """Drops, shape (K,), and the answer's baseline log-probability of every plan."""
    if method == "gradient":
        if way.name == "packed":
            return gradient_drops(scorer, plans, placeholder_id, token_budget)
        return [single_gradient_drops(scorer, plan, placeholder_id) for plan in plans]
    if way.name == "packed":
        return prefix_drops(scorer, plans, token_budget)
    return batched_drops(scorer, plans, token_budget if way.name == "batched" else 1)


# Models whose cost was told.
_told: WeakSet[nn.Module] = WeakSet()


def choose_way(model: nn.Module, plans: Sequence[Plan], method: str, intervention: str) -> Way:
    """The quickest exact way to measure `plans`; warns once where it is not the packed one.

    Raises ValueError as `credit.exactness.settle`.
    """
    way = settle(model, max(len(plan.trunk) for plan in plans), method, intervention)
    if method != "serial" and way.name != "packed" and model not in _told:
        _told.add(model)
        warnings.warn(_cost(model, plans, method, way), stacklevel=3)
    return way


def _cost(model: nn.Module, plans: Sequence[Plan], method: str, way: Way) -> str:
    if method == "gradient":
        plans = [replace(plan, contrasts=()) for plan in plans]
    packed = sum(len(segment.tokens) for segment in Forest(plans).segments)
    whole = [length(branch) for plan in plans for branch in sequences(plan)]
    how = "several at once" if way.name == "batched" and method == "prefix" else "one at a time"
    return (
        f'method "{method}" as it is would not be exact for {model_name(model)}, which '
        f"{way.reason}. Whole sequences are run instead, {how}: {len(whole) / len(plans):.3g} a "
        f"completion, {sum(whole) / packed:.1f} times as many tokens (for {len(plans)} completions "
        f"of up to {max(len(plan.trunk) for plan in plans)} tokens with up to "
        f"{max(len(plan.spans) for plan in plans)} spans)"
    )


def placeholder_id(tokenizer: Any) -> int:
    """The pad token's id, else the end-of-text token's; ValueError where there is neither."""
    for name in ("pad_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if token is not None:
            return int(token)
    raise ValueError("the tokenizer has neither a pad nor an end-of-text token")


def _check_names(method: str, intervention: str, sink: str, precision: str) -> None:
    for name, value, allowed in (
        ("method", method, METHODS),
        ("intervention", intervention, INTERVENTIONS),
        ("sink", sink, SINKS),
        ("precision", precision, PRECISIONS),
    ):
        if value not in allowed:
            raise ValueError(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")
    if method == "gradient" and (intervention, sink) != ("pad", "answer"):
        raise ValueError('method "gradient" estimates intervention "pad" on sink "answer" only')
