"""What the drops cost: serial, batched, prefix and gradient on the same completions, in one run.

Without --model a small random Qwen3 and random tokens; with it a model folder (or a folder with a
GGUF file) and the reference solutions of --data, rows with "question" and "solution" (or GSM8K's
own "answer"). Methods take turns within every repeat, so that a busy machine slows all alike.
"""

import argparse
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from cfdapo.credit.alignment import to_tokens
from cfdapo.credit.importance import (
    TOKEN_BUDGET,
    DropRequest,
    Measurement,
    measure_drops_batch,
    placeholder_id,
)
from cfdapo.credit.spans import find_answer, find_spans

COLUMNS = ("method", "passes", "tokens", "seconds", "speed-up", "max diff", "rank corr.")


def main() -> None:
    """Measure, print a table and, when asked, write the rows as JSON."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    model, placeholder, requests = prepare(options)
    model = model.to(options.device, getattr(torch, options.dtype)).eval()
    methods: dict[str, Callable[[], Measurement]] = {
        "serial": lambda: measure(model, requests, placeholder, "serial", options.token_budget),
        "batched": lambda: batched(model, requests, placeholder, options.token_budget),
        "prefix": lambda: measure(model, requests, placeholder, "prefix", options.token_budget),
        "gradient": lambda: measure(model, requests, placeholder, "gradient", options.token_budget),
    }
    rows = compare(methods, options.repeats, options.device)
    summary = describe(options, model, requests)
    print(", ".join(f"{key} {value}" for key, value in summary.items()))
    print("  ".join(f"{name:>10}" for name in COLUMNS))
    for row in rows:
        print("  ".join(f"{_show(row[name]):>10}" for name in COLUMNS))
    if options.json:
        options.json.write_text(json.dumps({**summary, "rows": rows}, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="model folder; default: a random tiny Qwen3")
    parser.add_argument("--data", type=Path, help="JSON lines with questions and solutions")
    parser.add_argument("--completions", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=4, help="prompts they are spread over")
    parser.add_argument("--spans", type=int, default=6, help="most spans a completion")
    parser.add_argument("--least-spans", type=int, default=1, help="pass over shorter solutions")
    parser.add_argument("--length", type=int, default=70, help="tokens of a random completion")
    parser.add_argument("--prompt-length", type=int, default=60, help="of a random prompt")
    parser.add_argument("--token-budget", type=int, default=TOKEN_BUDGET)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    if bool(options.model) != bool(options.data):
        parser.error("--model and --data go together")
    return options


def prepare(options: argparse.Namespace) -> tuple[nn.Module, int, list[DropRequest]]:
    """The model, the placeholder's id and the completions to measure."""
    if options.model is None:
        torch.manual_seed(options.seed)
        return random_model(), 0, random_requests(options)
    gguf = next(options.model.glob("*.gguf"), None)
    source = {"gguf_file": gguf.name} if gguf else {}
    tokenizer = AutoTokenizer.from_pretrained(options.model, **source)
    model = AutoModelForCausalLM.from_pretrained(options.model, **source)
    return model, placeholder_id(tokenizer), real_requests(options, tokenizer)


def random_model() -> nn.Module:
    """A Qwen3 of 0.3 million parameters."""
    config = Qwen3Config(
        vocab_size=512,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=24,
        initializer_range=0.1,
    )
    return Qwen3ForCausalLM(config)


