"""A proxy of another size and tokenizer measures the same characters."""

import pytest
import torch
from tokenizers.normalizers import Lowercase

from cfdapo.credit.assigner import CreditAssigner, CreditConfig
from cfdapo.credit.importance import measure_drops
from cfdapo.credit.proxy import Proxy
from cfdapo.credit.spans import find_answer, find_spans
from cfdapo.credit.weights import token_weights
from cfdapo.policy.models import load_base
from cfdapo.policy.tiny import make_model, make_tokenizer

SHAPE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
SHAPE |= {"num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.5}
PROMPT = "<|user|>Mia has 4 pens. Mia buys 3 more. How many pens does Mia have?<|assistant|>"
SOLUTION = "Let us see.\nMia has 4 pens.\nSo 4 + 3 = 7.\nThen 7 * 2 = 14.\n#### 14<|end|>"
TEXT = SOLUTION.removesuffix("<|end|>")


@pytest.fixture(scope="module")
def policy(prepared):
    return load_base(prepared / "model")


@pytest.fixture(scope="module")
def proxy() -> Proxy:
    # Digits and words come in larger and other pieces than the policy's.
    tokenizer = make_tokenizer([TEXT.replace(" ", "_")] * 5, vocabulary=290)
    return Proxy(make_model("llama", SHAPE, tokenizer, seed=1), tokenizer)


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def assign(policy, proxy, text=SOLUTION, **config):
    model, tokenizer = policy
    assigner = CreditAssigner(tokenizer, CreditConfig(proxy="other", **config), proxy)
    (credit,) = (
        assignment := assigner.assign(
            model,
            [encode(tokenizer, PROMPT)],
            [encode(tokenizer, text)],
            proxy_prompts=[encode(proxy.tokenizer, PROMPT)],
        )
    ).credits
    return credit, assignment


def slices_by_lengths(proxy, ranges) -> tuple[list[int], list[slice]]:
    """Tokens that share a character with each range; in ASCII, lengths of pieces add up."""
    ids = encode(proxy.tokenizer, TEXT)
    ends = torch.tensor([len(proxy.tokenizer.decode([token])) for token in ids]).cumsum(0).tolist()
    assert ends[-1] == len(TEXT)
    starts = [0, *ends[:-1]]
    slices = []
    for span in ranges:
        inside = [
            index
            for index, (start, end) in enumerate(zip(starts, ends, strict=True))
            if start < span.end and end > span.start
        ]
        slices.append(slice(inside[0], inside[-1] + 1))
    return ids, slices


def test_drops_are_the_proxys_and_weights_stand_on_the_policys_tokens(policy, proxy):
    credit, _ = assign(policy, proxy)
    ids, slices = slices_by_lengths(proxy, [*find_spans(TEXT), find_answer(TEXT)])
    own = encode(policy[1], SOLUTION)
    assert len(ids) != len(own) - 1 and slices[:-1] != credit.tokens
    expected = measure_drops(
        proxy.model,
        encode(proxy.tokenizer, PROMPT),
        ids,
        slices[:-1],
        slices[-1],
        proxy.tokenizer.pad_token_id,
        method="serial",
    )
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(credit.drops, expected, rtol=0, atol=1e-4)
    weights = token_weights(credit.drops, credit.tokens, credit.answer, len(own), "counterfactual")
    assert torch.equal(credit.weights, weights)


def test_the_policy_itself_runs_no_pass(policy, proxy):
    calls = []
    hook = policy[0].register_forward_hook(lambda *_: calls.append(1))
    _, assignment = assign(policy, proxy, method="serial")
    hook.remove()
    assert assignment.passes == 5 and not calls


def test_other_modes_need_no_proxy(policy):
    model, tokenizer = policy
    for mode in ("vanilla", "random"):
        assigner = CreditAssigner(tokenizer, CreditConfig(mode=mode, proxy="other"))
        assert assigner.assign(model, [[1]], [encode(tokenizer, SOLUTION)]).passes == 0


def test_a_missing_proxy_or_its_prompts_are_refused(policy, proxy):
    model, tokenizer = policy
    with pytest.raises(ValueError, match="proxy 'other' is to measure drops, but none is given"):
        CreditAssigner(tokenizer, CreditConfig(proxy="other"))
    assigner = CreditAssigner(tokenizer, CreditConfig(proxy="other"), proxy)
    with pytest.raises(ValueError, match="proxy_prompts"):
        assigner.assign(model, [[1]], [encode(tokenizer, SOLUTION)])


def test_a_tokenizer_that_spells_the_text_differently_places_nothing(policy, proxy):
    tokenizer = make_tokenizer([TEXT] * 5, vocabulary=290)
    tokenizer.backend_tokenizer.normalizer = Lowercase()
    lowering = Proxy(make_model("llama", SHAPE, tokenizer, seed=1), tokenizer)
    credit, assignment = assign(policy, lowering)
    assert assignment.passes == 0 and credit.weights.eq(1).all()
    # Where there is nothing to lower, it measures.
    credit, assignment = assign(policy, lowering, SOLUTION.lower())
    assert assignment.passes == 1 and credit.drops.isfinite().all()


def test_a_span_within_a_proxys_token_is_not_measured(policy, proxy):
    class Coarse(Proxy):
        """Places the second span nowhere, as a token that the next span takes would."""

        def place(self, text, ranges):
            ids, slices = super().place(text, ranges)
            return ids, [slices[0], slice(slices[1].start, slices[1].start), *slices[2:]]

    whole, _ = assign(policy, proxy)
    credit, assignment = assign(policy, Coarse(proxy.model, proxy.tokenizer), method="serial")
    assert assignment.passes == 4 and len(whole.spans) == 4
    assert credit.spans == [whole.spans[0], *whole.spans[2:]]
    torch.testing.assert_close(credit.drops, whole.drops[[0, 2, 3]], rtol=0, atol=1e-4)
    assert credit.weights[whole.tokens[1]].eq(1).all()
