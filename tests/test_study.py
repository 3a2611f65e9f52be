"""Configurations: every shipped one loads; a wrong one names the key and what is allowed."""

import copy
import json
import math
from dataclasses import asdict, replace

import pytest
import yaml

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.rules import require_known_options
from cfdapo.files import UserError
from cfdapo.settings import DivergenceSettings, Study, plain
from cfdapo.study import (
    STUDIES,
    build_study,
    check_choice,
    check_study,
    checkpoint_steps,
    credit_settings,
    divergences,
    load_document,
    load_study,
    measured_credit,
    measured_rules,
    member_training,
    mode_labels,
    profiled_credit,
    training_settings,
    weight_groups,
    with_options,
    without_sets,
)
from cfdapo.study_schema import SCHEMA, schema_of_studies
from cfdapo.vocabulary import PAPER_MODES

NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))


def refusal_of(study: dict, where: str, value: object) -> str:
    """What is said of a study's document with this value at the dotted key `where`."""
    *parents, key = where.split(".")
    place = study
    for parent in parents:
        place = place[parent]
    place[key] = value
    with pytest.raises(UserError) as raised:
        check_study(study, "study.yaml")
    return str(raised.value)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_studies_are_valid(name):
    """And their dataclasses hold all that the files say, with every default."""
    document, study = load_document(name), plain(load_study(name))
    labels = study.pop("labels")
    for model, label in labels.items():
        study["models"][model]["label"] = label
    assert json.dumps(study, sort_keys=True) == json.dumps(document, sort_keys=True)


def test_paper_study_has_the_papers_numbers():
    study = load_study("paper")
    training, credit = study.training, study.credit
    assert len(study.models) * len(study.modes) * len(study.seeds) == 36
    assert (study.lora.r, study.lora.alpha) == (32, 32)
    assert (training.group_size, training.learning_rate, training.steps) == (8, 2.5e-5, 500)
    assert (training.batch_size, training.gradient_accumulation) == (16, 4)
    assert (training.temperature, training.top_p) == (0.6, 0.95)
    assert (credit.w_min, credit.w_max, credit.w_answer) == (0.5, 4.0, 1.5)
    assert (credit.max_spans, training.checkpoint_every) == (10, 25)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("colour", 1, "unknown key colour; allowed: credit, data"),
        ("credit.w_minimum", 1, "credit: unknown key w_minimum; allowed: answer, cache, every"),
        ("modes", ["uniform"], "modes.0: 'uniform' is not one of counterfactual, vanilla"),
        ("credit.w_min", 5.0, "credit.w_min: 5.0 is greater than credit.w_max"),
        ("credit.proxy", "gpt", "credit.proxy: 'gpt' is not one of the study's models: qwen3-tiny"),
        ("credit.select", "best", "credit.select: 'best' is not one of all, longest, arithmetic"),
        ("credit.every", 0, "credit.every: 0 must be at least 1"),
        ("training.batch_size", 12, "training.batch_size: 12 is not a multiple of"),
        ("training.checkpoint_every", 7, "training.steps: 75 is not a multiple of"),
        ("training.steps", "many", "training.steps: 'many' is not of type 'integer'"),
        ("training.epsilon_high", 0.1, "training.epsilon_high: must be at least"),
        ("training.warmup_steps", 5, "training.warmup_steps: must be 0 with training.schedule con"),
        ("lora.dropout", 0.05, "lora.dropout: 0.05 must be 0; dropout is off everywhere"),
        ("data.path", "own", "data.path: is not for data.task arithmetic, whose problems are made"),
        ("data.revision", "0" * 40, "data.revision: is for data.task gsm8k only"),
        ("measurement.mode", "best", "measurement.mode: 'best' is not one of the study's modes"),
        ("measurement", {"policy": "untrained", "mode": "wide"}, "measurement.mode: 'wide' is not"),
        (
            "measurement.combinations",
            ["pad/all"],
            "measurement.combinations: ['pad/all'] is none of",
        ),
        ("measurement.rules", ["best"], "measurement.rules: 'best' is not one of counterfactual"),
        ("measurement.rules", "all", "measurement.rules: 'all' is none of what is allowed (Which"),
        ("measurement.truth", {"continuations": 1}, "continuations: 1 must be at least 2"),
        ("measurement.truth", {"k": 8}, "measurement.truth: unknown key k; allowed: continuations"),
        ("measurement", {"truth": {}, "samples": 1}, "measurement.truth: needs groups"),
        ("measurement.policy", "both", "measurement.policy: 'both' is not one of untrained"),
        ("data.task", "gsm8k", "models.qwen3-tiny.source: made models only know"),
        ("models.qwen3-tiny.source", "ftp", "source: 'ftp' is not one of made, gguf, hub, local"),
        ("models.qwen3-tiny.pretraining.step", 3, "unknown key step; allowed: batch_size"),
        ("models.qwen3-tiny.chat_template_date", "2024-07-26", "unknown key chat_template_date"),
        ("training.learning_rate", "1e-3", "'1e-3' is read as text and must be a number; write it"),
        ("training.steps", "75", "training.steps: '75' is read as text and must be a number"),
        ("training.learning_rate", math.nan, "training.learning_rate: nan is no finite number"),
        ("training.temperature", math.inf, "training.temperature: inf is no finite number"),
        ("measurement.padding", [0, math.nan], "measurement.padding.1: nan is no finite number"),
        ("seeds", [0, 2**32], "seeds.1: 4294967296 must be at most 4294967295"),
        ("models.qwen3-tiny.label", "Llama-tiny", "'Llama-tiny' is also what models.qwen3-tiny"),
        ("models.qwen3-tiny.label", "a\nb", "'a\\nb' must be one line of text"),
        ("models.qwen3-tiny.label", " ", "' ' must be one line of text"),
        ("resources.max_mem_mb", 2000, "train.mem_mb: 2500 is more than resources.max_mem_mb"),
        ("resources.max_runtime", 19, "resources.evaluate.runtime: 20 is more than resources.max_"),
        ("resources.max_mem_mb", "much", "resources.max_mem_mb: 'much' is not of type 'integer'"),
        ("models.qwen3-tiny.id", "a/b", "models.qwen3-tiny: unknown key id; allowed: architecture"),
    ],
)
def test_wrong_values_name_key_and_allowed(where, value, message):
    study = copy.deepcopy(load_document("tiny"))
    study["training"]["steps"], study["training"]["checkpoint_every"] = 75, 25
    told = refusal_of(study, where, value)
    assert told.startswith("study.yaml: ") and message in told


