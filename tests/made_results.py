"""Finished records of a made-up study, each with its checksum, and ways to write them anew."""

import hashlib
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from made_credit import make_records

from cfdapo import checksums
from cfdapo.checksums import finish
from cfdapo.files import as_json, as_jsonl, read_json, read_jsonl, write_json
from cfdapo.vocabulary import PAPER_MODES

MODEL_FILE = "model.safetensors"


# The made-up study of `write_runs`; the chance of a right answer grows with the step to this.
MODELS, SEEDS = ("qwen3-tiny", "llama-tiny"), (0, 1, 2)
CHANCE = {"counterfactual": 0.8, "vanilla": 0.7, "random": 0.65, "inverted": 0.5}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def origin(model: str) -> dict[str, Any]:
    """What tells a made-up base model from any other."""
    return {"source": "made", "id": None, "revision": None, "sha256": {MODEL_FILE: sha(model)}}


def write_parents(folder: Path, models: tuple[str, ...], problems: list[str]) -> None:
    """Problems and manifests; no weights, as in an unpacked archive."""
    test = finish(folder / "data/test.jsonl", as_jsonl({"id": problem} for problem in problems))
    manifest = {"rows": {"train": 9, "test": len(problems)}}
    manifest |= {"sha256": {"train": sha("train"), "test": test}}
    finish(folder / "data/manifest.json", as_json(manifest))
    measured = [{"id": f"arithmetic-train-{number}"} for number in range(6)]
    finish(folder / "data/measured.jsonl", as_jsonl(measured))
    for model in models:
        found = {"model": model, **origin(model)}
        write_json(folder / "models" / model / "manifest.json", found)


def settings(mode: str, steps: int, every: int) -> dict[str, Any]:
    return {
        "task": "arithmetic",
        "chat": {},
        "lora": {"r": 32},
        "training": {"steps": steps, "checkpoint_every": every},
        "credit": {"mode": mode, "method": "prefix", "proxy": None},
    }


def write_run(
    folder: Path,
    model: str,
    mode: str,
    seed: int,
    right: Callable[[int], bool],
    *,
    problems: list[str],
    steps: int = 20,
    every: int = 10,
    history: Callable[[int], dict[str, Any]] = lambda step: {},
    problems_sha256: str = sha("test"),
    **record: Any,
) -> Path:
    """A run's history, record and evaluation below `folder`/runs; `right` is asked with the step.

    `history` gives what a step's row has besides the reward and times.
    """
    run = folder / "runs" / model / mode / f"seed{seed}"
    times = {"seconds_generation": 2.0, "seconds_credit": 0.5, "seconds_update": 0.5}
    rows = [
        {"step": step, "reward": 0.5, "entropy": 0.3, **times, "seconds_step": 3.0, **history(step)}
        for step in range(1, steps + 1)
    ]
    saved = list(range(every, steps + 1, every))
    adapters = {str(step): sha(f"{model}{mode}{seed}{step}")[:16] for step in saved}
    common = settings(mode, steps, every)
    history_sha256 = finish(run / "history.jsonl", as_jsonl(rows))
    write_record(
        run, (model, mode, seed), common, adapters, origin(model), history=history_sha256, **record
    )
    made_from = {
        "settings": {key: common[key] for key in ("task", "chat", "training")},
        "problems": problems_sha256,
        "model": origin(model),
        "prompts": sha("prompts"),
        "adapters": adapters,
    }
    evaluation = [
        _answer(step, adapters, problem, right(step))
        for step in [0, *saved]
        for problem in problems
    ]
    finish(run / "evaluation.jsonl", as_jsonl(evaluation), made_from)
    return run


