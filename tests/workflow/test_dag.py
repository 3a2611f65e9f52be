"""The DAG: which jobs a study has, what reruns them, and what is refused before any job starts."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from clones import copy_workflow
from snakemake_command import snakemake

from cfdapo.analysis.registry import FIGURES, TABLES, fitting, of_evaluations_alone, set_rule
from cfdapo.policy.tiny import CHAT_TEMPLATE
from cfdapo.study import ROOT, STUDIES, load_document

pytestmark = pytest.mark.workflow
# What a dry run lists besides the jobs.
TARGETS = {"all", "tables", "figures", "total"}
TABLE_10, FIGURE_8 = "table10_reported_vs_reproduced", "figure8_credit_validity"


def job_counts(text: str) -> dict[str, int]:
    """Jobs by rule in the statistics of a dry run; empty when there is nothing to do."""
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The workflow's files in a folder of their own, to edit."""
    return copy_workflow(tmp_path)


@pytest.mark.parametrize("study", sorted(path.stem for path in STUDIES.glob("*.yaml")))
def test_every_study_has_a_dag(study):
    done = snakemake("--dry-run", "--forceall", "--quiet", "rules", "--config", f"study={study}")
    assert done.returncode == 0, done.stderr


def test_paper_has_36_runs():
    done = snakemake("--dry-run", "--forceall", "--config", "study=paper")
    counts = job_counts(done.stdout)
    assert (counts["train"], counts["evaluate"], counts["fetch_model"]) == (36, 36, 3)
    assert counts.keys() >= NOT_OF_CODE | NOT_OF_MBPP and "table7_code" not in counts


# Tables and figures that say nothing of programs, and of programs whose causes are not known.
NOT_OF_CODE = {"table5_content", "table10_reported_vs_reproduced", "table16_inconsistencies"}
NOT_OF_MBPP = {"table9_credit_validity", "figure8_credit_validity"}


@pytest.fixture(scope="module")
def jobs_of_mbpp() -> str:
    """Its jobs with their commands, listed where no data set is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CFDAPO_DATA", raising=False)
        flags = ("--dry-run", "--forceall", "--printshellcmds", "--config", "study=mbpp")
        done = snakemake(*flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mbpp_has_table_7_and_leaves_out_what_says_nothing_of_programs(jobs_of_mbpp):
    counts = job_counts(jobs_of_mbpp)
    assert (counts["train"], counts["evaluate"], counts["fetch_model"]) == (9, 9, 1)
    assert counts["table7_code"] == counts["credit_map"] == counts["table15_span_statistics"] == 1
    assert not counts.keys() & (NOT_OF_CODE | NOT_OF_MBPP)


def test_credit_is_measured_with_the_settings_of_a_variant(jobs_of_mbpp):
    (command,) = [line for line in jobs_of_mbpp.splitlines() if "stages.measure_credit" in line]
    assert "--policy counterfactual-code/seed0/step300 --adapter" in command
    assert '"answer": "returns"' in command and '"spans": "code"' in command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study=papers"], "unknown study 'papers'; there are: "),
        (["study=tiny", "steps=3"], "config: unknown key steps; allowed: present_only, study"),
    ],
)
def test_wrong_command_line_is_refused_by_name(arguments, message):
    done = snakemake("--dry-run", "--config", *arguments)
    assert done.returncode == 1 and message in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("w_min: 0.5", "w_min: 5.0", "credit.w_min: 5.0 is greater than credit.w_max, 4.0"),
        ("group_size: 8", "group_size: 7", "is not a multiple of training.group_size"),
        ("r: 32,", "rank: 32,", "lora: unknown key rank; allowed: alpha, dropout, r"),
        ("vanilla, random", "uniform, random", "'uniform' is not one of counterfactual, vanilla"),
        (
            "evaluation: {",
            "evaluation: {sets: {more: {task: jsonl, test: own/more.jsonl, answer: latex}}, ",
            "evaluation.sets.more: no such file: own/more.jsonl",
        ),
    ],
)
def test_wrong_study_is_refused_before_any_job(clone, old, new, message):
    path = clone / "config" / "studies" / "tiny.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = snakemake("--cores", "1", cwd=clone)
    assert done.returncode == 1 and message in done.stderr + done.stdout
    assert not (clone / "results").exists()


def test_a_clock_in_a_cached_chat_template_is_refused_before_any_job(clone, prepared):
    """Llama-3.2's, here with a tiny tokenizer, where the study does not fix its date."""
    path = clone / "config" / "studies" / "paper.yaml"
    key = 'chat_template_kwargs: {date_string: "26 Jul 2024"}'
    assert path.read_text().count(key) == 1
    path.write_text(path.read_text().replace(key, ""))
    entry = load_document("paper")["models"]["llama3.2-3b"]
    name = f"models--{entry['id'].replace('/', '--')}"
    snapshot = clone / "cache" / "hub" / name / "snapshots" / entry["revision"]
    shutil.copytree(prepared / "model", snapshot)
    reading = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}"
    template = reading + "{% endif %}Today Date: {{ date_string }}" + CHAT_TEMPLATE
    (snapshot / "chat_template.jinja").write_text(template)
    flags = ("--dry-run", "--quiet", "rules", "--config", "study=paper")
    done = snakemake(*flags, cwd=clone, HF_HOME=str(clone / "cache"))
    assert done.returncode == 1
    message = f"models.llama3.2-3b: its chat template reads a clock.*set the model's {key}"
    assert re.search(message, done.stdout + done.stderr)


