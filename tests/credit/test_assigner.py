"""The chain from a completion's tokens to their weights, on real tokens and a real tiny model."""

import pytest
import torch

from cfdapo.credit.assigner import CreditAssigner, CreditConfig
from cfdapo.credit.weights import token_weights
from cfdapo.policy.models import load_base

PROMPT = "<|user|>Mia has 4 pens. Mia buys 3 more. How many pens does Mia have?<|assistant|>"
SOLUTION = "Let us see.\nMia has 4 pens.\nSo 4 + 3 = 7.\nThen 7 * 2 = 14.\n#### 14<|end|>"


@pytest.fixture(scope="module")
def loaded(prepared):
    model, tokenizer = load_base(prepared / "model")
    return model, tokenizer


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def assign(loaded, texts, active=None, generator=None, **config):
    model, tokenizer = loaded
    prompts = [encode(tokenizer, PROMPT)] * len(texts)
    completions = [encode(tokenizer, text) for text in texts]
    assigner = CreditAssigner(tokenizer, CreditConfig(**config))
    return assigner.assign(model, prompts, completions, active, generator)


def test_weights_stand_where_the_spans_are(loaded):
    (credit,) = assign(loaded, [SOLUTION]).credits
    texts = [credit.text[span.start : span.end] for span in credit.spans]
    assert texts == ["Let us see.", "Mia has 4 pens.", "4 + 3 = 7", "7 * 2 = 14"]
    ids = encode(loaded[1], SOLUTION)
    for text, tokens in zip(texts, credit.tokens, strict=True):
        assert text in loaded[1].decode(ids[tokens])
        assert credit.weights[tokens].unique().numel() == 1
    assert loaded[1].decode(ids[credit.answer]).strip() == "14"
    assert credit.weights[credit.answer].tolist() == [1.5] * (
        credit.answer.stop - credit.answer.start
    )
    assert credit.weights[-1] == 1  # end of text
    expected = token_weights(credit.drops, credit.tokens, credit.answer, len(ids), "counterfactual")
    assert torch.equal(credit.weights, expected) and credit.drops.isfinite().all()


def test_most_and_least_important_span_have_the_range_s_ends(loaded):
    (credit,) = assign(loaded, [SOLUTION], w_min=0.25, w_max=3.0).credits
    by_drop = [credit.weights[credit.tokens[int(k)]][0].item() for k in credit.drops.argsort()]
    assert by_drop[0] == pytest.approx(3.0, abs=0.05) and by_drop[-1] == 0.25


@pytest.mark.parametrize("mode", ["counterfactual", "inverted", "random"])
@pytest.mark.parametrize("text", ["", "<|end|>", "So 4 + 3 = 7.", "#### 7", "#### <|end|>"])
def test_empty_answerless_and_spanless_completions_weigh_one(loaded, mode, text):
    assignment = assign(loaded, [text], mode=mode)
    assert assignment.credits[0].weights.tolist() == [1.0] * len(encode(loaded[1], text))
    assert assignment.passes == 0


def test_completions_without_advantage_take_no_pass_and_weigh_one(loaded):
    assignment = assign(loaded, [SOLUTION, SOLUTION], active=[False, False])
    assert assignment.passes == 0
    assert all((credit.weights == 1).all() for credit in assignment.credits)


@pytest.mark.parametrize("mode", ["vanilla", "random"])
def test_modes_that_need_no_drops_take_no_pass(loaded, mode):
    generator = torch.Generator().manual_seed(0)
    assert assign(loaded, [SOLUTION], mode=mode, generator=generator).passes == 0


def test_random_differs_between_equal_completions(loaded):
    generator = torch.Generator().manual_seed(0)
    one, two = assign(loaded, [SOLUTION] * 2, mode="random", generator=generator).credits
    assert not torch.equal(one.weights, two.weights)
    assert one.weights[one.answer].eq(1.5).all()


def test_rescaled_weights_have_mean_one(loaded):
    (credit,) = assign(loaded, [SOLUTION], rescale_to_mean_one=True).credits
    assert credit.weights.mean().item() == pytest.approx(1.0)


def test_limits_the_spans(loaded):
    (credit,) = assign(loaded, [SOLUTION], max_spans=2).credits
    assert [span.kind for span in credit.spans] == ["arithmetic", "arithmetic"]


def test_the_model_is_left_in_the_mode_it_was_in(loaded):
    model, _ = loaded
    model.train()
    assign(loaded, [SOLUTION])
    assert model.training
    model.eval()
