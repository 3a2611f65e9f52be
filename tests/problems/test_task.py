"""Every task can be had by its name, from a module of its own."""

import pytest
import yaml

from cfdapo.files import UserError
from cfdapo.problems.task import TASKS, get_task
from cfdapo.study_schema import ROOT, SCHEMA


def test_every_module_of_tasks_is_a_task_that_a_study_can_name():
    modules = {path.stem for path in (ROOT / "src/cfdapo/problems/tasks").glob("[!_]*.py")}
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["data"]["properties"]["task"]
    assert set(TASKS) == modules == set(schema["enum"]) and len(TASKS) == len(modules)
    assert [get_task(name).name for name in TASKS] == list(TASKS)


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(UserError) as raised:
        get_task("math")
    known = "arithmetic, verbs, programs, gsm8k, mbpp, jsonl"
    assert str(raised.value) == f"data.task: 'math' is not one of {known}"