def asked(text: str) -> dict[str, tuple[int, int]]:
    """mem_mb and runtime of a dry run's jobs, by rule."""
    jobs = re.findall(r"^(?:local)?rule (\w+):$(.*?)(?=^(?:local)?rule |\Z)", text, re.M | re.S)
    found = {}
    for rule, job in jobs:
        values = [re.search(rf"\b{name}=(\d+)", job) for name in ("mem_mb", "runtime")]
        if all(values):
            found[rule] = tuple(int(value[1]) for value in values)
    return found


@pytest.mark.parametrize(
    ("attempt", "mem_mb", "anew"),
    [(2, (5000, 4000), (80, 20)), (3, (5000, 5000), (90, 30))],
)
def test_a_retry_asks_for_more_memory_up_to_a_cap_and_for_time_only_where_it_starts_anew(
    clone, attempt, mem_mb, anew
):
    path = clone / "config" / "studies" / "smoke.yaml"
    study = yaml.safe_load(path.read_text())
    study["resources"] = {
        "max_mem_mb": 5000,
        "prepare_model": {"mem_mb": 3000, "runtime": 40},
        "train": {"mem_mb": 3000, "runtime": 90},
        "evaluate": {"mem_mb": 2000, "runtime": 50},
        "profile_overhead": {"mem_mb": 2000, "runtime": 10},
        "measure_credit": {"mem_mb": 3000, "runtime": 70},
    }
    path.write_text(yaml.safe_dump(study))
    flags = ("--dry-run", "--forceall", "--attempt", str(attempt), "--config", "study=smoke")
    found = asked(snakemake(*flags, cwd=clone).stdout)
    assert {rule: found[rule] for rule in study["resources"] if rule != "max_mem_mb"} == {
        "prepare_model": (mem_mb[0], anew[0]),
        "train": (mem_mb[0], 90),
        "evaluate": (mem_mb[1], 50),
        "profile_overhead": (mem_mb[1], anew[1]),
        "measure_credit": (mem_mb[0], 70),
    }
    # What runs where snakemake was called asks nobody.
    assert found["prepare_data"] == (2000, 30)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow in which study tiny seems to be finished.

    `--touch` only touches what is there, so every output is made as a small file first.
    """
    folder = copy_workflow(tmp_path_factory.mktemp("finished"))
    listed = snakemake("--forceall", "--dry-run", "--detailed-summary", cwd=folder)
    for line in listed.stdout.splitlines():
        path = folder / line.split("\t")[0]
        if not line.startswith("results/"):
            continue
        if path.parent.name == "models":
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    touched = snakemake("--cores", "1", "--touch", "--forceall", cwd=folder)
    assert touched.returncode == 0, touched.stderr
    return folder


def rerun(folder: Path) -> dict[str, int]:
    done = snakemake("--dry-run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return job_counts(done.stdout)


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    """Another text in a file of the finished study, which all of these tests share."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def test_a_finished_study_runs_nothing_again(finished):
    assert rerun(finished) == {}