def write_runs(folder: Path) -> Path:
    """A results folder of 2 models x 4 modes x 3 seeds, 40 problems, steps 0, 10 and 20."""
    dice = random.Random(5)
    for model, mode, seed in product(MODELS, PAPER_MODES, SEEDS):
        minutes = 12 if mode == "counterfactual" else 10
        write_run(
            *(folder, model, mode, seed),
            lambda step, chance=CHANCE[mode]: dice.random() < step / 25 * chance,
            problems=[f"p{number}" for number in range(40)],
            history=lambda step, spans=3.0 if mode == "counterfactual" else None: {
                "reward": dice.random(),
                "weight_mean": 1.5,
                "weight_std": dice.random(),
                "spans_per_completion": spans,
                "credit_passes": 2.0 if spans else 0.0,
                "zero_advantage_groups": 0.25,
            },
            seconds={"total": 60.0 * minutes, "credit": 10.0},
        )
    return folder


def write_record(
    run: Path,
    key: tuple[str, str, int],
    settings: dict[str, Any],
    adapters: dict[str, str],
    base: dict[str, Any],
    **changes: Any,
) -> None:
    """The finished `run.json` of a run of (model, mode, seed) from the base model `base`."""
    record = {
        **dict(zip(("model", "mode", "seed"), key, strict=True)),
        "settings": settings,
        "origin": {"problems": sha("train"), "model": base, "proxy": None},
        "adapters": adapters,
        "history": sha("history"),
        "train_problems": 9,
        "steps": settings["training"]["steps"],
        "seconds": {"total": 600.0, "credit": 10.0},
        "peak_memory_bytes": {"resident": 2**30, "accelerator": None},
        **changes,
    }
    finish(run / "run.json", as_json(record))


def _answer(step: int, adapters: dict[str, str], problem: str, right: bool) -> dict[str, Any]:
    said = "18" if right else "17"
    return {
        "step": step,
        "adapter": adapters.get(str(step)),
        "prompts": sha("prompts")[:16],
        "problem": problem,
        "completion": f"#### {said}",
        "extracted": said,
        "gold": "18",
        "correct": right,
        "tokens": 3,
    }


def write_credit(folder: Path, model: str, seed: int = 0, problems: str | None = None) -> None:
    """The measured credit of a model, 6 prompts with 3 samples and a solution each, in `folder`."""
    spans, completions = make_records(seed=seed)
    # Sampled ones first, as they are measured; sorting keeps the order within.
    spans, completions = (sorted(rows, key=_is_gold) for rows in (spans, completions))
    measurement = {"prompts": 6, "samples": 3, "gold": 6}
    made_from = {
        "settings": {"task": "arithmetic", "credit": {}, "measurement": measurement},
        "policy": "untrained",
        "problems": problems,
        "model": origin(model),
        "adapter": None,
    }
    finish(folder / f"{model}.completions.jsonl", as_jsonl(completions), made_from)
    finish(folder / f"{model}.jsonl", as_jsonl(spans), made_from)


def _is_gold(row: dict[str, Any]) -> bool:
    return row["source"] == "gold"


# By rule: what it makes of a step's truth, and what its gradients are like.
RULES: dict[str, Callable[[float, float], float]] = {
    "vanilla": lambda truth, advantage: advantage,
    "monte_carlo": lambda truth, advantage: 2 * truth,
    "oracle": lambda truth, advantage: min(truth, 0.0) + advantage / 4,
}


def write_truth(folder: Path, model: str, seed: int = 0, prompts: int = 6) -> None:
    """The truth of a model, `RULES` on groups of two, one of them right, in `folder`.

    The first problem's group is all right, so that it has no steps.
    """
    dice = random.Random(seed)
    names = [f"arithmetic-train-{number}" for number in range(prompts)]
    steps = [
        row
        for number, problem in enumerate(names[1:], start=1)
        for place in range(2)
        for row in _true_steps(dice, f"sampled-{number}-{place}", problem, place == 0)
    ]
    rules = [
        _rule_row(number, problem, rule, scale)
        for number, problem in enumerate(names)
        for scale, rule in enumerate(RULES, start=1)
    ]
    measurement = {"prompts": prompts, "samples": 2, "truth": {"continuations": 16}}
    credit = {rule: {"mode": rule, "proxy": None} for rule in RULES}
    made_from = {
        "settings": {"task": "arithmetic", "measurement": measurement, "rules": credit},
        "policy": "untrained",
        "model": origin(model),
        "adapter": None,
    }
    finish(folder / f"{model}.rules.jsonl", as_jsonl(rules), made_from)
    finish(folder / f"{model}.steps.jsonl", as_jsonl(steps), made_from)


