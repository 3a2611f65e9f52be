"""CONTRIBUTING.md's recipe for a table, followed in a copy: what it touches is enough."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from clones import copy_workflow, make_smoke_records, touched
from snakemake_command import snakemake

from cfdapo.study import ROOT

pytestmark = pytest.mark.workflow
NAME = "table20_right_answers"
MODULE = f'''"""How many answers were right at the last step: Table 20."""

from collections.abc import Mapping

import pandas as pd

from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Table


def right_answers(curves: pd.DataFrame, labels: Mapping[str, str]) -> Table:
    """Right answers at the last step by model and mode, summed over seeds."""
    last = curves[curves["step"] == curves["step"].max()]
    last = last.assign(right=last["accuracy"] * last["problems"] / 100)
    data = last.groupby(["model", "mode"], sort=False)["right"].sum().reset_index()
    return Table(
        name="{NAME}",
        title="Right answers at the last step.",
        columns=["Model", "Mode", "Right"],
        rows=[[Cell(labels[m]), Cell(mode), Cell(f"{{n:.0f}}")] for m, mode, n in data.to_numpy()],
        data=data,
    )


def make(results: Results) -> Table:
    """Table 20 of a study."""
    return right_answers(results.curves(), results.labels)
'''
DECLARATION = f'''    Spec(
        "{NAME}",
        "outcomes",
        "Right answers at the last step, by model and mode.",
        needs=("curves",),
    ),
'''


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow with the table in it, and records to make it from."""
    folder = copy_workflow(tmp_path_factory.mktemp("clone"))
    (folder / "results").mkdir()
    shutil.copy(ROOT / "results" / "README.md", folder / "results")
    with touched(folder) as files:
        (folder / f"src/cfdapo/analysis/outcomes/{NAME}.py").write_text(MODULE)
        registry = folder / "src/cfdapo/analysis/registry.py"
        head, tail = registry.read_text().split(")\n\nFIGURES = (")
        registry.write_text(f"{head}{DECLARATION})\n\nFIGURES = ({tail}")
        readme = folder / "results/README.md"
        row = f"| `tables/{NAME}` | right answers at the last step |\n"
        readme.write_text(readme.read_text().replace("| `figures/", f"{row}| `figures/", 1))
    # The fourth is its test.
    assert files == {
        f"src/cfdapo/analysis/outcomes/{NAME}.py",
        "src/cfdapo/analysis/registry.py",
        "results/README.md",
    }
    make_smoke_records(folder)
    return folder


def run(clone: Path, *arguments: str) -> str:
    done = snakemake("--cores", "1", "--config", "study=smoke", *arguments, cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_one_of_the_studys_tables(clone):
    listed = run(clone, "--dry-run", "--quiet", "rules", "--forceall", "tables")
    assert NAME in listed and "table1_accuracy" in listed


def test_it_is_made_from_records_and_has_its_caption_in_the_report(clone):
    target = f"results/smoke/tables/{NAME}"
    allowed = ("--allowed-rules", "collect_curves", NAME)
    run(clone, *allowed, "--", f"{target}.md")
    right = pd.read_csv(clone / f"{target}.csv").set_index("mode")["right"]
    curves = pd.read_csv(clone / "results/smoke/statistics/curves.csv")
    last = curves[curves["step"] == 4].set_index("mode")
    assert right.to_dict() == pytest.approx((last["accuracy"] * 5 / 100).to_dict())
    assert "| Qwen3-tiny | counterfactual | " in (clone / f"{target}.md").read_text()
    run(clone, *allowed, "--report", "report.html", "--", f"{target}.md")
    assert "Right answers at the last step, by model and mode." in (
        clone / "report.html"
    ).read_text(encoding="utf-8")
