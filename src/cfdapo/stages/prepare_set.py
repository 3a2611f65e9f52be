"""Prepare a further test set: its problems as they are asked, none of them the study's own."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from cfdapo.checksums import finish
from cfdapo.files import UserError, as_json, as_jsonl
from cfdapo.integrity import read_record, read_rows
from cfdapo.problems.task import Row, get_task
from cfdapo.provenance import MANIFEST, environment
from cfdapo.settings import DataSettings, from_flag, plain
from cfdapo.stages import run
from cfdapo.study_conflicts import asked_alike
from cfdapo.study_schema import OWN_TASK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the set's name in the study")
    parser.add_argument(
        "--data", type=from_flag(DataSettings), required=True, help="where the set comes from"
    )
    parser.add_argument("--study", type=Path, required=True, help="folder of the study's own data")
    parser.add_argument("--out", type=Path, required=True, help="folder for test.jsonl")
    given = parser.parse_args()
    try:
        rows = prepare(given.data, given.study, given.out)
    except UserError as error:
        raise UserError(f"evaluation.sets.{given.name}: {error}") from error
    print(f"{given.name}: {len(rows)} problems of {given.data.task}")


def prepare(data: DataSettings, study: Path, out: Path) -> list[Row]:
    """Write the set's test.jsonl and manifest.json into `out`; returns its rows.

    `study` is the folder of the study's own problems. A set of one's own questions that names no
    prompt is asked with the study's, where that asks for the same kind of answer.

    Raises:
        UserError: the set's problems cannot be had, some are trained on, or they are the study's
            own test problems.
    """
    manifest, _ = read_record(study / MANIFEST)
    data = _with_prompt(data, manifest)
    task = get_task(data.task)
    rows = task.load("test", data)
    questions = set(map(task.prompt, rows))
    own = {split: _prompts(study / f"{split}.jsonl", manifest) for split in ("train", "test")}
    if trained := questions & own["train"]:
        raise UserError(f"{len(trained)} of its questions are also in the study's train")
    if questions == own["test"]:
        raise UserError("its questions are those of the study's own test set")
    manifest = {
        "settings": plain(data),
        "template": task.template,
        **(task.describe(data) if task.describe else {}),
        "rows": {"test": len(rows)},
        "sha256": {"test": finish(out / "test.jsonl", as_jsonl(rows))},
        **environment(("datasets",)),
    }
    finish(out / MANIFEST, as_json(manifest))
    return rows


def _with_prompt(data: DataSettings, manifest: dict[str, Any]) -> DataSettings:
    """The set's data with the prompt that its questions are asked with, where that is a setting."""
    settings = manifest["settings"]
    kinds = (data.task, data.answer), (settings["task"], settings.get("answer"))
    if data.task != OWN_TASK or data.prompt is not None or not asked_alike(*kinds):
        return data
    if settings["task"] == OWN_TASK:
        return replace(data, prompt=settings.get("prompt"))
    return replace(data, prompt=_message(manifest, "{question}"))


def _prompts(problems: Path, manifest: dict[str, Any]) -> set[str]:
    """The messages that ask for a file's problems."""
    rows, _ = read_rows(problems)
    return {_message(manifest, row["question"]) for row in rows}


def _message(manifest: dict[str, Any], question: str) -> str:
    template: str = manifest["template"]
    return template.format(question=question)


if __name__ == "__main__":
    run(main)
