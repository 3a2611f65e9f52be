"""Evaluation: a record a problem and step, resumed to the byte, damaged adapters refused."""

from pathlib import Path

import pytest

from cfdapo.files import UserError, read_jsonl
from cfdapo.policy.models import add_lora, load_base
from cfdapo.stages.evaluate import evaluate

SETTINGS = {
    "task": "arithmetic",
    "chat": {},
    "training": {
        "steps": 2,
        "checkpoint_every": 1,
        "precision": "float32",
        "max_completion_tokens": 12,
    },
    "evaluation": {"batch_size": 4},
}


@pytest.fixture
def run_dir(prepared, tmp_path) -> Path:
    import torch

    torch.manual_seed(0)
    for step in (1, 2):
        base, _ = load_base(prepared / "model")
        lora = add_lora(base, {"r": 4, "alpha": 4, "dropout": 0.0})
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        lora.save_pretrained(tmp_path / "adapters" / f"step{step}")
    return tmp_path


def run(prepared: Path, run_dir: Path) -> bytes:
    out = run_dir / "evaluation.jsonl"
    evaluate(prepared / "model", prepared / "test.jsonl", run_dir, SETTINGS, out)
    return out.read_bytes()


def test_a_record_for_every_step_and_problem(prepared, run_dir):
    run(prepared, run_dir)
    rows = read_jsonl(run_dir / "evaluation.jsonl")
    problems = read_jsonl(prepared / "test.jsonl")
    assert [(row["step"], row["problem"]) for row in rows] == [
        (step, problem["id"]) for step in (0, 1, 2) for problem in problems
    ]
    by_step = [[row["completion"] for row in rows if row["step"] == step] for step in (0, 1, 2)]
    assert by_step[0] != by_step[1] != by_step[2]
    assert all(
        row["gold"] == problem["answer"] for row, problem in zip(rows, problems, strict=False)
    )


# 10 problems in batches of 4, 4 and 2: within a batch, at its end, within and at the end of a step.
@pytest.mark.parametrize("records", [0, 3, 4, 9, 10, 17, 30])
@pytest.mark.parametrize("torn", [b"", b'{"step": 1, "prob'])
def test_interrupted_evaluation_goes_on_to_the_same_bytes(prepared, run_dir, records, torn):
    whole = run(prepared, run_dir)
    lines = whole.splitlines(keepends=True)
    (run_dir / "evaluation.jsonl").unlink()
    partial = run_dir / "evaluation.partial.jsonl"
    partial.write_bytes(b"".join(lines[:records]) + torn)
    assert run(prepared, run_dir) == whole
    assert not partial.exists()


def test_missing_adapter_is_named(prepared, run_dir):
    (run_dir / "adapters" / "step2" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="step2.*missing adapter"):
        run(prepared, run_dir)
