"""The parts of a study as frozen dataclasses, and the one way from JSON to them and back.

`cfdapo.study` builds a `Study` out of a checked file. The workflow hands parts of it to the stages
as JSON; a stage's own settings are a dataclass of these parts, which `parse` makes at its door.
Defaults stand in the schema alone, but for credit's, which is also used without a study.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar

from cfdapo.files import UserError

# Variables that a chat template takes; the template says what they are.
ChatVariables = Mapping[str, Any]

T = TypeVar("T")


def may_be_absent() -> Any:
    """A field that is None where its key is not in the JSON; `plain` then writes no key either."""
    return field(default=None, metadata={"absent": True})


@dataclass(frozen=True)
class HubSplit:
    """A split of a data set of the hub at one commit; `config` is None where it has only one."""

    id: str
    revision: str
    config: str | None
    split: str


@dataclass(frozen=True)
class DataSettings:
    """The problems; `path` is a folder, and None of a number takes all.

    From `train` on, of one's own questions alone (task jsonl): a JSONL file or a split of the hub
    each, which field is what, the prompt, and the kind of the answers.
    """

    task: str
    path: str | None
    revision: str
    train_problems: int | None
    test_problems: int | None
    seed: int
    train: str | HubSplit | None = may_be_absent()
    test: str | HubSplit | None = may_be_absent()
    fields: Mapping[str, str] | None = may_be_absent()
    prompt: str | None = may_be_absent()
    answer: str | None = may_be_absent()
    letters: int | None = may_be_absent()

    def problems(self, split: str) -> int | None:
        """How many problems to use of a split, "train" or "test"; None is all."""
        return {"train": self.train_problems, "test": self.test_problems}[split]


@dataclass(frozen=True)
class PretrainingSettings:
    """How a made model learns from made problems; `careless` is of their solutions."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    careless: float


@dataclass(frozen=True)
class MadeModel:
    """A tiny model of the study's own; `shape` has fields of its configuration in transformers."""

    source: Literal["made"]
    architecture: str
    shape: Mapping[str, int | float | bool]
    vocabulary: int
    pretraining: PretrainingSettings
    # Its template takes no variables and has no clock.
    chat_template_kwargs: ClassVar[ChatVariables] = {}
    chat_template_date: ClassVar[str | None] = None


@dataclass(frozen=True)
class GgufModel:
    """A model out of a GGUF file that an installed package carries."""

    source: Literal["gguf"]
    package: str
    file: str
    sha256: str
    chat_template_kwargs: ChatVariables
    chat_template_date: str | None


@dataclass(frozen=True)
class HubModel:
    """A model of the hub at one commit."""

    source: Literal["hub"]
    id: str
    revision: str
    chat_template_kwargs: ChatVariables
    chat_template_date: str | None


@dataclass(frozen=True)
class LocalModel:
    """A model in transformers' format in a folder of one's own disk, told by its content."""

    source: Literal["local"]
    path: str
    chat_template_kwargs: ChatVariables
    chat_template_date: str | None


# What a model is made of; its label, which is for tables only, is among `Study.labels`.
ModelSettings = MadeModel | GgufModel | HubModel | LocalModel


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters (Section 4.1): rank, scale, and dropout on their input."""

    r: int
    alpha: int
    dropout: float


@dataclass(frozen=True)
class SamplingSettings:
    """How a policy is loaded and sampled from, which is all that measuring credit knows of DAPO."""

    precision: str
    temperature: float
    top_p: float
    max_completion_tokens: int


@dataclass(frozen=True)
class MirrorSettings:
    """A neural mirror's parameters: drawn with `seed` from U[0, `scale`], or `evolved`."""

    seed: int
    scale: float
    # The study's `evolution` finds them then.
    evolved: bool | None = may_be_absent()


@dataclass(frozen=True)
class DivergenceSettings:
    """The penalty towards the base model (GBMPO); `mirror` is for neural_mirror alone."""

    name: str
    coefficient: float
    estimator: str
    mirror: MirrorSettings | None = may_be_absent()


@dataclass(frozen=True)
class EvolutionSettings:
    """How a neural mirror is evolved (GBMPO); config/README.md explains each."""

    generations: int
    pairs: int
    steps: int
    held_out: float
    sigma: float
    decay: float
    rate: float
    fitness: str
    patience: int
    seed: int
    scale: float
    coefficient: float


@dataclass(frozen=True)
class TrainingSettings(SamplingSettings):
    """DAPO (Sections 3.1 and 4.1); config/README.md explains each."""

    steps: int
    checkpoint_every: int
    batch_size: int
    gradient_accumulation: int
    group_size: int
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    epsilon: float
    epsilon_high: float
    kl_coefficient: float
    max_prompt_tokens: int
    overlong_prompts: str
    gradient_checkpointing: bool
    # Absent in studies that were there before them, whose settings, and hashes, stay as they are.
    loss: str | None = may_be_absent()
    divergence: DivergenceSettings | None = may_be_absent()
    # Of a study alone: it changes no bit of a run, so no run's settings have it.
    report_to: tuple[str, ...] | None = may_be_absent()


