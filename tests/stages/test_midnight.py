"""A chat template that prints the date, and a midnight between two attempts of a job."""

import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest
from killed import run_train, set_clock
from transformers.utils import chat_template_utils

from cfdapo.files import UserError, read_json, read_jsonl, sha256_of, write_json
from cfdapo.policy.generation import hash_of_prompts
from cfdapo.policy.interruption import RESUME_ME
from cfdapo.policy.models import load_base, load_tokenizer
from cfdapo.policy.tiny import CHAT_TEMPLATE
from cfdapo.policy.training import RunSettings
from cfdapo.settings import (
    MadeModel,
    MeasurementSettings,
    SamplingSettings,
    parse,
    part_of,
)
from cfdapo.stages import prepare_model
from cfdapo.stages.evaluate import EvaluateSettings, evaluate
from cfdapo.stages.measure_credit import MeasureSettings, measure_credit
from cfdapo.stages.profile_overhead import ProfileSettings, profile_overhead
from cfdapo.stages.train import train
from cfdapo.study import load_document, load_study

# As Llama-3.2's does.
DATED = (
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
    "{%- endif %}{{ date_string + '\n' }}" + CHAT_TEMPLATE
)
PINNED = {"date_string": "26 Jul 2024"}
EVENING, MORNING = datetime(2026, 11, 27, 23, 59), datetime(2026, 11, 28, 0, 5)
STEPS = 3


@pytest.fixture(scope="module")
def dated(prepared, tmp_path_factory) -> Path:
    """The prepared model with a template that prints the date."""
    folder = shutil.copytree(prepared / "model", tmp_path_factory.mktemp("dated") / "model")
    (folder / "chat_template.jinja").write_text(DATED)
    assert load_tokenizer(folder).chat_template == DATED
    return folder


@pytest.fixture
def clock():
    """Sets the day."""
    before = chat_template_utils.datetime
    yield set_clock
    chat_template_utils.datetime = before


def settings(chat: dict, mode: str = "random", **more) -> dict:
    study = load_document("smoke")
    training = study["training"] | {
        "steps": STEPS,
        "checkpoint_every": 1,
        "batch_size": 8,
        "group_size": 4,
        "max_completion_tokens": 24,
        "max_prompt_tokens": 250,
    }
    credit = study["credit"] | {"mode": mode}
    lora = {"r": 4, "alpha": 4, "dropout": 0.0}
    shared = {"task": "arithmetic", "chat": chat, "training": training}
    return shared | {"lora": lora, "credit": credit} | more


def of_evaluation(chat: dict) -> EvaluateSettings:
    wanted = settings(chat)
    kept = {key: wanted[key] for key in ("task", "chat", "training")}
    return parse(EvaluateSettings, kept | {"evaluation": {"batch_size": 4}})


def of_measurement(chat: dict) -> MeasureSettings:
    study = load_study("smoke")
    return MeasureSettings(
        "arithmetic",
        chat,
        replace(part_of(SamplingSettings, study.training), max_completion_tokens=24),
        study.credit,
        replace(part_of(MeasurementSettings, study.measurement), prompts=2, samples=2, gold=2),
    )


@pytest.fixture(scope="module")
def crossing(dated, prepared, tmp_path_factory):
    """A run of one evening, and one that is stopped in the evening and goes on next morning."""
    folder = tmp_path_factory.mktemp("crossing")
    arguments = {
        "model": "test",
        "model_dir": dated,
        "problems": prepared / "train.jsonl",
        "mode": "random",
        "seed": 3,
        "settings": parse(RunSettings, settings(PINNED)),
    }
    code, log = run_train(folder / "whole", arguments, day=EVENING)
    assert code == 0, log
    code, log = run_train(folder / "cut", arguments, ("credit", 2, signal.SIGTERM), day=EVENING)
    assert code == RESUME_ME, log
    code, log = run_train(folder / "cut", arguments, day=MORNING)
    assert code == 0 and "going on from" in log, log
    return folder


