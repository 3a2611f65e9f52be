"""Every credit rule in real training: its costs are told, and a resume ends with the same bits."""

import pytest
import torch

from cfdapo.credit.rules import get_rule, rule_names
from cfdapo.files import UserError, read_jsonl, write_jsonl
from cfdapo.policy.training import RunSettings, history, make_trainer
from cfdapo.settings import parse
from cfdapo.study import load_document

PAPERS = ("counterfactual", "vanilla", "random", "inverted")
RUN = {"steps": 2, "checkpoint_every": 1, "learning_rate": 1e-3, "max_completion_tokens": 48}


def trained(trainer, resume=None) -> tuple[torch.Tensor, list[dict]]:
    """All trained weights in one tensor, and the history without times."""
    trainer.train(resume_from_checkpoint=resume)
    weights = [p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad]
    rows = history(trainer.state.log_history)
    kept = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]
    return torch.cat(weights), kept


@pytest.mark.parametrize("mode", sorted(set(rule_names()) - set(PAPERS)))
def test_a_resumed_run_ends_with_the_same_bits(build, tmp_path, mode):
    whole, rows = trained(build(mode, **RUN))
    resumed, again = trained(build(mode, **RUN), resume=str(tmp_path / "checkpoint-1"))
    assert torch.equal(whole, resumed) and rows == again
    assert all(row["grad_norm"] > 0 for row in rows)
    sampled = [row.get("credit_generations", 0) for row in rows]
    assert all(sampled) == get_rule(mode).generates and len(rows) == 2


def test_a_rule_reads_the_columns_that_it_asks_for(prepared, tmp_path):
    rows = [{"id": "a", "question": "1 + 1?", "answer": "2", "solution": "#### 2"}]
    write_jsonl(tmp_path / "train.jsonl", 2 * rows)
    study = load_document("smoke")
    settings = {
        "task": "arithmetic",
        "chat": {},
        "lora": study["lora"],
        "training": study["training"],
        "credit": study["credit"] | {"mode": "oracle"},
    }
    chosen = parse(RunSettings, settings)
    with pytest.raises(UserError, match="modes: oracle needs problems with sentences"):
        make_trainer(prepared / "model", tmp_path / "train.jsonl", 0, chosen, tmp_path / "out")
    assert "sentences" in read_jsonl(prepared / "train.jsonl")[0]


def test_the_trainers_evaluation_spends_nothing_on_credit(build):
    trainer = build("monte_carlo", **RUN)
    trainer.model.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    output = trainer._generate_and_score_completions(batch)
    assert output["advantages"].dim() == 1 and not trainer._metrics["train"]