OWN = {
    "task": "jsonl",
    "train": "own/train.jsonl",
    "test": {"id": "a/b", "revision": "0" * 40, "split": "test"},
    "answer": "choice",
}


def own_study(changes: dict) -> dict:
    """A study of one's own questions, `changes` by dotted key; None leaves a key out."""
    study = copy.deepcopy(load_document("paper"))
    study["data"], study["measurement"]["gold"] = copy.deepcopy(OWN), 0
    study["credit"].pop("answer")
    for where, value in changes.items():
        *parents, key = where.split(".")
        place = study
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = copy.deepcopy(value)
        if value is None:
            del place[key]
    return study


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.answer": "letter"}, "answer: 'letter' is not one of number, choice, latex, exact"),
        ({"data.answer": None}, "data: missing key answer, which data.task jsonl needs"),
        ({"data.train": None}, "data: missing key train, which data.task jsonl needs"),
        ({"data.train": ""}, "data.train: '' must not be empty"),
        ({"data.test.revision": int("1" * 40)}, "is read as a number and must be text; put it in"),
        ({"data.test.revision": "main"}, "(A commit of a repository of the hub, 40"),
        ({"data.test.id": "./own"}, "data.test.id: './own' does not match"),
        ({"data.test.id": "src/cfdapo"}, "is a folder here; name its JSONL file as data.test"),
        ({"data.test.split": None}, "data.test: missing key split"),
        ({"data.test.name": "x"}, "data.test: unknown key name; allowed: config, id, revision"),
        ({"data.path": "own"}, "data.path: is not for data.task jsonl"),
        ({"data.prompt": "Say A or B."}, "data.prompt: 'Say A or B.' does not match"),
        ({"data.prompt": "{question} {choices}"}, "data.prompt: must have {choices} if data.field"),
        ({"data.fields": {"choices": "c"}, "data.letters": 3}, "data.letters: must be left out"),
        ({"data.fields": {"choices": "c"}, "data.answer": "exact"}, "choices: is for data.answer"),
        ({"data.prompt": "{body} {question}"}, "prompt: names {body}, which data.fields does not"),
        ({"data.prompt": "{question} {answer}"}, "prompt: names {answer}, which no prompt tells"),
        ({"data.fields": {"body": "Body"}}, "data.fields.body: is not in data.prompt"),
        ({"data.fields": {1: "Body"}}, "data.fields: the key 1 is read as a number and must be"),
        ({"models": {7: {}}}, "models: the key 7 is read as a number and must be text; put it in"),
        ({"variants": {True: {}}}, "variants: the key True is read as yes or no"),
        ({"models": {None: {}}}, "models: the key None is read as nothing and must be text"),
        ({"data.letters": 1}, "data.letters: 1 must be at least 2"),
        ({"data.fields": {"solution": 1}}, "data.fields.solution: 1 is read as a number"),
        ({"measurement.gold": 3}, "measurement.gold: must be 0 where data.fields has no solution"),
        ({"credit.answer": "number"}, "credit.answer: number does not find answers of data.answer"),
        ({"data.task": "gsm8k"}, "data.train: is for data.task jsonl only"),
        ({"data.prompt": "{Body} {question}"}, "prompt: names {Body}, which data.fields does not"),
        ({"data.prompt": "{question} {a.b}"}, "prompt: names {a.b}, which data.fields does not"),
        ({"data.prompt": "{question} {step2}"}, "prompt: names {step2}, which data.fields does"),
        ({"modes": ["vanilla", "oracle"]}, "modes.1: oracle needs problems with known causes"),
        (
            {"measurement.truth": {}, "measurement.rules": ["oracle"]},
            "measurement.rules.0: oracle needs problems with known causes, data.task arithmetic or",
        ),
    ],
)
def test_own_questions_that_cannot_be_meant_are_refused_when_the_study_is_read(changes, message):
    with pytest.raises(UserError) as raised:
        check_study(own_study(changes), "study.yaml")
    assert message in str(raised.value)


