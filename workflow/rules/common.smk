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
from cfdapo.policy.local import content_hash, files_of
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
    if workflow.is_main_process:  # and not in each of its jobs
        require_steady_models({name: placed(one) for name, one in STUDY.models.items()})
        # Tables are also made of records whose code of one's own is somewhere else.
        if "--allowed-rules" not in sys.argv:
            require_own_code(STUDY)
            require_known_options(credit_settings(STUDY, mode) for mode in STUDY.modes)
            if REPORTERS and not USE_CONDA:  # whose environments are made later
                from cfdapo.policy.reporting import require_reporters

                require_reporters(REPORTERS)
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
RUN = f"{RESULTS}/runs/{{model}}/{{mode}}/seed{{seed}}"
EVOLUTION = f"{RESULTS}/evolution/{{model}}"


def generation_before(wildcards):
    """The generation that another one follows from: its search and its members."""
    last = f"{EVOLUTION}/generation{int(wildcards.generation) - 1}".format(model=wildcards.model)
    members = range(2 * STUDY.evolution.pairs)
    return {
        "search": f"{last}.json",
        "tried": [f"{last}.member{member}.json" for member in members],
    }


def unfinished():
    """The runs that lack a file which tables are made from, as model/mode/seed0."""
    names = expand("{model}/{mode}/seed{seed}", model=MODELS, mode=MODES, seed=SEEDS)
    files = ("run.json", "history.jsonl", "evaluation.jsonl")
    return [n for n in names if not all(Path(f"{RESULTS}/runs/{n}/{f}").is_file() for f in files)]


# Runs that tables do without (make tables). Jobs, which read this file again, are told: a run that
# is finished meanwhile would be in some of the tables only.
PRESENT_ONLY = config.get("present_only", False)
if PRESENT_ONLY and workflow.is_main_process:
    os.environ.update(CFDAPO_MISSING=" ".join(unfinished()))
MISSING = os.environ.get("CFDAPO_MISSING", "").split() if PRESENT_ONLY else []
if MISSING and len(MISSING) == len(MODELS) * len(MODES) * len(SEEDS):
    raise WorkflowError(f"{RESULTS}: no run is finished yet; make status STUDY={config['study']}")


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


def code(stage):
    """The source files that decide what a stage leaves; Snakemake reruns on their content.

    Of the tasks, only the code of the study's own is among them, for the stages that use it.
    """
    return list(map(in_clone, source_files(f"cfdapo.stages.{stage}", TASK)))


def data_settings(wildcards):
    """Where the problems come from; a folder that the study names is one of the clone."""
    data = STUDY.data
    own = {key: own_file(getattr(data, key)) for key in ("train", "test")}
    path = in_clone(data.path) if data.path else None
    return as_flag(replace(data, path=path, **own))


def own_file(name):
    """A file of one's own questions as jobs find it; a split of the hub as it is."""
    return in_clone(Path(name).expanduser()) if isinstance(name, str) else name


def data_content(wildcards):
    """The hashes of the files of one's own questions, by which changed ones are found.

    A dry run shows also what would be done with files that are not there.
    """
    files = [own_file(name) for name in (STUDY.data.train, STUDY.data.test)]
    files = [file for file in files if isinstance(file, str)]
    if missing := [file for file in files if not Path(file).is_file()]:
        if workflow.dryrun:
            return "missing"
        raise WorkflowError(f"data: no such file: {', '.join(missing)}")
    return " ".join(map(sha256_of, files))


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
        return content_hash(files_of(entry.path))
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
    parts = {"evaluation": STUDY.evaluation, "evolution": STUDY.evolution}
    return as_flag(parts | {"run": settings})


def evaluate_settings(wildcards):
    return as_flag(_common_settings(wildcards) | {"evaluation": STUDY.evaluation})


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


# A table's files, and what a report says each is for.
FORMATS = {
    "csv": "CSV: the numbers, every digit",
    "md": "Markdown",
    "tex": "LaTeX",
    "html": "HTML: to read here",
}


def table(name):
    return {form: f"{RESULTS}/tables/{name}.{form}" for form in FORMATS}


def table_outputs(name):
    """A table's files, each with a label of its own in the report."""
    return {
        form: report(
            file,
            caption="../report/output.rst",
            category="Tables",
            labels={"table": name, "format": FORMATS[form]},
        )
        for form, file in table(name).items()
    }


def figure(name):
    return multiext(f"{RESULTS}/figures/{name}", ".pdf", ".png")


def inputs_of(spec):
    """What a table or figure is made from; outputs.smk says which files are needed."""
    files = {need: NEEDED[need] for need in spec.needs}
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
    """The files of those tables and figures that say something about the study."""
    fitting = registry.fitting(specs, TASK, UNMEASURED + ABSENT)
    return [getattr(rules, spec.name).output for spec in fitting]


def report_labels(wildcards, output):
    return {"file": Path(output[0]).stem}


# In no rule's params or command, as it changes no result.
os.environ.update(CFDAPO_REPORT_TO=" ".join(REPORTERS))
RUN_FLAGS = (
    f"--models {' '.join(MODELS)} --modes {' '.join(MODES)} --seeds {' '.join(map(str, SEEDS))}"
)
MISSING_FLAG = f" --missing {' '.join(MISSING)}" if MISSING else ""
RESULTS_FLAGS = (
    f"--results {RESULTS} {RUN_FLAGS} --labels {shlex.quote(as_flag(LABELS))}"
    f" --mode-labels {shlex.quote(as_flag(mode_labels(STUDY)))} --task {TASK}"
    f" --weight-groups {shlex.quote(as_flag(weight_groups(STUDY)))}"
)


def results_flags(spec):
    """Of what no run is needed for, none is missing."""
    of_credit = registry.of_credit_alone(registry.TABLES + registry.FIGURES)
    return RESULTS_FLAGS + ("" if spec in of_credit or not spec.needs else MISSING_FLAG)
