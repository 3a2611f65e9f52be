"""What is tried before measuring: exact ways are found, others fall back or are refused."""

import copy
import warnings
from contextlib import contextmanager

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from families import PLACEHOLDER, build, requests
from peft import LoraConfig, get_peft_model

from cfdapo.credit.crosscheck import crosscheck
from cfdapo.credit.exactness import Way, exact_way, settle
from cfdapo.credit.importance import INTERVENTIONS, SINKS, measure_drops_batch
from cfdapo.credit.interventions import longest_request, make_plan
from cfdapo.credit.scoring import Scorer, measuring
from cfdapo.credit.serial import batched_drops, serial_drops
from cfdapo.credit.weights import EPSILON, rounding
from cfdapo.files import UserError

EXACT = {"rtol": 0.0, "atol": 1e-4}


def drops(model, **options) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cat(measure_drops_batch(model, requests(), PLACEHOLDER, **options).drops)


def plans(intervention: str = "pad", sink: str = "answer") -> list:
    return [make_plan(request, PLACEHOLDER, intervention, sink) for request in requests()]


@pytest.mark.parametrize("name", ["gpt-oss", "Granite SWA", "MiMo V2 Flash"])
def test_sinks_count_in_packed_passes(name):
    model = build(name)
    before = drops(model)
    with torch.no_grad():
        for key, sinks in model.named_parameters():
            if "sink" in key:
                sinks.add_(3.0)
    assert exact_way(model, 30).name == "packed"
    assert (drops(model) - before).abs().max() > 0.01
    torch.testing.assert_close(drops(model), drops(model, method="serial"), **EXACT)


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("intervention", INTERVENTIONS)
@pytest.mark.parametrize("name", ["gpt-oss", "Gemma 2", "Llama 4", "MPT"])
def test_windows_chunks_caps_and_biases_hold_for_every_drop(name, intervention, sink):
    model, options = build(name), {"intervention": intervention, "sink": sink}
    serial = drops(model, method="serial", **options)
    assert serial.abs().max() > 0.05
    torch.testing.assert_close(drops(model, **options), serial, **EXACT)
    torch.testing.assert_close(drops(model, token_budget=20, **options), serial, **EXACT)


@pytest.mark.parametrize("budget", [1, 60, 10_000])
def test_whole_sequences_several_at_once_are_the_reference(budget):
    model = build("Qwen3-Next")
    for intervention in ("pad", "delete", "truncate"):
        both = plans(intervention, "rest")
        scorer = Scorer(model)
        with measuring(model, "policy"):
            found = batched_drops(scorer, both, budget)
            alone = [serial_drops(Scorer(model), plan) for plan in both]
        for (own, score), (expected, reference) in zip(found, alone, strict=True):
            torch.testing.assert_close(own, expected, **EXACT)
            assert score == pytest.approx(reference, abs=1e-4)
        # Two unchanged sequences and one for each of three spans; two of them fit 60 tokens.
        assert scorer.passes == {1: 5, 60: 3, 10_000: 1}[budget]


def test_a_fallback_says_once_what_it_costs():
    model = build("LFM2")
    with pytest.warns(UserWarning, match="several at once.* 1.4 times as many tokens") as caught:
        measure_drops_batch(model, requests(), PLACEHOLDER)
    (message,) = [str(warning.message) for warning in caught]
    assert "Lfm2ForCausalLM, which lets a token depend on others by more than" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure_drops_batch(model, requests(), PLACEHOLDER)
        measure_drops_batch(build("gpt-oss"), requests(), PLACEHOLDER)
        measure_drops_batch(build("Jamba"), requests(), PLACEHOLDER, method="serial")


def test_what_shows_in_long_sequences_only_is_found_before_they_come():
    model = build("Llama, dynamic RoPE past its length")
    assert exact_way(model, 16).name == "packed"
    assert exact_way(model, 17).name == "single"
    # Compressed keys begin with the fourth token.
    assert exact_way(build("DeepSeek-V4"), 30).name == "batched"