FURTHER = {"task": "jsonl", "test": "own/more.jsonl", "answer": "latex"}
HUB = {"id": "a/b", "revision": "0" * 40, "split": "test"}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("my set", {}, "evaluation.sets: 'my set' does not match '^[A-Za-z0-9][A-Za-z0-9_-]*$' (A"),
        ("../more", {}, "evaluation.sets: '../more' does not match"),
        (500, {}, "evaluation.sets: the key 500 is read as a number and must be text; put it in"),
        (
            "more",
            {"test": None},
            "sets.more: missing key test, which evaluation.sets.more.task json",
        ),
        ("more", {"answer": None}, "evaluation.sets.more: missing key answer"),
        ("more", {"task": "maths"}, "sets.more.task: 'maths' is not one of arithmetic, verbs"),
        ("more", {"train": "a"}, "sets.more: unknown key train; allowed: answer, fields, label"),
        ("more", {"task": "gsm8k"}, "evaluation.sets.more.test: is for evaluation.sets.more.task"),
        (
            "more",
            {"path": "own"},
            "evaluation.sets.more.path: is not for evaluation.sets.more.task",
        ),
        ("more", {"fields": {"body": "b"}}, "fields.body: is not in evaluation.sets.more.prompt"),
        (
            "more",
            {"prompt": "{a} {question}"},
            "prompt: names {a}, which evaluation.sets.more.fields",
        ),
        (
            "more",
            {"test": HUB | {"id": "src/cfdapo"}},
            "sets.more.test.id: 'src/cfdapo' is a folder",
        ),
        (
            "more",
            {"test": "own/train.jsonl"},
            "evaluation.sets.more.test: is data.train, which the",
        ),
        # The study asks for the letter of a choice.
        (
            "more",
            {"answer": "choice", "test": HUB},
            "more: is the study's own test set under another",
        ),
    ],
)
def test_a_further_test_set_that_cannot_be_meant_is_refused(name, changes, message):
    given = {key: value for key, value in (FURTHER | changes).items() if value is not None}
    with pytest.raises(UserError) as raised:
        check_study(own_study({"evaluation.sets": {name: given}}), "study.yaml")
    assert message in str(raised.value)


def test_a_further_test_set_may_be_asked_with_the_studys_prompt_and_only_if_that_fits():
    def study(**changes):
        given = {"data.answer": "number", "data.fields": {"body": "Body"}, **changes}
        given |= {"data.prompt": "{body} {question}"}
        return check_study(own_study(given), "study.yaml")

    message = (
        r"more.prompt: names {body}, which .*more.fields does not have .data.prompt, as the se"
    )
    with pytest.raises(UserError, match=message):
        study(**{"evaluation.sets": {"more": FURTHER}})
    # With such a field, a prompt of its own, or another kind of question it is none of its faults.
    for own in ({"fields": {"body": "b"}}, {"prompt": "{question}?"}, {"answer": "choice"}):
        study(**{"evaluation.sets": {"more": FURTHER | own}})
    made = {"task": "arithmetic", "test_problems": 5}
    other = {"one": made, "two": made | {"seed": 1}, "three": made | {"label": "Made"}}
    with pytest.raises(UserError, match="sets.three: is evaluation.sets.one under another name$"):
        study(**{"evaluation.sets": other})


def test_what_is_made_of_a_studys_own_test_set_does_not_know_of_others():
    alone = load_study("paper")
    more = own_study({})
    more["evaluation"]["sets"] = {"more": copy.deepcopy(FURTHER)}
    study, sets = without_sets(build_study(check_study(more, "study.yaml")))
    assert plain(study.evaluation) == plain(alone.evaluation) == {"batch_size": 256}
    assert without_sets(alone) == (alone, {})
    data = sets["more"].data()
    assert (data.test, data.train, data.answer) == ("own/more.jsonl", None, "latex")


@pytest.mark.parametrize("kind", ["number", "choice", "latex", "exact"])
def test_credit_looks_for_the_kind_of_answers_that_own_questions_have(kind):
    changes = {"data.answer": kind, "data.fields": {"body": "Body"}}
    changes |= {"data.prompt": "{body}\n{question} \\boxed{answer}"}
    study = build_study(check_study(own_study(changes), "study.yaml"))
    assert credit_settings(study, "counterfactual").answer == kind
    assert study.data.test.config is None and study.data.letters is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        # YAML takes digits alone for a number.
        ({"revision": int("1" * 40)}, f"revision: {'1' * 40} is read as a number and must be text"),
        ({"revision": "main"}, "'^[0-9a-f]{40}$' (A commit of a repository of the hub, 40"),
        ({"id": 7}, "models.own.id: 7 is read as a number and must be text; put it in quotes"),
        ({"id": True}, "models.own.id: True is read as yes or no"),
        ({"id": "src/cfdapo"}, "models.own.id: 'src/cfdapo' is a folder here; name it with source"),
        *[
            ({"id": name}, f"models.own.id: {name!r} does not match")
            for name in ("/models/own", "./own", "../own", "~/own", "a/b/c", "own/", "C:\\own")
        ],
        ({"id": "https://hub.example/a/b"}, "and no path or address)"),
        ({"source": "local"}, "unknown key id, revision; allowed: chat_template_date"),
        ({"source": "local", "path": 7, "id": None, "revision": None}, "put it in quotes"),
        (
            {"source": "local", "path": "", "id": None, "revision": None},
            "path: '' must not be empty",
        ),
    ],
)
def test_a_model_that_cannot_be_meant_is_refused_when_the_study_is_read(model, message):
    study = copy.deepcopy(load_document("paper"))
    given = {"label": "Own", "source": "hub", "id": "a/b", "revision": "0" * 40} | model
    study["models"] = {"own": {key: value for key, value in given.items() if value is not None}}
    with pytest.raises(UserError) as raised:
        check_study(study, "study.yaml")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("chat_template_date", "26 Jul 2024", "does not match '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'"),
        ("chat_template_date", "2023-02-29", "'2023-02-29' is no day (day is out of range"),
        ("chat_template_kwargs", {"tokenize": False}, "chat_template_kwargs.tokenize: is no varia"),
        ("chat_template_kwargs", {"padding": True}, "chat_template_kwargs.padding: is no variable"),
    ],
)
def test_wrong_settings_of_a_chat_template_are_named(key, value, message):
    study = load_document("paper")
    study["models"]["llama3.2-3b"][key] = value
    with pytest.raises(UserError) as raised:
        check_study(study, "study.yaml")
    assert f"models.llama3.2-3b.{key}" in str(raised.value) and message in str(raised.value)


