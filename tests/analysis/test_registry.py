"""What the registry declares is what there is."""

import re

import pytest

from cfdapo.analysis import registry
from cfdapo.files import UserError
from cfdapo.study import ROOT
from cfdapo.vocabulary import TASKS

ALL = registry.TABLES + registry.FIGURES


def test_every_module_of_a_table_or_figure_is_declared_and_every_declaration_has_one():
    folder = ROOT / "src" / "cfdapo" / "analysis"
    found = {
        f"cfdapo.analysis.{path.parent.name}.{path.stem}"
        for kind in ("table", "figure")
        for path in folder.glob(f"*/{kind}[0-9]*.py")
    }
    assert {spec.module for spec in ALL} == found
    assert len({spec.name for spec in ALL}) == len(ALL)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_a_declaration_names_what_can_be_needed_and_says_something(spec):
    assert set(spec.needs) <= set(registry.NEEDS)
    assert set(spec.tables) <= {table.name for table in registry.TABLES}
    assert spec.caption.endswith(".") and len(spec.caption.split()) > 7
    # What stands in the report is markup: nothing in a caption may be read as such.
    assert not set(spec.caption) & set("`*_|\n{}")


@pytest.mark.parametrize("task", TASKS)
def test_what_is_made_for_a_task_is_made_of_tables_of_that_task(task):
    tables = {spec.name for spec in registry.fitting(registry.TABLES, task)}
    for spec in registry.fitting(ALL, task):
        assert set(spec.tables) <= tables


def test_what_needs_causes_is_left_out_of_every_task_that_knows_none():
    needing = {"table9_credit_validity", "figure8_credit_validity"}
    for task, traits in TASKS.items():
        made = {spec.name for spec in registry.fitting(ALL, task)}
        assert needing & made == (needing if traits.causes_known else set())
    assert not TASKS["jsonl"].causes_known


def test_the_results_page_names_each_once():
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    _, table = page.split("## Every file\n")
    table = table[: table.index("## ")]
    named = re.findall(r"(?:table|figure)[0-9]+b?_\w+", table)
    assert sorted(named) == sorted(spec.name for spec in ALL)


def test_what_is_made_of_credit_alone():
    assert [spec.name for spec in registry.of_credit_alone(ALL)] == [
        *("table4_drop_distribution", "table5_content", "table6_example"),
        *("table9_credit_validity", "table15_span_statistics", "table17_credit_truth"),
        "figure5_drop_histogram",
        *("figure6_importance_position", "figure7_weights", "figure8_credit_validity"),
        "figure9_credit_truth",
    ]


def test_what_a_study_does_not_measure_makes_no_table_and_no_figure_of_it():
    every = {spec.name for spec in registry.fitting(ALL, "arithmetic")}
    left = {spec.name for spec in registry.fitting(ALL, "arithmetic", ("truth",))}
    assert every - left == {"table17_credit_truth", "figure9_credit_truth"}
    left = {spec.name for spec in registry.fitting(ALL, "arithmetic", ("divergences",))}
    assert every - left == {"table19_divergences", "figure10_divergences"}


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(UserError, match="'table99' is not one of table1_accuracy, table2_auc"):
        registry.find(registry.TABLES, "table99")
