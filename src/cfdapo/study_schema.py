"""A study's file against the schema: its defaults, and what is wrong with it in plain words."""

import functools
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cfdapo.files import UserError
from cfdapo.own_code import EXAMPLE

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "study.schema.yaml"
# The task of one's own questions, and the kinds of answer that they can have.
OWN_TASK = "jsonl"
OWN_ANSWERS = ("number", "choice", "latex", "exact")
AS_VARIANT = "variants: {mine: {mode: mypackage.rules:MyRule, label: Mine}}, and modes: [mine]"


@functools.cache
def rules() -> tuple[str, ...]:
    """Names of the credit rules, as the schema lists them."""
    schema = schema_of_studies()
    return tuple(schema["$defs"]["rule"]["enum"])


@functools.cache
def usual_revision() -> str:
    """The commit of GSM8K where a study names none."""
    revision: str = schema_of_studies()["properties"]["data"]["properties"]["revision"]["default"]
    return revision


@functools.cache
def schema_of_studies() -> dict[str, Any]:
    """workflow/schemas/study.schema.yaml; `UserError` where that is not installed with cfdapo."""
    if not SCHEMA.is_file():
        raise UserError(
            f"{SCHEMA}: is not there; studies are run in a checkout of the repository, and cfdapo "
            "is installed without it here"
        )
    found: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return found


def faults(study: Any) -> list[str]:
    """Each wrong key of a study and what is allowed there; sets absent keys to their defaults."""
    schema = schema_of_studies()
    _take_answers_kind(study)
    validator = _with_defaults(jsonschema.Draft202012Validator)(schema)
    errors = sorted(validator.iter_errors(study), key=lambda error: list(map(str, error.path)))
    found = _odd_keys(study) or _infinite(study) or [_explain(error) for error in errors]
    return found or _variant_errors(study, schema)


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
            return f"{key}.rule: a rule of one's own is a variant's mode: {AS_VARIANT}"
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


def _read_as(value: float | None) -> str:
    """What YAML takes a word without quotes for."""
    if value is None:
        return "nothing"
    return "yes or no" if isinstance(value, bool) else "a number"
