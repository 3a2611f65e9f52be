"""The trainer with models other than the usual: exact, slower with a word, or refused."""

import warnings
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from cfdapo.files import UserError, read_json
from cfdapo.policy.models import MANIFEST, save_base, write_manifest
from cfdapo.policy.training import history

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.1,
}
WINDOW = {"sliding_window": 12, "layer_types": ["sliding_attention", "full_attention"]}
GPT_OSS = {**WINDOW, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}
LFM2 = {"layer_types": ["conv", "full_attention"]}


@pytest.fixture
def model_of(prepared, tmp_path) -> Callable[..., Path]:
    """Makes a prepared folder with a random model of an architecture and the tiny tokenizer."""

    def make(kind: str, **shape: object) -> Path:
        folder = tmp_path / kind
        folder.mkdir()
        tokenizer = AutoTokenizer.from_pretrained(prepared / "model")
        special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id")}
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            kind, **(SHAPE | shape), **special, vocab_size=len(tokenizer), bos_token_id=None
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        save_base(model, tokenizer, folder)
        entry = read_json(prepared / "model" / MANIFEST)
        write_manifest(folder, "other", {"label": "Other", "source": entry["source"]}, {})
        return folder

    return make


# What stands in the place of a random model's completions, which state no answer.
SOLUTIONS = (
    "He has 3 + 4 = 7 apples. He eats 2, so 7 - 2 = 5 are left. The answer is 5.",
    "3 * 2 = 6 and 6 + 1 = 7. The answer is 7.",
)


def solving(trainer) -> None:
    """Let the trainer go on from `SOLUTIONS` where it has generated."""
    tokenizer, generate = trainer.processing_class, trainer._generate_single_turn
    written = cycle(
        [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        for text in SOLUTIONS
    )

    def solved(*arguments, **options):
        completions, *others = generate(*arguments, **options)
        return [list(next(written)) for _ in completions], *others

    trainer._generate_single_turn = solved


def train(trainer) -> tuple[torch.Tensor, list[dict]]:
    solving(trainer)
    trainer.train()
    weights = [p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad]
    return torch.cat(weights), history(trainer.state.log_history)


def test_a_step_on_gpt_oss_by_prefix_is_the_one_by_serial(build, model_of, capsys):
    folder = model_of("gpt_oss", **GPT_OSS)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="method")
        prefix, (quick,) = train(build("counterfactual", model_dir=folder))
    told = capsys.readouterr().out
    assert "credit: first completion measured twice" in told
    serial, (slow,) = train(build("counterfactual", {"method": "serial"}, model_dir=folder))
    assert "measured twice" not in capsys.readouterr().out
    assert 0 < quick["credit_passes"] < slow["credit_passes"]
    torch.testing.assert_close(prefix, serial, rtol=0, atol=1e-5)


def test_a_fallback_is_told_when_the_trainer_is_made(build, model_of):
    folder = model_of("lfm2", **LFM2)
    with pytest.warns(UserWarning, match="Lfm2ForCausalLM.* times as many tokens"):
        trainer = build("counterfactual", model_dir=folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="method")
        _, (row,) = train(trainer)
        build("random", model_dir=folder)
    assert row["credit_passes"] > 0


def test_what_cannot_be_exact_is_refused_when_the_trainer_is_made(build, model_of):
    folder = model_of("lfm2", **LFM2)
    for method in ("prefix", "serial"):
        credit = {"method": method, "intervention": "attention"}
        with pytest.raises(UserError, match="credit: .*Lfm2ForCausalLM carries tokens forward"):
            build("counterfactual", credit, model_dir=folder)
    build("random", {"intervention": "attention"}, model_dir=folder)


def test_drops_within_the_rounding_of_a_policy_of_16_bits_are_counted(build, model_of):
    """Such a model's drops are far below 0.05 nats, what bfloat16 is good to, and above 1e-4."""
    folder = model_of("llama", initializer_range=0.02)
    _, (fine,) = train(build("counterfactual", model_dir=folder))
    _, (coarse,) = train(build("counterfactual", model_dir=folder, precision="bfloat16"))
    assert (fine["noise_completions"], coarse["noise_completions"]) == (0, 8)
    # The weights tell the spans apart all the same.
    assert coarse["weight_std"] == pytest.approx(fine["weight_std"], abs=0.05) and fine
