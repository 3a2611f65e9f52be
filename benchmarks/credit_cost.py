"""What the drops cost: serial, batched, prefix and gradient on the same completions, in one run.

Without --model a random model of --shape and random tokens, of every length in --lengths; with it
a model folder (or a folder with a GGUF file) and the reference solutions of --data, rows with
"question" and "solution" (or GSM8K's own "answer"), joined to every length in --lengths where it is
given. Methods take turns within every repeat, so that a busy machine slows all alike. --memory adds
each method's peak, --step the generation and the LoRA update beside it; with --model and no
--lengths a second table has Appendix A's options.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from floor import floor
from inputs import (
    SHORTEST,
    Solution,
    load,
    long_solutions,
    random_requests,
    read_solutions,
    real_requests,
    warm_up_request,
)
from memory import peak_growth, peak_in_child
from methods import METHODS, compare, run
from options import COLUMNS as OPTION_COLUMNS
from options import compare_options
from shapes import SHAPES, shaped_model
from step import as_trained, time_step
from torch import nn

from cfdapo.credit.importance import TOKEN_BUDGET, DropRequest, placeholder_id
from cfdapo.files import write_json
from cfdapo.provenance import environment, hardware

COLUMNS = (
    *("method", "passes", "tokens", "seconds", "speed-up", "over floor", "max diff"),
    *("rank corr.", "within"),
)
MIB = 2**20


def main() -> None:
    """Measure, print tables and, when asked, write the rows as JSON."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    if options.peak_of:
        print(measure_peak(options))
        return
    if options.model:
        found = [measure_real(options, length) for length in options.lengths or [0]]
    else:
        found = [measure_random(options, length) for length in options.lengths or [100]]
    if options.json:
        made = {"date": date.today().isoformat(), "hardware": hardware(), **environment()}
        write_json(options.json, {**made, "measurements": found})


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="model folder; default: a random model")
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="of a random model")
    parser.add_argument("--data", type=Path, help="JSON lines with questions and solutions")
    parser.add_argument("--completions", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=4, help="prompts they are spread over")
    parser.add_argument("--spans", type=int, default=6, help="most spans a completion")
    parser.add_argument("--least-spans", type=int, default=1, help="pass over shorter solutions")
    parser.add_argument(
        "--lengths", type=int, nargs="+", help="tokens of completions (default: 100, or as it is)"
    )
    parser.add_argument("--prompt-length", type=int, default=60, help="of a random prompt")
    parser.add_argument("--token-budget", type=int, default=TOKEN_BUDGET)
    parser.add_argument("--memory", action="store_true", help="peak memory, a process a method")
    parser.add_argument("--step", action="store_true", help="time generation and update as well")
    parser.add_argument("--batch", type=int, default=16, help="completions a pass of the update")
    parser.add_argument(
        "--select-k", type=int, nargs="+", default=[3], help="spans that selection leaves"
    )
    parser.add_argument("--proxy", type=Path, help="model folder of a proxy to compare")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows here")
    # Set by this script for its own child processes.
    parser.add_argument("--peak-of", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if bool(options.model) != bool(options.data):
        parser.error("--model and --data go together")
    if options.proxy and not options.model:
        parser.error("--proxy needs --model and --data")
    return options


def measure_random(options: argparse.Namespace, length: int) -> dict[str, Any]:
    """Tables for random completions of about `length` tokens."""
    model = make_random_model(options)
    requests = random_of(options, length, model)
    return report(options, model, requests, 0, [*sys.argv[1:], "--lengths", str(length)])


def measure_real(options: argparse.Namespace, length: int) -> dict[str, Any]:
    """Tables for reference solutions, as they are or joined to `length` tokens."""
    model, tokenizer = load(options.model)
    model = prepared(model, options)
    solutions = real_solutions(options, tokenizer, length)
    requests = real_requests(solutions, options, tokenizer)
    arguments = [*sys.argv[1:], *(["--lengths", str(length)] if length else [])]
    result = report(options, model, requests, placeholder_id(tokenizer), arguments)
    if not length:
        result["options"] = compare_options(model, tokenizer, solutions, options)
        print_table(result["options"], OPTION_COLUMNS)
    return result


def real_solutions(options: argparse.Namespace, tokenizer: Any, length: int) -> list[Solution]:
    """As many as --completions, as they are or joined to `length` tokens."""
    if not length:
        return read_solutions(options, options.completions)
    solutions = read_solutions(options, options.completions * (1 + length // SHORTEST))
    return long_solutions(solutions, options.completions, options.prompts, tokenizer, length)


def random_of(options: argparse.Namespace, length: int, model: nn.Module) -> list[DropRequest]:
    """Random completions of about `length` tokens."""
    return random_requests(
        completions=options.completions,
        prompts=options.prompts,
        spans=options.spans,
        prompt_length=options.prompt_length,
        length=length,
        vocabulary=model.config.vocab_size,
        seed=options.seed,
    )


def make_random_model(options: argparse.Namespace) -> nn.Module:
    torch.manual_seed(options.seed)
    return shaped_model(options.shape, getattr(torch, options.dtype), options.device)


def prepared(model: nn.Module, options: argparse.Namespace) -> nn.Module:
    """`model` where and as it is to run."""
    return model.to(options.device, getattr(torch, options.dtype)).eval()


def measure_peak(options: argparse.Namespace) -> int:
    """Bytes that one method needs beside the model."""
    if options.model:
        model, tokenizer = load(options.model)
        model = prepared(model, options)
        length = options.lengths[0] if options.lengths else 0
        requests = real_requests(real_solutions(options, tokenizer, length), options, tokenizer)
        placeholder = placeholder_id(tokenizer)
    else:
        model, placeholder = make_random_model(options), 0
        requests = random_of(options, options.lengths[0], model)
    # Short, so that what it leaves allocated hides nothing of what the real ones need.
    short = warm_up_request(requests[0])
    return peak_growth(
        lambda: run(options.peak_of, model, [short], placeholder, options.token_budget),
        lambda: run(options.peak_of, model, requests, placeholder, options.token_budget),
    )


def report(
    options: argparse.Namespace,
    model: nn.Module,
    requests: Sequence[DropRequest],
    placeholder: int,
    arguments: list[str],
) -> dict[str, Any]:
    """All methods on `requests`, printed; `arguments` repeat this measurement in a child.

    With --step on the policy as a trainer holds it, LoRA and all, beside whose step it is put.
    """
    if options.step:
        model = as_trained(model)
    methods = {
        name: lambda name=name: run(name, model, requests, placeholder, options.token_budget)
        for name in METHODS
    }
    rows = compare(methods, options.repeats, options.device)
    columns, summary = COLUMNS, describe(options, model, requests)
    summary |= floor(model, requests)
    for row in rows:
        row["over floor"] = row["seconds"] / summary["floor seconds"]
    if options.memory:
        columns += ("peak MiB",)
        for row in rows:
            if options.device == "cpu":
                row["peak bytes"] = peak_in_child(__file__, arguments, row["method"])
            row["peak MiB"] = row["peak bytes"] / MIB
    if options.step:
        columns += ("of a step",)
        phases = time_step(model, requests, options.batch, options.repeats)
        summary |= {f"seconds of {name}": seconds for name, seconds in phases.items()}
        rest = sum(phases.values())
        for row in rows:
            row["of a step"] = row["seconds"] / (rest + row["seconds"])
    print(", ".join(f"{key} {_show(value)}" for key, value in summary.items()))
    print_table(rows, columns)
    return {**summary, "rows": rows}


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Aligned columns, and an empty line."""
    table = [columns, *([_show(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(flush=True)


def describe(
    options: argparse.Namespace, model: nn.Module, requests: Sequence[DropRequest]
) -> dict[str, Any]:
    """What was measured on."""
    return {
        "model": options.model.name if options.model else f"random {options.shape}",
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "prompts": len({tuple(request.prompt_ids) for request in requests}),
        "completions": len(requests),
        "spans": sum(len(request.spans) for request in requests),
        "prompt tokens": round(statistics.mean(len(r.prompt_ids) for r in requests)),
        "longest span list": max(len(request.spans) for request in requests),
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