def random_requests(options: argparse.Namespace) -> list[DropRequest]:
    """Completions of about --length tokens that consist of spans and a three-token answer."""
    generator = random.Random(options.seed)

    def ids(length: int) -> list[int]:
        return [generator.randrange(1, 512) for _ in range(length)]

    prompts = [ids(options.prompt_length) for _ in range(options.prompts)]
    requests = []
    for i in range(options.completions):
        length = options.length + generator.randint(-options.length // 8, options.length // 8)
        edges = [k * (length - 5) // options.spans for k in range(options.spans + 1)]
        spans = [slice(begin, end - 1) for begin, end in zip(edges, edges[1:], strict=False)]
        answer = slice(length - 4, length - 1)
        requests.append(DropRequest(prompts[i % options.prompts], ids(length), spans, answer))
    return requests


def real_requests(options: argparse.Namespace, tokenizer: Any) -> list[DropRequest]:
    """Reference solutions, each behind its own question or, with fewer --prompts, a shared one.

    A group of solutions behind one prompt has a rollout's shape: one prompt, different completions.
    """
    lines = options.data.read_text(encoding="utf-8").splitlines()
    prompts, requests = [], []
    for row in map(json.loads, lines):
        message = [{"role": "user", "content": row["question"]}]
        if len(prompts) < options.prompts:
            prompts.append(
                tokenizer.apply_chat_template(message, add_generation_prompt=True)["input_ids"]
            )
        text = re.sub(r"<<.*?>>", "", row.get("solution") or row["answer"])
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        spans, answer = find_spans(text, options.spans), find_answer(text)
        if len(spans) < options.least_spans or answer is None:
            continue
        *tokens, answer_tokens = to_tokens([*spans, answer], ids, tokenizer)
        prompt = prompts[len(requests) % options.prompts]
        requests.append(DropRequest(prompt, ids, tokens, answer_tokens))
        if len(requests) == options.completions:
            break
    return requests


def measure(
    model: nn.Module,
    requests: Sequence[DropRequest],
    placeholder: int,
    method: str,
    token_budget: int,
) -> Measurement:
    """The package's own method."""
    return measure_drops_batch(
        model, requests, placeholder, method=method, token_budget=token_budget
    )


@torch.no_grad()
def batched(
    model: nn.Module, requests: Sequence[DropRequest], placeholder: int, token_budget: int
) -> Measurement:
    """Whole sequences of similar length, padded into batches (Appendix A, first improvement)."""
    rows, first = [], []
    for request in requests:
        prompt = list(request.prompt_ids)
        whole = prompt + list(request.completion_ids)[: request.answer.stop]
        rows.append(whole)
        for span in request.spans:
            start, stop = len(prompt) + span.start, len(prompt) + span.stop
            rows.append(whole[:start] + [placeholder] * (stop - start) + whole[stop:])
        first += [len(prompt) + request.answer.start] * (1 + len(request.spans))
    scores = torch.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    passes = tokens = 0
    while order:
        width = len(rows[order[0]])
        size = max(1, token_budget // width)
        chunk, order = order[:size], order[size:]
        ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in chunk])
        keep = torch.zeros(ids.shape, dtype=torch.bool)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(chunk):
            keep[row, first[i] - 1 : len(rows[i]) - 1] = True
            mask[row, : len(rows[i])] = 1
        targets = ids.roll(-1, 1)[keep].to(model.device)
        logits = model(
            ids.to(model.device), attention_mask=mask.to(model.device), logits_to_keep=keep
        ).logits.float()
        picked = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(-1)
        owner = torch.tensor(chunk).repeat_interleave(keep.sum(1))
        scores.index_add_(0, owner, picked.cpu())
        passes, tokens = passes + 1, tokens + ids.numel()
    drops, baselines, begin = [], [], 0
    for request in requests:
        own = scores[begin : begin + 1 + len(request.spans)]
        drops.append(own[1:] - own[0])
        baselines.append(own[0])
        begin += len(own)
    return Measurement(drops, torch.stack(baselines), passes, tokens)


def compare(
    methods: dict[str, Callable[[], Measurement]], repeats: int, device: str
) -> list[dict[str, Any]]:
    """One row a method: cost, speed and agreement with the first, the reference."""
    found = {name: method() for name, method in methods.items()}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    memory = dict.fromkeys(methods, 0)
    for _ in range(repeats):
        for name, method in methods.items():
            if device != "cpu":
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            begin = time.perf_counter()
            method()
            if device != "cpu":
                torch.cuda.synchronize()
                memory[name] = torch.cuda.max_memory_allocated() - before
            seconds[name].append(time.perf_counter() - begin)
    reference = next(iter(methods))
    exact = torch.cat(found[reference].drops)
    rows = []
    for name, result in found.items():
        drops = torch.cat(result.drops)
        # The median of the repeats' own ratios: both sides of each were taken side by side.
        ratios = [a / b for a, b in zip(seconds[reference], seconds[name], strict=True)]
        rows.append(
            {
                "method": name,
                "passes": result.passes,
                "tokens": result.tokens,
                "seconds": statistics.median(seconds[name]),
                "speed-up": statistics.median(ratios),
                "max diff": float((drops - exact).abs().max()),
                "rank corr.": float(spearmanr(drops, exact).statistic),
                "rank corr. within completions": _within(result.drops, found[reference].drops),
                "peak bytes": memory[name],
            }
        )
    return rows


def _within(drops: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """Mean over completions with three spans or more of Spearman's correlation."""
    pairs = [(one, other) for one, other in zip(drops, exact, strict=True) if len(one) > 2]
    return statistics.mean(float(spearmanr(one, other).statistic) for one, other in pairs)


def describe(
    options: argparse.Namespace, model: nn.Module, requests: Sequence[DropRequest]
) -> dict[str, Any]:
    """What was measured on."""
    return {
        "model": options.model.name if options.model else "random",
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "prompts": len({tuple(request.prompt_ids) for request in requests}),
        "completions": len(requests),
        "spans": sum(len(request.spans) for request in requests),
        "prompt tokens": round(statistics.mean(len(r.prompt_ids) for r in requests)),
        "completion tokens": round(statistics.mean(r.answer.stop for r in requests)),
        "device": options.device,
        "dtype": options.dtype,
        "threads": options.threads,
        "token budget": options.token_budget,
        "repeats": options.repeats,
    }


def _show(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