def test_dates_are_text_also_without_quotes(tmp_path):
    """Settings travel as JSON, which has no dates."""
    text = (STUDIES / "paper.yaml").read_text()
    fixed = 'chat_template_kwargs: {date_string: "26 Jul 2024"}'
    bare = "chat_template_kwargs: {date_string: 2024-07-26}\n    chat_template_date: 2024-07-26"
    (tmp_path / "mine.yaml").write_text(text.replace(fixed, bare))
    model = load_study("mine", tmp_path).models["llama3.2-3b"]
    assert model.chat_template_kwargs == {"date_string": "2024-07-26"}
    assert model.chat_template_date == "2024-07-26"


def test_trap_a_key_that_is_there_twice_is_an_error(tmp_path):
    """YAML's own reader takes the second, and the first variant of that name is never trained."""
    (tmp_path / "mine.yaml").write_text("variants:\n  wide: {mode: x}\n  wide: {mode: y}\n")
    with pytest.raises(UserError, match=r"mine.yaml: not valid YAML \(the key 'wide' is there tw"):
        load_document("mine", tmp_path)


def test_gradient_is_refused_where_it_estimates_nothing():
    study = load_document("tiny")
    study["credit"] |= {"method": "gradient", "sink": "rest"}
    with pytest.raises(UserError, match="credit.method: gradient knows intervention pad and sink"):
        check_study(study, "study.yaml")


def test_credit_s_defaults_are_the_code_s():
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["credit"]["properties"]
    keys = {key: sub["default"] for key, sub in schema.items()}
    assert keys | {"mode": "counterfactual"} == asdict(CreditConfig())


def test_a_measurement_of_nothing_is_refused():
    study = load_document("tiny")
    study["measurement"] |= {"prompts": 0, "gold": 0}
    with pytest.raises(UserError, match="measurement.prompts: must be at least 1 where"):
        check_study(study, "study.yaml")


def test_rules_that_are_held_against_the_truth_begin_with_vanilla():
    assert load_study("tiny").measurement.truth is None
    own = measured_rules(load_study("tiny"))
    assert list(own) == ["vanilla", "counterfactual", "random", "inverted"]
    study = load_document("tiny")
    study["measurement"] |= {"truth": {}, "rules": ["monte_carlo", "wide"]}
    wide = {"options": {"entropy": {"top": 0.5}}}
    study["variants"]["wide"] = {"mode": "entropy", "label": "Wide", "credit": wide}
    study["credit"]["options"] = {"monte_carlo": {"continuations": 4}}
    assert built(study).measurement.truth.continuations == 64
    found = measured_rules(built(study))
    assert list(found) == ["vanilla", "monte_carlo", "wide"]
    assert found["monte_carlo"].options == {"continuations": 4}
    assert (found["wide"].mode, found["wide"].options) == ("entropy", {"top": 0.5})
    study["variants"]["wide"]["credit"]["options"] = {"entropies": {}}
    with pytest.raises(UserError, match="wide.credit.options: 'entropies' is not one of counterf"):
        check_study(study, "study.yaml")


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [
        ("24:00:00", "runtime", "is read as text and must be a number; write it as one number in"),
        ("1:30", "runtime", "'1:30' is read as text and must be a number; write it as one number"),
        ("1:30.5", "runtime", "'1:30.5' is read as text and must be a number; write it as one num"),
        (
            "010",
            "runtime",
            "'010' is read as text and must be a number; write it in decimal digits",
        ),
        ("-010", "runtime", "'-010' is read as text and must be a number; write it in decimal"),
        (
            "0x10",
            "runtime",
            "'0x10' is read as text and must be a number; write it in decimal digi",
        ),
        (
            "0b1",
            "runtime",
            "'0b1' is read as text and must be a number; write it in decimal digits",
        ),
        ("1e3", "runtime", "'1e3' is read as text and must be a number; write it without quotes"),
        ('"60"', "runtime", "'60' is read as text and must be a number; write it without quotes"),
        ("010", "max_runtime", "'010' is read as text and must be a number; write it in decimal"),
    ],
)
def test_trap_a_number_that_is_not_decimal_is_refused_and_not_another_number(
    tmp_path, written, key, message
):
    """YAML 1.1 reads 24:00:00 as 86400 and 010 as 8."""
    asked = f"{{{key}: {written}}}" if key.startswith("max") else f"{{train: {{{key}: {written}}}}}"
    text = (STUDIES / "paper.yaml").read_text().split("\nresources:")[0]
    (tmp_path / "mine.yaml").write_text(f"{text}\nresources: {asked}\n")
    with pytest.raises(UserError) as raised:
        load_study("mine", tmp_path)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *[("0", 0), ("-7", -7), ("+7", 7), ("1_000", 1000), ("120", 120), ('"120"', "120")],
        *[("0.5", 0.5), ("1.0e-3", 1e-3), (".5", 0.5), ("-2.5e+1", -25.0), ('"0.5"', "0.5")],
        *[("010", "010"), ("00", "00"), ("12:30", "12:30"), ("0x1F", "0x1F"), ("true", True)],
    ],
)
def test_plain_numbers_are_numbers_and_quoted_ones_text(tmp_path, written, read):
    text = (STUDIES / "paper.yaml").read_text()
    fixed = '{date_string: "26 Jul 2024"}'
    (tmp_path / "mine.yaml").write_text(text.replace(fixed, f"{{x: {written}}}"))
    assert fixed in text
    found = load_study("mine", tmp_path).models["llama3.2-3b"].chat_template_kwargs["x"]
    assert (type(found), found) == (type(read), read)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "mine.yaml: is empty; a study has keys and values, at least description, data, mo"),
        (b"# nothing yet\n---\n", "mine.yaml: is empty; a study has keys and values"),
        (b"[tiny]\n", "mine.yaml: is a list; a study has keys and values, at least description"),
        (b"tiny\n", "mine.yaml: is a str; a study has keys and values, at least description"),
        ("a: 1\ndescription: Größe\n".encode("latin-1"), "mine.yaml: is not UTF-8 (line 2); save"),
        (b"variants: &v {x: *v}\n", "mine.yaml: not valid YAML (an anchor is used within itself"),
        (b"modes: &m [vanilla, *m]\n", "mine.yaml: not valid YAML (an anchor is used within its"),
        (b"[" * 5000, "mine.yaml: is nested too deeply for any study"),
        (b"a: 1\n---\nb: 2\n", "mine.yaml: not valid YAML (expected a single document"),
        (b"a: \x00\n", "mine.yaml: not valid YAML (unacceptable character"),
    ],
)
def test_a_file_that_is_no_study_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(UserError) as raised:
        load_document("mine", tmp_path)
    assert message in str(raised.value)


