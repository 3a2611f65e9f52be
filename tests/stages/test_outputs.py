"""Every table and figure of the registry is made from the files that its declaration names."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
from made_results import MODELS, SEEDS, write_profile, write_runs

from cfdapo import checksums
from cfdapo.analysis import registry
from cfdapo.analysis.outcomes.comparisons import write_comparisons
from cfdapo.analysis.outcomes.problem_level import collect_answers, compare_on_problems
from cfdapo.analysis.outcomes.significance import compare
from cfdapo.analysis.records.curves import collect, write_curves
from cfdapo.analysis.records.divergences import DivergencePoint
from cfdapo.analysis.records.results import Results, Runs
from cfdapo.analysis.records.typed_csv import write_rows
from cfdapo.analysis.rendering.table import write
from cfdapo.settings import DivergenceSettings
from cfdapo.stages.tabulate_divergences import tabulate
from cfdapo.vocabulary import PAPER_MODES

FILES = {
    "curves": ["statistics/curves.csv"],
    "comparisons": ["statistics/significance.csv", "statistics/problem_level.csv"],
    "histories": ["runs/*/*/seed*/history.jsonl", "runs/*/*/seed*/run.json"],
    "descriptions": ["runs/*/*/seed*/run.json"],
    "profiles": ["overhead/*.json"],
    "credit": ["credit/*-tiny.jsonl", "credit/*.completions.jsonl"],
    "evaluations": ["runs/*/*/seed*/evaluation.jsonl", "runs/*/*/seed*/run.json"],
    "divergences": ["statistics/divergences.csv"],
    "truth": ["credit/*.steps.jsonl", "credit/*.rules.jsonl"],
}
# What was opened while somebody looks; a hook cannot be taken away again.
_opened: list[str] | None = None


def _note(event: str, arguments: tuple) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)


@contextmanager
def opened_below(folder: Path) -> Iterator[set[str]]:
    """The files below a folder that are opened meanwhile, relative to it."""
    global _opened
    _opened, found = [], set()
    try:
        yield found
    finally:
        paths, _opened = map(Path, _opened), None
        found |= {str(path.relative_to(folder)) for path in paths if folder in path.parents}


@pytest.fixture(scope="module")
def results(tmp_path_factory, credit_folder) -> Results:
    """A whole made-up study with all tables that others are made from."""
    folder = write_runs(tmp_path_factory.mktemp("whole"))
    (folder / "credit").symlink_to(credit_folder)
    for model in MODELS:
        write_profile(folder, model)
    runs = Runs(folder / "runs", list(MODELS), list(PAPER_MODES), list(SEEDS))
    curves = collect(runs.evaluations())
    made_from = {"evaluations": runs.evaluation_sums()}
    write_curves(folder / "statistics/curves.csv", curves, made_from)
    on_problems = compare_on_problems(collect_answers(runs.evaluations()))
    write_comparisons(folder / "statistics", compare(curves), on_problems, made_from)
    penalties = {"random": DivergenceSettings("prob_l2", 0.1, "sampled")}
    points = tabulate(dict.fromkeys(MODELS), penalties)
    write_rows(folder / "statistics/divergences.csv", DivergencePoint, points)
    groups = {"raw": {mode: mode for mode in PAPER_MODES}}
    labels = {model: model for model in MODELS}
    whole = Results(folder, runs, labels, dict(PAPER_MODES), "gsm8k", groups)
    for name in {name for spec in registry.TABLES + registry.FIGURES for name in spec.tables}:
        write(registry.find(registry.TABLES, name).make(whole), folder / "tables")
    return whole


@pytest.mark.parametrize("spec", registry.TABLES + registry.FIGURES, ids=lambda spec: spec.name)
def test_it_is_made_from_what_its_declaration_says(results, spec):
    # Table 7's counterparts are looked up in the curves, if ever for programs.
    asked = replace(results, task="mbpp") if spec.name.startswith("table10") else results
    with opened_below(results.folder) as opened:
        made = spec.make(asked)
    declared = [pattern for need in spec.needs for pattern in FILES[need]]
    declared += [f"tables/{name}.csv" for name in spec.tables]
    opened = {name for name in opened if not name.endswith(checksums.ENDING)}
    assert not [name for name in opened if not any(fnmatch(name, p) for p in declared)]
    assert not [p for p in declared if not any(fnmatch(name, p) for name in opened)]
    if spec in registry.TABLES:
        assert made.name == spec.name
    else:
        assert made.axes