@dataclass(frozen=True)
class CreditSettings:
    """How drops are measured and what weights they give; `credit.CreditConfig` explains each.

    In a study `options` has those of every rule, by its name; in what a stage takes, those of the
    mode's own rule.
    """

    max_spans: int = 10
    w_min: float = 0.5
    w_max: float = 4.0
    w_answer: float = 1.5
    rescale_to_mean_one: bool = False
    method: str = "prefix"
    intervention: str = "pad"
    sink: str = "answer"
    token_budget: int = 4096
    select: str = "all"
    select_k: int = 3
    every: int = 1
    cache: int = 0
    proxy: str | None = None
    spans: str = "arithmetic"
    answer: str = "number"
    options: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"


@dataclass(frozen=True)
class ModeCredit(CreditSettings):
    """The credit of one mode: the settings, and the rule that they are for."""

    mode: str = "counterfactual"


@dataclass(frozen=True)
class VariantTraining:
    """What of training a variant may have of its own; the study's where None."""

    learning_rate: float | None = may_be_absent()
    divergence: DivergenceSettings | None = may_be_absent()


# Keys of training in which runs of one study may differ.
VARIED = tuple(one.name for one in fields(VariantTraining))


@dataclass(frozen=True)
class Variant:
    """A mode of the study's own: its rule, its name in tables, the keys that it changes."""

    mode: str
    label: str
    credit: Mapping[str, Any]
    training: VariantTraining = VariantTraining()


@dataclass(frozen=True)
class EvaluationSet:
    """A further test set: its fields are those of `DataSettings`, and its name in tables."""

    task: str
    path: str | None
    revision: str
    test_problems: int | None
    seed: int
    label: str | None = may_be_absent()
    test: str | HubSplit | None = may_be_absent()
    fields: Mapping[str, str] | None = may_be_absent()
    prompt: str | None = may_be_absent()
    answer: str | None = may_be_absent()
    letters: int | None = may_be_absent()

    def data(self) -> DataSettings:
        """Where its problems come from, as a study's data that have no training split."""
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "label"}
        return DataSettings(train_problems=None, **own)


@dataclass(frozen=True)
class EvaluationSettings:
    """Greedy decoding of the test problems."""

    batch_size: int
    # What generates; absent is transformers, also where a study says so.
    engine: str | None = may_be_absent()
    # Of a study alone: what the evaluation of one set is made with does not know the others.
    sets: Mapping[str, EvaluationSet] | None = may_be_absent()

    def __post_init__(self) -> None:
        if self.engine == "transformers":
            # A study that says the default keeps the settings, and hashes, of one that does not.
            object.__setattr__(self, "engine", None)


@dataclass(frozen=True)
class OverheadSettings:
    """The side-by-side profile of what credit costs."""

    repeats: int


@dataclass(frozen=True)
class MeasurementSettings:
    """Which completions credit is measured on, and what beside its own drops.

    `combinations` is all, study or a list of pairs such as pad/answer.
    """

    prompts: int
    samples: int
    gold: int
    max_completion_tokens: int | None
    combinations: str | tuple[str, ...]
    padding: tuple[int, ...]
    batch_size: int
    seed: int


@dataclass(frozen=True)
class TruthSampling:
    """How often each beginning of a completion is continued (K), to know what a step was worth."""

    continuations: int


@dataclass(frozen=True)
class TruthMeasurement:
    """Which completions' steps are held against the truth: those that credit is measured on."""

    prompts: int
    samples: int
    max_completion_tokens: int | None
    batch_size: int
    seed: int
    truth: TruthSampling | None


@dataclass(frozen=True)
class StudyMeasurement(MeasurementSettings):
    """The same, and whose credit: the policy `untrained` or `trained`, and a mode.

    `truth` is None where none is measured; `rules` are held against it, or "modes", the study's.
    """

    policy: str
    mode: str
    truth: TruthSampling | None
    rules: str | tuple[str, ...]


@dataclass(frozen=True)
class JobResources:
    """What a job asks the scheduler for: GPU slots, MB, minutes and cores."""

    gpu: int
    mem_mb: int
    runtime: int
    threads: int


@dataclass(frozen=True)
class StudyResources:
    """What the jobs of each rule ask for, and the most that a retry may, where not None."""

    max_mem_mb: int | None
    max_runtime: int | None
    prepare_model: JobResources
    train: JobResources
    evaluate: JobResources
    profile_overhead: JobResources
    measure_credit: JobResources

    def jobs(self) -> dict[str, JobResources]:
        """By rule."""
        return {
            one.name: value
            for one in fields(self)
            if isinstance(value := getattr(self, one.name), JobResources)
        }


