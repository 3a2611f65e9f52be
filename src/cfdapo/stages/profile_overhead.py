"""Profile what credit costs one model: every phase of a step, side by side in one process."""

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from cfdapo.checksums import finish, sha256_of_input
from cfdapo.credit.assigner import Assignment, CreditAssigner, CreditConfig, config_of
from cfdapo.credit.proxy import Proxy
from cfdapo.devices import take_gpu
from cfdapo.files import as_json
from cfdapo.policy.generation import encode_prompts, generate
from cfdapo.policy.trainer import CFDAPOTrainer
from cfdapo.policy.training import RunSettings, history, load_proxy, make_trainer
from cfdapo.provenance import (
    code_hash,
    environment,
    hardware,
    origin_of,
    peak_memory,
    with_own_code,
)
from cfdapo.settings import (
    ChatVariables,
    CreditSettings,
    LoraSettings,
    OverheadSettings,
    TrainingSettings,
    from_flag,
    may_be_absent,
    plain,
)
from cfdapo.stages import run

# The exact methods; serial is the one that the others are compared with.
METHODS = ("serial", "prefix")


@dataclass(frozen=True)
class ProfileSettings:
    """What is profiled: a study's training, and the credit that its modes share."""

    task: str
    chat: ChatVariables
    lora: LoraSettings
    training: TrainingSettings
    credit: CreditSettings
    overhead: OverheadSettings
    proxy_chat: ChatVariables | None = may_be_absent()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the model's name in the study")
    parser.add_argument("--model-dir", type=Path, required=True, help="its prepared folder")
    parser.add_argument("--problems", type=Path, required=True, help="train.jsonl")
    parser.add_argument(
        "--settings",
        type=from_flag(ProfileSettings),
        required=True,
        help="task, chat, lora, training, credit and overhead",
    )
    parser.add_argument("--proxy-dir", type=Path, help="prepared folder of the model credit.proxy")
    parser.add_argument("--out", type=Path, required=True, help="overhead/{model}.json")
    arguments = parser.parse_args()
    take_gpu()
    settings: ProfileSettings = arguments.settings
    proxy_dir = arguments.proxy_dir
    made_from = {
        "settings": plain(settings),
        "code": code_hash("cfdapo.stages.profile_overhead", settings.task),
        "problems": sha256_of_input(arguments.problems),
        "model": origin_of(arguments.model_dir),
        "proxy": origin_of(proxy_dir) if proxy_dir else None,
    }
    made_from = with_own_code(made_from, settings.credit)
    profile = profile_overhead(arguments.model_dir, arguments.problems, settings, proxy_dir)
    finish(arguments.out, as_json({"model": arguments.model, **profile}), made_from)


