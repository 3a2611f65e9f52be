"""What each key of a study allows alone but its keys do not allow together."""

import json
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from cfdapo.own_code import is_own
from cfdapo.study_schema import AS_VARIANT, OWN_TASK, ROOT, rules, usual_revision
from cfdapo.vocabulary import PAPER_MODES, TASKS

# Tasks whose problems are made, so that models can be made and pretrained on them.
MADE_TASKS = tuple(name for name, task in TASKS.items() if task.made)
OWN_KEYS = ("train", "test", "fields", "prompt", "answer", "letters")
# A field's name in a prompt, also as the data spell it, but not the argument of a command of LaTeX.
_IN_PROMPT = re.compile(r"(?<![A-Za-z\\])\{([^\W\d][\w.-]*)\}")
# Arguments of transformers' `apply_chat_template` that are not the template's: the stages set them,
# or they would encode prompts otherwise in training than in evaluation.
NOT_THE_TEMPLATES = (
    *("conversation", "tools", "chat_template", "add_generation_prompt", "continue_final_message"),
    *("tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
    *("return_assistant_tokens_mask", "tokenizer_kwargs"),
)


def conflicts(study: dict[str, Any]) -> list[str]:
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
    sets = {
        f"{where}.label" if "label" in one else where: one.get("label", where.split(".")[-1])
        for where, one in _sets(study).items()
    }
    found = [
        f"{where}: {label!r} must be one line of text, without spaces at its ends"
        for where, label in {**named, **modes, **sets}.items()
        if not label.isprintable() or label.strip() != label
    ]
    for group in (named, modes, sets):
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
        found += [
            f"variants.{name}.credit.options.{rule}: changes nothing, as the variant's mode is "
            f"{variant['mode']}; only that rule's options may be here"
            for rule in variant["credit"].get("options", {})
            if rule != variant["mode"]
        ]
    return found


def _unknown_mode(mode: Any, known: Iterable[str]) -> str:
    """What to say of a mode that there is not."""
    if is_own(mode):
        return f"{mode!r} has no name; give it one in {AS_VARIANT}"
    return f"{mode!r} is not one of {', '.join(known)}"


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
