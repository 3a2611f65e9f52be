import functools
import json
import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import DeploymentMethod

SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))
# Folders that the user named where snakemake was called; --directory lets jobs run elsewhere. What
# is imported below reads some of them.
for variable in ("CFDAPO_DATA", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
    if os.environ.get(variable):
        folder = os.path.expanduser(os.environ[variable])
        os.environ[variable] = os.path.join(workflow.rundir, folder)

from cfdapo.own_code import VARIABLE as OWN_CODE, folders_from

# Before PYTHONPATH is left out of jobs; what a study names of one's own is found all the same.
if workflow.is_main_process:
    os.environ[OWN_CODE] = folders_from(workflow.rundir, Path.cwd())

from cfdapo.analysis import registry
from cfdapo.credit.rules import require_known_options
from cfdapo.environments import leave_out_user_packages, shell_prefix
from cfdapo.files import UserError, sha256_of
from cfdapo.policy.local import content_hash, files_of, refuse_code
from cfdapo.policy.templates import require_steady_models
from cfdapo.provenance import credit_sources, source_files
from cfdapo.settings import (
    MeasurementSettings,
    SamplingSettings,
    TruthMeasurement,
    as_flag,
    part_of,
    plain,
)
from cfdapo.study import (
    ROOT,
    check_choice,
    checkpoint_steps,
    credit_settings,
    divergences,
    load_study,
    measured_credit,
    measured_rules,
    member_training,
    mode_labels,
    profiled_credit,
    requested,
    require_own_code,
    training_settings,
    weight_groups,
    without_reports,
    without_sets,
)

USE_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
if USE_CONDA:
    leave_out_user_packages()
# Braces are doubled, as Snakemake takes what stands in them for names.
shell.prefix(shell_prefix(SOURCE, USE_CONDA).replace("{", "{{").replace("}", "}}"))


def in_clone(path):
    """A path of the clone as jobs find it, also where --directory names another folder for results.

    Relative where jobs run in the clone, so that a clone that is moved reruns nothing.
    """
    return str(path) if Path.cwd().samefile(ROOT) else str(ROOT / path)


def placed(entry):
    """A model's entry, a folder that it names as one of the clone."""
    if entry.source != "local":
        return entry
    return replace(entry, path=in_clone(Path(entry.path).expanduser()))


try:
    STUDY, REPORTERS = without_reports(load_study(check_choice(config)))
    STUDY, SETS = without_sets(STUDY)
    if workflow.is_main_process:  # and not in each of its jobs
        require_steady_models({name: placed(one) for name, one in STUDY.models.items()})
        # Tables are also made of records whose code of one's own is somewhere else.
        if "--allowed-rules" not in sys.argv:
            require_own_code(STUDY)
            require_known_options(credit_settings(STUDY, mode) for mode in STUDY.modes)
            if REPORTERS and not USE_CONDA:  # whose environments are made later
                from cfdapo.policy.reporting import require_reporters

                require_reporters(REPORTERS)
            if STUDY.evaluation.engine == "vllm":
                from cfdapo.policy.engines import require_vllm, require_vllm_in

                if USE_CONDA:
                    require_vllm_in(ROOT / "envs" / "train.yaml")
                else:
                    require_vllm()
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{config['study']}"
# For the report's first page; of its labels, asterisks and the like are to stay what they are.
if any(flag.startswith("--report") for flag in sys.argv):
    from cfdapo.stages.summary import found

    config["found"] = [re.sub(r"([\\\\*`|_])", r"\\\1", one) for one in found(Path(RESULTS))]
HUB_MODELS = [name for name, entry in STUDY.models.items() if entry.source == "hub"]
MODELS, MODES, SEEDS = list(STUDY.models), list(STUDY.modes), list(STUDY.seeds)
LABELS = dict(STUDY.labels)
TASK = STUDY.data.task
PROXY = STUDY.credit.proxy
STEPS = checkpoint_steps(STUDY.training.steps, STUDY.training.checkpoint_every)
ONE_RUN = "runs/{model}/{mode}/seed{seed}"
RUN = f"{RESULTS}/{ONE_RUN}"
# A further test set's folder, laid out as the study's own is, with what is its own.
SET = f"{RESULTS}/sets/{{set}}"
LOGS, LOGS_OF_SET = f"{RESULTS}/logs", f"{RESULTS}/logs/sets/{{set}}"
EVOLUTION = f"{RESULTS}/evolution/{{model}}"


def generation_before(wildcards):
    """The generation that another one follows from: its search and its members."""
    last = f"{EVOLUTION}/generation{int(wildcards.generation) - 1}".format(model=wildcards.model)
    members = range(2 * STUDY.evolution.pairs)
    return {
        "search": f"{last}.json",
        "tried": [f"{last}.member{member}.json" for member in members],
    }


def unfinished(*files):
    """The runs that lack a file which tables are made from, as model/mode/seed0."""
    names = expand("{model}/{mode}/seed{seed}", model=MODELS, mode=MODES, seed=SEEDS)
    return [n for n in names if not all(Path(file.format(run=n)).is_file() for file in files)]


def unevaluated(name):
    """The runs that were not evaluated on a further test set."""
    lies = SET.format(set=name)
    return unfinished(f"{RESULTS}/runs/{{run}}/run.json", f"{lies}/runs/{{run}}/evaluation.jsonl")


# Runs that tables do without (make tables), of the study's own test set and of others. Jobs, which
# read this file again, are told: a run that is finished meanwhile would be in some tables only.
PRESENT_ONLY = config.get("present_only", False)
if PRESENT_ONLY and workflow.is_main_process:
    needed = ("run.json", "history.jsonl", "evaluation.jsonl")
    lacking = {"": unfinished(*(f"{RESULTS}/runs/{{run}}/{name}" for name in needed))}
    lacking |= {name: unevaluated(name) for name in SETS}
    os.environ.update(CFDAPO_MISSING=json.dumps(lacking))
LACKING = json.loads(os.environ.get("CFDAPO_MISSING", "{}")) if PRESENT_ONLY else {}
MISSING = LACKING.get("", [])
EVERY_RUN = len(MODELS) * len(MODES) * len(SEEDS)
if MISSING and len(MISSING) == EVERY_RUN:
    raise WorkflowError(f"{RESULTS}: no run is finished yet; make status STUDY={config['study']}")
# The further test sets that tables are made of.
TOLD_SETS = [name for name in SETS if len(LACKING.get(name, [])) < EVERY_RUN]
if len(TOLD_SETS) < len(SETS) and workflow.is_main_process:
    untold = ", ".join(sorted(set(SETS) - set(TOLD_SETS)))
    print(f"left out, as no run is evaluated on them yet: {untold}", file=sys.stderr)


def from_here(path):
    """A file of one's own; relative where it lies below the folder that jobs run in."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def one_of(names):
    """A wildcard's constraint to some names; where there are none, nothing matches."""
    return "|".join(map(str, sorted(names))) or "(?!)"


wildcard_constraints:
    model=one_of(MODELS),
    mode=one_of(MODES),
    seed=one_of(SEEDS),
    set=one_of(SETS),


def code(stage):
    """The source files that decide what a stage leaves; Snakemake reruns on their content.

    Of the tasks, only the code of the study's own is among them, for the stages that use it.
    """
    return list(map(in_clone, source_files(f"cfdapo.stages.{stage}", TASK)))


def data_settings(wildcards):
    """Where the problems come from; a folder that the study names is one of the clone."""
    return as_flag(_data_in_clone(STUDY.data))


def set_data(wildcards):
    """The same of a further test set."""
    return as_flag(_data_in_clone(SETS[wildcards.set].data()))


def _data_in_clone(data):
    own = {key: own_file(getattr(data, key)) for key in ("train", "test")}
    path = in_clone(data.path) if data.path else None
    return replace(data, path=path, **own)


def own_file(name):
    """A file of one's own questions as jobs find it; a split of the hub as it is."""
    return in_clone(Path(name).expanduser()) if isinstance(name, str) else name


def data_content(wildcards):
    """The hashes of the files of one's own questions, by which changed ones are found.

    A dry run shows also what would be done with files that are not there, and says so.
    """
    return _content_of("data", STUDY.data.train, STUDY.data.test)


def set_content(wildcards):
    """The same of a further test set."""
    return _content_of(f"evaluation.sets.{wildcards.set}", SETS[wildcards.set].test)


def _content_of(where, *sources):
    files = [file for file in map(own_file, sources) if isinstance(file, str)]
    if missing := [file for file in files if not Path(file).is_file()]:
        fault = f"{where}: no such file: {', '.join(missing)}"
        if workflow.dryrun:
            _warn_once(f"{fault}; a run stops here before any job")
            return "missing"
        raise WorkflowError(fault)
    return " ".join(map(sha256_of, files))


@functools.cache
def _warn_once(text):
    print(f"warning: {text}", file=sys.stderr)


def set_code(stage):
    """The source files of a stage that reads a further test set, whose task is its own."""
    return lambda wildcards: list(
        map(in_clone, source_files(f"cfdapo.stages.{stage}", SETS[wildcards.set].task))
    )


def output_code(stage, spec):
    """The same of a table or figure: the stage's files and those of its own module."""
    return sorted({*code(stage), *map(in_clone, source_files(spec.module))})


def _credit_code(credits):
    """The source files of credit rules and of what they use of one's own, each once."""
    files = set()
    for credit in credits:
        package, own = credit_sources(credit)
        files |= set(map(in_clone, package)) | set(map(from_here, own))
    return sorted(files)


def rule_code(wildcards):
    """The source files of a mode's credit rule, which decide its runs and no other mode's."""
    return _credit_code([credit_settings(STUDY, wildcards.mode)])


def measured_code(wildcards):
    """Source files of one's own that decide which spans are measured."""
    return _credit_code([measured_credit(STUDY)])


def profiled_code(wildcards):
    """The same of the profile's."""
    return _credit_code([profiled_credit(STUDY)])


def scaled(rule, name):
    """The study's mem_mb or runtime of a rule, for first attempts and for retries."""
    return lambda wildcards, attempt: requested(STUDY, rule, name, attempt)


def model_entry(wildcards):
    """What a model is made of; its label is only for tables."""
    return as_flag(placed(STUDY.models[wildcards.model]))


def model_content(wildcards):
    """The hash of a model's folder, by which a changed one is found; of others nothing."""
    entry = placed(STUDY.models[wildcards.model])
    if entry.source != "local":
        return ""
    try:
        files = files_of(entry.path)
        refuse_code(Path(entry.path))
        return content_hash(files)
    except UserError as error:
        raise WorkflowError(f"models.{wildcards.model}.path: {error}") from None


def _common_settings(wildcards):
    chat = STUDY.models[wildcards.model].chat_template_kwargs
    return {"task": TASK, "chat": chat, "training": STUDY.training}


def train_settings(wildcards):
    settings = _credit_settings(wildcards, credit_settings(STUDY, wildcards.mode))
    return as_flag(settings | {"training": training_settings(STUDY, wildcards.mode)})


def _credit_settings(wildcards, credit):
    more = {"lora": STUDY.lora, "credit": credit}
    if PROXY:
        more["proxy_chat"] = STUDY.models[PROXY].chat_template_kwargs
    return _common_settings(wildcards) | more


def proxy_model(wildcards):
    """The folder of the model that measures drops in the policy's place, if there is one."""
    return [f"{RESULTS}/models/{PROXY}"] if PROXY else []


def proxy_flag(wildcards, input):
    return f"--proxy-dir {input.proxy}" if input.proxy else ""


def found_mirror(wildcards):
    """The search that found the mode's neural mirror, if that is evolved."""
    divergence = training_settings(STUDY, wildcards.mode).divergence
    mirror = divergence and divergence.mirror
    last = f"{EVOLUTION}/generation{STUDY.evolution and STUDY.evolution.generations}.json"
    return [last.format(model=wildcards.model)] if mirror and mirror.evolved else []


def train_flags(wildcards, input):
    """The files that a training reads beside its model and problems."""
    mirror = f"--mirror {input.mirror}" if input.mirror else ""
    return " ".join(filter(None, [proxy_flag(wildcards, input), mirror]))


def member_settings(wildcards):
    """How the members of an evolution are trained and tried: without credit of their own."""
    settings = _credit_settings(wildcards, credit_settings(STUDY, "vanilla"))
    settings["training"] = member_training(STUDY)
    # A trial is generated by what trains.
    tried = replace(STUDY.evaluation, engine=None)
    parts = {"evaluation": tried, "evolution": STUDY.evolution}
    return as_flag(parts | {"run": settings})


def evaluate_settings(wildcards):
    return as_flag(_common_settings(wildcards) | {"evaluation": STUDY.evaluation})


def set_evaluate_settings(wildcards):
    """The same of a further test set, whose answers its own task grades."""
    more = {"task": SETS[wildcards.set].task, "evaluation": STUDY.evaluation}
    return as_flag(_common_settings(wildcards) | more)


def overhead_settings(wildcards):
    more = {"overhead": STUDY.overhead}
    return as_flag(_credit_settings(wildcards, profiled_credit(STUDY)) | more)


def measurement_settings(wildcards):
    settings = _credit_settings(wildcards, measured_credit(STUDY))
    # What only concerns how the policy was trained measures nothing anew.
    del settings["lora"]
    sampling = part_of(SamplingSettings, STUDY.training)
    measurement = part_of(MeasurementSettings, STUDY.measurement)
    return as_flag(settings | {"training": sampling, "measurement": measurement})


def truth_settings(wildcards):
    """Of the rules in their own order, which is that of the table."""
    settings = _common_settings(wildcards)
    if PROXY:
        settings["proxy_chat"] = STUDY.models[PROXY].chat_template_kwargs
    settings["training"] = part_of(SamplingSettings, STUDY.training)
    settings["measurement"] = part_of(TruthMeasurement, STUDY.measurement)
    return json.dumps(plain(settings | {"rules": measured_rules(STUDY)}, sort_keys=False))


def measured_rule_code(wildcards):
    """The source files of all rules that are held against the truth."""
    return _credit_code(measured_rules(STUDY).values())


def _measured_run():
    return f"{STUDY.measurement.mode}/seed{SEEDS[0]}"


def measured_adapter(wildcards):
    """The files of the adapter whose policy is measured; none where that is the base model."""
    if STUDY.measurement.policy == "untrained":
        return []
    folder = f"{RESULTS}/runs/{wildcards.model}/{_measured_run()}/adapters/step{STEPS[-1]}"
    return [f"{folder}/{name}" for name in ("adapter_model.safetensors", "adapter_config.json")]


def measured_record(wildcards):
    """The record of that adapter's run, which says what the adapter should be."""
    folder = f"{RESULTS}/runs/{wildcards.model}/{_measured_run()}"
    return [ancient(f"{folder}/run.json")] if measured_adapter(wildcards) else []


def measured_policy(wildcards, input):
    """The flags that name the policy."""
    if not input.adapter:
        return "--policy untrained"
    name = f"{_measured_run()}/step{STEPS[-1]}"
    return f"--policy {name} --adapter {Path(input.adapter[0]).parent}"


def run_files(name):
    """The file `name` of every run of the study, but for those that tables do without."""
    paths = expand(f"{RUN}/{name}", model=MODELS, mode=MODES, seed=SEEDS)
    missing = {f"{RESULTS}/runs/{run}/{name}" for run in MISSING}
    return [path for path in paths if path not in missing]


def set_files(wildcards):
    """The evaluations on a further test set of the runs that tables are made of."""
    paths = expand(
        f"{SET}/{ONE_RUN}/evaluation.jsonl",
        set=wildcards.set,
        model=MODELS,
        mode=MODES,
        seed=SEEDS,
    )
    folder = f"{SET}/runs".format(set=wildcards.set)
    missing = {f"{folder}/{run}/evaluation.jsonl" for run in LACKING.get(wildcards.set, [])}
    return [path for path in paths if path not in missing]


def set_records(wildcards):
    """The records of these runs."""
    missing = {f"{RESULTS}/runs/{run}/run.json" for run in LACKING.get(wildcards.set, [])}
    every = expand(f"{RUN}/run.json", model=MODELS, mode=MODES, seed=SEEDS)
    return [path for path in every if path not in missing]


# A table's files, and what a report says each is for.
FORMATS = {
    "csv": "CSV: the numbers, every digit",
    "md": "Markdown",
    "tex": "LaTeX",
    "html": "HTML: to read here",
}


def table(name, folder=RESULTS):
    return {form: f"{folder}/tables/{name}.{form}" for form in FORMATS}


def table_outputs(name, of_set=False):
    """A table's files, each with a label of its own in the report."""
    return {
        form: report(
            file,
            caption="../report/output.rst",
            category="Test set {set}" if of_set else "Tables",
            labels={"table": name, "format": FORMATS[form]},
        )
        for form, file in table(name, SET if of_set else RESULTS).items()
    }


def figure(name, folder=RESULTS):
    return multiext(f"{folder}/figures/{name}", ".pdf", ".png")


def inputs_of(spec, of_set=False):
    """What a table or figure is made from; outputs.smk says which files are needed."""
    files = {need: (SET_NEEDED if of_set else NEEDED)[need] for need in spec.needs}
    tables = [f"{RESULTS}/tables/{name}.csv" for name in spec.tables]
    return files | ({"tables": tables} if tables else {})


# What the study does not measure.
UNMEASURED = tuple(
    need
    for need, asked in (
        ("truth", STUDY.measurement.truth),
        ("divergences", divergences(STUDY)),
    )
    if not asked
)


def outputs_of(specs):
    """The files of those tables and figures that say something about the study, or a set of it."""
    fitting = registry.fitting(specs, TASK, UNMEASURED + ABSENT)
    found = [getattr(rules, spec.name).output for spec in fitting]
    for spec in registry.of_evaluations_alone(specs):
        found += expand(getattr(rules, registry.set_rule(spec)).output, set=TOLD_SETS)
    return found


def with_sets(specs):
    """Each table or figure with whether it is of a further test set, those of all sets in one."""
    of_sets = registry.of_evaluations_alone(specs)
    return [(spec, False) for spec in specs] + [(spec, True) for spec in of_sets]


def report_labels(wildcards, output):
    return {"file": Path(output[0]).stem}


# In no rule's params or command, as it changes no result.
os.environ.update(CFDAPO_REPORT_TO=" ".join(REPORTERS))
RUN_FLAGS = (
    f"--models {' '.join(MODELS)} --modes {' '.join(MODES)} --seeds {' '.join(map(str, SEEDS))}"
)
MISSING_FLAG = f" --missing {' '.join(MISSING)}" if MISSING else ""


def _results_flags(task):
    return (
        f"--results {RESULTS} {RUN_FLAGS} --labels {shlex.quote(as_flag(LABELS))}"
        f" --mode-labels {shlex.quote(as_flag(mode_labels(STUDY)))} --task {task}"
        f" --weight-groups {shlex.quote(as_flag(weight_groups(STUDY)))}"
    )


def results_flags(spec):
    """Of what no run is needed for, none is missing."""
    of_credit = registry.of_credit_alone(registry.TABLES + registry.FIGURES)
    missing = "" if spec in of_credit or not spec.needs else MISSING_FLAG
    return _results_flags(TASK) + missing


def set_run_flags(wildcards):
    """The runs that tables of a further test set are made of, and where that lies."""
    missing = LACKING.get(wildcards.set, [])
    folder = SET.format(set=wildcards.set)
    return f" --missing {' '.join(missing)}" * bool(missing) + f" --test-set {folder}"


def set_study_flags(wildcards):
    """The flags of its statistics."""
    return RUN_FLAGS + set_run_flags(wildcards)


def set_results_flags(wildcards):
    """The flags of its tables and figures."""
    one = SETS[wildcards.set]
    label = shlex.quote(one.label or wildcards.set)
    more = f" --test-set-label {label}"
    return _results_flags(one.task) + set_run_flags(wildcards) + more