def profile_overhead(
    model_dir: Path, problems: Path, settings: ProfileSettings, proxy_dir: Path | None = None
) -> dict[str, Any]:
    """Median seconds of a vanilla step's phases and of credit by each method.

    Credit is measured on one rollout batch with no group skipped, so it is the most a step can
    cost; the methods take turns, so that all see the same machine. A proxy measures where the
    study has one. `methods` holds, beside the exact methods, the gradient's estimate where it
    estimates the study's drops, and how far each method's drops are from serial's.
    """
    repeats = settings.overhead.repeats
    # One step more, to warm up.
    training = replace(settings.training, steps=repeats + 1, checkpoint_every=repeats + 1)
    vanilla = RunSettings(
        settings.task,
        settings.chat,
        settings.lora,
        training,
        config_of(settings.credit, "vanilla"),
        settings.proxy_chat,
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make_trainer(model_dir, problems, 0, vanilla, Path(scratch))
        trainer.train()
    steps = history(trainer.state.log_history)[1:]
    phases = ("generation", "update")
    seconds = {phase: median(row[f"seconds_{phase}"] for row in steps) for phase in phases}
    prompts = _prompts(trainer, training, trainer.processing_class, settings.chat)
    completions = _rollout(trainer, training, prompts)
    config = config_of(settings.credit, "counterfactual")
    proxy = load_proxy(config, proxy_dir, training.precision)
    chat = settings.proxy_chat or {}
    read = _prompts(trainer, training, proxy.tokenizer, chat) if proxy else None
    before = peak_memory()
    methods, spans = _time_credit(trainer, prompts, completions, config, repeats, proxy, read)
    credit = {method: methods[method]["seconds"] for method in METHODS}
    step = seconds["generation"] + seconds["update"]
    return {
        "repeats": repeats,
        "completions": len(completions),
        "spans_per_completion": spans / len(completions),
        "seconds": {**seconds, "credit": credit},
        "ratio": {
            "credit_over_vanilla_step": {name: value / step for name, value in credit.items()}
        },
        "methods": methods,
        "proxy": config.proxy,
        "peak_memory_bytes": _peak_of_all(before, methods),
        "hardware": hardware(),
        **environment(),
    }


def _prompts(
    trainer: CFDAPOTrainer, training: TrainingSettings, tokenizer: Any, chat: ChatVariables
) -> list[list[int]]:
    """The prompts of one optimizer step in a tokenizer's ids, repeated within a group."""
    size = training.batch_size * training.gradient_accumulation
    rows = trainer.train_dataset.select(range(size // training.group_size))
    groups = encode_prompts(tokenizer, [row["prompt"] for row in rows], chat)
    return [ids for ids in groups for _ in range(training.group_size)]


def _functions(trainer: CFDAPOTrainer, prompts: list[list[int]]) -> list[str | None]:
    """The function that each of `_prompts` asks for, if any."""
    size = trainer.num_generations
    named = trainer.train_dataset.select(range(len(prompts) // size))["function"]
    return [function for function in named for _ in range(size)]


def _rollout(
    trainer: CFDAPOTrainer, training: TrainingSettings, prompts: list[list[int]]
) -> list[list[int]]:
    """Sampled completions, one a prompt."""
    model, tokenizer = trainer.model.eval(), trainer.processing_class
    return list(
        generate(
            model,
            tokenizer,
            prompts,
            training.max_completion_tokens,
            len(prompts),
            do_sample=True,
            temperature=training.temperature,
            top_p=training.top_p,
            top_k=0,
        )
    )


def _time_credit(
    trainer: CFDAPOTrainer,
    prompts: list[list[int]],
    completions: list[list[int]],
    config: CreditConfig,
    repeats: int,
    proxy: Proxy | None,
    proxy_prompts: list[list[int]] | None,
) -> tuple[dict[str, dict[str, Any]], int]:
    """What each method took and found, and the number of spans that each measured."""
    seconds: dict[str, list[float]] = {method: [] for method in _methods(config)}
    found: dict[str, Assignment] = {}
    memory: dict[str, int | None] = {}
    for repeat in range(repeats + 1):
        for method in seconds:
            # A new one every time: what another turn put into its cache would cost nothing.
            chosen = replace(config, method=method)
            assigner = CreditAssigner(trainer.processing_class, chosen, proxy)
            # The methods are compared below, on all completions.
            assigner.crosschecked = True
            _forget_peak()
            began = time.perf_counter()
            found[method] = assigner.assign(
                trainer.model,
                prompts,
                completions,
                proxy_prompts=proxy_prompts,
                functions=_functions(trainer, prompts),
            )
            if repeat:  # the first turn warms up
                seconds[method].append(time.perf_counter() - began)
            memory[method] = peak_memory()["accelerator"]
    drops = {method: _drops(assignment) for method, assignment in found.items()}
    methods = {
        method: {
            "passes": found[method].passes,
            "tokens": found[method].tokens,
            "seconds": median(values),
            **compare(drops[method], drops["serial"]),
            "peak_memory_accelerator": memory[method],
        }
        for method, values in seconds.items()
    }
    return methods, len(drops["serial"])


def compare(drops: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """How far `drops` are from `reference`, both of shape (spans,), in nats.

    `max_difference` is the largest absolute difference; `spearman` the rank correlation, None
    where there is none: fewer than two spans, or drops that are all equal.
    """
    difference = float(np.abs(drops - reference).max()) if len(reference) else None
    ranked = len(reference) > 1 and np.ptp(drops) > 0 and np.ptp(reference) > 0
    spearman = float(spearmanr(drops, reference).statistic) if ranked else None
    return {"max_difference": difference, "spearman": spearman}


def _methods(config: CreditConfig) -> tuple[str, ...]:
    """The exact methods, and the gradient where it estimates what they measure."""
    estimated = (config.intervention, config.sink) == ("pad", "answer")
    return (*METHODS, "gradient") if estimated else METHODS


def _drops(assignment: Assignment) -> np.ndarray:
    """The drops of all completions in a row, float64."""
    return torch.cat([credit.drops for credit in assignment.credits]).double().numpy()


def _forget_peak() -> None:
    """Count the accelerator's peak memory anew, so that every method has its own."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_of_all(
    before: dict[str, int | None], methods: dict[str, dict[str, Any]]
) -> dict[str, int | None]:
    """The whole profile's peak: before the credit, and of every method."""
    peaks = [before["accelerator"], *(one["peak_memory_accelerator"] for one in methods.values())]
    return peak_memory() | {"accelerator": max((p for p in peaks if p is not None), default=None)}


if __name__ == "__main__":
    run(main)
