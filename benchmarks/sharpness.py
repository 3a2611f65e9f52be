"""Is a gain in sampled reward knowledge, or only a sharper policy?

    PYTHONPATH=src python benchmarks/sharpness.py results/tiny_credit_long --json found.json

A rule that praises more than it blames makes a policy surer of whatever it does, and a surer policy
slips less often where it is sampled, whether or not it knows more. So every run's last policy is
sampled on the study's test problems at the temperature of training and at lower ones, and its
greedy answers are taken from the run's evaluation. Each rule is held against DAPO of the same seeds
at each temperature, and once at the same entropy (nats a token, of the distribution that is sampled
from): DAPO's accuracy between two temperatures is on a straight line over their entropies. Prints a
table of differences in points, with 95 % intervals over seeds by Student's t.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cfdapo.analysis.statistics.paired import t_interval
from cfdapo.credit.alignment import completion_text
from cfdapo.credit.entropy import token_entropies
from cfdapo.files import read_json, read_jsonl, write_json
from cfdapo.policy.generation import encode_prompts, messages
from cfdapo.policy.models import load_adapter, load_base
from cfdapo.policy.sampling import sample
from cfdapo.problems.task import get_task

BASELINE = "vanilla"
# Of the temperature of training.
FACTORS = (1.0, 0.7, 0.4)


class Sampled(NamedTuple):
    """A policy at one temperature: right completions (share), and nats a token; greedy has 0."""

    accuracy: float
    entropy: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a study's results")
    parser.add_argument("--modes", nargs="*", help="of these modes only")
    parser.add_argument("--samples", type=int, default=2, help="completions a problem")
    parser.add_argument("--entropies", type=int, default=100, help="completions measured for it")
    parser.add_argument("--json", type=Path, help="what was found, also while it is being found")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[Sampled]]] = {}
    for model in sorted((arguments.results / "runs").iterdir()):
        found[model.name] = {}
        for name, one in sampled(model, arguments):
            found[model.name][name] = one
            if arguments.json:
                write_json(arguments.json, found)
    print("\n".join(table(found)))


def sampled(model: Path, arguments: argparse.Namespace) -> Iterator[tuple[str, list[Sampled]]]:
    """The mode/seed of each finished run of a model, and its last policy at each temperature."""
    base: Any
    base, tokenizer = load_base(arguments.results / "models" / model.name)
    rows = read_jsonl(arguments.results / "data" / "test.jsonl") * arguments.samples
    for record in sorted(model.glob("*/seed*/run.json")):
        mode, seed = record.parent.parent.name, record.parent.name
        if arguments.modes and mode not in {BASELINE, *arguments.modes}:
            continue
        settings = read_json(record)["settings"]
        training, task = settings["training"], get_task(settings["task"])
        prompts = encode_prompts(tokenizer, [messages(task, row) for row in rows], settings["chat"])
        adapter = record.parent / "adapters" / f"step{training['steps']}"
        base = load_adapter(base, adapter, f"{mode}-{seed}").eval()
        asked = (base, tokenizer, task, rows, prompts, training)
        points = [_sampled(*asked, factor, arguments.entropies) for factor in FACTORS]
        yield f"{mode}/{seed}", [*points, _greedy(record.parent, training["steps"])]
        base.delete_adapter(f"{mode}-{seed}")


def _sampled(
    model: Any,
    tokenizer: Any,
    task: Any,
    rows: Sequence[Mapping[str, Any]],
    prompts: Sequence[list[int]],
    training: Mapping[str, Any],
    factor: float,
    measured: int,
) -> Sampled:
    temperature = factor * training["temperature"]
    limits = training["max_completion_tokens"], temperature, training["top_p"]
    completions = sample(model, tokenizer, prompts, *limits, seed=0)
    texts = [completion_text(ids, tokenizer) for ids in completions]
    right = task.grade_many(texts, [row["answer"] for row in rows])
    entropies = [
        token_entropies(model, prompt, ids, temperature)
        for prompt, ids in islice(zip(prompts, completions, strict=True), measured)
    ]
    return Sampled(float(np.mean(right)), float(torch.cat(entropies).mean()))


def _greedy(run: Path, step: int) -> Sampled:
    records = read_jsonl(run / "evaluation.jsonl")
    return Sampled(float(np.mean([one["correct"] for one in records if one["step"] == step])), 0.0)


def as_sure(points: Sequence[Sampled], entropy: float) -> float:
    """DAPO's accuracy at this entropy; where it is surer at any temperature, as it is."""
    rising = sorted(points, key=lambda one: one.entropy)
    entropies, accuracies = ([one[n] for one in rising] for n in (1, 0))
    return float(np.interp(entropy, entropies, accuracies))


def table(found: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> Iterator[str]:
    """A row a model and rule, of the seeds that DAPO has too; DAPO's own in %, others' less it."""
    names = [f"{factor:g}" for factor in FACTORS]
    head = ["model", "rule", "seeds", "entropy", *names, "greedy", "at equal entropy"]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for model, runs in found.items():
        by_mode: dict[str, dict[str, list[Sampled]]] = defaultdict(dict)
        for name, points in runs.items():
            mode, seed = name.split("/")
            by_mode[mode][seed] = [Sampled(*one) for one in points]
        dapo = by_mode[BASELINE]
        for mode, seeds in by_mode.items():
            pairs = [(points, dapo[seed]) for seed, points in seeds.items() if seed in dapo]
            yield f"| {model} | {mode} | {len(pairs)} | {' | '.join(_cells(mode, pairs))} |"


def _cells(mode: str, pairs: Sequence[tuple[list[Sampled], list[Sampled]]]) -> list[str]:
    entropy = f"{np.mean([own[0].entropy for own, _ in pairs]):.3f}"
    columns = range(len(pairs[0][0]))
    if mode == BASELINE:
        means = [np.mean([own[n].accuracy for own, _ in pairs]) for n in columns]
        return [entropy, *(f"{100 * mean:.1f} %" for mean in means), "–"]
    plain = [[own[n].accuracy - other[n].accuracy for own, other in pairs] for n in columns]
    equal = [own[0].accuracy - as_sure(other, own[0].entropy) for own, other in pairs]
    return [entropy, *map(_interval, [*plain, equal])]


def _interval(differences: Sequence[float]) -> str:
    points = 100 * np.asarray(differences)
    low, high = t_interval(points)
    return f"{points.mean():+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
