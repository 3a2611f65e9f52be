"""Load one's own questions, JSONL files or a split of a data set of the hub, as problem rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from cfdapo.files import UserError, parse_jsonl, read_text, sha256_of
from cfdapo.problems import latex
from cfdapo.problems.gsm8k import strip_marks
from cfdapo.problems.own_answers import read_gold, said
from cfdapo.settings import DataSettings, HubSplit

Row = dict[str, Any]

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
LETTER = "Please reason step by step, and put the letter of the right answer within \\boxed{}."
LETTERS = 5
# Fields that a prompt must not tell.
_SECRET = ("answer", "solution", "id")


def load(split: str, data: DataSettings) -> list[Row]:
    """Load a split ("train" or "test") as rows {"id", "question", "answer", "solution"}.

    "question" is the whole message that the prompt makes of a record, "answer" a gold answer as
    JSON (`own_answers.Gold`), "solution" empty where the data have none.

    Raises:
        UserError: a file is missing, a record lacks a field or its answer is of another kind, two
            have one id; the message names file, line (of the hub record) and field.
    """
    source, records = read_records(split, data)
    rows = [
        _row(record, f"{source}, {place}", f"{split}-{n}", data)
        for n, (place, record) in enumerate(records)
    ]
    if not rows:
        raise UserError(f"{source}: has no questions")
    rows = rows[: data.problems(split)]
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            raise UserError(f"{source}: the id {row['id']!r} is there twice")
        seen.add(row["id"])
    return rows


def read_records(split: str, data: DataSettings) -> tuple[str, list[tuple[str, Row]]]:
    """Where the records of a split come from, and each with its place there, in order."""
    where = _where(split, data)
    if isinstance(where, str):
        lines = parse_jsonl(read_text(where), where, exact=True)
        return where, [(f"line {number}", record) for number, record in lines]
    name = f"{where.id} (revision {where.revision}, {where.config or 'default'}, {where.split})"
    try:
        # Imported here: it takes seconds, and a study with local data does not need it.
        from datasets import load_dataset

        loaded = load_dataset(where.id, where.config, split=where.split, revision=where.revision)
        found = enumerate(loaded.to_list(), start=1)
        return name, [(f"record {number}", record) for number, record in found]
    except (ImportError, OSError, ValueError) as error:
        raise UserError(
            f"data.{split}: {name} cannot be loaded from the hub ({error}); without network, name "
            "a JSONL file"
        ) from error


def describe(data: DataSettings) -> dict[str, Any]:
    """Where each split came from, for the data's manifest; of a file with its sha256.

    A further test set has no training split.
    """
    sources: dict[str, Any] = {}
    for split, where in (("train", data.train), ("test", data.test)):
        if where is None:
            continue
        sources[split] = (
            {"file": Path(where).name, "sha256": sha256_of(where)}
            if isinstance(where, str)
            else asdict(where)
        )
    grader = {latex.LIBRARY: latex.version()} if data.answer == "latex" else {}
    return {"sources": sources, "prompt": prompt_of(data), "grader": grader}


def prompt_of(data: DataSettings) -> str:
    """The study's prompt, or that of the kind of its answers."""
    if data.prompt is not None:
        return data.prompt
    if data.answer != "choice":
        return f"{{question}}\n\n{BOXED}"
    options = "\n\n{choices}" if "choices" in (data.fields or {}) else ""
    return f"{{question}}{options}\n\n{LETTER}"


def _where(split: str, data: DataSettings) -> str | HubSplit:
    where = data.train if split == "train" else data.test
    if where is None:
        raise UserError(f"data.{split}: is missing, which data.task jsonl needs")
    return where


def _row(record: Row, where: str, number: str, data: DataSettings) -> Row:
    """A record as a problem; `where` it stands is for messages, `number` its id if it has none."""
    fields = {"question": "question", "answer": "answer", **(data.fields or {})}
    values = {name: _value(record, field, where) for name, field in fields.items()}
    options: Sequence[str] | int = data.letters or LETTERS
    if "choices" in values:
        options = _options(values["choices"], f"{where}: {fields['choices']}")
    try:
        gold = read_gold(str(data.answer), values["answer"], options)
    except ValueError as error:
        raise UserError(
            f"{where}: {fields['answer']} {error} (data.answer: {data.answer})"
        ) from None
    for name in ("question", "solution"):
        if name in values and not (isinstance(values[name], str) and values[name].strip()):
            raise UserError(f"{where}: {fields[name]} is {said(values[name])} and must be text")
    for name in set(values) - {"answer", "choices"}:
        if not _is_plain(values[name]):
            raise UserError(
                f"{where}: {fields[name]} is {said(values[name])} and must be text or a number"
            )
    shown = {name: value for name, value in values.items() if name not in _SECRET}
    if not isinstance(options, int):
        named = zip(ascii_uppercase, options, strict=False)
        shown["choices"] = "\n".join(f"{letter}. {option}" for letter, option in named)
    return {
        "id": str(values.get("id", number)),
        "question": fill(prompt_of(data), shown),
        "answer": gold.to_text(),
        "solution": strip_marks(values.get("solution", "")),
    }


def fill(prompt: str, values: Mapping[str, Any]) -> str:
    r"""The prompt with values in the place of their names in braces, in one pass.

    Other braces, as those of \boxed{}, and braces in values, stay as they are.
    """
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda found: str(values[found[1]]), prompt)


def _value(record: Row, field: str, where: str) -> Any:
    """What stands at a field, or at a dotted path of fields."""
    if field in record:
        return record[field]
    value: Any = record
    for part in field.split("."):
        if not isinstance(value, Mapping) or part not in value:
            there = ", ".join(map(str, record))
            raise UserError(f"{where}: has no field {field!r} (data.fields); it has: {there}")
        value = value[part]
    return value


def _options(value: Any, where: str) -> list[str]:
    """The options in their order; of an object, whose keys must then be their letters."""
    lettered = isinstance(value, Mapping) and list(value) == list(ascii_uppercase[: len(value)])
    listed = list(value.values()) if lettered else value
    if not isinstance(listed, list) or not 2 <= len(listed) <= len(ascii_uppercase):
        raise UserError(f"{where} is {said(value)} and must be a list of 2 to 26 options")
    options = [str(option).strip() if _is_plain(option) else "" for option in listed]
    if not all(options):
        raise UserError(f"{where} is {said(value)}, whose options must be text or numbers")
    return options


def _is_plain(value: Any) -> bool:
    """Whether a prompt can say a value: no null, truth value, list or object."""
    return isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)
