"""Evaluate one run greedily at step 0 and at every checkpoint, keeping every problem's record."""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, product, takewhile
from pathlib import Path
from typing import Any

from cfdapo.checksums import finish_file, sha256_of_input
from cfdapo.credit.alignment import completion_text
from cfdapo.devices import take_gpu
from cfdapo.files import append_stream, read_json, read_jsonl, write_json, write_jsonl
from cfdapo.integrity import check_evaluation, require_own_adapters
from cfdapo.locks import only_one
from cfdapo.policy import by_vllm, generation, models
from cfdapo.policy.checkpoints import adapter_hashes
from cfdapo.policy.generation import by_length, encode_prompts, hash_of_prompts, messages
from cfdapo.problems.task import get_task
from cfdapo.provenance import code_hash, origin_of
from cfdapo.settings import (
    ChatVariables,
    EvaluationSettings,
    TrainingSettings,
    from_flag,
    plain,
)
from cfdapo.stages import run
from cfdapo.study import checkpoint_steps


@dataclass(frozen=True)
class EvaluateSettings:
    """What runs are evaluated with; `training` is the study's, which is the same for all."""

    task: str
    chat: ChatVariables
    training: TrainingSettings
    evaluation: EvaluationSettings


# By `evaluation.engine`: what loads the base model and an adapter on it, and what generates.
ENGINES: dict[str | None, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    None: (models.load_base, models.load_adapter, generation.generate),
    "vllm": (by_vllm.load_base, by_vllm.load_adapter, by_vllm.generate),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="the prepared base model")
    parser.add_argument("--problems", type=Path, required=True, help="test.jsonl")
    parser.add_argument("--run-dir", type=Path, required=True, help="the trained run")
    parser.add_argument(
        "--settings",
        type=from_flag(EvaluateSettings),
        required=True,
        help="task, chat, training and evaluation",
    )
    parser.add_argument("--out", type=Path, required=True, help="evaluation.jsonl")
    arguments = parser.parse_args()
    take_gpu()
    evaluate(**vars(arguments))


def evaluate(
    model_dir: Path, problems: Path, run_dir: Path, settings: EvaluateSettings, out: Path
) -> None:
    """Load the base once, swap adapters, append a record a problem; resume after the last one."""
    with only_one(out.with_name(f".{out.stem}.lock"), f"evaluation of {run_dir}") as waited:
        if waited and out.is_file():
            print("the other process finished this evaluation")
            return
        _evaluate(model_dir, problems, run_dir, settings, out)


def _evaluate(
    model_dir: Path, problems: Path, run_dir: Path, settings: EvaluateSettings, out: Path
) -> None:
    training, task = settings.training, get_task(settings.task)
    rows = read_jsonl(problems)
    load_base, load_adapter, generate = ENGINES[settings.evaluation.engine]
    model, tokenizer = load_base(model_dir, training.precision)
    asked = [messages(task, row) for row in rows]
    prompts = encode_prompts(tokenizer, asked, settings.chat)
    batch_size = settings.evaluation.batch_size
    names, order = [row["id"] for row in rows], by_length(prompts, batch_size)
    rows, prompts = [rows[place] for place in order], [prompts[place] for place in order]
    partial = out.with_suffix(".partial.jsonl")
    mark = partial.with_suffix(".json")
    identity = _identity(model_dir, problems, run_dir, settings)
    require_own_adapters(run_dir, identity["adapters"], identity["model"])
    if not mark.is_file() or read_json(mark) != identity:
        partial.unlink(missing_ok=True)
        write_json(mark, identity)
    steps = [0, *_trained(training)]
    expected = list(product(steps, (row["id"] for row in rows)))
    done = _finished(partial, expected, len(rows), batch_size)
    with append_stream(partial) as stream:
        for index, step in enumerate(steps):
            # Also when nothing is left of this step: adapters are checked in order.
            if step:
                model = load_adapter(model, run_dir / "adapters" / f"step{step}", f"step{step}")
            of = {
                "step": step,
                "adapter": identity["adapters"].get(str(step)),
                "prompts": identity["prompts"][:16],
            }
            skipped = min(max(done - index * len(rows), 0), len(rows))
            completions = generate(
                model.eval(),
                tokenizer,
                prompts[skipped:],
                training.max_completion_tokens,
                batch_size,
            )
            for first in range(skipped, len(rows), batch_size):
                batch = rows[first : first + batch_size]
                for record in _records(batch, islice(completions, len(batch)), tokenizer, task):
                    stream.write(json.dumps(of | record, ensure_ascii=False) + "\n")
                stream.flush()
            print(f"step {step}: evaluated", flush=True)
    _put_in_order(partial, steps, names)
    check_evaluation(partial, read_jsonl(partial), task.name, steps, identity, names)
    finish_file(partial, out, identity)
    mark.unlink()


