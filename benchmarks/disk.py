"""The disk that a run takes: a formula, beside what is measured on the tiny shape.

An adapter is 4 bytes a parameter, a checkpoint two times as much again for AdamW's moments, and the
tokenizer. At most three checkpoints lie side by side, the two that stay and the new one. Adapters
of the steps that are evaluated stay, as second names of a checkpoint's files, so they count once.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import tiny_run
import torch
from shapes import shaped_model
from torch import nn

from cfdapo.policy import resuming
from cfdapo.policy.checkpoints import KEPT, checkpoint
from cfdapo.policy.models import load_base
from cfdapo.stages.train import train
from cfdapo.study import checkpoint_steps, load_study

MEGABYTE = 1e6
# Bytes of tokenizer.json as transformers writes it: no less than those of Qwen and Llama 3.
TOKENIZER = 20_000_000
# Bytes of a row of evaluation.jsonl on GSM8K: about 300 tokens and the answers.
RECORD, TEST_PROBLEMS = 1300, 1319
SHAPES = ("qwen3-1.7b", "qwen2.5-3b", "llama3.2-3b")


@dataclass(frozen=True)
class Disk:
    """Bytes of a run.

    `running` is the most while it trains, when all that is saved is a step to be evaluated;
    `running_timed` when the two checkpoints before the last were saved because time had passed.
    """

    parameters: int
    adapter: float
    checkpoint: float
    running: float
    running_timed: float
    finished: float


def predicted(parameters: int, steps: int, tokenizer: float) -> Disk:
    """A run of `steps` evaluated steps with a LoRA of that many parameters."""
    adapter = 4 * parameters
    rest = 2 * adapter + tokenizer
    finished = steps * adapter
    running = finished + (KEPT + 1) * rest
    return Disk(parameters, adapter, adapter + rest, running, running + KEPT * adapter, finished)


def lora_parameters(model: nn.Module, rank: int) -> int:
    """Parameters of a LoRA on every linear layer but the output's."""
    layers = [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and name != "lm_head"
    ]
    return sum(rank * (layer.in_features + layer.out_features) for layer in layers)


def occupied(folder: Path) -> int:
    """Bytes of all files below `folder`, those of several names once."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({one.st_ino: one.st_size for one in found}.values())


def measured(folder: Path, steps: int, every: int) -> tuple[Disk, Disk]:
    """A short training of the tiny shape, and what the formula says of it."""
    paths = tiny_run.prepare(folder, pretraining_steps=2)
    settings = tiny_run.settings("vanilla", steps=steps, checkpoint_every=every)
    sizes: dict[str, tuple[int, int]] = {}
    thin_out = resuming.thin_out

    def before_thinning(state: Path) -> None:
        """The moment at which most lies on the disk."""
        last = max(int(path.name.partition("-")[2]) for path in state.glob("checkpoint-*"))
        before = sizes.get(state.parent.name, (0, 0))
        found = occupied(state.parent), occupied(checkpoint(state, last))
        sizes[state.parent.name] = tuple(map(max, before, found))
        thin_out(state)

    resuming.thin_out = before_thinning
    for name, minutes in (("kept", 10.0), ("timed", 0.0)):
        train(tiny_run.MODEL, mode="vanilla", seed=0, settings=settings, out=folder / name,
              save_minutes=minutes, **paths)  # fmt: skip
    resuming.thin_out = thin_out
    out = folder / "kept"
    adapter = next(out.glob("adapters/*/adapter_model.safetensors")).stat().st_size
    base, _ = load_base(paths["model_dir"])
    parameters = lora_parameters(base, settings.lora.r)
    running, one = sizes["kept"]
    found = Disk(parameters, adapter, one, running, sizes["timed"][0], occupied(out))
    tokenizer = occupied(paths["model_dir"]) - (
        (paths["model_dir"] / "model.safetensors").stat().st_size
    )
    return found, predicted(parameters, len(checkpoint_steps(steps, every)), tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=12, help="of the training that is measured")
    parser.add_argument("--checkpoint-every", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also keep the rows in this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found, said = measured(Path(folder), given.steps, given.checkpoint_every)
    rows = {"tiny, measured": found, "tiny, formula": said}
    study = load_study("paper")
    training = study.training
    steps = len(checkpoint_steps(training.steps, training.checkpoint_every))
    weights = 0
    for name in SHAPES:
        model = shaped_model(name, torch.bfloat16, "meta")
        weights += sum(2 * parameter.numel() for parameter in model.parameters())
        rows[name] = predicted(lora_parameters(model, study.lora.r), steps, TOKENIZER)
    print(table(rows))
    runs = len(study.modes) * len(study.seeds)
    records = (steps + 1) * TEST_PROBLEMS * RECORD
    finished = runs * sum(rows[name].finished + records for name in SHAPES)
    at_once = runs * sum(rows[name].running_timed + records for name in SHAPES)
    print(
        f"\n{runs * len(SHAPES)} runs: {finished / 1e9:.0f} GB finished, {at_once / 1e9:.0f} GB if "
        f"all ran at once; of them records {records / MEGABYTE:.0f} MB a run. "
        f"The base models, once: {weights / 1e9:.0f} GB"
    )
    if given.json:
        kept = {
            "date": str(date.today()),
            "rows": {name: asdict(row) for name, row in rows.items()},
        }
        given.json.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def table(rows: dict[str, Disk]) -> str:
    """Megabytes, in Markdown."""
    lines = [
        "| MB | LoRA parameters | adapter | checkpoint | running | and timed ones | finished |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        sizes = [row.adapter, row.checkpoint, row.running, row.running_timed, row.finished]
        cells = [f"{size / MEGABYTE:,.{2 if size < 1e8 else 0}f}" for size in sizes]
        lines.append(f"| {name} | {row.parameters:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
