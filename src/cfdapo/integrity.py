"""Whether a finished record may be averaged: undamaged, complete, and made from its own parents.

What one job finishes and another one reads is read through here. That the bytes are those that were
finished, `checksums` tells; here it is told that they are a whole record, with every step, problem,
completion and span once and of the right kind, and that what the record says it was made from is
what the study has. What a folder lacks, as an unpacked archive lacks problems and weights, is not
compared. Every fault is a `UserError` that names the file.
"""

import math
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from cfdapo import checksums
from cfdapo.checksums import REDO, Checksum
from cfdapo.files import UserError, read_json, read_jsonl
from cfdapo.provenance import MANIFEST, origin_of, same_model
from cfdapo.settings import VARIED
from cfdapo.study import checkpoint_steps
from cfdapo.vocabulary import TASKS

Row = dict[str, Any]
RUN_KEY = ("model", "mode", "seed")
# Names of what is odd that a message lists before it counts the rest.
NAMED = 5


@dataclass(frozen=True)
class Kind:
    """A kind of value, in words, and whether a value is of it."""

    words: str
    fits: Callable[[Any], bool]

    def or_null(self) -> "Kind":
        return Kind(f"{self.words} or null", lambda value: value is None or self.fits(value))


def _is_number(value: Any) -> bool:
    # Not isinstance: true is no number.
    return type(value) in (int, float) and math.isfinite(value)


NUMBER = Kind("a finite number", _is_number)
INTEGER = Kind("a whole number", lambda value: type(value) is int)
COUNT = Kind("a whole number from 0", lambda value: type(value) is int and value >= 0)
SIZE = Kind("a whole number from 1", lambda value: type(value) is int and value >= 1)
TEXT = Kind("text", lambda value: type(value) is str)
FLAG = Kind("true or false", lambda value: type(value) is bool)
OBJECT = Kind("an object", lambda value: type(value) is dict)
NUMBERS = Kind(
    "an object of finite numbers",
    lambda value: type(value) is dict and all(map(_is_number, value.values())),
)
LIST = Kind(
    "a list of finite numbers",
    lambda value: type(value) is list and all(map(_is_number, value)),
)

RUN = {
    **{"model": TEXT, "mode": TEXT, "seed": INTEGER, "settings": OBJECT, "origin": OBJECT},
    **{"adapters": OBJECT, "history": TEXT, "steps": COUNT, "train_problems": COUNT},
    **{"seconds": NUMBERS, "peak_memory_bytes": OBJECT},
}
EVALUATION = {
    **{"step": COUNT, "adapter": TEXT.or_null(), "prompts": TEXT, "problem": TEXT},
    "completion": TEXT,
    **{"extracted": TEXT.or_null(), "gold": TEXT, "correct": FLAG, "tokens": COUNT},
}
# Of a history's other columns null is a value too: what the step did not measure.
HISTORY = {
    **{"step": COUNT, "reward": NUMBER, "seconds_generation": NUMBER, "seconds_credit": NUMBER},
    **{"seconds_update": NUMBER, "seconds_step": NUMBER},
}
# What is measured in some steps only; every other column is in all of a run's rows or in none.
NOT_IN_EVERY_STEP = {"penalty_gradient"}
SPAN = {
    **dict.fromkeys(("completion", "source", "kind", "text", "line"), TEXT),
    **dict.fromkeys(("span", "start", "end", "token_start", "token_end"), COUNT),
    **dict.fromkeys(("position", "drop", "importance", "normalized", "weight", "entropy"), NUMBER),
    **{"correct": FLAG, "last_line": FLAG, "drops": NUMBERS, "padded_drops": NUMBERS},
    **{"label": TEXT.or_null(), "dependants": COUNT.or_null()},
}
COMPLETION = {
    **dict.fromkeys(("completion", "source", "policy", "problem", "question", "gold"), TEXT),
    **{"text": TEXT, "extracted": TEXT.or_null(), "correct": FLAG, "answer": OBJECT.or_null()},
    **{"group": COUNT.or_null(), "advantage": NUMBER.or_null()},
    **{"weights": LIST, "tokens": Kind("a list", lambda value: type(value) is list)},
}
STEP = {
    **dict.fromkeys(("completion", "problem"), TEXT),
    **dict.fromkeys(("step", "token_start", "token_end"), COUNT),
    **dict.fromkeys(("value_before", "value_after", "advantage", "error"), NUMBER),
    **{"correct": FLAG, "first_wrong": FLAG.or_null(), "halves": LIST, "rules": OBJECT},
}
RULE = {
    **{"problem": TEXT, "rule": TEXT, "group": COUNT, "completions": SIZE, "right": COUNT},
    **dict.fromkeys(("mass", "variance", "signal", "square"), NUMBER),
    "ascent": NUMBER.or_null(),
    **dict.fromkeys(("passes", "generations", "seconds"), NUMBER),
}
ON_STEP = dict.fromkeys(("sum", "mean", "mass"), NUMBER)
PROFILE = {
    **{"model": TEXT, "repeats": COUNT, "completions": COUNT, "spans_per_completion": NUMBER},
    **{"seconds": OBJECT, "ratio": OBJECT, "methods": OBJECT},
}


