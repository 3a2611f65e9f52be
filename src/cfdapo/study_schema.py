"""A study's file against the schema: its defaults, and what is wrong with it in plain words."""

import functools
import json
import math
import re
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


def schema_of_studies() -> dict[str, Any]:
    """workflow/schemas/study.schema.yaml; `UserError` where that is not installed with cfdapo."""
    if not SCHEMA.is_file():
        raise UserError(
            f"{SCHEMA}: is not there; studies are run in a checkout of the repository, and cfdapo "
            "is installed without it here"
        )
    return _parsed(SCHEMA)


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    """The YAML of the schema, which nobody changes."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def faults(study: Any) -> list[str]:
    """Each wrong key of a study and what is allowed there; sets absent keys to their defaults."""
    schema = schema_of_studies()
    if not isinstance(study, dict):
        there = "is empty" if study is None else f"is a {type(study).__name__}"
        return [f"{there}; a study has keys and values, at least {', '.join(schema['required'])}"]
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
        f"{where or 'the study'}: the key {key!r} is read as {read_as(key)} and must be text; "
        "put it in quotes"
        for key in value
        if not isinstance(key, str)
    ]
    # The patterns of names let a new line at their end pass.
    found += [
        f"{where or 'the study'}: the key {key!r} must be one line of text"
        for key in value
        if isinstance(key, str) and not key.isprintable()
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


def _take_answers_kind(study: dict[str, Any]) -> None:
    """Let credit look for the answers that one's own questions ask for, unless the study says."""
    data = study.get("data")
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
        return f"{key}: {value!r} is read as {read_as(value)} and must be text; put it in quotes"
    if error.validator == "type" and {"number", "integer"} & _types(wanted) and _is_number(value):
        return f"{key}: {value!r} is read as text and must be a number; write it {_how(value)}"
    if error.validator in _BOUNDS:
        return f"{key}: {value!r} must be {_BOUNDS[error.validator]} {wanted}"
    if error.validator in ("minLength", "minItems", "minProperties") and not value:
        return f"{key}: {value!r} must not be empty"
    if error.validator == "const":
        return f"{key}: {value!r} must be {json.dumps(wanted)}, or the key left out"
    if error.validator == "oneOf":
        return f"{key}: {value!r} is none of what is allowed ({schema['description'].rstrip('.')})"
    if error.validator == "pattern":
        return f"{key}: {error.message} ({schema['description'].rstrip('.')})"
    return f"{key}: {error.message}"


_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _types(wanted: str | list[str]) -> set[str]:
    return {wanted} if isinstance(wanted, str) else set(wanted)


# Numbers that other readers of YAML take from 24:00:00, 010, 0x10 and 0b1.
_NOT_DECIMAL = re.compile(
    r"[-+]?(?:\d[\d_]*(?::\d+)+(?:\.\d*)?|0[\d_]+|0[xX][\da-fA-F_]+|0[bB][01_]+)"
)


def _is_number(value: Any) -> bool:
    """Whether a text would be a number elsewhere; to YAML 1e-3 is none, and here 010 is none."""
    if not isinstance(value, str):
        return False
    try:
        return bool(_NOT_DECIMAL.fullmatch(value)) or math.isfinite(float(value))
    except ValueError:
        return False


def _how(number: str) -> str:
    """How a number is written that was read as text."""
    if ":" in number:
        return "as one number in the key's unit, as 1440 for 24:00:00 in minutes"
    if _NOT_DECIMAL.fullmatch(number):
        return "in decimal digits, without a 0 before them"
    return (
        "without quotes and, where it has an exponent, with a point and the exponent's sign, "
        "as in 1.0e-3"
    )


def read_as(value: float | None) -> str:
    """What YAML takes a word without quotes for."""
    if value is None:
        return "nothing"
    return "yes or no" if isinstance(value, bool) else "a number"
