"""Profile what credit costs one model: every phase of a step, side by side in one process."""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from cfdapo.credit.assigner import CreditAssigner, CreditConfig
from cfdapo.credit.proxy import Proxy
from cfdapo.files import write_json
from cfdapo.policy.generation import encode_prompt, generate
from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.policy.training import history, load_proxy, make_trainer
from cfdapo.provenance import environment, hardware, peak_memory
from cfdapo.stages import run

METHODS = ("serial", "prefix")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the model's name in the study")
    parser.add_argument("--model-dir", type=Path, required=True, help="its prepared folder")
    parser.add_argument("--problems", type=Path, required=True, help="train.jsonl")
    parser.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="task, chat, lora, training, credit and overhead",
    )
    parser.add_argument("--proxy-dir", type=Path, help="prepared folder of the model credit.proxy")
    parser.add_argument("--out", type=Path, required=True, help="overhead/{model}.json")
    arguments = parser.parse_args()
    profile = profile_overhead(
        arguments.model_dir, arguments.problems, arguments.settings, arguments.proxy_dir
    )
    write_json(arguments.out, {"model": arguments.model, **profile})


def profile_overhead(
    model_dir: Path, problems: Path, settings: dict[str, Any], proxy_dir: Path | None = None
) -> dict[str, Any]:
    """Median seconds of a vanilla step's phases and of credit by each exact method.

    Credit is measured on one rollout batch with no group skipped, so it is the most a step can
    cost; the methods take turns, so that both see the same machine. A proxy measures where the
    study has one.
    """
    repeats = settings["overhead"]["repeats"]
    # One step more, to warm up.
    training = settings["training"] | {"steps": repeats + 1, "checkpoint_every": repeats + 1}
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make_trainer(
            model_dir, problems, "vanilla", 0, settings | {"training": training}, Path(scratch)
        )
        trainer.train()
    steps = history(trainer.state.log_history)[1:]
    phases = ("generation", "update")
    seconds = {phase: median(row[f"seconds_{phase}"] for row in steps) for phase in phases}
    prompts = _prompts(trainer, settings, trainer.processing_class, settings["chat"])
    completions = _rollout(trainer, settings, prompts)
    config = CreditConfig(mode="counterfactual", **settings["credit"])
    proxy = load_proxy(config, proxy_dir, training["precision"])
    read = _prompts(trainer, settings, proxy.tokenizer, settings["proxy_chat"]) if proxy else None
    credit, spans = _time_credit(trainer, prompts, completions, config, repeats, proxy, read)
    step = seconds["generation"] + seconds["update"]
    return {
        "repeats": repeats,
        "completions": len(completions),
        "spans_per_completion": spans,
        "seconds": {**seconds, "credit": credit},
        "ratio": {
            "credit_over_vanilla_step": {name: value / step for name, value in credit.items()}
        },
        "peak_memory_bytes": peak_memory(),
        "hardware": hardware(),
        **environment(),
    }


def _prompts(
    trainer: CFDAPOTrainer, settings: dict[str, Any], tokenizer: Any, chat: dict[str, Any]
) -> list[list[int]]:
    """The prompts of one optimizer step in a tokenizer's ids, repeated within a group."""
    training = settings["training"]
    size = training["batch_size"] * training["gradient_accumulation"]
    groups = [
        encode_prompt(tokenizer, row["prompt"], chat)
        for row in trainer.train_dataset.select(range(size // training["group_size"]))
    ]
    return [ids for ids in groups for _ in range(training["group_size"])]


def _rollout(
    trainer: CFDAPOTrainer, settings: dict[str, Any], prompts: list[list[int]]
) -> list[list[int]]:
    """Sampled completions, one a prompt."""
    training = settings["training"]
    sampling = {"do_sample": True, "top_k": 0}
    sampling |= {name: training[name] for name in ("temperature", "top_p")}
    longest = training["max_completion_tokens"]
    model, tokenizer = trainer.model.eval(), trainer.processing_class
    return list(generate(model, tokenizer, prompts, longest, len(prompts), **sampling))


def _time_credit(
    trainer: CFDAPOTrainer,
    prompts: list[list[int]],
    completions: list[list[int]],
    config: CreditConfig,
    repeats: int,
    proxy: Proxy | None,
    proxy_prompts: list[list[int]] | None,
) -> tuple[dict[str, float], float]:
    """Median seconds by method, and the spans a completion that they measured."""
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    spans = 0
    for repeat in range(repeats + 1):
        for method in METHODS:
            # A new one every time: what another turn put into its cache would cost nothing.
            chosen = replace(config, method=method)
            assigner = CreditAssigner(trainer.processing_class, chosen, proxy)
            began = time.perf_counter()
            credits = assigner.assign(
                trainer.model, prompts, completions, proxy_prompts=proxy_prompts
            ).credits
            if repeat:  # the first turn warms up
                seconds[method].append(time.perf_counter() - began)
            spans = sum(len(credit.tokens) for credit in credits)
    medians = {method: median(values) for method, values in seconds.items()}
    return medians, spans / len(completions)


if __name__ == "__main__":
    run(main)