# What stands beside the records.


@dataclass(frozen=True)
class Parents:
    """What a study's records were made from, as far as it is in its results folder."""

    folder: Path

    @cached_property
    def _data(self) -> Row:
        path = self.folder / "data" / MANIFEST
        if not path.is_file():
            return {"rows": {}, "sha256": {}}
        manifest, _ = read_record(path)
        _require_kinds(path, manifest, {"rows": OBJECT, "sha256": OBJECT})
        return manifest

    def problems(self, split: str) -> str | None:
        """sha256 of a split ("train" or "test"); None where the folder does not say."""
        return self._data["sha256"].get(split)

    @cached_property
    def test_problems(self) -> list[str] | None:
        """The ids of the problems of evaluation, in order; None where they are not here."""
        path = self.folder / "data" / "test.jsonl"
        return _read_ids(path)[0] if path.is_file() else None

    @property
    def task(self) -> str | None:
        """The task of the problems; None where the folder does not say."""
        settings = self._data.get("settings")
        return settings.get("task") if isinstance(settings, dict) else None

    @property
    def test_rows(self) -> int | None:
        """How many problems evaluation has; None where the folder does not say."""
        return self._data["rows"].get("test")

    def base_model(self, name: str) -> Row | None:
        """What tells the prepared base model from any other; None where it is not here."""
        folder = self.folder / "models" / name
        return origin_of(folder, name) if (folder / MANIFEST).is_file() else None

    def run_file(self, model: str, run: str, name: str) -> Path:
        """A file of a model's run, which is named as in "vanilla/seed0"."""
        return self.folder / "runs" / model / run / name

    @cached_property
    def measured(self) -> tuple[list[str], str] | None:
        """Ids of the problems that credit is measured on, and their sha256; None if not here."""
        path = self.folder / "data" / "measured.jsonl"
        return _read_ids(path) if path.is_file() else None


def read_record(path: Path) -> tuple[Row, Checksum]:
    """A record that is one JSON object, and its checksum; see `checksums.check`."""
    checksum = checksums.check(path)
    return read_json(path), checksum


def read_rows(path: Path) -> tuple[list[Row], Checksum]:
    """A record of a JSON object a line, and its checksum; see `checksums.check`."""
    checksum = checksums.check(path)
    return read_jsonl(path), checksum


def _read_ids(path: Path) -> tuple[list[str], str]:
    """The ids of problems, in order, and the file's sha256."""
    rows, checksum = read_rows(path)
    for number, row in enumerate(rows, start=1):
        _require_kinds(_line(path, number), row, {"id": TEXT})
    return [row["id"] for row in rows], checksum.sha256


# Runs.


