"""One test for every known fault of an earlier implementation's credit, named after it."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import log_softmax
from transformers import Qwen3Config, Qwen3ForCausalLM

from cfdapo.credit.alignment import to_tokens
from cfdapo.credit.assigner import CreditAssigner, CreditConfig
from cfdapo.credit.importance import METHODS, DropRequest, measure_drops_batch
from cfdapo.credit.spans import find_answer, find_spans
from cfdapo.credit.weights import MODES, normalized_importance, token_weights
from cfdapo.policy.models import load_base

VOCABULARY, PAD = 61, 7
EXACT_METHODS = ("prefix", "serial")
EXACT = {"rtol": 0.0, "atol": 1e-4}
PROMPT = "<|user|>Mia has 4 pens. Mia buys 3 more. How many pens does Mia have?<|assistant|>"
STEPS = "Mia has 4 pens.\nSo 4 + 3 = 7.\nThen 7 * 2 = 14.\n"
SOLUTION = STEPS + "#### 14<|end|>"


@pytest.fixture(scope="module")
def model():
    """Weights large enough for drops of several nats, and dropout that is on in training."""
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.2,
        attention_dropout=0.4,
    )
    return Qwen3ForCausalLM(config).eval()


@pytest.fixture(scope="module")
def loaded(prepared):
    return load_base(prepared / "model")


def random_ids(length: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(8, VOCABULARY, (length,), generator=generator).tolist()


def requests(tail: list[int] | None = None) -> list[DropRequest]:
    """Completions of several lengths, each ending with its answer and then `tail`."""
    sizes = ((26, [slice(2, 6), slice(9, 10)], 3), (15, [slice(0, 3)], 1), (31, [slice(5, 12)], 4))
    return [
        DropRequest(
            random_ids(9 if seed < 2 else 4, seed // 2),
            random_ids(length, 10 + seed) + (tail or []),
            spans,
            slice(length - answer, length),
        )
        for seed, (length, spans, answer) in enumerate(sizes)
    ]


@torch.no_grad()
def log_probability(model, ids: list[int], first: int, last: int) -> float:
    """The sum of log-probabilities of the tokens from `first` to before `last`, by a plain loop."""
    table = log_softmax(model(torch.tensor([ids])).logits[0].float(), dim=-1)
    return sum(float(table[t - 1, ids[t]]) for t in range(first, last))


def plain_drops(model, request: DropRequest, width: int = 0) -> torch.Tensor:
    """Equation 3 by hand; `width` more tokens behind the answer are scored too, which is wrong."""
    offset = len(request.prompt_ids)
    whole = [*request.prompt_ids, *request.completion_ids]
    first, last = offset + request.answer.start, offset + request.answer.stop + width
    scores = []
    for span in [slice(0, 0), *request.spans]:
        masked = list(whole)
        masked[offset + span.start : offset + span.stop] = [PAD] * (span.stop - span.start)
        scores.append(log_probability(model, masked, first, last))
    return torch.tensor(scores[1:]) - scores[0]


def measure(model, given: list[DropRequest], method: str = "prefix") -> list[torch.Tensor]:
    return measure_drops_batch(model, given, PAD, method=method).drops


def assert_same(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def assign(loaded, texts: list[str], active=None, **config):
    model, tokenizer = loaded
    completions = [encode(tokenizer, text) for text in texts]
    assigner = CreditAssigner(tokenizer, CreditConfig(**config))
    generator = torch.Generator().manual_seed(0)
    prompts = [encode(tokenizer, PROMPT)] * len(texts)
    return assigner.assign(model, prompts, completions, active, generator)


# Score


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_trap_score_pads_after_the_answer_count_nothing(model, method):
    padded = requests([PAD] * 300)
    expected = [plain_drops(model, request) for request in padded]
    assert_same(measure(model, padded, method), expected)
    # Summed to the batch's width the same drops are several times as large.
    wrong = torch.cat([plain_drops(model, request, width=300) for request in padded])
    assert wrong.abs().max() > 2 * torch.cat(expected).abs().max()


@pytest.mark.parametrize("method", METHODS)
def test_trap_score_text_after_the_answer_counts_nothing(model, method):
    talkative, silent = requests(random_ids(40, 99)), requests()
    assert_same(measure(model, talkative, method), measure(model, silent, method))


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_trap_score_pads_before_a_row_are_not_attended(model, method):
    """Rows of a batch are padded to the longest; without a mask they would read the pads."""
    together = measure(model, requests(), method)
    assert_same(together, [plain_drops(model, request) for request in requests()])
    short = requests()[1]
    read = DropRequest(
        [PAD] * 16 + list(short.prompt_ids), short.completion_ids, short.spans, short.answer
    )
    assert (plain_drops(model, read) - together[1]).abs().max() > 1e-2


# Sign


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_trap_sign_is_masked_minus_baseline_and_drops_may_rise(model, method):
    many = [
        DropRequest(random_ids(6, 1), random_ids(24, seed), [slice(2, 6)], slice(21, 24))
        for seed in range(8)
    ]
    found = torch.cat(measure(model, many, method))
    assert_same([found], [torch.cat([plain_drops(model, request) for request in many])])
    assert found.min() < -0.1 and found.max() > 0.1


def test_trap_sign_the_lowest_drop_is_the_most_important():
    importance = normalized_importance(torch.tensor([-3.0, 2.0, 0.0]))
    assert importance.argmax() == 0 and importance.argmin() == 1


# Weights


@pytest.mark.parametrize("mode", ["counterfactual", "inverted"])
def test_trap_weights_reasoning_spans_the_whole_range_and_outside_is_one(mode):
    spans, drops = [slice(1, 3), slice(4, 6), slice(7, 9)], torch.tensor([-5.0, 0.0, -2.0])
    weights = token_weights(drops, spans, slice(10, 11), 12, mode)
    assert weights[[0, 3, 6, 9, 11]].tolist() == [1.0] * 5
    inside = torch.cat([weights[span] for span in spans])
    # Not [2.25, 4], which is what is left where the text outside takes part in equation 6.
    assert inside.min().item() == pytest.approx(0.5, abs=2e-4)
    assert inside.max().item() == pytest.approx(4.0, abs=2e-4)


@pytest.mark.parametrize("mode", ["counterfactual", "inverted", "random"])
@pytest.mark.parametrize("ending", [r"So \boxed{14}.<|end|>", r"$\boxed{14}$<|end|>"])
def test_trap_weights_boxed_answers_are_answers(loaded, ending, mode):
    (credit,) = assign(loaded, [STEPS + ending], mode=mode).credits
    ids = encode(loaded[1], STEPS + ending)
    assert loaded[1].decode(ids[credit.answer]).strip("{} ") == "14"
    assert set(credit.weights[credit.answer].tolist()) == {1.5}


def test_trap_weights_have_mean_one_in_every_mode_where_asked(loaded):
    means = {
        rescale: {
            mode: assign(loaded, [SOLUTION], mode=mode, rescale_to_mean_one=rescale)
            .credits[0]
            .weights.mean()
            .item()
            for mode in MODES
        }
        for rescale in (False, True)
    }
    # The paper's rule mixes direction with magnitude; the option takes the magnitude out.
    assert max(means[False].values()) - min(means[False].values()) > 0.1
    assert list(means[True].values()) == pytest.approx([1.0] * len(MODES), abs=1e-5)


# Passes


@pytest.mark.parametrize("method", METHODS)
def test_trap_passes_have_dropout_off(model, method):
    # The adapter's dropout reaches every method; attention's own only the model's own attention.
    torch.manual_seed(5)
    lora = LoraConfig(
        r=4, target_modules="all-linear", lora_dropout=0.5, init_lora_weights=False, lora_alpha=4
    )
    policy = get_peft_model(copy.deepcopy(model), lora).eval()
    expected = measure(policy, requests(), method)
    policy.train()
    assert_same(measure(policy, requests(), method), expected)
    assert policy.training
    # In training mode the model does disagree with itself.
    ids = torch.tensor([random_ids(20, 1)])
    assert (policy(ids).logits - policy(ids).logits).abs().max() > 1e-2


@pytest.mark.parametrize("method", METHODS)
def test_trap_passes_make_logits_at_answer_positions_only(model, method):
    positions = []
    hook = model.lm_head.register_forward_hook(
        lambda module, inputs, output: positions.append(output.shape[:-1].numel())
    )
    measure(model, requests()[:1], method)
    hook.remove()
    # The answer's 3 tokens: unchanged, and with either span replaced.
    assert sum(positions) == (3 if method == "gradient" else 3 * 3)


def test_trap_passes_take_the_softmax_in_float32_of_a_bfloat16_model(model):
    half = copy.deepcopy(model).bfloat16()
    request = requests()[0]
    whole = torch.tensor([[*request.prompt_ids, *request.completion_ids]])
    first = len(request.prompt_ids) + request.answer.start
    with torch.no_grad():
        logits = half(whole[:, :-1]).logits[0, first - 1 :]
    targets = whole[0, first:, None]
    right, wrong = (
        log_softmax(table, dim=-1).gather(1, targets).sum().item()
        for table in (logits.float(), logits)
    )
    found = measure_drops_batch(half, [request], PAD, method="serial").baselines[0].item()
    assert found == pytest.approx(right, abs=1e-3) and abs(wrong - right) > 1e-2


def test_trap_passes_reuse_what_stands_before_a_span(model):
    prompt = random_ids(30, 1)
    spans, answer = [slice(15, 17), slice(19, 20)], slice(22, 24)
    group = [DropRequest(prompt, random_ids(24, seed), spans, answer) for seed in range(4)]
    serial, prefix = (
        measure_drops_batch(model, group, PAD, method=method) for method in ("serial", "prefix")
    )
    assert_same(prefix.drops, serial.drops)
    assert serial.tokens == 4 * 3 * 53
    # The prompt once, then each completion once, and what follows either span's start.
    assert prefix.tokens == 30 + 4 * (23 + (23 - 15) + (23 - 19))


def test_trap_passes_measure_equal_completions_once(model):
    one, two = requests()[:2]
    distinct, repeated = (
        measure_drops_batch(model, given, PAD, method="serial")
        for given in ([one, two], [one, two] * 3)
    )
    assert (repeated.passes, repeated.tokens) == (distinct.passes, distinct.tokens)
    assert_same(repeated.drops, distinct.drops * 3)


# Skipping; by group, in the trainer: tests/policy/test_trainer_traps.py


def test_trap_skipping_takes_no_pass_for_completions_without_advantage(loaded):
    other = SOLUTION.replace("Mia has", "Now Mia has")
    both, first, none = (
        assign(loaded, [SOLUTION, other], active, method="serial")
        for active in ([True, True], [True, False], [False, False])
    )
    assert none.passes == 0 < first.passes < both.passes
    assert first.credits[1].weights.eq(1).all()
    assert torch.equal(first.credits[0].weights, both.credits[0].weights)


# Modes


@pytest.mark.parametrize("mode", ["uniform", "Counterfactual", "", "none"])
def test_trap_modes_unknown_name_raises(loaded, mode):
    with pytest.raises(ValueError, match="unknown mode"):
        token_weights(torch.tensor([-1.0]), [slice(0, 1)], slice(2, 3), 4, mode)
    with pytest.raises(ValueError, match="unknown mode"):
        assign(loaded, [SOLUTION], mode=mode)


# Spans


@pytest.mark.parametrize(
    "expression",
    [r"6 \times 36 = 216", "$5 * 3 = $15", "20% * 50 = 10", "1,200 + 300 = 1,500"],
)
def test_trap_spans_pattern_misses(loaded, expression):
    text = f"Now {expression}.\n#### 7<|end|>"
    (credit,) = assign(loaded, [text], mode="random").credits
    (span,) = [span for span in credit.spans if span.kind == "arithmetic"]
    assert credit.text[span.start : span.end] == expression
    decoded = loaded[1].decode(encode(loaded[1], text)[credit.tokens[credit.spans.index(span)]])
    assert expression in decoded and len(decoded) <= len(expression) + 2


@pytest.mark.parametrize("before", ["é", "6 ×", "😀😀", "漢字。", "𝟚 "])
def test_trap_spans_do_not_drift_behind_multi_byte_pieces(loaded, before):
    tokenizer = loaded[1]
    text = f"{before * 5} so 48/2 = 24.\n#### 24"
    ids = encode(tokenizer, text)
    # Lengths of single decoded tokens add up to more than the text.
    assert sum(len(tokenizer.decode([token])) for token in ids) > len(text)
    spans, answer = find_spans(text), find_answer(text)
    *found, last = to_tokens([*spans, answer], ids, tokenizer)
    pieces = [tokenizer.decode(ids[tokens]).strip() for tokens in found]
    assert "48/2 = 24" in pieces and tokenizer.decode(ids[last]).strip() == "24"
