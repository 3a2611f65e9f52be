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


def texts_of(credit) -> list[str]:
    return [credit.text[span.start : span.end] for span in credit.spans]


def test_spans_that_are_not_selected_are_not_measured_and_weigh_one(loaded):
    (full,) = assign(loaded, [SOLUTION]).credits
    serial = assign(loaded, [SOLUTION], method="serial", select="arithmetic", select_k=2)
    (credit,) = serial.credits
    assert serial.passes == 3 and texts_of(credit) == ["4 + 3 = 7", "7 * 2 = 14"]
    torch.testing.assert_close(credit.drops, full.drops[2:], rtol=0, atol=1e-4)
    for tokens in full.tokens[:2]:
        assert credit.weights[tokens].eq(1).all()
    # Equation 6 scales the two among themselves.
    ends = sorted(credit.weights[tokens][0].item() for tokens in credit.tokens)
    assert ends[0] == 0.5 and ends[1] > 3.9
    (longest,) = assign(loaded, [SOLUTION], select="longest", select_k=1).credits
    assert texts_of(longest) == ["Mia has 4 pens."]


def test_between_measured_steps_everything_weighs_one(loaded):
    model, tokenizer = loaded
    prompts, completions = [encode(tokenizer, PROMPT)], [encode(tokenizer, SOLUTION)]
    for mode in ("counterfactual", "inverted", "random"):
        assigner = CreditAssigner(tokenizer, CreditConfig(mode=mode, every=3))
        given = [assigner.assign(model, prompts, completions, step=step) for step in range(7)]
        uniform = [bool(assignment.credits[0].weights.eq(1).all()) for assignment in given]
        assert uniform == [False, True, True, False, True, True, False]
        assert [assignment.passes > 0 for assignment in given] == [
            mode != "random" and not skipped for skipped in uniform
        ]


def test_equal_completions_of_one_prompt_are_measured_once(loaded):
    once = assign(loaded, [SOLUTION], method="serial")
    four = assign(loaded, [SOLUTION] * 4, method="serial")
    assert four.passes == once.passes == 5
    assert all(torch.equal(credit.drops, once.credits[0].drops) for credit in four.credits)
    other = SOLUTION.replace("Let us see.", "Let us think.")
    assert assign(loaded, [SOLUTION, other, SOLUTION], method="serial").passes == 10


def test_the_cache_gives_the_drops_of_the_step_that_measured_them(loaded, prepared):
    model, tokenizer = load_base(prepared / "model")
    prompts = [encode(tokenizer, PROMPT)] * 2
    completions = [encode(tokenizer, SOLUTION), encode(tokenizer, SOLUTION.replace("us", "me"))]
    assigner = CreditAssigner(tokenizer, CreditConfig(cache=8, method="serial"))
    first = assigner.assign(model, prompts[:1], completions[:1])
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1.5)
    second = assigner.assign(model, prompts, completions)
    assert (first.passes, first.hits) == (5, 0) and (second.passes, second.hits) == (5, 1)
    # Stale: the policy has moved on.
    assert torch.equal(second.credits[0].drops, first.credits[0].drops)
    (fresh,) = (
        CreditAssigner(tokenizer, CreditConfig())
        .assign(model, prompts[:1], completions[:1])
        .credits
    )
    assert (fresh.drops - first.credits[0].drops).abs().max() > 1e-2
    # Another prompt is another pair.
    moved = [[*prompts[0], *encode(tokenizer, " ")]]
    assert assigner.assign(model, moved, completions[:1]).hits == 0


def test_without_a_cache_everything_is_measured_anew(loaded):
    model, tokenizer = loaded
    prompts, completions = [encode(tokenizer, PROMPT)], [encode(tokenizer, SOLUTION)]
    assigner = CreditAssigner(tokenizer, CreditConfig())
    for _ in range(2):
        assignment = assigner.assign(model, prompts, completions)
        assert assignment.passes == 1 and assignment.hits == 0


@pytest.mark.parametrize(
    "wrong", [{"select_k": 0}, {"every": 0}, {"cache": -1}], ids=lambda wrong: next(iter(wrong))
)
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CreditConfig(**wrong)


def test_unknown_selection_is_refused(loaded):
    with pytest.raises(ValueError, match="unknown select 'best'"):
        assign(loaded, [SOLUTION], select="best")


CODE = "Sum:\n```python\ndef f(x):\n    y = x + 3\n    z = 7\n    return y * 2\n```"


@pytest.mark.parametrize(
    ("spans", "answer", "expected"),
    [
        ("code", "returns", (["y = x + 3", "z = 7"], "y * 2")),
        # The whole function leaves nothing before it; the number is stated nowhere.
        ("code", "function", ([], None)),
        ("code", "number", ([], None)),
        ("arithmetic", "number", ([], None)),
    ],
)
def test_code_has_spans_and_an_answer_of_its_own(loaded, spans, answer, expected):
    (credit,) = assign(loaded, [CODE], spans=spans, answer=answer).credits
    assert (texts_of(credit), credit.answer and credit.text[slice(*answer_of(credit))]) == expected
    if credit.answer:
        assert credit.drops.isfinite().all()
        assert credit.weights[credit.answer].eq(1.5).all()


def answer_of(credit):
    start = credit.text.index("y * 2")
    return start, start + len("y * 2")


def test_unknown_spans_and_answers_are_refused():
    with pytest.raises(ValueError, match="unknown spans 'prose'; allowed: arithmetic, code"):
        CreditConfig(spans="prose")
    with pytest.raises(
        ValueError, match="unknown answer 'x'; allowed: number, choice, latex, exact, returns"
    ):
        CreditConfig(answer="x")


def test_spans_of_code_are_those_of_the_function_that_is_named(loaded):
    """A demonstration that uses it, here the later one, would otherwise be taken for it."""
    model, tokenizer = loaded
    asked, other = "def f(x):\n y = x + 1\n return y", "def g(x):\n z = f(x)\n return z"
    ids = encode(tokenizer, f"```\n{asked}\n```\n```\n{other}\n```")
    assigner = CreditAssigner(tokenizer, CreditConfig(spans="code", answer="returns"))
    for name, sink in (("f", "y"), ("g", "z"), (None, "z")):
        (credit,) = assigner.assign(model, [[1]], [ids], functions=[name]).credits
        assert "y = x + 1" in texts_of(credit) and ("z = f(x)" in texts_of(credit)) == (sink == "z")
        assert tokenizer.decode(ids[credit.answer]).strip() == sink