def read_run(path: Path, parents: Parents | None = None) -> Row:
    """A run's `run.json`, compared with the `parents` that are here.

    Raises:
        UserError: it is damaged, lacks something, or was made from other problems or another base
            model.
    """
    record, _ = read_record(path)
    _require_kinds(path, record, RUN)
    _require_kinds(path, record["settings"], {"task": TEXT, "training": OBJECT}, "settings.")
    training = record["settings"]["training"]
    sizes = dict.fromkeys(("steps", "checkpoint_every"), SIZE)
    _require_kinds(path, training, sizes, "settings.training.")
    steps = [str(step) for step in _trained_steps(record)]
    _require_same(path, "the adapter of step", steps, list(record["adapters"]))
    _require_kinds(path, record["adapters"], dict.fromkeys(steps, TEXT), "adapters.")
    if record["steps"] != training["steps"]:
        raise _fault(path, f"has {record['steps']} steps, its settings {training['steps']}")
    if parents:
        origin = record["origin"]
        _require_parent(path, "other problems", origin.get("problems"), parents.problems("train"))
        _require_models(path, origin, record["model"], _proxy_of(record), parents)
    return record


def _trained_steps(run: Row) -> list[int]:
    training = run["settings"]["training"]
    return checkpoint_steps(training["steps"], training["checkpoint_every"])


def read_history(path: Path, run: Row) -> list[Row]:
    """A run's training history, compared with its `run.json`: a row for every step, in order.

    Raises:
        UserError: it is damaged, incomplete, of another training, or a value is of no such kind.
    """
    rows, checksum = read_rows(path)
    for number, row in enumerate(rows, start=1):
        others = dict.fromkeys(row.keys() - HISTORY.keys(), NUMBER.or_null())
        _require_kinds(_line(path, number), row, {**HISTORY, **others})
        if odd := (row.keys() ^ rows[0].keys()) - NOT_IN_EVERY_STEP:
            names = ", ".join(sorted(odd))
            raise _fault(_line(path, number), f"has other columns than the first line ({names})")
    _require_same(path, "step", list(range(1, run["steps"] + 1)), [row["step"] for row in rows])
    if checksum.sha256 != run["history"]:
        raise _fault(path, "is the history of another training than run.json")
    return rows


def read_evaluation(
    path: Path, run: Row, parents: Parents, of_other_set: bool = False
) -> list[Row]:
    """A run's evaluation, compared with its `run.json` and the problems: a row a step and problem.

    One `of_other_set` is of a further test set, whose task may be another than the run's; `parents`
    are then those of the set.

    Raises:
        UserError: it is damaged, incomplete, of other adapters, settings, problems or another base
            model, or a row's verdict contradicts its answer.
    """
    rows, checksum = read_rows(path)
    said, origin = checksum.made_from, run["origin"]
    require_adapters(path, said.get("adapters"), run)
    if not same_model(said.get("model"), origin.get("model")):
        raise _fault(path, "was made from another base model than run.json's")
    _require_parent(path, "other problems", said.get("problems"), parents.problems("test"))
    _require_kinds(checksums.beside(path), said, {"settings": OBJECT}, "made_from.")
    known = run["settings"] | ({"task": parents.task} if of_other_set else {})
    for key in ("task", "chat", "training"):
        own, trained = (_shared(settings.get(key)) for settings in (said["settings"], known))
        _require_parent(path, f"another setting {key}", own, trained)
    # A folder may lack a set's manifest, and so not say.
    task, steps = known["task"] or said["settings"].get("task"), [0, *_trained_steps(run)]
    if task not in TASKS:
        raise _fault(path, f"is of an unknown task, {task!r}")
    check_evaluation(path, rows, task, steps, said, parents.test_problems)
    if parents.test_rows not in (None, evaluated := len({row["problem"] for row in rows})):
        raise _fault(path, f"has {evaluated} problems, the data {parents.test_rows}")
    return rows


def _shared(setting: Any) -> Any:
    """A setting of a study's runs without what a variant's training may have of its own."""
    if not isinstance(setting, Mapping):
        return setting
    return {key: value for key, value in setting.items() if key not in VARIED}


