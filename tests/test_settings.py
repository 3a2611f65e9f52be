"""Settings out of JSON: exactly the fields of their dataclass, and the same JSON again."""

import json
from dataclasses import dataclass, replace

import pytest

from cfdapo.credit.assigner import CreditConfig
from cfdapo.files import UserError
from cfdapo.policy.training import RunSettings
from cfdapo.settings import (
    CreditSettings,
    GgufModel,
    LoraSettings,
    MeasurementSettings,
    as_flag,
    from_flag,
    parse,
    parse_model,
    part_of,
    plain,
)
from cfdapo.stages.evaluate import EvaluateSettings
from cfdapo.stages.measure_credit import MeasureSettings
from cfdapo.stages.profile_overhead import ProfileSettings
from cfdapo.study import load_document, load_study

STUDY = load_study("tiny")
RUN = RunSettings("arithmetic", {"a": [1, None]}, STUDY.lora, STUDY.training, CreditConfig())


def test_settings_come_back_from_their_json():
    given = json.loads(as_flag(RUN))
    assert parse(RunSettings, given) == RUN and from_flag(RunSettings)(as_flag(RUN)) == RUN
    assert plain(RUN) == given and list(given) == sorted(given)
    # A key that may be absent is, and one that is null is not.
    assert "proxy_chat" not in given and given["credit"]["proxy"] is None
    assert plain(replace(RUN, proxy_chat={}))["proxy_chat"] == {}


def test_a_number_stays_as_it_was_written():
    """Or the hash of a run's settings would be another one."""
    whole = plain(RUN.lora) | {"dropout": 0}
    assert as_flag(parse(LoraSettings, whole)) == json.dumps(whole, sort_keys=True)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (
            "colour",
            1,
            "settings: unknown key colour; allowed: chat, credit, lora, mirror, proxy_chat",
        ),
        ("training.stepz", 1, "training: unknown key stepz; allowed: batch_size"),
        ("training.steps", None, "training.steps: is None and must be an integer"),
        ("training.steps", True, "training.steps: is True and must be an integer"),
        ("training.top_p", "1", "training.top_p: is '1' and must be a number"),
        ("training.gradient_checkpointing", 0, "must be true or false"),
        ("lora", [1], r"lora: is \[1\] and must be an object"),
        ("chat", "x", "chat: is 'x' and must be an object"),
        ("proxy_chat", 1, "proxy_chat: is 1 and must be an object or null"),
        ("credit.mode", "best", "credit: unknown mode 'best'; allowed: budgeted_inverse"),
        ("credit.proxy", 1, "credit.proxy: is 1 and must be text or null"),
    ],
)
def test_a_wrong_value_names_its_key_and_what_is_allowed(where, value, message):
    given = plain(RUN)
    *parents, key = where.split(".")
    place = given
    for parent in parents:
        place = place[parent]
    place[key] = value
    with pytest.raises(UserError, match=message):
        parse(RunSettings, given)


@pytest.mark.parametrize("kind", [RunSettings, CreditSettings, MeasurementSettings])
def test_a_missing_key_is_named_also_where_the_code_has_a_default(kind):
    whole = {
        RunSettings: plain(RUN),
        CreditSettings: plain(CreditSettings()),
        MeasurementSettings: plain(part_of(MeasurementSettings, STUDY.measurement)),
    }[kind]
    for key in whole:
        with pytest.raises(UserError, match=f"settings: missing key {key}$"):
            parse(kind, {name: value for name, value in whole.items() if name != key})


def test_a_model_is_what_its_source_says():
    found = {name: type(model).__name__ for name, model in load_study("smollm2").models.items()}
    assert set(found.values()) == {"GgufModel"}
    entry = load_document("smollm2")["models"].popitem()[1]
    del entry["label"]
    assert isinstance(parse_model(entry), GgufModel)
    with pytest.raises(UserError, match="model: .* must be of 'made' or of 'gguf' or of 'hub'"):
        parse_model(entry | {"source": "ftp"})
    with pytest.raises(UserError, match="model: missing key file"):
        parse_model({key: value for key, value in entry.items() if key != "file"})


def test_lists_and_names_of_a_measurement_stay_what_they_are():
    own = plain(part_of(MeasurementSettings, STUDY.measurement))
    for combinations in ("all", ["pad/answer"], []):
        changed = own | {"combinations": combinations, "padding": [3, 4]}
        measurement = parse(MeasurementSettings, changed)
        assert plain(measurement) == changed and measurement.padding == (3, 4)
    with pytest.raises(UserError, match=r"padding.1: is 'x' and must be an integer"):
        parse(MeasurementSettings, own | {"padding": [3, "x"]})


def test_only_dataclasses_are_settings():
    @dataclass
    class Odd:
        value: object

    with pytest.raises(TypeError, match="no dataclass of settings"):
        parse(dict, {})
    with pytest.raises(TypeError, match="neither JSON nor settings"):
        plain(Odd({1, 2}))


@pytest.mark.parametrize("kind", [RunSettings, EvaluateSettings, MeasureSettings, ProfileSettings])
def test_no_object_is_an_error_for_the_user(kind):
    with pytest.raises(UserError, match="settings: is .* and must be an object"):
        from_flag(kind)("[1]")
