"""Load one study's configuration, fill in its defaults and refuse what cannot run."""

import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cfdapo.files import UserError
from cfdapo.own_code import EXAMPLE, is_own, require_sources
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
from cfdapo.vocabulary import PAPER_MODES, TASKS

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "config" / "studies"
# How tokens can be weighted (Section 3.4); a study's variants are made of them.
WEIGHTINGS = tuple(PAPER_MODES)
# Tasks whose problems are made, so that models can be made and pretrained on them.
MADE_TASKS = tuple(name for name, task in TASKS.items() if task.made)
# The task of one's own questions, and the keys of `data` that are for it alone.
OWN_TASK = "jsonl"
OWN_KEYS = ("train", "test", "fields", "prompt", "answer", "letters")
OWN_ANSWERS = ("number", "choice", "latex", "exact")
# A field's name in a prompt, also as the data spell it, but not the argument of a command of LaTeX.
_IN_PROMPT = re.compile(r"(?<![A-Za-z\\])\{([^\W\d][\w.-]*)\}")
# Rules whose jobs, run again, go on from where they were.
RESUMING = ("train", "evaluate", "measure_credit")
SCHEMA = ROOT / "workflow" / "schemas" / "study.schema.yaml"
# Arguments of transformers' `apply_chat_template` that are not the template's: the stages set them,
# or they would encode prompts otherwise in training than in evaluation.
NOT_THE_TEMPLATES = (
    *("conversation", "tools", "chat_template", "add_generation_prompt", "continue_final_message"),
    *("tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
    *("return_assistant_tokens_mask", "tokenizer_kwargs"),
)


@functools.cache
def rules() -> tuple[str, ...]:
    """Names of the credit rules, as the schema lists them."""
    schema = _schema()
    return tuple(schema["$defs"]["rule"]["enum"])


@functools.cache
def usual_revision() -> str:
    """The commit of GSM8K where a study names none."""
    revision: str = _schema()["properties"]["data"]["properties"]["revision"]["default"]
    return revision


@functools.cache
def _schema() -> dict[str, Any]:
    """The schema of studies; `UserError` where the package is installed without its repository."""
    if not SCHEMA.is_file():
        raise UserError(
            f"{SCHEMA}: is not there; studies are run in a checkout of the repository, and cfdapo "
            "is installed without it here"
        )
    found: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return found


def load_study(name: str, folder: Path = STUDIES) -> Study:
    """The study `name` of `folder`, with every default filled in.

    Raises `UserError` naming each wrong key and what is allowed there.
    """
    return build_study(load_document(name, folder))


def load_document(name: str, folder: Path = STUDIES) -> dict[str, Any]:
    """The file of a study as `load_study` reads it, checked and with defaults, to be changed."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise UserError(f"config: unknown study {name!r}; there are: {known}")
    try:
        study = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from error
    return check_study(study, str(path))


class _Loader(yaml.SafeLoader):
    """Safe YAML without a type for dates: settings travel as JSON, and a date in them is text.

    A key that is there twice, as of a variant that was copied, is an error.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

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
    schema = _schema()
    _take_answers_kind(study)
    validator = _with_defaults(jsonschema.Draft202012Validator)(schema)
    errors = sorted(validator.iter_errors(study), key=lambda error: list(map(str, error.path)))
    problems = _odd_keys(study) or _infinite(study) or [_explain(error) for error in errors]
    problems = problems or _variant_errors(study, schema)
    problems = problems or _conflicts(study)
    if problems:
        raise UserError("\n".join(f"{source}: {problem}" for problem in problems))
    return study


def _odd_keys(value: Any, where: str = "") -> list[str]:
    """Keys, at any depth, that YAML takes for something else than text, as a model called 7."""
    if not isinstance(value, dict):
        return []
    found = [
        f"{where or 'the study'}: the key {key!r} is read as {_read_as(key)} and must be text; "
        "put it in quotes"
        for key in value
        if not isinstance(key, str)
    ]
    places = ((f"{where}.{key}" if where else str(key), one) for key, one in value.items())
    return found + [odd for place, one in places for odd in _odd_keys(one, place)]


def _infinite(value: Any, where: str = "") -> list[str]:
    """Numbers, at any depth, that are none or infinite: a schema's bounds let .nan pass."""
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"{where}: {value} is no finite number"]
    parts = dict(enumerate(value)) if isinstance(value, list) else value
    places = parts.items() if isinstance(parts, dict) else ()
    return [odd for key, one in places for odd in _infinite(one, f"{where}.{key}".lstrip("."))]