def check_evaluation(
    path: Path,
    rows: Sequence[Row],
    task: str,
    steps: Sequence[int],
    made_from: Mapping[str, Any],
    problems: Sequence[str] | None = None,
) -> None:
    """Refuse an evaluation that is not whole; see `read_evaluation`.

    `steps` are those that are evaluated, from 0 on; `made_from` has the hashes of the prompts and,
    by step, of the adapters; `problems` are the ids of the problems in order, else the first
    step's.
    """
    _require_kinds(checksums.beside(path), made_from, {"prompts": TEXT}, "made_from.")
    for number, row in enumerate(rows, start=1):
        _require_kinds(_line(path, number), row, EVALUATION)
        adapter = made_from["adapters"].get(str(row["step"]))
        own = {"adapter": adapter, "prompts": made_from["prompts"][:16]}
        for key, value in own.items():
            if row[key] != value:
                said = f"{key} is {row[key]}, of step {row['step']} it should be {value}"
                raise _fault(_line(path, number), said)
    if problems is None:
        problems = list(dict.fromkeys(row["problem"] for row in rows))
    expected = [(step, problem) for step in steps for problem in problems]
    found = [(row["step"], row["problem"]) for row in rows]
    evaluated = {step for step, _ in found}
    if lost := [step for step in steps if step not in evaluated]:
        raise _fault(path, f"lacks step {_names(lost)} of its training")
    _require_same(path, "step and problem", expected, found)
    _require_verdicts(path, rows, task)


def require_adapters(path: Path, hashes: Any, run: Row) -> None:
    """Refuse adapters, as hashes by step, that are not those that a run's training ended with."""
    known = run["adapters"]
    hashes = hashes if isinstance(hashes, dict) else {}
    steps = [step for step in {**known, **hashes} if hashes.get(step) != known.get(step)]
    if steps:
        raise _fault(path, f"is of other adapters than run.json: steps {_names(steps)}")


def require_own_adapters(run_folder: Path, hashes: Mapping[str, str | None], model: Row) -> None:
    """Refuse adapters in a run's folder, by step, that are not this run's, or of another `model`.

    `model` is `origin_of` the base model that is to be used. A folder without `run.json` is no
    study's run, of which nothing is known; that is said on stderr. That an adapter is missing, and
    so has no hash, is told where it is loaded.
    """
    path = run_folder / "run.json"
    if not path.is_file():
        unknown = "so nothing tells whether these adapters are those of one training, and undamaged"
        print(f"warning: {path}: is not there, {unknown}", file=sys.stderr)
        return
    run = read_run(path)
    odd = [step for step, found in hashes.items() if found not in (None, run["adapters"].get(step))]
    again = f"delete the folder {run_folder} and run the study again"
    if odd:
        raise UserError(
            f"{run_folder / 'adapters'}: step {_names(odd)}: not what this training ended with, "
            f"but damaged, or another run's, as run.json has other hashes; {again}"
        )
    if not same_model(run["origin"].get("model"), model):
        raise UserError(f"{path}: was trained from another base model than this one; {again}")


def _require_verdicts(path: Path, rows: Sequence[Row], task: str) -> None:
    """Refuse verdicts that contradict the answers; of programs, that nothing is right."""
    for number, row in enumerate(rows, start=1):
        extracted, gold, correct = row["extracted"], row["gold"], row["correct"]
        if correct == (extracted == gold):
            continue
        told = correct and extracted is not None
        alike = TASKS[task].spelled_alike and not TASKS[task].code
        if told and (not alike or _may_equal(extracted, gold)):
            continue
        says = f"correct is {str(correct).lower()}, extracted {extracted!r} and gold {gold!r}"
        raise _fault(_line(path, number), says)


def _may_equal(extracted: str, gold: str) -> bool:
    """Whether two texts may be one answer: not where the gold is a number and the other is not."""
    try:
        wanted = Fraction(gold)
    except (ValueError, ZeroDivisionError):
        return True
    try:
        return Fraction(extracted) == wanted
    except (ValueError, ZeroDivisionError):
        return False


# Measured credit.


def read_credit(spans: Path, completions: Path) -> tuple[list[Row], list[Row]]:
    """The spans and completions of one model, below credit/ in a study's results.

    Raises:
        UserError: a file is damaged or incomplete, the two are not of one measurement, or they
            were made from other problems, another base model or another run's adapter.
    """
    (span_rows, of_spans), (rows, of_completions) = read_rows(spans), read_rows(completions)
    said = of_spans.made_from
    if said != of_completions.made_from:
        raise _fault(completions, f"is of another measurement than {spans.name}")
    check_credit(spans, span_rows, completions, rows, said)
    parents, model = Parents(spans.parent.parent), spans.stem
    _require_measured(spans, said, model, _proxy_of(said), parents)
    if parents.measured:
        problems, _ = parents.measured
        for number, row in enumerate(rows, start=1):
            if row["problem"] != (own := problems[int(row["completion"].split("-")[1])]):
                raise _fault(_line(completions, number), f"is of {row['problem']}, not of {own}")
    return span_rows, rows


