"""How much the final answer's log-probability drops when a span is taken away (equation 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cfdapo.credit.gradient import gradient_drops
from cfdapo.credit.interventions import INTERVENTIONS, SINKS, DropRequest, Plan, make_plan
from cfdapo.credit.prefix import prefix_drops
from cfdapo.credit.scoring import Scorer, evaluating
from cfdapo.credit.serial import serial_drops

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
) -> Measurement:
    """Equation 3 for every span of every request: the sink's log-probability without less with it.

    `model` is a causal language model of transformers, PEFT-wrapped or not. Its training state,
    its parameters' gradients and its attention implementation are afterwards as before.

    Methods: "prefix" computes shared beginnings once (a prompt for all its completions, a
    completion for all its spans) in packed passes; "serial", the reference, runs every sequence
    on its own; "gradient" estimates "pad" on "answer" to first order and, unlike the others, keeps
    a pass's activations. A request equal to an earlier one is not measured again.

    Interventions: "pad" (the paper's: the placeholder repeated to the span's length), "delete",
    "attention" (no later token sees the span's keys; positions stay), "truncate": D =
    log P(sink | x, r before the span) - log P(sink | x, r before the span, span), negative where
    adding the step to what came before makes the sink more likely. Sinks: "answer" (the paper's)
    and "rest" (all that follows the span, up to the answer's last token; "truncate" then equals
    "delete").

    `token_budget` bounds a packed pass's tokens, unless one segment (prompt, completion or branch)
    is longer, and with it the memory for activations, keys and values.

    Raises ValueError for unknown names, an empty prompt, an empty answer, a span that is empty,
    out of range or not before the answer, and for models that a method cannot serve (sliding
    windows shorter than the sequences; for packed passes also attention soft-capping).
    """
    _check_names(method, intervention, sink)
    plans = [make_plan(request, placeholder_id, intervention, sink) for request in requests]
    distinct = list(dict.fromkeys(plan for plan in plans if plan.spans))
    scorer = Scorer(model)
    measured: dict[Plan, tuple[Tensor, float]] = {}
    if distinct:
        with evaluating(model), torch.no_grad():
            if method == "serial":
                results = [serial_drops(scorer, plan) for plan in distinct]
            elif method == "prefix":
                results = prefix_drops(scorer, distinct, token_budget)
            else:
                results = gradient_drops(scorer, distinct, placeholder_id, token_budget)
        measured = dict(zip(distinct, results, strict=True))
    nothing = torch.empty(0), float("nan")
    found = [measured.get(plan, nothing) for plan in plans]
    # Equal requests do not share a tensor that a caller might change.
    drops = [drops.clone() for drops, _ in found]
    baselines = torch.tensor([baseline for _, baseline in found])
    return Measurement(drops, baselines, scorer.passes, scorer.tokens)


def placeholder_id(tokenizer: Any) -> int:
    """The pad token's id, else the end-of-text token's; ValueError where there is neither."""
    for name in ("pad_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if token is not None:
            return int(token)
    raise ValueError("the tokenizer has neither a pad nor an end-of-text token")


def _check_names(method: str, intervention: str, sink: str) -> None:
    for name, value, allowed in (
        ("method", method, METHODS),
        ("intervention", intervention, INTERVENTIONS),
        ("sink", sink, SINKS),
    ):
        if value not in allowed:
            raise ValueError(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")
    if method == "gradient" and (intervention, sink) != ("pad", "answer"):
        raise ValueError('method "gradient" estimates intervention "pad" on sink "answer" only')


def check_model(config: Any, longest: int, method: str, intervention: str) -> None:
    """Refuse what a mask of our own would silently get wrong."""
    if method == "serial" and intervention != "attention":
        return
    window = getattr(config, "sliding_window", None)
    if window is not None and window < longest:
        raise ValueError(
            f"sequences of {longest} tokens exceed the model's sliding window of {window}; "
            'use method="serial" and another intervention than "attention"'
        )
    if method != "serial" and getattr(config, "attn_logit_softcapping", None) is not None:
        raise ValueError('the model caps its attention scores; use method="serial"')