def test_a_run_with_a_fixed_date_ends_with_the_same_bits_on_the_next_day(crossing, dated, prepared):
    adapters = [
        {path.parent.name: sha256_of(path) for path in folder.glob("adapters/*/*.safetensors")}
        for folder in (crossing / "whole", crossing / "cut")
    ]
    assert adapters[0] == adapters[1] and len(adapters[0]) == STEPS
    origins = [read_json(crossing / name / "run.json")["origin"] for name in ("whole", "cut")]
    assert origins[0] == origins[1]
    problems = prepared / "train.jsonl"
    assert origins[0]["prompts"] == hash_of_prompts(dated, problems, "arithmetic", PINNED)
    other = hash_of_prompts(dated, problems, "arithmetic", {"date_string": "27 Jul 2024"})
    assert origins[0]["prompts"] != other


def test_an_evaluation_with_a_fixed_date_goes_on_to_the_same_bytes_on_the_next_day(
    crossing, dated, prepared, tmp_path, clock, monkeypatch
):
    out = tmp_path / "evaluation.jsonl"
    given = (dated, prepared / "test.jsonl", crossing / "whole", of_evaluation(PINNED), out)
    clock(EVENING)
    evaluate(*given)
    whole = out.read_bytes()
    out.unlink()
    cut(given, 17, monkeypatch)
    clock(MORNING)
    evaluate(*given)
    assert out.read_bytes() == whole
    (prompts,) = {row["prompts"] for row in read_jsonl(out)}
    assert hash_of_prompts(dated, given[1], "arithmetic", PINNED).startswith(prompts)


def cut(given: tuple, records: int, monkeypatch) -> None:
    """Evaluate until so many records are written, or the last whole batch before them."""
    from cfdapo.stages import evaluate as stage

    class Killed(BaseException):
        pass

    original, made = stage._records, []

    def batch(rows, *arguments):
        if len(made) + len(rows) > records:
            raise Killed
        made.extend(rows)
        return original(rows, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_records", batch)
        with pytest.raises(Killed):
            evaluate(*given)


def test_an_evaluation_never_mixes_two_prompts(crossing, dated, prepared, tmp_path, monkeypatch):
    """The same settings, but a template on the disk that prints another date."""
    folder = shutil.copytree(dated, tmp_path / "model")
    out = tmp_path / "evaluation.jsonl"
    given = (folder, prepared / "test.jsonl", crossing / "whole", of_evaluation({}), out)
    for day in ("27 Nov 2026", "28 Nov 2026"):
        template = f"{{% set date_string = '{day}' %}}" + DATED
        (folder / "chat_template.jinja").write_text(template)
        if day.startswith("27"):
            cut(given, 17, monkeypatch)
    (before,) = {row["prompts"] for row in read_jsonl(tmp_path / "evaluation.partial.jsonl")}
    evaluate(*given)
    (after,) = {row["prompts"] for row in read_jsonl(out)}
    assert before != after
    (tmp_path / "again").mkdir()
    evaluate(*given[:4], tmp_path / "again" / "evaluation.jsonl")
    assert (tmp_path / "again" / "evaluation.jsonl").read_bytes() == out.read_bytes()


def test_a_state_of_other_prompts_is_not_gone_on_from(crossing, dated, prepared, tmp_path):
    """Nothing but the template on the disk is another one."""
    folder = shutil.copytree(dated, tmp_path / "model")
    arguments = {
        "model": "test",
        "model_dir": folder,
        "problems": prepared / "train.jsonl",
        "mode": "random",
        "seed": 3,
        "settings": parse(RunSettings, settings(PINNED)),
    }
    code, log = run_train(tmp_path / "run", arguments, ("credit", 3, signal.SIGTERM))
    assert code == RESUME_ME, log
    (folder / "chat_template.jinja").write_text(
        DATED.replace("date_string + ", "date_string ~ '!' + ")
    )
    code, log = run_train(tmp_path / "run", arguments)
    assert code == 0 and "code, model or prompt; starting anew" in log, log
    origins = [
        read_json(path / "run.json")["origin"] for path in (crossing / "whole", tmp_path / "run")
    ]
    for origin in origins:
        del origin["model"]["sha256"]["chat_template.jinja"]
    assert origins[0] | {"prompts": ""} == origins[1] | {"prompts": ""}
    assert origins[0]["prompts"] != origins[1]["prompts"]


READS = 'reads a clock.*chat_template_kwargs: {date_string: "26 Jul 2024"}'


@pytest.mark.parametrize("stage_name", ["train", "proxy", "evaluate", "measure", "profile"])
def test_every_job_refuses_a_date_that_nothing_fixes(stage_name, dated, prepared, tmp_path):
    data = prepared / "train.jsonl"
    with pytest.raises(UserError, match=READS):
        if stage_name == "train":
            train("test", dated, data, "random", 0, parse(RunSettings, settings({})), tmp_path)
        elif stage_name == "proxy":
            proxied = parse(RunSettings, settings({}, proxy_chat={}))
            given = ("test", prepared / "model", data, "random", 0, proxied, tmp_path)
            train(*given, proxy_dir=dated)
        elif stage_name == "evaluate":
            evaluate(dated, data, tmp_path, of_evaluation({}), tmp_path / "evaluation.jsonl")
        elif stage_name == "measure":
            measure_credit(dated, data, of_measurement({}), "untrained", tmp_path / "credit.jsonl")
        else:
            own = settings({}, overhead={"repeats": 1})
            del own["credit"]["mode"]
            profile_overhead(dated, data, parse(ProfileSettings, own))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "lock" not in path.name]


