"""Load one study's configuration, fill in its defaults and refuse what cannot run."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cfdapo.files import UserError

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "config" / "studies"
SCHEMA = ROOT / "workflow" / "schemas" / "study.schema.yaml"


def load_study(name: str, folder: Path = STUDIES) -> dict[str, Any]:
    """The study `name` of `folder`, with every default filled in.

    Raises `UserError` naming each wrong key and what is allowed there.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise UserError(f"config: unknown study {name!r}; there are: {known}")
    try:
        study = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from error
    return check_study(study, str(path))


def check_study(study: Any, source: str) -> dict[str, Any]:
    """Validate a study against the schema and across its keys; returns it with defaults."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    validator = _with_defaults(jsonschema.Draft202012Validator)(schema)
    errors = sorted(validator.iter_errors(study), key=lambda error: list(map(str, error.path)))
    problems = [_explain(error) for error in errors] or _conflicts(study)
    if problems:
        raise UserError("\n".join(f"{source}: {problem}" for problem in problems))
    return study


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


def _explain(error: jsonschema.ValidationError) -> str:
    key = ".".join(map(str, error.absolute_path)) or "the study"
    value = error.instance
    if error.validator == "additionalProperties":
        allowed = error.schema["properties"]
        unknown = sorted(set(value) - set(allowed))
        return f"{key}: unknown key {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}"
    if error.validator == "enum":
        return f"{key}: {value!r} is not one of {', '.join(map(str, error.validator_value))}"
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(value))
        return f"{key}: missing key {', '.join(missing)}"
    return f"{key}: {error.message}"


def _conflicts(study: dict[str, Any]) -> list[str]:
    """What each key allows alone but the keys do not allow together."""
    found = []
    training, credit = study["training"], study["credit"]
    if credit["w_min"] > credit["w_max"]:
        found.append(
            f"credit.w_min: {credit['w_min']} is greater than credit.w_max, {credit['w_max']}"
        )
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
    if credit["proxy"] is not None and credit["proxy"] not in study["models"]:
        found.append(
            f"credit.proxy: {credit['proxy']!r} is not one of the study's models: "
            f"{', '.join(study['models'])}"
        )
    if credit["method"] == "gradient" and (credit["intervention"], credit["sink"]) != (
        "pad",
        "answer",
    ):
        found.append("credit.method: gradient knows intervention pad and sink answer only")
    made = [name for name, model in study["models"].items() if model["source"] == "made"]
    if made and study["data"]["task"] != "arithmetic":
        found.append(f"models.{made[0]}.source: made models only know data.task arithmetic")
    return found


def checkpoint_steps(training: dict[str, Any]) -> list[int]:
    """Steps at which adapters are saved: every `checkpoint_every`-th, up to the last."""
    every = training["checkpoint_every"]
    return list(range(every, training["steps"] + 1, every))


def config_hash(settings: Any) -> str:
    """Short hash that two equal configurations share, whatever the order of their keys."""
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def check_choice(config: dict[str, Any]) -> str:
    """The study that config/config.yaml or `--config study=…` names, and nothing else."""
    unknown = sorted(set(config) - {"study"})
    if unknown:
        raise UserError(f"config: unknown key {', '.join(unknown)}; allowed: study")
    if not isinstance(config.get("study"), str):
        raise UserError("config: missing key study, the name of a file in config/studies")
    return config["study"]