def test_an_anchor_may_be_used_again(tmp_path):
    text = (STUDIES / "tiny.yaml").read_text()
    train = "train: &job {mem_mb: 2500, runtime: 30}\n  evaluate: *job\n"
    (tmp_path / "mine.yaml").write_text(f"{text.split('resources:')[0]}resources:\n  {train}")
    asked = load_study("mine", tmp_path).resources
    assert asked.train == asked.evaluate and asked.train.runtime == 30


@pytest.mark.parametrize(
    "name",
    [
        *["My study", "it's", "a$b", "a;b", "a&b", "a*", "a{b}", 'a"b', "a\tb", "a\n", "", " "],
        *["-n", ".hidden", "..", "../tiny", "a/b", "a\\b", "a=b", "a,b", "a~", "a(b)", "~a", "#a"],
    ],
)
def test_a_study_whose_name_the_shell_would_break_is_refused(tmp_path, name):
    for refusing in (lambda: load_document(name, tmp_path), lambda: check_choice({"study": name})):
        with pytest.raises(
            UserError, match="cannot be a study's name, .* letters, digits, _ . and"
        ):
            refusing()


@pytest.mark.parametrize("name", ["tiny", "Ümlaut", "a.b-c_d", "_a", "7b", "v1.0", "日本"])
def test_names_of_studies_are_words_of_any_language(tmp_path, name):
    (tmp_path / f"{name}.yaml").write_bytes((STUDIES / "tiny.yaml").read_bytes())
    assert check_choice({"study": name}) == name
    assert load_study(name, tmp_path) == load_study("tiny")


def test_missing_keys_are_named():
    with pytest.raises(UserError, match="missing key data, models, training"):
        check_study({"description": "x"}, "study.yaml")


def test_unknown_study_names_those_there_are():
    with pytest.raises(UserError, match=r"unknown study 'papers'; there are: .*paper.*tiny"):
        load_study("papers")


def test_config_names_a_study_and_nothing_else():
    assert check_choice({"study": "tiny"}) == "tiny"
    with pytest.raises(UserError, match="unknown key steps; allowed: present_only, study"):
        check_choice({"study": "tiny", "steps": 3})
    # As Snakemake reads the name of 2026.yaml.
    with pytest.raises(UserError, match="study is 2026, which is read as a number; call the file"):
        check_choice({"study": 2026})
    with pytest.raises(UserError, match="missing key study"):
        check_choice({})


def test_defaults_are_not_shared_between_models():
    study = load_document("paper")
    study["models"]["qwen2.5-3b"]["chat_template_kwargs"]["x"] = 1
    assert "x" not in study["models"]["llama3.2-3b"]["chat_template_kwargs"]


def test_every_key_of_the_schema_has_a_description():
    def undescribed(schema, path):
        for key, sub in schema.get("properties", {}).items():
            if "$ref" not in sub and "const" not in sub and "description" not in sub:
                yield f"{path}.{key}"
            yield from undescribed(sub, f"{path}.{key}")

    schema = yaml.safe_load(SCHEMA.read_text())
    found = list(undescribed(schema, "study"))
    for name, sub in schema["$defs"].items():
        found += undescribed(sub, name)
    assert not [path for path in found if not path.endswith("pretraining")]
    assert json.dumps(schema).count('"additionalProperties": false') >= 10


def parts_of(schema, path="study"):
    """Each dictionary of a schema, by its dotted path."""
    if isinstance(schema, dict):
        yield path, schema
    items = schema.items() if isinstance(schema, dict) else enumerate(schema)
    for key, sub in items:
        if isinstance(sub, dict | list):
            yield from parts_of(sub, f"{path}.{key}")


def test_every_pattern_of_the_schema_is_told_in_words():
    found = {path: sub for path, sub in parts_of(schema_of_studies()) if "pattern" in sub}
    assert len(found) >= 8
    assert not [path for path, sub in found.items() if "description" not in sub]


def test_every_seed_has_the_bounds_of_its_generator():
    seed = schema_of_studies()["$defs"]["seed"]
    assert (seed["minimum"], seed["maximum"]) == (0, 2**32 - 1)
    keys = ("seed", "seeds")
    found = {
        path: sub.get("items", sub)["$ref"]
        for path, sub in parts_of(schema_of_studies())
        if path.endswith(tuple(f".properties.{key}" for key in keys))
    }
    assert len(found) >= 7
    assert set(found.values()) == {"#/$defs/seed", "#/properties/data/properties/seed"}