def test_a_model_that_looks_ahead_is_refused():
    model = build("BERT as a decoder")
    model.config.is_decoder = False
    for layer in model.bert.encoder.layer:
        layer.attention.self.is_decoder = layer.attention.self.is_causal = False
    with pytest.raises(ValueError, match="later tokens change earlier ones"):
        settle(model, 30, "prefix", "pad")


@pytest.mark.parametrize("method", ["prefix", "serial"])
@pytest.mark.parametrize("name", ["LFM2", "Qwen3.5", "Mamba", "Llama with prefix tuning"])
def test_attention_that_is_not_all_cannot_hide_a_span(name, method):
    with pytest.raises(ValueError, match='"attention" cannot be exact'):
        settle(build(name), 30, method, "attention")


@pytest.mark.parametrize("name", ["CTRL", "DeepSeek-V4"])
def test_gradient_is_refused_where_embeddings_are_not_all_that_is_read(name):
    with pytest.raises(ValueError, match='"gradient" cannot be exact'):
        settle(build(name), 30, "gradient", "pad")


@contextmanager
def leaking(model):
    """Every token gets a little of the one before it in the row, as no class here does."""

    def leak(module, inputs, output):
        return output + 0.3 * output.roll(1, dims=1)

    hook = model.model.layers[0].mlp.register_forward_hook(leak)
    try:
        yield
    finally:
        hook.remove()


def test_the_first_completion_is_measured_twice_and_a_difference_stops():
    model, (plan, _) = build("Llama"), plans()
    with measuring(model, "policy"):
        found = crosscheck(model, plan, Way("packed"), "prefix", PLACEHOLDER, 4096)
    assert found.difference < 1e-4 < found.allowed < 0.1
    # One packed pass, then the sequence and its two changed ones.
    assert found.passes == 1 + 3 and "4 passes" in str(found)
    # Not of gradient, whose packed pass of one completion is that completion alone.
    with (
        leaking(model),
        measuring(model, "policy"),
        pytest.raises(UserError, match="prefix differs from serial by"),
    ):
        crosscheck(model, plan, Way("packed"), "prefix", PLACEHOLDER, 4096)


def test_a_measurement_in_float32_forgets_the_policys_rounding():
    half = build("Llama with LoRA").bfloat16()
    weights = {name: value.clone() for name, value in half.state_dict().items()}
    exact = drops(copy.deepcopy(half).float())
    assert (drops(half) - exact).abs().max() > 1e-3
    torch.testing.assert_close(drops(half, precision="float32"), exact, rtol=0, atol=1e-5)
    after = half.state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    assert {value.dtype for value in after.values()} == {torch.bfloat16}
    with pytest.raises(IndexError):
        foreign = [longest_request(3, 9, 2)]
        measure_drops_batch(half, foreign, 10**6, precision="float32")
    assert {value.dtype for value in half.state_dict().values()} == {torch.bfloat16}


@pytest.fixture
def fresh_accelerate():
    """The library keeps one precision a process: that of whichever trainer was made first."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_accelerate")
def test_automatic_casting_of_the_trainer_does_not_reach_a_measurement_in_float32():
    model = get_peft_model(build("Qwen2"), LoraConfig(r=2, target_modules="all-linear"))
    exact = drops(model)
    accelerator = Accelerator(mixed_precision="bf16", cpu=True)
    cast = accelerator.unwrap_model(accelerator.prepare(model))
    assert (drops(cast) - exact).abs().max() > 1e-3
    assert torch.equal(drops(cast, precision="float32"), exact)
    assert (drops(cast) - exact).abs().max() > 1e-3


def test_rounding_is_the_weights_and_grows_with_the_tokens_scored():
    assert rounding(torch.float32, 400) == EPSILON
    assert rounding(torch.bfloat16, 1) == pytest.approx(0.05)
    assert rounding(torch.bfloat16, 4) == pytest.approx(0.1)
    assert rounding(torch.float16, 1) == pytest.approx(0.05 / 8)