@dataclass(frozen=True)
class Study:
    """One complete study; `labels` are its models' names in tables."""

    description: str
    data: DataSettings
    models: Mapping[str, ModelSettings]
    labels: Mapping[str, str]
    modes: tuple[str, ...]
    variants: Mapping[str, Variant]
    seeds: tuple[int, ...]
    lora: LoraSettings
    training: TrainingSettings
    credit: CreditSettings
    evaluation: EvaluationSettings
    overhead: OverheadSettings
    measurement: StudyMeasurement
    resources: StudyResources
    evolution: EvolutionSettings | None = may_be_absent()


def parse(kind: type[T], given: object, where: str = "") -> T:
    """The dataclass `kind` out of a JSON object, whose keys are exactly its fields.

    `where` is the dotted key that the object stands at.

    Raises:
        UserError: a key is unknown or missing (but for `may_be_absent`), a value is of another
            type, or `kind` refuses it, naming the key and what is allowed.
    """
    name = where or "settings"
    if not isinstance(given, Mapping):
        raise UserError(f"{name}: is {given!r} and must be an object")
    known = {one.name: one for one in fields(_as_dataclass(kind))}
    if unknown := sorted(set(given) - set(known)):
        allowed = ", ".join(sorted(known))
        raise UserError(f"{name}: unknown key {', '.join(unknown)}; allowed: {allowed}")
    optional = {key for key, one in known.items() if one.metadata.get("absent")}
    if missing := sorted(set(known) - set(given) - optional):
        raise UserError(f"{name}: missing key {', '.join(missing)}")
    hints = typing.get_type_hints(kind)
    values = {
        key: _convert(hints[key], value, f"{where}.{key}" if where else key)
        for key, value in given.items()
    }
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def parse_model(given: object, where: str = "") -> ModelSettings:
    """One of `ModelSettings`, by its source; `UserError` as `parse`."""
    model: ModelSettings = _convert(ModelSettings, given, where or "model")
    return model


def from_flag(kind: type[T]) -> Callable[[str], T]:
    """What reads a command line's JSON as `kind`: the `type` of an argument of argparse."""

    def settings(text: str) -> T:
        return parse(kind, json.loads(text))

    return settings


def part_of(kind: type[T], whole: Any) -> T:
    """The fields of `kind` out of settings that have them among others."""
    return kind(**{one.name: getattr(whole, one.name) for one in fields(_as_dataclass(kind))})


def plain(settings: Any, sort_keys: bool = True) -> dict[str, Any]:
    """Settings as the JSON object that `parse` reads, with its keys in order, or as they come."""
    text = json.dumps(settings, sort_keys=sort_keys, default=_as_mapping)
    ordered: dict[str, Any] = json.loads(text)
    return ordered


def as_flag(value: Any) -> str:
    """Settings, or an object that holds some, as JSON of one line; equal settings, equal text."""
    return json.dumps(value, sort_keys=True, default=_as_mapping)


def _as_mapping(settings: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(settings):
        raise TypeError(f"{settings!r} is neither JSON nor settings")
    return {
        one.name: value
        for one in fields(settings)
        if (value := getattr(settings, one.name)) is not None or not one.metadata.get("absent")
    }


def _as_dataclass(kind: type) -> Any:
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind} is no dataclass of settings")
    return kind


def _convert(kind: Any, value: Any, where: str) -> Any:
    """`value` as the type of its field has it; a number stays of the type that it has."""
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return parse(typing.cast(type, kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _convert(_alternative(arguments, value, where), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], one, f"{where}.{n}") for n, one in enumerate(value))
    if origin is Mapping and isinstance(value, Mapping):
        return {key: _convert(arguments[1], one, f"{where}.{key}") for key, one in value.items()}
    if _fits(kind, value):
        return value
    raise UserError(f"{where}: is {value!r} and must be {_name_of(kind)}")


def _alternative(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """Which of the types a field may have its value is of."""
    for kind in kinds:
        if kind is Any or _fits(kind, value):
            return kind
    raise UserError(f"{where}: is {value!r} and must be {' or '.join(map(_name_of, kinds))}")


def _fits(kind: Any, value: Any) -> bool:
    """Whether a JSON value is of a type; an integer is a float too, a truth value is neither."""
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        source = typing.get_type_hints(kind).get("source")
        if not isinstance(value, Mapping) or source is None:
            return isinstance(value, Mapping)
        return _fits(source, value.get("source"))
    if origin is Literal:
        return value in typing.get_args(kind)
    if kind in (int, float) and isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float)
    if origin is tuple:
        return isinstance(value, list | tuple)
    return isinstance(value, origin or kind)


def _name_of(kind: Any) -> str:
    """A type, as messages name it."""
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    if dataclasses.is_dataclass(kind):
        source = typing.get_type_hints(kind).get("source")
        return "an object" if source is None else f"of {_name_of(source)}"
    names = {type(None): "null", tuple: "a list", Mapping: "an object", bool: "true or false"}
    names |= {int: "an integer", float: "a number", str: "text"}
    return names[typing.get_origin(kind) or kind]
