"""Load one study's configuration, fill in its defaults and refuse what cannot run."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from cfdapo.files import UserError
from cfdapo.own_code import is_own, require_sources
from cfdapo.settings import (
    CreditSettings,
    DivergenceSettings,
    EvaluationSet,
    MirrorSettings,
    ModeCredit,
    Study,
    TrainingSettings,
    Variant,
    parse,
    part_of,
    plain,
)
from cfdapo.study_conflicts import conflicts
from cfdapo.study_schema import ROOT as ROOT
from cfdapo.study_schema import faults, read_as
from cfdapo.vocabulary import PAPER_MODES

STUDIES = ROOT / "config" / "studies"
# A study's name stands in paths, also in the shell, where a space or a quote would be an end.
_NAME = re.compile(r"\w[\w.-]*")
# Numbers as people read them: YAML 1.1 takes 010 for 8, 24:00:00 for 86400 and 0x10 for 16.
_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}
# Rules whose jobs, run again, go on from where they were.
RESUMING = ("train", "evaluate", "measure_credit")


def load_study(name: str, folder: Path = STUDIES) -> Study:
    """The study `name` of `folder`, with every default filled in.

    Raises `UserError` naming each wrong key and what is allowed there.
    """
    return build_study(load_document(name, folder))


def load_document(name: str, folder: Path = STUDIES) -> dict[str, Any]:
    """The file of a study as `load_study` reads it, checked and with defaults, to be changed."""
    path = folder / f"{_checked_name(name)}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise UserError(f"config: unknown study {name!r}; there are: {known}")
    return check_study(_read(path), str(path))


def _checked_name(name: str) -> str:
    """The name of a study; `UserError` where it cannot stand in the paths of jobs."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"config: study {name!r} cannot be a study's name, which stands in paths; allowed are "
            "letters, digits, _ . and -, beginning with none of . and -"
        )
    return name


def _read(path: Path) -> Any:
    """What the YAML of a study's file says; `UserError` naming the file where it says nothing."""
    try:
        return _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}: is not UTF-8 (line {line}); save it in that encoding") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply for any study") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from error