EVOLVED_NOT = {"name": "neural_mirror", "coefficient": 1e-4, "mirror": {"evolved": False}}
MIRROR = {"name": "neural_mirror", "coefficient": 1e-4, "mirror": {"seed": 10**22}}


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("data.seed", 2**32, "data.seed: 4294967296 must be at most 4294967295"),
        ("measurement.seed", -1, "measurement.seed: -1 must be at least 0"),
        ("evolution", {"steps": 1, "seed": 2**32}, "evolution.seed: 4294967296 must be at most"),
        ("training.divergence", MIRROR, "divergence.mirror.seed: 10000000000000000000000 must be"),
        ("training.divergence", EVOLVED_NOT, "evolved: False must be true, or the key left out"),
        ("models.qwen3-tiny.pretraining.seed", 2**64, "pretraining.seed: 18446744073709551616 mus"),
        ("evaluation.sets", {"s": {"task": "verbs", "seed": 2**32}}, "evaluation.sets.s.seed: 429"),
        ("training.learning_rate", 0, "training.learning_rate: 0 must be above 0"),
        ("training.epsilon", 1.0, "training.epsilon: 1.0 must be below 1"),
        ("training.top_p", 1.5, "training.top_p: 1.5 must be at most 1"),
        ("modes", [], "modes: [] must not be empty"),
        ("models", {}, "models: {} must not be empty"),
        ("variants", {"VV": {"mode": "random", "label": "V"}}, "(A word of small letters, digits,"),
        ("variants", {"v\n": {"mode": "random", "label": "V"}}, "the key 'v\\n' must be one line"),
        ("models", {"a b": {"source": "made"}}, "(A word of letters, digits, . and -, beginning"),
    ],
)
def test_bounds_and_names_are_told_in_words(where, value, message):
    study = load_document("tiny")
    assert message in refusal_of(study, where, value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("Hard", "Hard"), "evaluation.sets.b.label: 'Hard' is also what evaluation.sets.a.label"),
        (("b", None), "evaluation.sets.b: 'b' is also what evaluation.sets.a.label is called"),
        (("Hard ", None), "evaluation.sets.a.label: 'Hard ' must be one line of text"),
    ],
)
def test_two_test_sets_are_not_called_alike(labels, message):
    study = load_document("tiny")
    study["evaluation"]["sets"] = {
        name: {"task": "verbs", "seed": seed} | ({"label": label} if label else {})
        for seed, (name, label) in enumerate(zip("ab", labels, strict=True), 1)
    }
    with pytest.raises(UserError) as raised:
        check_study(study, "study.yaml")
    assert message in str(raised.value)


def test_checkpoint_steps_end_at_the_last():
    assert checkpoint_steps(75, 25) == [25, 50, 75]


def built(document: dict) -> Study:
    """A study out of a document that was changed."""
    return build_study(check_study(document, "study.yaml"))


@pytest.fixture
def study_with_variant():
    study = load_document("tiny")
    study["modes"] = ["vanilla", "wide"]
    study["measurement"]["mode"] = "wide"
    study["variants"] = {
        "wide": {"mode": "inverted", "label": "Wide", "credit": {"sink": "rest", "w_max": 3}}
    }
    return study


def test_a_variant_changes_the_credit_that_it_names_and_no_more(study_with_variant):
    study = built(study_with_variant)
    changed = credit_settings(study, "wide")
    assert vars(changed) == vars(study.credit) | {"sink": "rest", "w_max": 3, "mode": "inverted"}
    assert changed.options == {}
    assert vars(credit_settings(study, "vanilla")) == vars(study.credit) | {"mode": "vanilla"}
    assert CreditConfig(**vars(changed)).sink == "rest"
    assert mode_labels(study) == {"wide": "Wide"}


def test_a_variant_may_have_options_of_its_rule(study_with_variant):
    options = {"sibling_value": {"form": "difference"}}
    study_with_variant["variants"]["wide"] = {
        "mode": "sibling_value",
        "label": "Difference",
        "credit": {"options": options},
    }
    study = built(study_with_variant)
    assert credit_settings(study, "wide").options == options["sibling_value"]
    assert credit_settings(study, "sibling_value").options == {}
    assert set(weight_groups(study)) == {"raw, form difference", "raw"}
    study_with_variant["variants"]["wide"]["credit"]["options"] = {"no_rule": {}}
    with pytest.raises(UserError, match=r"variants.wide.credit.options: .*no_rule"):
        check_study(study_with_variant, "study.yaml")


def test_a_variant_may_have_a_learning_rate_of_its_own_and_no_other_training(study_with_variant):
    (name,) = study_with_variant["variants"]
    study_with_variant["variants"][name]["training"] = {"learning_rate": 1e-3}
    study = built(study_with_variant)
    assert training_settings(study, name) == replace(study.training, learning_rate=1e-3)
    assert training_settings(study, "vanilla") == study.training
    study_with_variant["modes"] = ["vanilla", "inverted", name]
    study_with_variant["variants"][name]["credit"] = {}
    groups = weight_groups(built(study_with_variant))
    assert groups["raw"] == {"vanilla": "vanilla", "inverted": "inverted"}
    assert groups["raw, learning_rate 0.001"] == {"vanilla": "vanilla", "inverted": name}
    study_with_variant["variants"][name]["training"] = {"steps": 3}
    with pytest.raises(UserError, match=rf"variants.{name}.training: unknown key steps"):
        check_study(study_with_variant, "study.yaml")


PROB_L2 = {"name": "prob_l2", "coefficient": 0.1}


def test_divergence_and_loss_are_absent_where_a_study_has_none():
    """Or the settings, and hashes, of studies that were there before them would be others."""
    for name in ("tiny", "paper", "mbpp", "tiny_credit"):
        assert not {"divergence", "loss"} & set(plain(load_study(name).training))