@dataclass(frozen=True)
class Dated(MadeModel):
    chat_template_kwargs: Mapping[str, str] = field(default_factory=dict)
    chat_template_date: str | None = None


def test_a_model_is_refused_when_it_is_prepared(stage, tmp_path, monkeypatch):
    entry = load_document("smoke")["models"]["qwen3-tiny"]
    del entry["label"]
    short = entry | {"pretraining": entry["pretraining"] | {"steps": 1}}
    flags = ["--name", "tiny", "--task", "arithmetic", "--out", tmp_path / "model", "--entry"]
    monkeypatch.setattr("cfdapo.policy.tiny.CHAT_TEMPLATE", DATED)
    # As a model of another source has them; those are not made here.
    none = {"chat_template_kwargs": {}, "chat_template_date": None}
    read = lambda text: parse(Dated, none | json.loads(text))  # noqa: E731
    monkeypatch.setattr(prepare_model, "_model", read)
    done = stage("prepare_model", *flags, json.dumps(short))
    assert done.returncode == 2 and "error: models.tiny: its chat template reads" in done.stderr
    assert not (tmp_path / "model" / "manifest.json").exists()
    for fixed in ({"chat_template_kwargs": PINNED}, {"chat_template_date": "2024-07-26"}):
        done = stage("prepare_model", *flags, json.dumps(short | fixed))
        assert done.returncode == 0, done.stderr


def test_measured_credit_with_a_fixed_day_is_the_same_on_another(dated, prepared, tmp_path, clock):
    """Fixed by the model's entry, which its manifest keeps, for a template that takes no date."""
    folder = shutil.copytree(dated, tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ strftime_now('%c') }}" + CHAT_TEMPLATE)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"chat_template_date": "2024-07-26"})
    outs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for day, out in zip((EVENING, MORNING), outs, strict=True):
        clock(day)
        given = (prepared / "test.jsonl", of_measurement({}), "untrained", out)
        measure_credit(folder, *given)
    for name in (".jsonl", ".completions.jsonl"):
        one, two = (out.with_suffix(name).read_bytes() for out in outs)
        assert one == two and one
    _, tokenizer = load_base(folder)
    question = [{"role": "user", "content": "?"}]
    shown = tokenizer.apply_chat_template(question, tokenize=False)
    assert shown == "Fri Jul 26 00:00:00 2024<|user|>?"


@pytest.mark.parametrize("cut_by", ["prompts", "nothing"])
def test_half_measured_credit_of_other_prompts_is_not_gone_on_from(
    cut_by, dated, prepared, tmp_path, monkeypatch, capsys
):
    from cfdapo.stages import measure_credit as stage

    folder = shutil.copytree(dated, tmp_path / "model")
    given = (folder, prepared / "test.jsonl", of_measurement(PINNED), "untrained")
    original, made = stage.Recorder.record, []

    def record(self, batch):
        if made:
            raise KeyboardInterrupt
        made.append(batch)
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(stage.Recorder, "record", record)
        with pytest.raises(KeyboardInterrupt):
            measure_credit(*given, tmp_path / "credit.jsonl")
    if cut_by == "prompts":
        (folder / "chat_template.jinja").write_text(DATED.replace("'\n'", "'\n\n'"))
    measure_credit(*given, tmp_path / "credit.jsonl")
    assert ("starting anew" in capsys.readouterr().out) == (cut_by == "prompts")
