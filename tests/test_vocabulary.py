"""The words of the vocabulary are those of the schema and of the code that knows them apart."""

from typing import get_args

import yaml

from cfdapo import vocabulary
from cfdapo.analysis.outcomes.ordering import ORDERING
from cfdapo.credit import interventions
from cfdapo.credit.weights import MODES
from cfdapo.problems import labels
from cfdapo.problems.code_task import CodeTask
from cfdapo.problems.task import TASKS, get_task
from cfdapo.study_schema import SCHEMA, rules

PROPERTIES = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["properties"]


def test_tasks_are_those_of_the_schema_and_of_problems():
    listed = PROPERTIES["data"]["properties"]["task"]["enum"]
    assert list(vocabulary.TASKS) == listed == list(TASKS)


def test_what_a_task_can_do_is_what_its_module_does():
    for name, traits in vocabulary.TASKS.items():
        task = get_task(name)
        assert traits.code == isinstance(task, CodeTask)
        assert traits.made == (task.corpus is not None)
    # Nobody knows which parts of MBPP+'s programs, or of one's own, are causes: no label is given.
    unknown = [name for name, task in vocabulary.TASKS.items() if not task.causes_known]
    assert unknown == ["mbpp", "jsonl"]
    assert all(get_task(name).label({}, "def f(): pass", True) == [] for name in unknown)


def test_the_papers_modes_are_rules_and_the_only_ones_of_its_claim():
    assert tuple(vocabulary.PAPER_MODES) == MODES == ORDERING
    assert set(MODES) < set(rules())  # there are others, which the claim does not name


def test_interventions_sinks_and_labels_are_the_codes_and_the_schemas():
    credit = PROPERTIES["credit"]["properties"]
    assert vocabulary.INTERVENTIONS == interventions.INTERVENTIONS
    assert vocabulary.SINKS == interventions.SINKS
    assert tuple(credit["intervention"]["enum"]) == vocabulary.INTERVENTIONS
    assert tuple(credit["sink"]["enum"]) == vocabulary.SINKS
    listed = PROPERTIES["measurement"]["properties"]["combinations"]["oneOf"][1]["items"]["enum"]
    assert tuple(listed) == vocabulary.COMBINATIONS
    assert vocabulary.PAPERS_COMBINATION in vocabulary.COMBINATIONS
    assert get_args(labels.Label) == vocabulary.SPAN_LABELS
