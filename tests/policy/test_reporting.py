"""Trackers: known ones alone, installed ones alone, and none of them in a run's identity."""

import pytest
import yaml
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from cfdapo.files import UserError
from cfdapo.policy.reporting import require_reporters
from cfdapo.settings import as_flag
from cfdapo.study import build_study, load_document, training_settings, without_reports
from cfdapo.study_schema import SCHEMA


def known() -> list[str]:
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return schema["properties"]["training"]["properties"]["report_to"]["items"]["enum"]


def test_a_study_may_name_all_of_the_librarys_whose_reports_stay():
    assert set(known()) == set(INTEGRATION_TO_CALLBACK) - {"codecarbon"}


@pytest.mark.parametrize("name", known())
def test_one_that_is_not_installed_is_refused_by_name(name):
    try:
        INTEGRATION_TO_CALLBACK[name]()
    except (RuntimeError, ImportError, ValueError):
        with pytest.raises(UserError, match=f"training.report_to: {name} cannot be used here: .*"):
            require_reporters([name])
    else:
        require_reporters([name])


def test_one_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="'paper' is not one of .*tensorboard"):
        require_reporters(["paper"])


def test_it_is_in_no_runs_settings():
    document = load_document("smoke")
    silent, _ = without_reports(build_study(document))
    document["training"]["report_to"] = ["tensorboard", "wandb"]
    study, reporters = without_reports(build_study(document))
    assert reporters == ("tensorboard", "wandb")
    assert as_flag(training_settings(study, "vanilla")) == as_flag(silent.training)
    assert "report_to" not in as_flag(study.training)
