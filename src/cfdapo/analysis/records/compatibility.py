"""Whether a study's runs can stand in one table: equal settings, evaluations of own adapters."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cfdapo.analysis.records.runs import name_of, run_name
from cfdapo.files import UserError
from cfdapo.settings import VARIED
from cfdapo.vocabulary import PAPER_MODES

_ABSENT = "absent"
_VARIED = tuple(f"training.{key}" for key in VARIED)
# Libraries whose versions can change what a training ends with.
LIBRARIES = ("torch", "transformers", "trl", "peft")


def require_same_settings(descriptions: Sequence[dict[str, Any]]) -> None:
    """Refuse runs whose settings differ where a study's runs do not.

    All runs must share the task, the LoRA and training settings and the proxy; runs of a model, its
    chat template's arguments and how many problems were trained on; runs of a mode, the settings of
    credit and, of a variant, the learning rate and the divergence, which may be its own. The four
    weightings must share these too, but for the mode itself; only a study's own variants may differ
    from them. Where runs say what they were made from, all must share the problems' hash and the
    proxy, and runs of a model the hash of the prompts and the base model's source, commit and
    hashes; records of older versions do not say, and are taken at their settings.

    Args:
        descriptions: every run's `run.json`.

    Raises:
        UserError: a record lacks its settings, or runs differ; every run that is not like most is
            named with the first setting that is odd in it.
    """
    found = []
    for part, group, runs in _groups(descriptions):
        found += _odd_runs(part, group, runs)
    if found:
        raise UserError(
            "runs of different configurations cannot stand in one table:\n"
            + "\n".join(dict.fromkeys(found))
            + "\ndelete the odd runs' folders and run the study again"
        )


def require_same_evaluations(evaluations: Mapping[tuple[str, str, int], dict[str, Any]]) -> None:
    """Refuse evaluations of other problems, or, of a model, of other settings, prompts or weights.

    Args:
        evaluations: for each run, by model, mode and seed, what its evaluation was made from. That
            its adapters are the run's own, `integrity` sees to; its code may differ.

    Raises:
        UserError: every run that is not like most is named with the first thing that is odd in it.
    """
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for key, made_from in evaluations.items():
        own = {part: value for part, value in made_from.items() if part not in ("adapters", "code")}
        by_model.setdefault(key[0], {})[run_name(*key)] = _flat(own)
    found = []
    for model, runs in by_model.items():
        found += _odd_runs("", f"{model}'s", runs)
    everywhere = {name: own for runs in by_model.values() for name, own in runs.items()}
    problems = {name: {"problems": own.get("problems")} for name, own in everywhere.items()}
    found += _odd_runs("", "all", problems)
    if found:
        raise UserError(
            "evaluations of different prompts, settings or models cannot stand in one table:\n"
            + "\n".join(dict.fromkeys(found))
            + "\ndelete the odd runs' evaluation.jsonl and run the study again"
        )


def other_versions(
    descriptions: Sequence[dict[str, Any]],
    evaluations: Mapping[tuple[str, str, int], dict[str, Any]] | None = None,
) -> list[str]:
    """What a reader should know of runs that can stand in one table all the same.

    `evaluations` are as for `require_same_evaluations`.

    Returns:
        A line for the training's code, the evaluation's, each mode's own and each library of
        `LIBRARIES`, of which the runs had more than one version; runs that do not have the most
        frequent one are named. Commits are not compared, as most change no training. Runs that do
        not say are left out.
    """
    evaluated = {run_name(*key): made_from for key, made_from in (evaluations or {}).items()}
    found: dict[str, dict[str, list[str]]] = {}
    for record in descriptions:
        origin = record.get("origin") or {}
        said = {
            "training code": origin.get("code"),
            f"the code of mode {record['mode']}": origin.get("rule"),
            "evaluation code": evaluated.get(name_of(record), {}).get("code"),
        }
        said |= {name: (record.get("versions") or {}).get(name) for name in LIBRARIES}
        for what, version in said.items():
            if version:
                runs = found.setdefault(what, {}).setdefault(version[:12], [])
                runs.append(name_of(record))
    lines = []
    for what, versions in found.items():
        (most, runs), *others = sorted(versions.items(), key=lambda item: -len(item[1]))
        if others:
            named = "; ".join(f"{version}: {', '.join(odd)}" for version, odd in others)
            lines.append(f"runs of several versions of {what}: {most} ({len(runs)} runs); {named}")
    return lines


def _groups(
    descriptions: Sequence[dict[str, Any]],
) -> Iterable[tuple[str, str, dict[str, dict[str, Any]]]]:
    """What must be equal (its name), among which runs (in words), and each run's own values."""
    everywhere: dict[str, dict[str, Any]] = {}
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    by_mode: dict[str, dict[str, dict[str, Any]]] = {}
    varied: dict[str, dict[str, dict[str, Any]]] = {}
    weightings: dict[str, dict[str, Any]] = {}
    data: dict[str, dict[str, Any]] = {}
    bases: dict[str, dict[str, dict[str, Any]]] = {}
    prompts: dict[str, dict[str, dict[str, Any]]] = {}
    mirrors: dict[str, dict[str, dict[str, Any]]] = {}
    for record in descriptions:
        name = name_of(record)
        try:
            settings = dict(record["settings"])
            credit = _flat(settings.pop("credit"))
            chat = settings.pop("chat")
        except (KeyError, TypeError) as error:
            raise UserError(f"{name}: its run.json lacks the settings ({error})") from error
        # What was evolved is a model's and mode's own.
        found = {"mirror": settings.pop("mirror", None)}
        mirrors.setdefault(f"{record['model']}'s {record['mode']}", {})[name] = found
        origin = record.get("origin")
        # Code of one's own counts as a setting: it is nobody else's to know what changed in it.
        credit |= _flat({"own": (origin or {}).get("own", {})})
        own = _flat(settings) | {"credit.proxy": credit.get("proxy")}
        of = f"{record['mode']}'s" if record["mode"] != credit.get("mode") else "all"
        keys = [key for key in own if key.startswith(_VARIED)]
        varied.setdefault(of, {})[name] = {key: own.pop(key) for key in keys}
        everywhere[name] = own
        by_model.setdefault(record["model"], {})[name] = {
            "chat": chat,
            "train_problems": record.get("train_problems"),
        }
        by_mode.setdefault(record["mode"], {})[name] = credit
        if record["mode"] in PAPER_MODES:
            weightings[name] = {key: value for key, value in credit.items() if key != "mode"}
        # Records of older versions do not say.
        if origin:
            data[name] = _flat({key: origin.get(key) for key in ("problems", "proxy")})
            bases.setdefault(record["model"], {})[name] = _flat({"model": origin.get("model")})
            if "prompts" in origin:
                said = {key: origin.get(key) for key in ("prompts", "proxy_prompts")}
                prompts.setdefault(record["model"], {})[name] = said
    yield "", "all", everywhere
    yield "origin.", "all", data
    for model, runs in [*bases.items(), *prompts.items()]:
        yield "origin.", f"{model}'s", runs
    for model, runs in by_model.items():
        yield "", f"{model}'s", runs
    for group, runs in [*varied.items(), *mirrors.items()]:
        yield "", group, runs
    for mode, runs in by_mode.items():
        yield "credit.", f"{mode}'s", runs
    yield "credit.", "all weightings'", weightings


def _flat(told: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings and hashes, as a record tells them, by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in told.items():
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
