"""Evolve a neural mirror: begin a search, try one member, or go on to the next generation.

Each is a job of its own. A member is a short training, which goes on where it was interrupted, and
its greedy accuracy on the part of the training problems that was held out.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cfdapo.checksums import check, finish
from cfdapo.credit.alignment import completion_text
from cfdapo.devices import take_gpu
from cfdapo.files import UserError, as_json, as_jsonl, read_json, read_jsonl
from cfdapo.policy.checkpoints import adapter_hashes
from cfdapo.policy.evolution import Search, advance, begin, member, read_search
from cfdapo.policy.generation import encode_prompts, generate, messages
from cfdapo.policy.models import load_adapter, load_base
from cfdapo.policy.training import RunSettings
from cfdapo.problems.task import get_task
from cfdapo.provenance import origin_of
from cfdapo.settings import EvaluationSettings, EvolutionSettings, from_flag, plain
from cfdapo.stages import run
from cfdapo.stages.train import train


@dataclass(frozen=True)
class EvolveSettings:
    """How members are trained and tried; of `run` the steps are `evolution`'s."""

    run: RunSettings
    evaluation: EvaluationSettings
    evolution: EvolutionSettings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--settings",
        type=from_flag(EvolveSettings),
        required=True,
        help="run, evaluation and evolution",
    )
    parser.add_argument("--search", type=Path, help="generation{n}.json; none begins a search")
    parser.add_argument("--member", type=int, help="the member to try; none goes on")
    parser.add_argument(
        "--tried", type=Path, nargs="+", default=[], help="the generation's members, in order"
    )
    parser.add_argument("--model", help="the model's name in the study")
    parser.add_argument("--model-dir", type=Path, help="its prepared folder")
    parser.add_argument("--problems", type=Path, help="train.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    given = parser.parse_args()
    evolution = given.settings.evolution
    if given.search is None:
        _write(given.out, begin(evolution), evolution)
    elif given.member is None:
        go_on(given.search, given.tried, evolution, given.out)
    else:
        take_gpu()
        try_member(
            *(given.search, given.member, given.settings),
            *(given.model, given.model_dir, given.problems, given.out),
        )


def go_on(search: Path, tried: Sequence[Path], settings: EvolutionSettings, out: Path) -> None:
    """Write the search after the generation of `search`, whose members are `tried`.

    Raises `UserError` where a file is damaged or of another search.
    """
    origin, found = check(search).sha256, []
    for number, path in enumerate(tried):
        check(path)
        row = read_json(path)
        if (row["search"], row["member"]) != (origin, number):
            raise UserError(f"{path}: is no member {number} of the search in {search}")
        found.append(row["fitness"])
    _write(out, advance(read_search(search, settings), settings, found), settings)


def try_member(
    search: Path,
    number: int,
    settings: EvolveSettings,
    model: str,
    model_dir: Path,
    problems: Path,
    out: Path,
) -> None:
    """Train with a member's mirror and write its fitness, a share from 0 to 1."""
    evolution = settings.evolution
    found = read_search(search, evolution)
    row: dict[str, Any] = {"search": check(search).sha256, "member": number, "fitness": None}
    work = out.with_suffix("")
    if not found.stopped:
        rows = read_jsonl(problems)
        kept = len(rows) - max(1, round(evolution.held_out * len(rows)))
        part = work / "train.jsonl"
        finish(part, as_jsonl(rows[:kept]))
        own = replace(settings.run, mirror=member(found, evolution, number))
        name = f"generation{found.generation}.member{number}"
        # One seed a generation: members differ in their mirror alone.
        train(model, model_dir, part, name, found.generation, own, work, once=True)
        row |= {"fitness": _fitness(model_dir, work, rows[kept:], settings)}
        row |= {
            "held_out": len(rows) - kept,
            "adapter": adapter_hashes(work / "adapters", [evolution.steps]),
        }
    finish(out, as_json(row), {"model": origin_of(model_dir), "settings": plain(settings)})
    shutil.rmtree(work, ignore_errors=True)


def _fitness(
    model_dir: Path, work: Path, rows: Sequence[dict[str, Any]], settings: EvolveSettings
) -> float:
    """Greedy accuracy of the trained adapter, from 0 to 1."""
    training, task = settings.run.training, get_task(settings.run.task)
    base, tokenizer = load_base(model_dir, training.precision)
    policy = load_adapter(base, work / "adapters" / f"step{training.steps}", "member")
    prompts = encode_prompts(tokenizer, [messages(task, row) for row in rows], settings.run.chat)
    size = settings.evaluation.batch_size
    completions = generate(policy.eval(), tokenizer, prompts, training.max_completion_tokens, size)
    texts = [completion_text(ids, tokenizer) for ids in completions]
    right = task.grade_many(texts, [row["answer"] for row in rows])
    return sum(right) / len(rows)


def _write(out: Path, search: Search, settings: EvolutionSettings) -> None:
    finish(out, as_json(asdict(search)), {"evolution": plain(settings)})


if __name__ == "__main__":
    run(main)