def _identity(
    model_dir: Path, problems: Path, run_dir: Path, settings: EvaluateSettings
) -> dict[str, Any]:
    """What the records depend on; those of another adapter, say, must not be gone on from.

    The finished evaluation's checksum keeps it, for whoever compares it with the run's record.
    """
    return {
        "settings": plain(settings),
        "code": code_hash("cfdapo.stages.evaluate", settings.task),
        "problems": sha256_of_input(problems),
        "prompts": hash_of_prompts(model_dir, problems, settings.task, settings.chat),
        "model": origin_of(model_dir),
        "adapters": adapter_hashes(run_dir / "adapters", _trained(settings.training)),
        **({"engine": by_vllm.version()} if settings.evaluation.engine == "vllm" else {}),
    }


def _trained(training: TrainingSettings) -> list[int]:
    return checkpoint_steps(training.steps, training.checkpoint_every)


def _finished(
    partial: Path, expected: list[tuple[int, str]], problems: int, batch_size: int
) -> int:
    """How many leading records of an interrupted evaluation stand; the rest is cut off.

    Those stand that are of the `expected` steps and problems, in order. Only whole batches of a
    step count, so that the batches to come are those of an evaluation that was never interrupted.
    """
    if not partial.is_file():
        return 0
    lines = partial.read_bytes().split(b"\n")[:-1]  # the last piece is empty or torn
    whole = list(takewhile(lambda pair: _is_of(*pair), zip(lines, expected, strict=False)))
    steps, rest = divmod(len(whole), problems)
    done = steps * problems + rest // batch_size * batch_size
    partial.write_bytes(b"".join(line + b"\n" for line in lines[:done]))
    return done


def _put_in_order(partial: Path, steps: list[int], names: list[str]) -> None:
    """Records as the problems' file has them, and not by the length of their prompts."""
    place = {key: number for number, key in enumerate(product(steps, names))}
    records = read_jsonl(partial)
    ordered = sorted(records, key=lambda record: place[record["step"], record["problem"]])
    if ordered != records:
        write_jsonl(partial, ordered)


def _is_of(line: bytes, expected: tuple[int, str]) -> bool:
    try:
        record = json.loads(line)
        return (record["step"], record["problem"]) == expected
    except (ValueError, TypeError, KeyError):
        return False


def _records(
    rows: Sequence[dict[str, Any]], completions: Iterable[list[int]], tokenizer: Any, task: Any
) -> list[dict[str, Any]]:
    """What is kept of a batch, which is graded at once: code runs on all cores."""
    batch = list(completions)
    texts = [completion_text(ids, tokenizer) for ids in batch]
    correct = task.grade_many(texts, [row["answer"] for row in rows])
    return [
        {
            "problem": row["id"],
            "completion": text,
            "extracted": task.extract(text, row["answer"]),
            "gold": task.gold_to_show(row["answer"]),
            "correct": right,
            "tokens": len(ids),
        }
        for row, ids, text, right in zip(rows, batch, texts, correct, strict=True)
    ]


if __name__ == "__main__":
    run(main)
