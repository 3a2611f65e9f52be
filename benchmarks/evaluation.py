"""Greedy evaluation as it is, against whole batches in order with transformers' growing cache.

As it is: batches of like length, which done rows leave, and a cache with room. Both generate
completions of a prepared model on the same problems, taking turns, so that a busy machine slows
both alike. `PYTHONPATH=src python benchmarks/evaluation.py --help`.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from timing import clock_of, timed
from transformers import DynamicCache

from cfdapo.files import read_jsonl, write_json
from cfdapo.policy import generation
from cfdapo.policy.generation import by_length, encode_prompts, generate, messages
from cfdapo.policy.models import load_base
from cfdapo.problems.task import get_task
from cfdapo.provenance import hardware


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a prepared model")
    parser.add_argument("--problems", type=Path, required=True, help="JSONL with questions")
    parser.add_argument("--task", default="gsm8k")
    parser.add_argument("--count", type=int, default=64, help="problems, from the first on")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=768, help="most of a completion")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, tokenizer = load_base(arguments.model)
    task = get_task(arguments.task)
    rows = read_jsonl(arguments.problems)[: arguments.count]
    prompts = encode_prompts(tokenizer, [messages(task, row) for row in rows], {})
    found = measure(model.eval(), tokenizer, prompts, arguments)
    print(json.dumps(found, indent=2))
    if arguments.json:
        write_json(arguments.json, found)


def measure(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Tokens a second of both ways, the ratio within each repeat, and what they say otherwise."""
    order = by_length(prompts, arguments.batch_size)
    by_place = [prompts[place] for place in order]
    clock = clock_of(model.device)
    speeds: dict[str, list[float]] = {"before": [], "as it is": []}
    for repeat in range(arguments.repeats):
        with as_before(arguments.tokens):
            before, seconds = timed(
                lambda: run(model, tokenizer, prompts, arguments), model.device, clock
            )
        speeds["before"].append(sum(map(len, before)) / seconds)
        after, seconds = timed(
            lambda: run(model, tokenizer, by_place, arguments), model.device, clock
        )
        speeds["as it is"].append(sum(map(len, after)) / seconds)
        now = {way: of[repeat] for way, of in speeds.items()}
        print(f"repeat {repeat + 1}, tokens a second: {now}", file=sys.stderr, flush=True)
    lengths = list(map(len, before))
    differ = sum(before[place] != ids for place, ids in zip(order, after, strict=True))
    ratios = [new / old for old, new in zip(*speeds.values(), strict=True)]
    return {
        "model": arguments.model.name,
        "problems": len(prompts),
        "batch_size": arguments.batch_size,
        "most tokens": arguments.tokens,
        "tokens": sum(lengths),
        "cut off": lengths.count(arguments.tokens),
        "seconds": "of this process's CPU" if clock is time.process_time else "as they pass",
        "tokens a second": {way: statistics.median(of) for way, of in speeds.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "completions that differ": differ,
        "threads": arguments.threads,
        "hardware": hardware(),
    }


@contextmanager
def as_before(tokens: int) -> Iterator[None]:
    """A stretch of all `tokens`, so that no row leaves, and a cache that is copied every token."""
    with (
        patch.object(generation, "STRETCH", tokens),
        patch.object(generation, "roomy_cache", lambda config: DynamicCache(config=config)),
    ):
        yield


def run(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], arguments: argparse.Namespace
) -> list[list[int]]:
    return list(generate(model, tokenizer, prompts, arguments.tokens, arguments.batch_size))


if __name__ == "__main__":
    main()
