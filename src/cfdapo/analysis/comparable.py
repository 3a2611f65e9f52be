"""Whether the runs of a study can stand in one table: they must have had the same settings."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from cfdapo.analysis.curves import MODE_LABELS
from cfdapo.files import UserError

_ABSENT = "absent"


def require_same_settings(records: Sequence[dict[str, Any]]) -> None:
    """Refuse runs whose settings differ where a study's runs do not.

    All runs must share the task, the LoRA and training settings and the proxy; runs of a model, its
    chat template's arguments and how many problems were trained on; runs of a mode, the settings
    of credit. The four weightings must share these too, but for the mode itself; only a study's
    own variants may differ from them.

    Args:
        records: every run's `run.json`.

    Raises:
        UserError: a record lacks its settings, or runs differ; every run that is not like most is
            named with the first setting that is odd in it.
    """
    found = []
    for part, group, runs in _groups(records):
        found += _odd_runs(part, group, runs)
    if found:
        raise UserError(
            "runs of different configurations cannot stand in one table:\n"
            + "\n".join(dict.fromkeys(found))
            + "\ndelete the odd runs' folders and run the study again"
        )


def _groups(
    records: Sequence[dict[str, Any]],
) -> Iterable[tuple[str, str, dict[str, dict[str, Any]]]]:
    """What must be equal (its name), among which runs (in words), and each run's own values."""
    everywhere: dict[str, dict[str, Any]] = {}
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    by_mode: dict[str, dict[str, dict[str, Any]]] = {}
    weightings: dict[str, dict[str, Any]] = {}
    for record in records:
        name = f"{record['model']}/{record['mode']}/seed{record['seed']}"
        try:
            settings = dict(record["settings"])
            credit = _flat(settings.pop("credit"))
            chat = settings.pop("chat")
        except (KeyError, TypeError) as error:
            raise UserError(f"{name}: its run.json lacks the settings ({error})") from error
        everywhere[name] = _flat(settings) | {"credit.proxy": credit.get("proxy")}
        by_model.setdefault(record["model"], {})[name] = {
            "chat": chat,
            "train_problems": record.get("train_problems"),
        }
        by_mode.setdefault(record["mode"], {})[name] = credit
        if record["mode"] in MODE_LABELS:
            weightings[name] = {key: value for key, value in credit.items() if key != "mode"}
    yield "", "all", everywhere
    for model, runs in by_model.items():
        yield "", f"{model}'s", runs
    for mode, runs in by_mode.items():
        yield "credit.", f"{mode}'s", runs
    yield "credit.", "all weightings'", weightings


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _odd_runs(part: str, group: str, runs: dict[str, dict[str, Any]]) -> list[str]:
    """A line for every run of the group that is not like most of it."""
    if not runs:
        return []
    texts = {name: json.dumps(values, sort_keys=True) for name, values in runs.items()}
    # Of equally many, those that come first count as the rule.
    most = json.loads(Counter(texts.values()).most_common(1)[0][0])
    lines = []
    for name, text in texts.items():
        own = json.loads(text)
        keys = [key for key in {**most, **own} if own.get(key, _ABSENT) != most.get(key, _ABSENT)]
        if keys:
            key, more = keys[0], f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
            lines.append(
                f"{name}: {part}{key} is {own.get(key, _ABSENT)}, in most of {group} runs it is "
                f"{most.get(key, _ABSENT)}{more}"
            )
    return lines