def test_touching_a_source_file_runs_nothing(finished):
    for path in finished.glob("src/cfdapo/**/*.py"):
        path.touch()
    assert rerun(finished) == {}


def test_editing_the_figures_redraws_figures_only(finished):
    path = finished / "src" / "cfdapo" / "analysis" / "rendering" / "figures.py"
    with edited(path, path.read_text() + "\n# edited\n"):
        jobs = rerun(finished)
    # It measures no truth and has no divergences.
    drawn = fitting(FIGURES, "arithmetic", ("truth", "divergences"))
    assert set(jobs) - TARGETS == {spec.name for spec in drawn}


@pytest.mark.parametrize(
    ("files", "remade"),
    [
        # The registry is no table's own: what it declares, Snakemake compares by itself.
        (
            ("outcomes/table14_ordering", "credit/figure7_weights", "registry"),
            {"table14_ordering", "figure7_weights"},
        ),
        # Table 10 quotes Table 1, Figure 8 draws Table 9.
        (
            ("outcomes/table1_accuracy", "credit/table9_credit_validity"),
            {"table1_accuracy", TABLE_10, "table9_credit_validity", FIGURE_8},
        ),
    ],
)
def test_editing_tables_modules_remakes_these_tables_only(finished, files, remade):
    with ExitStack() as edits:
        for file in files:
            path = finished / "src" / "cfdapo" / "analysis" / f"{file}.py"
            edits.enter_context(edited(path, path.read_text() + "\n# edited\n"))
        jobs = rerun(finished)
    assert set(jobs) - TARGETS == remade


def test_another_caption_in_the_registry_remakes_that_figure_only(finished):
    path = finished / "src" / "cfdapo" / "analysis" / "registry.py"
    with edited(path, path.read_text().replace("Share of tokens by weight", "Tokens by weight")):
        jobs = rerun(finished)
    assert set(jobs) - TARGETS == {"figure7_weights"}


def test_editing_the_vocabulary_remakes_what_prints_its_words_and_trains_nothing(finished):
    path = finished / "src" / "cfdapo" / "vocabulary.py"
    with edited(path, path.read_text() + "\n# edited\n"):
        jobs = rerun(finished)
    assert {"table1_accuracy", "figure1_training_curves", "credit_map"} <= set(jobs)
    assert not {"train", "evaluate", "measure_credit", "prepare_model"} & set(jobs)


def test_editing_the_credit_reruns_training_but_not_the_models(finished):
    path = finished / "src" / "cfdapo" / "credit" / "weights.py"
    with edited(path, path.read_text() + "\n# edited\n"):
        jobs = rerun(finished)
    assert jobs["train"] == jobs["evaluate"] == 36
    assert "prepare_model" not in jobs and "prepare_data" not in jobs


def test_of_the_tasks_only_the_studys_own_reruns_anything(finished):
    problems = finished / "src" / "cfdapo" / "problems"
    own = problems / "tasks" / "arithmetic.py"
    others = {problems / f"tasks/{name}.py" for name in ("gsm8k", "mbpp", "programs")}
    others |= {problems / f"{name}.py" for name in ("mbpp", "gsm8k", "code_tests", "slicing")}
    others |= set((problems / "sandbox").glob("*.py"))
    before = {path: path.read_text() for path in {own, *others}}
    for path in others:
        path.write_text(before[path] + "\n# edited\n")
    assert rerun(finished) == {}
    own.write_text(before[own] + "\n# edited\n")
    jobs = rerun(finished)
    for path, text in before.items():
        path.write_text(text)
    assert jobs["train"] == jobs["evaluate"] == 36
    assert jobs["prepare_data"] == 1 and jobs["measure_credit"] == jobs["prepare_model"] == 3