def test_a_variant_may_have_a_divergence_of_its_own(study_with_variant):
    study_with_variant["training"]["divergence"] = {"name": "kl", "coefficient": 0.01}
    study_with_variant["variants"]["wide"]["training"] = {"divergence": dict(PROB_L2)}
    study = built(study_with_variant)
    own = DivergenceSettings("prob_l2", 0.1, "sampled")
    assert training_settings(study, "wide") == replace(study.training, divergence=own)
    assert training_settings(study, "vanilla").divergence.name == "kl"


def test_a_mode_of_another_divergence_differs_not_in_its_weighting_alone(study_with_variant):
    study_with_variant["modes"] = ["vanilla", "inverted", "wide"]
    study_with_variant["variants"]["wide"] |= {"credit": {}, "training": {"divergence": PROB_L2}}
    groups = weight_groups(built(study_with_variant))
    assert groups["raw"] == {"vanilla": "vanilla", "inverted": "inverted"}
    assert groups["raw, divergence 0.1 sampled prob_l2"]["inverted"] == "wide"


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"divergence": {"name": "hellinger"}}, "divergence.name: 'hellinger' is not one of none"),
        ({"divergence": PROB_L2 | {"coefficient": 0}}, "divergence.coefficient: must be above 0"),
        ({"divergence": {"name": "kl"}}, "divergence.coefficient: must be above 0 for kl"),
        ({"divergence": PROB_L2 | {"coefficient": math.inf}}, "coefficient: inf is no finite numb"),
        ({"divergence": {"name": "none", "coefficient": 1}}, "divergence.coefficient: must be 0"),
        ({"divergence": {"name": "neural_mirror", "coefficient": 1}}, "divergence.mirror: neural_"),
        ({"divergence": PROB_L2 | {"mirror": {}}}, "divergence.mirror: neural_mirror needs it"),
        (
            {"divergence": {"name": "l2_log", "coefficient": 1, "estimator": "exact"}},
            "divergence.estimator: exact is for prob_l2 only; l2_log",
        ),
        (
            {"divergence": {"name": "kl", "coefficient": 1, "estimator": "exact"}},
            "divergence.estimator: exact is for prob_l2 only; kl",
        ),
    ],
)
def test_a_divergence_that_cannot_be_is_named(study_with_variant, training, message):
    for where in (study_with_variant["training"], study_with_variant["variants"]["wide"]):
        changed = copy.deepcopy(study_with_variant)
        own = changed["training"]
        if where is not study_with_variant["training"]:
            own = changed["variants"]["wide"].setdefault("training", {})
        own |= copy.deepcopy(training)
        with pytest.raises(UserError, match=message):
            check_study(changed, "study.yaml")


@pytest.mark.parametrize("name", ["gbmpo", "gbmpo_mbpp", "tiny_gbmpo", "tiny_gbmpo_all"])
def test_trap_a_study_of_divergences_has_the_control_without_one(name):
    """The authors have none, so that a gain may be that of a missing KL."""
    study = load_study(name)
    penalised = divergences(study)
    control = [mode for mode in study.modes if mode not in penalised]
    assert control == ["vanilla"] and "kl" in penalised
    assert training_settings(study, "vanilla").kl_coefficient == 0
    own = credit_settings(study, "vanilla")
    assert all(credit_settings(study, mode) == own for mode in penalised)


def test_the_papers_sizes_are_its_own():
    for name in ("gbmpo", "gbmpo_mbpp"):
        study = load_study(name)
        training, evolution = study.training, study.evolution
        assert (training.loss, training.group_size, training.steps) == ("dr_grpo", 4, 1000)
        assert (training.learning_rate, training.max_completion_tokens) == (3e-5, 256)
        assert (training.temperature, training.top_p) == (0.6, 0.95)
        assert (study.lora.r, study.lora.alpha) == (64, 64)
        assert (2 * evolution.pairs, evolution.generations, evolution.steps) == (10, 15, 100)
        assert (evolution.sigma, evolution.decay, evolution.rate) == (0.01, 0.99, 0.01)
        assert evolution.held_out == 0.2


def test_an_evolved_mirror_needs_an_evolution(study_with_variant):
    mirror = {"name": "neural_mirror", "coefficient": 1e-4, "mirror": {"evolved": True}}
    study_with_variant["variants"]["wide"]["training"] = {"divergence": mirror}
    told = "variants.wide.training.divergence.mirror.evolved: needs the study's evolution"
    with pytest.raises(UserError, match=told):
        check_study(copy.deepcopy(study_with_variant), "study.yaml")
    study_with_variant["evolution"] = {"steps": 7}
    study = build_study(check_study(study_with_variant, "study.yaml"))
    training = member_training(study)
    assert (training.steps, training.checkpoint_every) == (7, 7)
    assert training.divergence.mirror.evolved and training.divergence.coefficient == 1e-4


def test_the_kl_term_is_not_told_twice(study_with_variant):
    study_with_variant["training"]["kl_coefficient"] = 0.1
    study_with_variant["variants"]["wide"]["training"] = {"divergence": dict(PROB_L2)}
    told = "training.kl_coefficient: must be 0 where variants.wide.training.divergence is set"
    with pytest.raises(UserError, match=told):
        check_study(study_with_variant, "study.yaml")


@pytest.mark.parametrize("rule", ["entropy", "ibpo_revision"])
def test_rules_of_dapos_scale_are_refused_with_another_loss(study_with_variant, rule):
    study_with_variant["modes"] = ["vanilla", rule]
    study_with_variant["measurement"]["mode"] = "vanilla"
    study_with_variant["training"]["loss"] = "dapo"
    check_study(study_with_variant, "study.yaml")
    study_with_variant["training"]["loss"] = "dr_grpo"
    with pytest.raises(UserError, match=f"training.loss: dr_grpo does not go with {rule}"):
        check_study(study_with_variant, "study.yaml")