class _Loader(yaml.SafeLoader):
    """Safe YAML without a type for dates: settings travel as JSON, and a date in them is text.

    So is a number that is not decimal (`_NUMBERS`). A key that is there twice, as of a variant that
    was copied, is an error, and so is an anchor within which it is used.
    """

    yaml_implicit_resolvers = {
        first: [
            (tag, _NUMBERS.get(tag, pattern))
            for tag, pattern in resolvers
            if not tag.endswith(":timestamp")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node in self.recursive_objects:
            said = "an anchor is used within itself, so it would never end"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        return super().construct_object(node, deep=True)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                said = f"the key {key.value!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def build_study(document: dict[str, Any]) -> Study:
    """The study that a checked document describes; labels stand apart from their models."""
    models = {
        name: {key: value for key, value in model.items() if key != "label"}
        for name, model in document["models"].items()
    }
    labels = {name: model["label"] for name, model in document["models"].items()}
    return parse(Study, document | {"models": models, "labels": labels})


def check_study(study: Any, source: str) -> dict[str, Any]:
    """Validate a study against the schema and across its keys; returns it with defaults.

    Raises `UserError` as `load_study`.
    """
    problems = faults(study) or conflicts(study)
    if problems:
        raise UserError("\n".join(f"{source}: {problem}" for problem in problems))
    checked: dict[str, Any] = study
    return checked


def requested(study: Study, rule: str, name: str, attempt: int) -> int:
    """`mem_mb` (MB) or `runtime` (minutes) that a job of `rule` asks for at its n-th attempt.

    Each retry asks for as much again on top, up to `resources.max_mem_mb` and `max_runtime`; but a
    job that goes on from where it was needs no more time, and a scheduler turns away what asks for
    more than its queue's limit.
    """
    jobs = study.resources.jobs()
    if name == "mem_mb":
        asked, most = jobs[rule].mem_mb, study.resources.max_mem_mb
        return asked * attempt if most is None else min(asked * attempt, most)
    asked, most = jobs[rule].runtime, study.resources.max_runtime
    if rule in RESUMING:
        return asked
    if most is None:
        # Time that the scheduler gives to another job of the study.
        most = max(job.runtime for job in jobs.values())
    return min(asked * attempt, most)


def credit_settings(study: Study, mode: str) -> ModeCredit:
    """The credit of a mode of the study: a rule, or one of its variants.

    Of all rules' options, only those of the mode's own.
    """
    variant = _variant(study, mode)
    changed = vars(study.credit) | dict(variant.credit)
    options = changed["options"].get(variant.mode, {})
    return ModeCredit(**changed | {"mode": variant.mode, "options": options})


def with_options(study: Study) -> list[ModeCredit]:
    """Credit of all that has options of a rule, modes or not: a misspelt one is none of any."""
    named = dict.fromkeys([*study.modes, *study.variants, *study.credit.options])
    return [own for mode in named if (own := credit_settings(study, mode)).options]


def require_own_code(study: Study) -> None:
    """Refuse a study whose code of one's own is not there, without running that.

    Raises `UserError` naming the key.
    """
    named: dict[str, Any] = {}
    for key in ("spans", "answer"):
        named[f"credit.{key}"] = getattr(study.credit, key)
    for name, variant in study.variants.items():
        named[f"variants.{name}.mode"] = variant.mode
        for key in {"spans", "answer"} & set(variant.credit):
            named[f"variants.{name}.credit.{key}"] = variant.credit[key]
    require_sources({key: name for key, name in named.items() if is_own(name)})


def training_settings(study: Study, mode: str) -> TrainingSettings:
    """Settings of training for a mode of the study, with what a variant has of its own."""
    own = vars(_variant(study, mode).training)
    changed = {key: value for key, value in own.items() if value is not None}
    return replace(study.training, **changed)


def without_reports(study: Study) -> tuple[Study, tuple[str, ...]]:
    """The study as its runs' settings have it, and the trackers that trainings report to."""
    told = study.training.report_to or ()
    return replace(study, training=replace(study.training, report_to=None)), told


def without_sets(study: Study) -> tuple[Study, dict[str, EvaluationSet]]:
    """The study as what is made of its own test set has it, and its further test sets by name."""
    sets = study.evaluation.sets or {}
    return replace(study, evaluation=replace(study.evaluation, sets=None)), dict(sets)


def divergences(study: Study) -> dict[str, DivergenceSettings]:
    """The divergence of each mode that has a penalty; empty where the key is nowhere in use."""
    chosen = {mode: training_settings(study, mode).divergence for mode in study.modes}
    return {mode: own for mode, own in chosen.items() if own is not None and own.coefficient}


def member_training(study: Study) -> TrainingSettings:
    """Settings of the short trainings that an evolved mirror is found by."""
    evolution = study.evolution
    if evolution is None:
        raise UserError("evolution: the study has none")
    drawn = MirrorSettings(evolution.seed, evolution.scale, True)
    divergence = DivergenceSettings("neural_mirror", evolution.coefficient, "sampled", drawn)
    steps = evolution.steps
    return replace(study.training, steps=steps, checkpoint_every=steps, divergence=divergence)


def measured_credit(study: Study) -> CreditSettings:
    """Credit with which the mode `measurement.mode` has its drops measured.

    Without the mode and its options: drops are the same for every weighting.
    """
    return _without_options(credit_settings(study, study.measurement.mode))


def measured_rules(study: Study) -> dict[str, ModeCredit]:
    """Credit of the modes that are held against the truth, vanilla first."""
    wanted = study.measurement.rules
    modes = study.modes if wanted == "modes" else wanted
    return {mode: credit_settings(study, mode) for mode in dict.fromkeys(["vanilla", *modes])}


def profiled_credit(study: Study) -> CreditSettings:
    """Credit whose cost is profiled: the study's own, which no rule's options change."""
    return _without_options(study.credit)


def _without_options(credit: CreditSettings) -> CreditSettings:
    return replace(part_of(CreditSettings, credit), options={})


def _variant(study: Study, mode: str) -> Variant:
    """The variant of that name, or the rule, which changes nothing."""
    return study.variants.get(mode, Variant(mode, mode, {}))


def mode_labels(study: Study) -> dict[str, str]:
    """Display names by mode: a variant's label, a rule's name but for the paper's four modes'.

    Those have names of their own (`cfdapo.vocabulary.PAPER_MODES`).
    """
    others = {mode: mode for mode in study.modes if mode not in PAPER_MODES}
    return others | {mode: variant.label for mode, variant in study.variants.items()}


def weight_groups(study: Study) -> dict[str, dict[str, str]]:
    """Modes that differ in their weighting only: what is special -> weighting -> mode.

    The study's own settings come first; vanilla, whose weights are 1 whatever the settings, is in
    every group. "raw" and "mean 1" stand for `rescale_to_mean_one`.
    """
    groups: dict[str, dict[str, str]] = {}
    for mode in study.modes:
        variant = _variant(study, mode)
        groups.setdefault(_special(study.credit, variant), {})[variant.mode] = mode
    own = groups.get(_special(study.credit, Variant("", "", {})), {})
    if "vanilla" in own:
        groups = {name: {"vanilla": own["vanilla"]} | group for name, group in groups.items()}
    return groups


def _special(credit: CreditSettings, variant: Variant) -> str:
    """How weights are called that are given with the variant's changes."""
    own, changed = vars(credit), variant.credit
    scale = "mean 1" if {**own, **changed}["rescale_to_mean_one"] else "raw"
    flat = {key: value for key, value in changed.items() if key != "options"}
    flat |= changed.get("options", {}).get(variant.mode, {})
    others = [
        f"{key} {value}"
        for key, value in sorted(flat.items())
        if key != "rescale_to_mean_one" and value != own.get(key)
    ]
    others += [f"{key} {_in_short(value)}" for key, value in plain(variant.training).items()]
    return ", ".join([scale, *others])


def _in_short(value: Any) -> str:
    """A number, or the values of an object such as a divergence."""
    if not isinstance(value, dict):
        return str(value)
    return " ".join(map(_in_short, value.values()))


def checkpoint_steps(steps: int, every: int) -> list[int]:
    """Steps at which adapters are saved: every `every`-th, up to the last."""
    return list(range(every, steps + 1, every))


def config_hash(settings: Any) -> str:
    """Short hash that two equal configurations share, whatever the order of their keys."""
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def check_choice(config: dict[str, Any]) -> str:
    """The study that config/config.yaml or `--config study=…` names.

    The one other key is `present_only`: whether tables are made without runs that are not finished.
    """
    unknown = sorted(set(config) - {"study", "present_only"})
    if unknown:
        allowed = "present_only, study"
        raise UserError(f"config: unknown key {', '.join(unknown)}; allowed: {allowed}")
    if not isinstance(config.get("present_only", False), bool):
        raise UserError(f"config: present_only is {config['present_only']!r}, not True or False")
    study = config.get("study")
    if isinstance(study, bool | int | float):
        raise UserError(
            f"config: study is {study!r}, which is read as {read_as(study)}; call the file in "
            "config/studies otherwise, as study1"
        )
    if not isinstance(study, str):
        raise UserError("config: missing key study, the name of a file in config/studies")
    return _checked_name(study)
