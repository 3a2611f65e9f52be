"""Profile what credit costs one model: every phase of a step, side by side in one process."""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from cfdapo.credit.assigner import CreditAssigner, CreditConfig
from cfdapo.files import write_json
from cfdapo.policy.generation import encode_prompt, generate
from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.policy.training import history, make_trainer
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
    parser.add_argument("--out", type=Path, required=True, help="overhead/{model}.json")
    arguments = parser.parse_args()
    profile = profile_overhead(arguments.model_dir, arguments.problems, arguments.settings)
    write_json(arguments.out, {"model": arguments.model, **profile})


def profile_overhead(model_dir: Path, problems: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Median seconds of a vanilla step's phases and of credit by each exact method.

    Credit is measured on one rollout batch with no group skipped, so it is the most a step can
    cost; the methods take turns, so that both see the same machine.
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
    prompts, completions = _rollout(trainer, settings)
    credit, spans = _time_credit(trainer, prompts, completions, settings["credit"], repeats)
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


def _rollout(
    trainer: CFDAPOTrainer, settings: dict[str, Any]
) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and sampled completions of one optimizer step, prompts repeated within a group."""
    training, tokenizer = settings["training"], trainer.processing_class
    size = training["batch_size"] * training["gradient_accumulation"]
    groups = [
        encode_prompt(tokenizer, row["prompt"], settings["chat"])
        for row in trainer.train_dataset.select(range(size // training["group_size"]))
    ]
    prompts = [ids for ids in groups for _ in range(training["group_size"])]
    sampling = {"do_sample": True, "top_k": 0}
    sampling |= {name: training[name] for name in ("temperature", "top_p")}
    longest = training["max_completion_tokens"]
    model = trainer.model.eval()
    return prompts, list(generate(model, tokenizer, prompts, longest, size, **sampling))


def _time_credit(
    trainer: CFDAPOTrainer,
    prompts: list[list[int]],
    completions: list[list[int]],
    credit: dict[str, Any],
    repeats: int,
) -> tuple[dict[str, float], float]:
    """Median seconds by method, and the spans a completion that they measured."""
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    spans = 0
    for repeat in range(repeats + 1):
        for method in METHODS:
            config = CreditConfig(**{**credit, "mode": "counterfactual", "method": method})
            assigner = CreditAssigner(trainer.processing_class, config)
            began = time.perf_counter()
            credits = assigner.assign(trainer.model, prompts, completions).credits
            if repeat:  # the first turn warms up
                seconds[method].append(time.perf_counter() - began)
            spans = sum(len(credit.tokens) for credit in credits)
    medians = {method: median(values) for method, values in seconds.items()}
    return medians, spans / len(completions)


if __name__ == "__main__":
    run(main)
