"""What Appendix A's options save, and how far their weights agree with measuring every span."""

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from inputs import Solution, encode_prompt, encode_text, load
from scipy.stats import spearmanr
from torch import nn

from cfdapo.credit.assigner import Assignment, Credit, CreditAssigner, CreditConfig
from cfdapo.credit.proxy import Proxy

COLUMNS = ("option", "passes", "seconds", "of all", "weight corr.", "top span")


def compare_options(
    model: nn.Module, tokenizer: Any, solutions: Sequence[Solution], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """One row an option, the first of which measures every span; options take turns.

    "of all": median ratio of its seconds to the first row's. "weight corr.": Spearman's
    correlation of the spans' weights with the first row's, mean over completions with three spans
    or more; spans that an option does not measure weigh 1. "top span": how often the heaviest span
    is the first row's heaviest.
    """
    prompts = [encode_prompt(solution.question, tokenizer) for solution in solutions]
    completions = [encode_text(solution.text, tokenizer) for solution in solutions]
    assigners, read = _assigners(tokenizer, solutions, options)

    def assign(name: str) -> Assignment:
        return assigners[name].assign(
            model, prompts, completions, proxy_prompts=read if name.startswith("proxy") else None
        )

    found = {name: assign(name) for name in assigners}
    seconds: dict[str, list[float]] = {name: [] for name in assigners}
    for _ in range(options.repeats):
        for name in assigners:
            begin = time.perf_counter()
            assign(name)
            seconds[name].append(time.perf_counter() - begin)
    return [
        {
            "option": name,
            "passes": found[name].passes,
            "seconds": statistics.median(seconds[name]),
            "of all": statistics.median(
                one / other for one, other in zip(seconds[name], seconds["all"], strict=True)
            ),
            **_agreement(found["all"].credits, found[name].credits),
        }
        for name in assigners
    ]


def _assigners(
    tokenizer: Any, solutions: Sequence[Solution], options: argparse.Namespace
) -> tuple[dict[str, CreditAssigner], list[list[int]] | None]:
    """An assigner for every option, and the prompts in the proxy's tokens."""
    common = {"max_spans": options.spans, "token_budget": options.token_budget}
    configs = {"all": CreditConfig(**common)}
    configs["gradient"] = CreditConfig(**common, method="gradient")
    for select in ("longest", "arithmetic"):
        for k in options.select_k:
            configs[f"{select} {k}"] = CreditConfig(**common, select=select, select_k=k)
    assigners = {name: CreditAssigner(tokenizer, config) for name, config in configs.items()}
    if options.proxy is None:
        return assigners, None
    weights, own = load(options.proxy)
    proxy = Proxy(weights.to(options.device, getattr(torch, options.dtype)).eval(), own)
    config = CreditConfig(**common, proxy=options.proxy.name)
    assigners[f"proxy {options.proxy.name}"] = CreditAssigner(tokenizer, config, proxy)
    return assigners, [encode_prompt(s.question, proxy.tokenizer) for s in solutions]


def _agreement(exact: Sequence[Credit], other: Sequence[Credit]) -> dict[str, float]:
    correlations, top = [], []
    for one, two in zip(exact, other, strict=True):
        if len(one.tokens) < 3:
            continue
        both = [
            [float(credit.weights[tokens.start]) for tokens in one.tokens] for credit in (one, two)
        ]
        correlation = float(spearmanr(*both).statistic)
        # Equal weights for all spans rank nothing.
        correlations.append(0.0 if math.isnan(correlation) else correlation)
        top.append(both[0].index(max(both[0])) == both[1].index(max(both[1])))
    if not top:
        return {"weight corr.": math.nan, "top span": math.nan}
    return {"weight corr.": statistics.mean(correlations), "top span": statistics.mean(top)}
