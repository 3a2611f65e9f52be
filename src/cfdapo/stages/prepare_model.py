"""Prepare one base model: make and pretrain it, convert it, or pin it, of the hub or a folder."""

import argparse
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from cfdapo.devices import take_gpu
from cfdapo.files import UserError
from cfdapo.policy.hub import verify_snapshot
from cfdapo.policy.local import content_hash, files_of, refuse_adapter
from cfdapo.policy.models import (
    convert_gguf,
    fetch_from_hub,
    load_tokenizer,
    save_base,
    write_manifest,
)
from cfdapo.policy.templates import require_steady
from cfdapo.policy.tiny import make_model, make_tokenizer, pretrain
from cfdapo.problems.task import get_task
from cfdapo.provenance import environment
from cfdapo.settings import GgufModel, LocalModel, MadeModel, ModelSettings, parse_model, plain
from cfdapo.stages import run

TOKENIZER_ROWS = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the model's name in the study")
    parser.add_argument("--entry", type=_model, required=True, help="its entry in the study")
    parser.add_argument("--task", required=True, help="kind of problem a made model learns")
    parser.add_argument("--out", type=Path, required=True, help="folder of the prepared model")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    entry: ModelSettings = arguments.entry
    made: dict[str, Any] = {}
    known = plain(entry)
    if isinstance(entry, MadeModel):
        take_gpu()
        made = make(entry, arguments.task, arguments.out)
    elif isinstance(entry, GgufModel):
        convert_gguf(entry, arguments.out)
    elif isinstance(entry, LocalModel):
        files = files_of(entry.path)
        made = {"revision": content_hash(files), "files": files}
    else:
        snapshot = fetch_from_hub(entry.id, entry.revision)
        made = {"files": verify_snapshot(snapshot)}
        refuse_adapter(snapshot)
        known |= {"id": str(snapshot)}  # without asking the hub again
    tokenizer = load_tokenizer(arguments.out, known)
    chat = entry.chat_template_kwargs
    require_steady(tokenizer, chat=chat, name=f"models.{arguments.name}")
    write_manifest(arguments.out, arguments.name, plain(entry), {**made, **environment()})


def _model(text: str) -> ModelSettings:
    return parse_model(json.loads(text))


def make(entry: MadeModel, task_name: str, folder: Path) -> dict[str, Any]:
    """Make and pretrain a model in `folder`; returns what its manifest tells of it."""
    task, settings = get_task(task_name), entry.pretraining
    if task.corpus is None:
        raise UserError(f"models: problems of {task_name} cannot be made, so nor can a model")
    seen = islice(task.corpus(settings), TOKENIZER_ROWS)
    texts = (text for row in seen for text in (task.prompt(row), row["solution"]))
    tokenizer = make_tokenizer(texts, entry.vocabulary)
    model = make_model(entry.architecture, entry.shape, tokenizer, settings.seed)
    with tempfile.TemporaryDirectory() as scratch:
        loss = pretrain(model, tokenizer, task.corpus(settings), task.prompt, settings, scratch)
    save_base(model, tokenizer, folder)
    return {"parameters": model.num_parameters(), "pretraining_loss": loss}


if __name__ == "__main__":
    run(main)