def _true_steps(dice: random.Random, name: str, problem: str, right: bool) -> list[dict[str, Any]]:
    """Four steps; in a wrong completion the third is to blame."""
    values = [0.5, *(0.5 + dice.randint(-2, 2) / 16 for _ in range(2)), float(right), float(right)]
    halves = [[v + dice.choice((-1, 1)) / 32 for v in values[:3]] + values[3:] for _ in range(2)]
    rows = []
    for number in range(4):
        truth, mean = values[number + 1] - values[number], 1.0 if right else -1.0
        scores = {rule: score(truth, mean) for rule, score in RULES.items()}
        rows.append(
            {
                "completion": name,
                "problem": problem,
                "step": number,
                "token_start": 5 * number,
                "token_end": 5 * number + 5,
                "correct": right,
                "first_wrong": not right and number == 2,
                "value_before": values[number],
                "value_after": values[number + 1],
                "advantage": truth,
                "error": 0.0 if number == 3 else 0.1,
                "halves": [half[number + 1] - half[number] for half in halves],
                "rules": {
                    rule: {"sum": 5 * score, "mean": score, "mass": 5 * abs(score)}
                    for rule, score in scores.items()
                },
            }
        )
    return rows


def _rule_row(group: int, problem: str, rule: str, scale: int) -> dict[str, Any]:
    active = group > 0
    return {
        "group": group,
        "problem": problem,
        "completions": 2,
        "right": 1 if active else 2,
        "rule": rule,
        "mass": 40.0 * scale * active,
        "variance": 3.0 * scale**3 * group,
        "signal": 1.0 * scale**2 * active,
        "square": 4.0 * scale**2 * active,
        "ascent": 0.5 * scale**2 if active else None,
        "passes": 1.0 * (scale == 2),
        "generations": 4.0 * (scale == 2),
        "seconds": 0.25,
    }


def write_profile(folder: Path, model: str, **changes: Any) -> Path:
    """What credit costs a model, in `folder`/overhead."""
    method = {"passes": 9, "tokens": 700, "seconds": 2.0, "max_difference": 0.0, "spearman": None}
    method |= {"peak_memory_accelerator": None}
    profile = {
        "model": model,
        "repeats": 3,
        "completions": 8,
        "spans_per_completion": 1.5,
        "proxy": None,
        "seconds": {"generation": 6.0, "update": 2.0},
        "ratio": {"credit_over_vanilla_step": {"serial": 0.5, "prefix": 0.1}},
        "methods": {"serial": method, "prefix": method | {"seconds": 0.5}},
        **changes,
    }
    path = folder / "overhead" / f"{model}.json"
    finish(path, as_json(profile), {"model": origin(model), "settings": {}})
    return path


def seal(path: Path, made_from: dict[str, Any] | None = None) -> None:
    """Give a record that was changed a checksum that fits; `made_from` is as it was by default."""
    known = checksums.read(path).made_from if checksums.beside(path).is_file() else {}
    finish(path, path.read_bytes(), known if made_from is None else made_from)


def change_record(path: Path, **changes: Any) -> None:
    """Change some of a JSON object that is a finished record."""
    path.write_text(as_json(read_json(path) | changes))
    seal(path)


def change_rows(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the rows of a finished record."""
    path.write_text(as_jsonl(change(read_jsonl(path))))
    seal(path)