def test_editing_one_models_entry_reruns_that_model_only(finished):
    path = finished / "config" / "studies" / "tiny.yaml"
    head, _, tail = path.read_text().rpartition("pretraining: {steps: ")
    with edited(path, f"{head}pretraining: {{steps: 1{tail}"):
        jobs = rerun(finished)
    assert (jobs["prepare_model"], jobs["train"], jobs["evaluate"]) == (1, 12, 12)


def test_a_further_test_set_added_later_runs_its_own_jobs_only(finished):
    path = finished / "config" / "studies" / "tiny.yaml"
    more = "evaluation:\n  sets: {more: {task: arithmetic, test_problems: 8, seed: 5}}\n"
    study = path.read_text()
    assert study.count("evaluation: {") == 1
    study = re.sub(r"^evaluation: \{(.*)\}\n", rf"{more}  \1\n", study, flags=re.MULTILINE)
    with edited(path, study):
        jobs = rerun(finished)
    assert jobs["prepare_set"] == 1 and jobs["evaluate_set"] == 36
    of_set = {set_rule(spec) for spec in of_evaluations_alone(TABLES + FIGURES)}
    assert {
        "set_table1_accuracy",
        "set_table3_significance",
        "set_figure1_training_curves",
    } < of_set
    shared = {"prepare_set", "evaluate_set", "collect_set_curves", "compare_modes_on_set"}
    assert set(jobs) - TARGETS == of_set | shared


def test_math_500_is_a_further_test_set_of_svamp():
    flags = ("--dry-run", "--forceall", "--printshellcmds", "--config", "study=svamp")
    done = snakemake(*flags)
    counts = job_counts(done.stdout)
    assert counts["train"] == counts["evaluate"] == counts["evaluate_set"] == 6
    assert counts["prepare_set"] == counts["set_table1_accuracy"] == 1
    # Its own files are not here; a run would end with that, and not begin.
    assert done.stderr.count("warning: data: no such file: data/svamp/train.jsonl, ") == 1
    (command,) = [line for line in done.stdout.splitlines() if "stages.prepare_set" in line]
    assert "--name math500" in command and '"id": "HuggingFaceH4/MATH-500"' in command
    evaluated = [
        line for line in done.stdout.splitlines() if "--problems results/svamp/sets" in line
    ]
    assert len(evaluated) == 6 and all('"task": "jsonl"' in line for line in evaluated)


def test_a_proxy_is_prepared_and_handed_to_training(clone):
    path = clone / "config" / "studies" / "tiny.yaml"
    path.write_text(path.read_text().replace("credit:\n", "credit:\n  proxy: qwen2-tiny\n"))
    run = "results/tiny/runs/llama-tiny/inverted/seed1/run.json"
    overhead = "results/tiny/overhead/llama-tiny.json"
    done = snakemake("--dry-run", "--printshellcmds", run, overhead, cwd=clone)
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout)["prepare_model"] == 2
    assert done.stdout.count(" --proxy-dir results/tiny/models/qwen2-tiny --out ") == 2


def test_another_label_trains_nothing(finished):
    path = finished / "config" / "studies" / "tiny.yaml"
    with edited(path, path.read_text().replace("label: Llama-tiny", "label: Little llama")):
        jobs = rerun(finished)
    assert jobs["table1_accuracy"] == 1
    assert not {"train", "evaluate", "prepare_model"} & set(jobs)