def _require_measured(
    path: Path, said: Row, model: str, proxy: str | None, parents: Parents
) -> None:
    """Refuse what was measured of another base model, another adapter or on other problems."""
    _require_models(path, said, model, proxy, parents)
    if parents.measured:
        _require_parent(path, "other problems", said.get("problems"), parents.measured[1])
    if said["policy"] != "untrained":
        run, _, step = said["policy"].rpartition("/step")
        trained = read_run(parents.run_file(model, run, "run.json"))
        if said.get("adapter") is None or said["adapter"] != trained["adapters"].get(step):
            raise _fault(path, f"is of another adapter than that of {model}/{said['policy']}")


def check_credit(
    spans: Path,
    span_rows: Sequence[Row],
    completions: Path,
    rows: Sequence[Row],
    made_from: Mapping[str, Any],
) -> None:
    """Refuse measured credit that is not whole: every completion once, its spans in order.

    `made_from` is what the measurement was made from, with policy and settings.
    """
    where = checksums.beside(completions)
    _require_kinds(where, made_from, {"settings": OBJECT, "policy": TEXT}, "made_from.")
    settings = made_from["settings"]
    _require_kinds(where, settings, {"task": TEXT, "measurement": OBJECT}, "made_from.settings.")
    measurement, policy = settings["measurement"], made_from["policy"]
    _require_kinds(where, measurement, dict.fromkeys(("prompts", "samples", "gold"), COUNT))
    for number, row in enumerate(rows, start=1):
        line = _line(completions, number)
        _require_kinds(line, row, COMPLETION)
        if row["answer"] is not None:
            places = dict.fromkeys(("start", "end", "token_start", "token_end"), COUNT)
            _require_kinds(line, row["answer"], places, "answer.")
        if row["policy"] != policy:
            raise _fault(line, f"policy is {row['policy']}, not {policy}")
        if len(row["tokens"]) != len(row["weights"]):
            raise _fault(line, f"{len(row['tokens'])} tokens, but {len(row['weights'])} weights")
    wanted = (measurement[key] for key in ("prompts", "samples", "gold"))
    names = list(completion_names(*wanted))
    _require_same(completions, "completion", names, [row["completion"] for row in rows])
    _require_verdicts(completions, rows, settings["task"])
    _check_spans(spans, span_rows, {row["completion"]: row for row in rows})
    _require_kinds(where, settings, {"credit": OBJECT}, "made_from.settings.")
    if not settings["credit"].get("rescale_to_mean_one"):
        _require_spans_of_weights(spans, span_rows, rows)


def completion_names(prompts: int, samples: int, gold: int) -> Iterator[str]:
    """The ids of all completions of a measurement, in order: sampled ones, then the data set's."""
    for prompt in range(prompts):
        for place in range(samples):
            yield f"sampled-{prompt}-{place}"
    for number in range(gold):
        yield f"gold-{number}"


def _check_spans(path: Path, rows: Sequence[Row], completions: Mapping[str, Row]) -> None:
    for number, row in enumerate(rows, start=1):
        where = _line(path, number)
        _require_kinds(where, row, SPAN)
        completion = completions.get(row["completion"])
        if completion is None:
            raise _fault(where, f"is of an unknown completion, {row['completion']}")
        own = {"text": completion["text"][row["start"] : row["end"]], "importance": -row["drop"]}
        own |= {key: completion[key] for key in ("source", "correct")}
        for key, value in own.items():
            if row[key] != value:
                raise _fault(where, f"{key} is {row[key]!r}, by the rest of the records {value!r}")
    counts = Counter(row["completion"] for row in rows)
    expected = [(name, span) for name in completions for span in range(counts[name])]
    found = [(row["completion"], row["span"]) for row in rows]
    _require_same(path, "completion and span", expected, found)