def _take_answers_kind(study: Any) -> None:
    """Let credit look for the answers that one's own questions ask for, unless the study says."""
    data = study.get("data") if isinstance(study, dict) else None
    if not isinstance(data, dict) or data.get("task") != OWN_TASK:
        return
    if data.get("answer") in OWN_ANSWERS:
        credit = study.setdefault("credit", {})
        if isinstance(credit, dict):
            credit.setdefault("answer", data["answer"])


def _variant_errors(study: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Faults in what variants change of `credit`, whose keys and values are the same there."""
    # With the definitions that it refers to.
    alone = schema["properties"]["credit"] | {"$defs": schema["$defs"]}
    validator = jsonschema.Draft202012Validator(alone)
    return [
        _explain(error, f"variants.{name}.credit")
        for name, variant in study["variants"].items()
        for error in validator.iter_errors(variant["credit"])
    ]


def _with_defaults(validator: Any) -> Any:
    """The validator, also setting absent keys to their defaults before it checks them."""
    check_properties = validator.VALIDATORS["properties"]

    def set_defaults(instance_validator: Any, properties: Any, instance: Any, schema: Any) -> Any:
        if isinstance(instance, dict):
            for key, subschema in properties.items():
                if "default" in subschema:
                    # A copy, so that two models never share one dictionary of defaults.
                    instance.setdefault(key, json.loads(json.dumps(subschema["default"])))
        yield from check_properties(instance_validator, properties, instance, schema)

    return jsonschema.validators.extend(validator, {"properties": set_defaults})


def _explain(error: jsonschema.ValidationError, where: str = "") -> str:
    """The wrong key, below the key `where`, and what is allowed there."""
    path = [*([where] if where else []), *map(str, error.absolute_path)]
    key = ".".join(path) or "the study"
    value: Any = error.instance
    schema: Any = error.schema
    wanted: Any = error.validator_value
    if error.validator == "additionalProperties":
        allowed = schema["properties"]
        unknown = sorted(set(value) - set(allowed))
        if key.endswith("credit") and "rule" in unknown:
            return f"{key}.rule: a rule of one's own is a variant's mode: {_AS_VARIANT}"
        return f"{key}: unknown key {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}"
    if error.validator == "enum":
        return f"{key}: {value!r} is not one of {', '.join(map(str, wanted))}"
    if error.validator == "anyOf":
        tried: list[Any] = [
            one.validator_value for one in error.context or [] if one.validator == "enum"
        ]
        names = [name for one in tried for name in one]
        return f"{key}: {value!r} is not one of {', '.join(names)}, nor a path as {EXAMPLE}"
    if error.validator == "required":
        missing = sorted(set(wanted) - set(value))
        return f"{key}: missing key {', '.join(missing)}"
    if error.validator == "type" and wanted == "string" and isinstance(value, int | float):
        return f"{key}: {value!r} is read as {_read_as(value)} and must be text; put it in quotes"
    if error.validator == "type" and wanted in ("number", "integer") and _is_number(value):
        return (
            f"{key}: {value!r} is read as text and must be a number; write it without quotes and, "
            "where it has an exponent, with a point, as in 1.0e-3"
        )
    if error.validator == "pattern" and "description" in schema:
        return f"{key}: {error.message} ({schema['description'].rstrip('.')})"
    return f"{key}: {error.message}"


def _is_number(value: Any) -> bool:
    """Whether a text would be a number elsewhere; to YAML 1e-3 is none."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


_AS_VARIANT = "variants: {mine: {mode: mypackage.rules:MyRule, label: Mine}}, and modes: [mine]"


def _unknown_mode(mode: Any, known: Iterable[str]) -> str:
    """What to say of a mode that there is not."""
    if is_own(mode):
        return f"{mode!r} has no name; give it one in {_AS_VARIANT}"
    return f"{mode!r} is not one of {', '.join(known)}"


def _read_as(value: float | None) -> str:
    """What YAML takes a word without quotes for."""
    if value is None:
        return "nothing"
    return "yes or no" if isinstance(value, bool) else "a number"


def _conflicts(study: dict[str, Any]) -> list[str]:
    """What each key allows alone but the keys do not allow together."""
    found = []
    training = study["training"]
    found += _mode_conflicts(study)
    if training["batch_size"] % training["group_size"]:
        found.append(
            f"training.batch_size: {training['batch_size']} is not a multiple of "
            f"training.group_size, {training['group_size']}"
        )
    if training["steps"] % training["checkpoint_every"]:
        found.append(
            f"training.steps: {training['steps']} is not a multiple of "
            f"training.checkpoint_every, {training['checkpoint_every']}"
        )
    if training["epsilon_high"] < training["epsilon"]:
        found.append("training.epsilon_high: must be at least training.epsilon (Clip-Higher)")
    # Both would be read and change nothing.
    if study["lora"]["dropout"]:
        found.append(
            f"lora.dropout: {study['lora']['dropout']} must be 0; dropout is off everywhere, as "
            "noise would be taken for credit"
        )
    if training["warmup_steps"] and training["schedule"] == "constant":
        found.append(
            "training.warmup_steps: must be 0 with training.schedule constant; "
            "constant_with_warmup has a warm-up"
        )
    found += _divergence_conflicts(study)
    found += _measurement_conflicts(study)
    found += _template_conflicts(study["models"])
    found += _folder_conflicts(study)
    found += _data_conflicts(study)
    found += _resource_conflicts(study["resources"])
    found += _label_conflicts(study)
    found += _cause_conflicts(study)
    made = [name for name, model in study["models"].items() if model["source"] == "made"]
    if made and study["data"]["task"] not in MADE_TASKS:
        known = " or ".join(MADE_TASKS)
        found.append(f"models.{made[0]}.source: made models only know data.task {known}")
    return found


def _prompt_conflicts(where: str, prompt: str, fields: dict[str, str]) -> list[str]:
    """Names in a prompt that no field is, or that would tell the answer, and unused fields."""
    named, known = set(_IN_PROMPT.findall(prompt)), {"question", "choices"}
    secret = {"answer", "solution", "id"}
    found = [
        f"{where}.prompt: names {{{name}}}, which "
        + ("no prompt tells" if name in secret else f"{where}.fields does not have")
        for name in sorted(named - known - (set(fields) - secret))
    ]
    unused = sorted(set(fields) - known - secret - named)
    return found + [f"{where}.fields.{name}: is not in {where}.prompt" for name in unused]


# Rules that have DAPO's scale of rewards, or its mean over tokens, in their own numbers.
DAPOS_OWN = ("entropy", "ibpo_revision")


def _divergence_conflicts(study: dict[str, Any]) -> list[str]:
    """Penalties that nobody can compute or that would be told twice, and a loss's rules."""
    training = study["training"]
    found: list[str] = []
    places = {"training": training} | {
        f"variants.{name}.training": variant["training"]
        for name, variant in study["variants"].items()
    }
    for where, own in places.items():
        if "divergence" in own:
            found += _penalty_conflicts(f"{where}.divergence", own["divergence"])
            if training["kl_coefficient"]:
                found.append(f"training.kl_coefficient: must be 0 where {where}.divergence is set")
    rules_of = [study["variants"].get(mode, {"mode": mode})["mode"] for mode in study["modes"]]
    if "evolution" not in study:
        found += [
            f"{where}.divergence.mirror.evolved: needs the study's evolution"
            for where, own in places.items()
            if own.get("divergence", {}).get("mirror", {}).get("evolved")
        ]
    loss = training.get("loss", "dapo")
    found += [
        f"training.loss: {loss} does not go with {rule}, whose scale is dapo's"
        for rule in DAPOS_OWN
        if rule in rules_of and loss != "dapo"
    ]
    return found


def _penalty_conflicts(where: str, divergence: dict[str, Any]) -> list[str]:
    name = divergence["name"]
    found = []
    if (name == "none") != (divergence["coefficient"] == 0):
        wanted = "0" if name == "none" else "above 0"
        found.append(f"{where}.coefficient: must be {wanted} for {name}")
    if divergence["estimator"] == "exact" and name != "prob_l2":
        found.append(
            f"{where}.estimator: exact is for prob_l2 only; {name} is of the sampled token"
        )
    if (name == "neural_mirror") != ("mirror" in divergence):
        found.append(
            f"{where}.mirror: neural_mirror needs it ({{}} for defaults), others have none"
        )
    return found


def _template_conflicts(models: dict[str, Any]) -> list[str]:
    """Arguments of chat templates that are no variable of theirs, and a day that is none."""
    found = []
    for name, model in models.items():
        for key in sorted(set(model.get("chat_template_kwargs", {})) & set(NOT_THE_TEMPLATES)):
            found.append(
                f"models.{name}.chat_template_kwargs.{key}: is no variable of a chat template, and "
                "set by the stages"
            )
        day = model.get("chat_template_date")
        try:
            if day is not None:
                date.fromisoformat(day)
        except ValueError as error:
            found.append(f"models.{name}.chat_template_date: {day!r} is no day ({error})")
    return found


def _folder_conflicts(study: dict[str, Any]) -> list[str]:
    """Ids on the hub that are also folders here, which its libraries would take in their place."""
    named = {
        f"models.{name}.id": (model["id"], "name it with source: local and path")
        for name, model in study["models"].items()
        if model["source"] == "hub"
    }
    splits = {f"data.{split}": study["data"].get(split) for split in ("train", "test")}
    splits |= {f"{key}.test": one.get("test") for key, one in _sets(study).items()}
    named |= {
        f"{key}.id": (where["id"], f"name its JSONL file as {key}")
        for key, where in splits.items()
        if isinstance(where, dict)
    }
    return [
        f"{key}: {name!r} is a folder here; {instead}, or call the folder something else"
        for key, (name, instead) in named.items()
        if any((at / name).is_dir() for at in (Path(), ROOT))
    ]


def _data_conflicts(study: dict[str, Any]) -> list[str]:
    """Keys that one's own questions need, or that are for them alone."""
    data = study["data"]
    found = _source_conflicts("data", data, ("train", "test"))
    if data["task"] == OWN_TASK:
        found += _answer_conflicts(study)
    for where, one in _sets(study).items():
        found += _set_conflicts(where, one, data)
    return found + _equal_sets(study)


def _sets(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A study's further test sets, by their dotted keys."""
    named = study["evaluation"].get("sets", {})
    return {f"evaluation.sets.{name}": one for name, one in named.items()}


def _source_conflicts(where: str, data: dict[str, Any], splits: tuple[str, ...]) -> list[str]:
    """What the keys of the data, or test set, at `where` do not allow together."""
    task = data["task"]
    unread = []
    if data["path"] is not None and task in MADE_TASKS:
        unread.append(f"{where}.path: is not for {where}.task {task}, whose problems are made")
    if task != "gsm8k" and data["revision"] != usual_revision():
        unread.append(f"{where}.revision: is for {where}.task gsm8k only")
    if task != OWN_TASK:
        own = (key for key in OWN_KEYS if key in data)
        return unread + [f"{where}.{key}: is for {where}.task {OWN_TASK} only" for key in own]
    found = [
        f"{where}: missing key {key}, which {where}.task {OWN_TASK} needs"
        for key in (*splits, "answer")
        if key not in data
    ]
    if data["path"] is not None:
        has = " and ".join(splits)
        found.append(f"{where}.path: is not for {where}.task {OWN_TASK}, which has {has}")
    return unread + found + _field_conflicts(where, data)


def _field_conflicts(where: str, data: dict[str, Any]) -> list[str]:
    """What the fields of one's own questions, the prompt and the answers' kind do not allow."""
    fields, found = data.get("fields", {}), []
    choice = data.get("answer") == "choice"
    for key, there in (("fields.choices", "choices" in fields), ("letters", "letters" in data)):
        if there and not choice:
            found.append(f"{where}.{key}: is for {where}.answer choice only")
    if "choices" in fields and "letters" in data:
        found.append(
            f"{where}.letters: must be left out where {where}.fields.choices has the options"
        )
    if "prompt" in data and ("{choices}" in data["prompt"]) != ("choices" in fields):
        found.append(
            f"{where}.prompt: must have {{choices}} if {where}.fields has choices, and only then"
        )
    return found + _prompt_conflicts(where, data.get("prompt", "{question}"), fields)


def _answer_conflicts(study: dict[str, Any]) -> list[str]:
    """Credit, or a measurement, that the study's own questions have no answers or solutions for."""
    data, found = study["data"], []
    if study["measurement"]["gold"] and "solution" not in data.get("fields", {}):
        found.append("measurement.gold: must be 0 where data.fields has no solution")
    places = {"credit": study["credit"]} | {
        f"variants.{name}.credit": variant["credit"] for name, variant in study["variants"].items()
    }
    found += [
        f"{where}.answer: {credit['answer']} does not find answers of data.answer {data['answer']}"
        for where, credit in places.items()
        if "answer" in data
        and credit.get("answer", data["answer"]) != data["answer"]
        and not is_own(credit["answer"])
    ]
    return found


def asked_alike(one: tuple[str, str | None], other: tuple[str, str | None]) -> bool:
    """Whether a prompt for the one task and kind of answer also asks for the other's.

    A prompt asks for code, for the letter of a choice, or for an answer that is stated.
    """
    return _wanted(*one) == _wanted(*other)


def _wanted(task: str, answer: str | None) -> str:
    if TASKS[task].code:
        return "code"
    return "choice" if answer == "choice" else "statement"


def _set_conflicts(where: str, one: dict[str, Any], data: dict[str, Any]) -> list[str]:
    """The same of a further test set, which may be asked with the study's own prompt."""
    kinds = [(each["task"], each.get("answer")) for each in (one, data)]
    own = "prompt" in one or one["task"] != OWN_TASK or not asked_alike(*kinds)
    if own or "prompt" not in data:
        return _source_conflicts(where, one, ("test",))
    found = _source_conflicts(where, one | {"prompt": data["prompt"]}, ("test",))
    told = " (data.prompt, as the set has none)"
    return [f"{each}{told}" if f"{where}.prompt" in each else each for each in found]


def _equal_sets(study: dict[str, Any]) -> list[str]:
    """Test sets that are another one's questions, asked and graded as there, or are trained on."""
    known: dict[str, str] = {}
    found = []
    for where, one in {"data": study["data"], **_sets(study)}.items():
        questions = json.dumps(_questions_of(one), sort_keys=True)
        if questions in known:
            first = known[questions]
            other = "the study's own test set" if first == "data" else first
            found.append(f"{where}: is {other} under another name")
        known.setdefault(questions, where)
    trained = study["data"].get("train")
    return found + [
        f"{where}.test: is data.train, which the models are trained on"
        for where, one in _sets(study).items()
        if trained is not None and one.get("test") == trained
    ]


def _questions_of(data: dict[str, Any]) -> dict[str, Any]:
    """What decides which test questions there are, how they are asked, and how graded."""
    keys = ["task", "test_problems"]
    if data["task"] == OWN_TASK:
        keys += [key for key in OWN_KEYS if key != "train"]
    elif data["task"] in (*MADE_TASKS, "mbpp"):
        keys.append("seed")
    # Whatever folder it is read from, another data set has one content.
    return {key: data.get(key) for key in keys}


def _measurement_conflicts(study: dict[str, Any]) -> list[str]:
    """A mode that is not there to be measured, or nothing to measure it on."""
    found = []
    measurement, mode = study["measurement"], study["measurement"]["mode"]
    known = [*rules(), *study["variants"]]
    if measurement["policy"] == "trained" and mode not in study["modes"]:
        found.append(
            f"measurement.mode: {mode!r} is not one of the study's modes: "
            f"{', '.join(study['modes'])}"
        )
    # Of an untrained policy a mode is measured that nothing need be trained with.
    elif mode not in known:
        found.append(f"measurement.mode: {_unknown_mode(mode, known)}")
    if measurement["rules"] != "modes":
        found += [
            f"measurement.rules: {_unknown_mode(rule, known)}"
            for rule in measurement["rules"]
            if rule not in known
        ]
    if measurement["truth"] and (measurement["prompts"] < 1 or measurement["samples"] < 2):
        found.append(
            "measurement.truth: needs groups, so measurement.prompts of at least 1 and "
            "measurement.samples of at least 2"
        )
    if not measurement["prompts"] + measurement["gold"]:
        found.append("measurement.prompts: must be at least 1 where measurement.gold is 0")
    return found


def _label_conflicts(study: dict[str, Any]) -> list[str]:
    """Names that tables cannot tell apart, or that are no line of text."""
    named = {f"models.{name}.label": model["label"] for name, model in study["models"].items()}
    labels = {mode: variant["label"] for mode, variant in study["variants"].items()}
    modes = {
        (f"variants.{mode}.label" if mode in labels else f"modes, {mode}"): labels.get(
            mode, PAPER_MODES.get(mode, mode)
        )
        for mode in study["modes"]
    }
    found = [
        f"{where}: {label!r} must be one line of text, without spaces at its ends"
        for where, label in {**named, **modes}.items()
        if not label.isprintable() or label.strip() != label
    ]
    for group in (named, modes):
        first: dict[str, str] = {}
        for where, label in group.items():
            if first.setdefault(label, where) != where:
                found.append(f"{where}: {label!r} is also what {first[label]} is called")
    return found


# Rules that read a made solution's causes, and the tasks whose rows have them.
WITH_CAUSES, CAUSED_TASKS = ("oracle",), ("arithmetic", "verbs")


def _cause_conflicts(study: dict[str, Any]) -> list[str]:
    """Rules that need known causes where there are none, which only a late job would notice."""
    task, measurement = study["data"]["task"], study["measurement"]
    if task in CAUSED_TASKS:
        return []
    named = {f"modes.{index}": mode for index, mode in enumerate(study["modes"])}
    if measurement["truth"] and measurement["rules"] != "modes":
        named |= {f"measurement.rules.{n}": rule for n, rule in enumerate(measurement["rules"])}
    rules_of = {
        where: study["variants"].get(mode, {"mode": mode})["mode"] for where, mode in named.items()
    }
    return [
        f"{where}: {rule} needs problems with known causes, data.task "
        f"{' or '.join(CAUSED_TASKS)}, and not {task}"
        for where, rule in rules_of.items()
        if rule in WITH_CAUSES
    ]


def _resource_conflicts(resources: dict[str, Any]) -> list[str]:
    """Jobs that ask for more at first than any retry may."""
    return [
        f"resources.{rule}.{name}: {asked} is more than resources.max_{name}, {most}"
        for name in ("mem_mb", "runtime")
        if (most := resources[f"max_{name}"]) is not None
        for rule, asked in _requested_at_first(resources, name).items()
        if asked > most
    ]


def _requested_at_first(resources: dict[str, Any], name: str) -> dict[str, int]:
    """What the jobs of each rule ask for of the resource `name`."""
    return {rule: asked[name] for rule, asked in resources.items() if isinstance(asked, dict)}


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


def _mode_conflicts(study: dict[str, Any]) -> list[str]:
    """Unknown modes, and credit settings that do not go together, also as a variant has them."""
    known = [*rules(), *study["variants"]]
    found = [
        f"modes.{index}: {_unknown_mode(mode, known)}"
        for index, mode in enumerate(study["modes"])
        if mode not in known
    ]
    found += [
        f"variants.{name}: has the name of a credit rule"
        for name in study["variants"]
        if name in rules()
    ]
    found += _credit_conflicts("credit", study["credit"], study["models"])
    for name, variant in study["variants"].items():
        merged = {**study["credit"], **variant["credit"]}
        found += _credit_conflicts(f"variants.{name}.credit", merged, study["models"])
        if variant["credit"].get("proxy", study["credit"]["proxy"]) != study["credit"]["proxy"]:
            found.append(f"variants.{name}.credit.proxy: one proxy serves the whole study")
    return found


def _credit_conflicts(where: str, credit: dict[str, Any], models: dict[str, Any]) -> list[str]:
    found = []
    if credit["w_min"] > credit["w_max"]:
        found.append(
            f"{where}.w_min: {credit['w_min']} is greater than {where}.w_max, {credit['w_max']}"
        )
    if credit["proxy"] is not None and credit["proxy"] not in models:
        found.append(
            f"{where}.proxy: {credit['proxy']!r} is not one of the study's models: "
            f"{', '.join(models)}"
        )
    estimated = (credit["intervention"], credit["sink"]) == ("pad", "answer")
    if credit["method"] == "gradient" and not estimated:
        found.append(f"{where}.method: gradient knows intervention pad and sink answer only")
    return found


def credit_settings(study: Study, mode: str) -> ModeCredit:
    """The credit of a mode of the study: a rule, or one of its variants.

    Of all rules' options, only those of the mode's own.
    """
    variant = _variant(study, mode)
    changed = vars(study.credit) | dict(variant.credit)
    options = changed["options"].get(variant.mode, {})
    return ModeCredit(**changed | {"mode": variant.mode, "options": options})


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
    if not isinstance(config.get("study"), str):
        raise UserError("config: missing key study, the name of a file in config/studies")
    return config["study"]