def test_credit_is_measured_with_the_settings_of_the_measured_mode(study_with_variant):
    study = built(study_with_variant)
    assert measured_credit(study) == replace(study.credit, sink="rest", w_max=3)
    for weighting in PAPER_MODES:
        study_with_variant["measurement"] |= {"policy": "untrained", "mode": weighting}
        assert measured_credit(built(study_with_variant)) == study.credit


def test_the_papers_code_experiment_measures_spans_of_code():
    study = load_study("mbpp")
    assert study.training.steps == 300
    assert (study.credit.spans, study.credit.answer) == ("arithmetic", "returns")
    assert measured_credit(study) == replace(study.credit, spans="code")
    # All else is the paper's study, but for prompts, which are longer.
    papers = load_study("paper")
    assert replace(study.training, steps=500, max_prompt_tokens=256) == papers.training
    assert study.models["qwen2.5-3b"] == papers.models["qwen2.5-3b"]
    assert (study.seeds, study.lora) == (papers.seeds, papers.lora)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"credit": {"sink": "end"}},
            "variants.wide.credit.sink: 'end' is not one of answer, rest",
        ),
        ({"credit": {"snk": "rest"}}, "variants.wide.credit: unknown key snk; allowed: answer"),
        ({"credit": {"w_min": 5}}, "variants.wide.credit.w_min: 5 is greater than"),
        ({"credit": {"proxy": "llama-tiny"}}, "variants.wide.credit.proxy: one proxy serves"),
        ({"label": "DAPO"}, "variants.wide.label: 'DAPO' is also what modes, vanilla is called"),
        ({"mode": "uniform"}, "variants.wide.mode: 'uniform' is not one of counterfactual"),
        ({"weight": 1}, "variants.wide: unknown key weight; allowed: credit, label, mode"),
    ],
)
def test_a_faulty_variant_is_named(study_with_variant, change, message):
    study_with_variant["variants"]["wide"] |= change
    with pytest.raises(UserError) as raised:
        check_study(study_with_variant, "study.yaml")
    assert str(raised.value).startswith("study.yaml: ") and message in str(raised.value)


def test_a_prompt_keeps_braces_that_are_no_field():
    prompt = r"{question} {step2} Put it in \boxed{Answer} or \frac{1}{2}, {}."
    fields = {"step2": "Step 2", "choices": "c"}
    changes = {"data.prompt": prompt + " {choices}", "data.fields": fields}
    assert check_study(own_study(changes), "study.yaml")["data"]["prompt"] == prompt + " {choices}"


def test_a_variant_cannot_be_called_as_a_weighting_is(study_with_variant):
    study_with_variant["variants"]["random"] = study_with_variant["variants"]["wide"]
    with pytest.raises(UserError, match="variants.random: has the name of a credit rule"):
        check_study(study_with_variant, "study.yaml")


def test_modes_that_differ_in_their_weighting_only_are_a_group():
    groups = weight_groups(load_study("tiny_powered"))
    assert list(groups) == ["raw", "mean 1", "raw, sink rest", "mean 1, sink rest"]
    assert groups["raw"] == {weighting: weighting for weighting in PAPER_MODES}
    assert groups["mean 1"] == {
        "vanilla": "vanilla",
        "counterfactual": "counterfactual-mean1",
        "random": "random-mean1",
        "inverted": "inverted-mean1",
    }
    assert groups["mean 1, sink rest"]["counterfactual"] == "counterfactual-rest-mean1"


def test_a_study_whose_weights_are_rescaled_has_no_raw_group():
    study = load_document("tiny")
    study["credit"]["rescale_to_mean_one"] = True
    assert list(weight_groups(built(study))) == ["mean 1"]


def test_a_mode_gets_the_options_of_its_own_rule_only(study_with_variant):
    study_with_variant["credit"] = {"options": {"monte_carlo": {"continuations": 4}}}
    study = built(study_with_variant)
    assert credit_settings(study, "monte_carlo").options == {"continuations": 4}
    assert credit_settings(study, "vanilla").options == {}
    # What is measured or profiled is of no rule's own, so no options go with it.
    assert measured_credit(study).options == profiled_credit(study).options == {}
    study_with_variant["credit"]["options"] = {"montecarlo": {}}
    with pytest.raises(UserError, match="credit.options: 'montecarlo' is not one of"):
        check_study(study_with_variant, "study.yaml")


def test_options_of_another_rule_than_a_variants_own_are_refused(study_with_variant):
    own = {"options": {"sibling_value": {"form": "difference"}}}
    study_with_variant["variants"]["wide"] |= {"mode": "departure", "credit": own}
    told = "variants.wide.credit.options.sibling_value: changes nothing, .* mode is departure"
    with pytest.raises(UserError, match=told):
        check_study(study_with_variant, "study.yaml")


@pytest.mark.parametrize("place", ["credit", "variants.spare.credit"])
def test_options_are_checked_also_where_no_mode_has_them(study_with_variant, place):
    """A truth may be measured of them, or a later study; either way they are meant."""
    options = {"options": {"monte_carlo": {"continuation": 4}}}
    if place == "credit":
        study_with_variant["credit"] = options
    else:
        study_with_variant["variants"]["spare"] = {
            "mode": "monte_carlo",
            "label": "Spare",
            "credit": options,
        }
    (found,) = with_options(built(study_with_variant))
    with pytest.raises(UserError, match=r"options of monte_carlo: unknown continuation; allowed"):
        require_known_options([found])


def test_a_rule_that_is_no_mode_of_the_papers_is_called_by_its_name(study_with_variant):
    study_with_variant["modes"] = ["vanilla", "monte_carlo", "wide"]
    assert mode_labels(built(study_with_variant)) == {"monte_carlo": "monte_carlo", "wide": "Wide"}