def _require_spans_of_weights(path: Path, spans: Sequence[Row], rows: Sequence[Row]) -> None:
    """Refuse spans of which some are lost: a weight other than 1 is a span's or the answer's."""
    covered: dict[str, set[int]] = {row["completion"]: set() for row in rows}
    for span in spans:
        covered[span["completion"]].update(range(span["token_start"], span["token_end"]))
    for row in rows:
        own = covered[row["completion"]]
        if answer := row["answer"]:
            own.update(range(answer["token_start"], answer["token_end"]))
        odd = [place for place, weight in enumerate(row["weights"]) if weight != 1]
        if lost := [place for place in odd if place not in own]:
            raise _fault(path, f"lacks a span of {row['completion']}, at its tokens {_names(lost)}")


def read_truth(
    steps: Path, rules: Path, step_columns: Iterable[str], rule_columns: Iterable[str]
) -> tuple[list[Row], list[Row], Row]:
    """The truth of one model, below credit/ in a study's results: its rows, and its settings.

    Raises:
        UserError: a file is damaged or incomplete, a row has other columns, the two are not of one
            measurement, or they were made from other parents than are here, as in `read_credit`.
    """
    (step_rows, of_steps), (rule_rows, of_rules) = read_rows(steps), read_rows(rules)
    said = of_steps.made_from
    if said != of_rules.made_from:
        raise _fault(rules, f"is of another measurement than {steps.name}")
    for path, rows, columns in ((steps, step_rows, step_columns), (rules, rule_rows, rule_columns)):
        for number, row in enumerate(rows, start=1):
            if odd := sorted(row.keys() ^ set(columns)):
                raise _fault(_line(path, number), f"lacks or should not have {', '.join(odd)}")
    check_truth(steps, step_rows, rules, rule_rows, said)
    model = steps.name.removesuffix(".steps.jsonl")
    for credit in said["settings"]["rules"].values():
        proxy = _proxy_of({"settings": {"credit": credit}})
        _require_measured(steps, said, model, proxy, Parents(steps.parent.parent))
    return step_rows, rule_rows, said["settings"]


def check_truth(
    steps: Path,
    step_rows: Sequence[Row],
    rules: Path,
    rows: Sequence[Row],
    made_from: Mapping[str, Any],
) -> None:
    """Refuse a truth that is not whole: every rule of every group once, every step in order.

    `made_from` is what the measurement was made from, with policy and settings.
    """
    where = checksums.beside(rules)
    _require_kinds(where, made_from, {"settings": OBJECT, "policy": TEXT}, "made_from.")
    settings = made_from["settings"]
    _require_kinds(where, settings, {"measurement": OBJECT, "rules": OBJECT}, "made_from.settings.")
    measurement, names = settings["measurement"], list(settings["rules"])
    _require_kinds(where, measurement, {"prompts": COUNT, "samples": SIZE, "truth": OBJECT})
    _require_kinds(where, measurement["truth"], {"continuations": SIZE})
    for number, row in enumerate(rows, start=1):
        _require_kinds(_line(rules, number), row, RULE)
    found = [(row["group"], row["rule"]) for row in rows]
    groups = range(measurement["prompts"])
    _require_same(rules, "group and rule", [(n, name) for n in groups for name in names], found)
    size = measurement["samples"]
    active = [row["group"] for row in rows[:: len(names)] if 0 < row["right"] < size]
    expected = [f"sampled-{group}-{place}" for group in active for place in range(size)]
    _check_steps(steps, step_rows, expected, names)


def _check_steps(
    path: Path, rows: Sequence[Row], completions: Sequence[str], rules: Sequence[str]
) -> None:
    for number, row in enumerate(rows, start=1):
        where = _line(path, number)
        _require_kinds(where, row, STEP)
        if list(row["rules"]) != list(rules):
            raise _fault(where, f"has other rules than {_names(rules)}")
        for rule, values in row["rules"].items():
            _require_kinds(where, values, ON_STEP, f"rules.{rule}.")
        if len(row["halves"]) != 2:
            raise _fault(where, f"halves are {len(row['halves'])}, not 2")
    counts = Counter(row["completion"] for row in rows)
    expected = [(name, step) for name in completions for step in range(max(1, counts[name]))]
    _require_same(path, "step", expected, [(row["completion"], row["step"]) for row in rows])
    for number, (row, after) in enumerate(pairwise(rows), start=2):
        if after["step"] and (row["token_end"], row["value_after"]) != (
            after["token_start"],
            after["value_before"],
        ):
            raise _fault(_line(path, number), "does not go on where the step before it ends")