def test_editing_the_credit_maps_style_draws_the_maps_only(finished):
    path = finished / "src" / "cfdapo" / "analysis" / "credit_map" / "page.css"
    with edited(path, path.read_text() + "\n/* edited */\n"):
        jobs = rerun(finished)
    assert jobs["credit_map"] == 3
    assert set(jobs) <= {"all", "figures", "credit_map", "total"}


def test_analysis_of_an_untrained_policy_trains_nothing():
    done = snakemake("--dry-run", "--forceall", "analysis", "--config", "study=smollm2")
    counts = job_counts(done.stdout)
    assert counts["measure_credit"] == counts["prepare_model"] == counts["prepare_measured"] == 1
    assert not {"train", "evaluate", "prepare_data"} & set(counts)


def test_analysis_of_a_trained_policy_trains_one_run_a_model():
    done = snakemake("--dry-run", "--forceall", "analysis")
    counts = job_counts(done.stdout)
    assert counts["measure_credit"] == counts["train"] == 3 and "evaluate" not in counts


def test_the_policy_that_is_measured_is_the_one_that_the_study_names(clone):
    path = clone / "config" / "studies" / "tiny.yaml"
    study = path.read_text().replace("mode: counterfactual, prompts", "mode: inverted, prompts")
    path.write_text(study.replace("seeds: [0, 1, 2]", "seeds: [4, 1]"))
    target = "results/tiny/credit/qwen2-tiny.jsonl"
    done = snakemake("--dry-run", "--printshellcmds", target, cwd=clone)
    run = "inverted/seed4"
    folder = f"results/tiny/runs/qwen2-tiny/{run}/adapters/step50"
    assert f"--policy {run}/step50 --adapter {folder} --settings" in done.stdout


def test_downloads_are_the_data_and_the_models_of_the_hub():
    done = snakemake("downloads", "--dry-run", "--forceall", "--config", "study=paper")
    assert job_counts(done.stdout) == {
        "downloads": 1, "fetch_model": 3, "prepare_data": 1, "total": 5
    }  # fmt: skip
    made = snakemake("downloads", "--dry-run", "--forceall", "--config", "study=smoke")
    assert "fetch_model" not in made.stdout


def test_the_slurm_profile_is_the_papers_study_and_asks_for_a_gpu_where_the_study_does():
    done = snakemake("--dry-run", "--profile", "slurm", "--printshellcmds")
    assert done.returncode == 0, done.stderr
    jobs = re.findall(r"^(?:local)?rule (\w+):$(.*?)(?=^\[|\Z)", done.stdout, re.M | re.S)
    gpus = {rule for rule, text in jobs if "gpu=1" in text}
    assert {"train", "evaluate", "profile_overhead"} <= gpus
    assert not gpus & {"fetch_model", "prepare_data", "table1_accuracy", "collect_curves"}
    # What loads a model needs no network: the model is in the cache by then.
    for rule, text in jobs:
        if "stages.train" in text or "stages.evaluate" in text:
            assert "HF_HUB_OFFLINE=1 python" in text, rule


def test_what_needs_the_network_or_only_records_runs_where_snakemake_is_called():
    local, analysis = set(), set()
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        text = path.read_text()
        for block in re.findall(r"^localrules:\n((?: +\w+,\n)+)", text, re.MULTILINE):
            local |= set(re.findall(r"\w+", block))
        rules = r"^( *)rule ?(\w*):\n(.*?)(?=^\1\S|^\S|\Z)"
        for _, name, body in re.findall(rules, text, re.M | re.S):
            # Of tables and of figures there is one rule each, in a loop.
            name = name or re.search(r"make_table|plot_figure", body)[0]
            local |= {name} if "localrule: True" in body else set()
            analysis |= {name} if "analysis.yaml" in body else set()
    assert {"prepare_data", "fetch_model", "downloads"} <= local
    summed_up = {"make_table", "plot_figure", "collect_curves", "compare_modes", "credit_map"}
    assert analysis == summed_up <= local