# Costs, curves and tests.


def read_profile(path: Path, model: str, parents: Parents) -> Row:
    """The side-by-side profile of a model, `overhead/{model}.json`.

    Raises:
        UserError: it is damaged, of another model or base model, or a value is no number.
    """
    profile, checksum = read_record(path)
    _require_kinds(path, profile, {"model": TEXT})
    if profile["model"] != model:
        raise UserError(f"{path}: is the profile of {profile['model']}; {REDO}")
    _require_kinds(path, profile, PROFILE)
    for part in ("seconds", "ratio", "methods"):
        for key, value in _leaves(profile[part], part):
            # Null is what there is none of, such as an accelerator's memory.
            if not NUMBER.or_null().fits(value):
                raise _fault(path, f"{key} is {value!r}, not {NUMBER.or_null().words}")
    said = checksum.made_from
    _require_kinds(checksums.beside(path), said, {"settings": OBJECT}, "made_from.")
    _require_models(path, said, model, _proxy_of(said), parents)
    return profile


def require_made_from(path: Path, what: str, expected: Mapping[str, str]) -> None:
    """Refuse a record that was made from other files than those that are here, by their names.

    `what` is the part of `made_from` that says so, with a sha256 for each name.
    """
    said = checksums.check(path).made_from.get(what)
    said = said if isinstance(said, dict) else {}
    odd = [name for name, sha256 in expected.items() if said.get(name) != sha256]
    if odd:
        raise _fault(path, f"was made from other {what} than those of {_names(odd)}")


# What all of them need.


def _require_kinds(
    where: object, values: Mapping[str, Any], kinds: Mapping[str, Kind], prefix: str = ""
) -> None:
    for key, kind in kinds.items():
        if key not in values:
            raise _fault(where, f"lacks {prefix}{key}")
        if not kind.fits(values[key]):
            raise _fault(where, f"{prefix}{key} is {values[key]!r}, not {kind.words}")


def _require_same(
    path: Path, what: str, expected: Sequence[Hashable], found: Sequence[Hashable]
) -> None:
    """Refuse rows that are not the expected ones, each once and in order."""
    if list(found) == list(expected):
        return
    counts, known = Counter(found), set(expected)
    faults = {
        f"lacks {what}": [key for key in expected if key not in counts],
        f"holds twice {what}": [key for key, count in counts.items() if count > 1],
        f"should not hold {what}": [key for key in counts if key not in known],
    }
    texts = [f"{fault} {_names(keys)}" for fault, keys in faults.items() if keys]
    raise _fault(path, "; ".join(texts) or f"is not in the order of {what}")


def _require_parent(path: Path, what: str, said: Any, here: Any) -> None:
    """Refuse a record that was made from something else than what is here, if it is."""
    if here is not None and said != here:
        raise _fault(path, f"was made from {what} than the study's")


def _require_models(path: Path, said: Row, model: str, proxy: str | None, parents: Parents) -> None:
    """Refuse a record of another base model, or of another proxy where the credit has one."""
    used = {"base model": (said.get("model"), model)}
    if proxy is not None:
        used["proxy"] = (said.get("proxy"), proxy)
    for what, (found, name) in used.items():
        here = parents.base_model(name)
        # What else there is of a model an archive lacks.
        if here is not None and not same_model(found, here):
            raise _fault(path, f"was made from another {what} than the study's")


def _proxy_of(record: Row) -> str | None:
    """The proxy that a record's settings name, if they do."""
    credit = record["settings"].get("credit")
    proxy = credit.get("proxy") if isinstance(credit, dict) else None
    return proxy if isinstance(proxy, str) else None


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """The values of nested objects that are no objects, with their dotted keys."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}")
    else:
        yield key, value


def _names(keys: Iterable[Hashable]) -> str:
    named = [" ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in keys]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return ", ".join(named[:NAMED]) + more


def _line(path: Path, number: int) -> str:
    return f"{path}, line {number}"


def _fault(where: object, what: str) -> UserError:
    return UserError(f"{where}: {what}; {REDO}")
