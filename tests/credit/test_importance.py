"""Drops against sums of log-probabilities written out here, and what must not change them."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.nn.functional import log_softmax
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from cfdapo.credit.importance import (
    INTERVENTIONS,
    METHODS,
    SINKS,
    DropRequest,
    measure_drops,
    measure_drops_batch,
    placeholder_id,
)

VOCABULARY = 61
PLACEHOLDER = 7
EXACT = {"rtol": 0.0, "atol": 1e-4}
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    # Weights this large make drops of several nats, beside which 1e-4 is little.
    "initializer_range": 0.2,
    "attention_dropout": 0.4,
}
CLASSES = {
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 8}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
}


def build(name, attention="sdpa", **changes):
    model_class, config_class, extra = CLASSES[name]
    torch.manual_seed(3)
    config = config_class(**{**SHAPE, **extra, **changes}, attn_implementation=attention)
    return model_class(config).eval()


@pytest.fixture(scope="module", params=CLASSES)
def model(request):
    return build(request.param)


@pytest.fixture(scope="module")
def qwen3():
    return build("qwen3")


def random_ids(length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(8, VOCABULARY, (length,), generator=generator).tolist()


def mixed_requests():
    """Two completions of one prompt, one of another, one alone; lengths and spans all differ."""
    shared, other = random_ids(9, 1), random_ids(4, 2)
    return [
        DropRequest(shared, random_ids(26, 3), [slice(2, 6), slice(9, 10)], slice(20, 23)),
        # A span at the completion's start and one that touches the answer.
        DropRequest(shared, random_ids(15, 4), [slice(0, 3), slice(11, 14)], slice(14, 15)),
        DropRequest(other, random_ids(31, 5), [slice(5, 12), slice(12, 20)], slice(27, 31)),
        DropRequest([9], random_ids(5, 6), [slice(0, 1)], slice(1, 3)),
    ]


@torch.no_grad()
def log_probability(model, ids, first, mask=None):
    """Equation 5 without any cleverness: all logits, then the sum from token `first` on."""
    table = log_softmax(model(torch.tensor([ids]), attention_mask=mask).logits[0].float(), dim=-1)
    return sum(float(table[t - 1, ids[t]]) for t in range(first, len(ids)))


def reference_drop(model, request, span, intervention="pad", sink="answer"):
    """Equation 3 for one span, every sequence put together by hand."""
    prompt, offset = list(request.prompt_ids), len(request.prompt_ids)
    completion = list(request.completion_ids)[: request.answer.stop]
    before, step, after = (
        completion[: span.start],
        completion[span],
        completion[span.stop :],
    )
    target = completion[request.answer] if sink == "answer" else after
    whole = prompt + completion
    kept = log_probability(model, whole, len(whole) - len(target))
    if intervention == "pad":
        masked = prompt + before + [PLACEHOLDER] * len(step) + after
        return log_probability(model, masked, len(masked) - len(target)) - kept
    if intervention == "delete":
        masked = prompt + before + after
        return log_probability(model, masked, len(masked) - len(target)) - kept
    if intervention == "truncate":
        without, with_step = prompt + before + target, prompt + before + step + target
        return log_probability(model, without, len(without) - len(target)) - log_probability(
            model, with_step, len(with_step) - len(target)
        )
    blocked = torch.full((len(whole), len(whole)), float("-inf")).triu(1)
    blocked[offset + span.stop :, offset + span.start : offset + span.stop] = float("-inf")
    first = len(whole) - len(target)
    return log_probability(model, whole, first, blocked[None, None]) - kept


def references(model, requests, **options):
    return [
        torch.tensor([reference_drop(model, request, span, **options) for span in request.spans])
        for request in requests
    ]


def assert_same(found, expected, **tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **(tolerance or EXACT))


@pytest.mark.parametrize("method", ["prefix", "serial"])
@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("intervention", INTERVENTIONS)
def test_drops_are_those_of_the_equation(model, intervention, sink, method):
    requests = mixed_requests()
    options = {"intervention": intervention, "sink": sink}
    expected = references(model, requests, **options)
    assert max(drops.abs().max() for drops in expected) > 0.3
    found = measure_drops_batch(model, requests, PLACEHOLDER, method=method, **options)
    assert_same(found.drops, expected)
    baselines = [
        log_probability(
            model,
            [*r.prompt_ids, *r.completion_ids[: r.answer.stop]],
            len(r.prompt_ids) + r.answer.start,
        )
        for r in requests
    ]
    torch.testing.assert_close(found.baselines, torch.tensor(baselines), **EXACT)


@pytest.mark.parametrize("method", ["prefix", "serial"])
def test_eager_attention_gives_the_same(method):
    model = build("llama", attention="eager")
    for intervention in ("pad", "attention"):
        found = measure_drops_batch(
            model, mixed_requests(), PLACEHOLDER, method=method, intervention=intervention
        )
        assert_same(found.drops, references(model, mixed_requests(), intervention=intervention))


def test_one_completion_returns_a_plain_tensor(qwen3):
    request = mixed_requests()[0]
    drops = measure_drops(
        qwen3,
        torch.tensor(request.prompt_ids),
        torch.tensor(request.completion_ids),
        request.spans,
        request.answer,
        PLACEHOLDER,
    )
    assert drops.dtype == torch.float32 and drops.shape == (2,) and not drops.requires_grad
    assert_same([drops], references(qwen3, [request]))


def test_ten_spans_of_one_token_each(qwen3):
    spans = [slice(2 * k, 2 * k + 1) for k in range(10)]
    request = DropRequest(random_ids(6, 1), random_ids(24, 2), spans, slice(22, 24))
    found = measure_drops_batch(qwen3, [request], PLACEHOLDER)
    assert found.drops[0].shape == (10,)
    assert_same(found.drops, references(qwen3, [request]))


@pytest.mark.parametrize("method", METHODS)
def test_no_span_needs_no_pass(qwen3, method):
    at_once = DropRequest(random_ids(6, 1), random_ids(3, 2), [], slice(0, 2))
    found = measure_drops_batch(qwen3, [at_once], PLACEHOLDER, method=method)
    assert found.drops[0].shape == (0,) and found.drops[0].dtype == torch.float32
    assert found.baselines.isnan().all()
    assert (found.passes, found.tokens) == (0, 0)


def test_a_request_without_spans_leaves_its_neighbours_alone(qwen3):
    requests = mixed_requests()
    empty = DropRequest(requests[0].prompt_ids, random_ids(8, 9), [], slice(6, 8))
    found = measure_drops_batch(qwen3, [empty, *requests], PLACEHOLDER)
    assert found.drops[0].shape == (0,)
    assert_same(found.drops[1:], references(qwen3, requests))


@pytest.mark.parametrize("method", METHODS)
def test_score_ignores_300_pads_after_the_answer(qwen3, method):
    # The trap of AlignTune's score, which summed up to the padded width: 12.4 became 38.0.
    requests = mixed_requests()
    padded = [
        DropRequest(r.prompt_ids, [*r.completion_ids, *[PLACEHOLDER] * 300], r.spans, r.answer)
        for r in requests
    ]
    plain = measure_drops_batch(qwen3, requests, PLACEHOLDER, method=method)
    found = measure_drops_batch(qwen3, padded, PLACEHOLDER, method=method)
    assert_same(found.drops, plain.drops, rtol=0.0, atol=0.0)
    assert found.tokens == plain.tokens


@pytest.mark.parametrize("method", METHODS)
def test_neighbours_and_grouping_change_nothing(qwen3, method):
    requests = mixed_requests()
    alone = [
        measure_drops_batch(qwen3, [request], PLACEHOLDER, method=method).drops[0]
        for request in requests
    ]
    together = measure_drops_batch(qwen3, requests, PLACEHOLDER, method=method).drops
    backwards = measure_drops_batch(qwen3, requests[::-1], PLACEHOLDER, method=method).drops[::-1]
    assert_same(together, alone)
    assert_same(backwards, alone)


@pytest.mark.parametrize("side", ["left", "right"])
def test_score_is_that_of_a_padded_batch_on_either_side(qwen3, side):
    requests = mixed_requests()
    expected = []
    for request in requests:
        whole = [*request.prompt_ids, *request.completion_ids[: request.answer.stop]]
        rows = [whole]
        for span in request.spans:
            start, stop = (len(request.prompt_ids) + edge for edge in (span.start, span.stop))
            rows.append(whole[:start] + [PLACEHOLDER] * (stop - start) + whole[stop:])
        pads, width = 13, len(whole) + 13
        before, after = (pads, 0) if side == "left" else (0, pads)
        ids = torch.tensor([[0] * before + row + [0] * after for row in rows])
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        mask[:, before : width - after] = 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad():
            logits = qwen3(ids, attention_mask=mask, position_ids=positions).logits
        table = log_softmax(logits, dim=-1)
        columns = range(
            before + len(request.prompt_ids) + request.answer.start, before + len(whole)
        )
        scores = torch.stack([table[:, t - 1].gather(1, ids[:, [t]])[:, 0] for t in columns]).sum(0)
        expected.append(scores[1:] - scores[0])
    assert_same(measure_drops_batch(qwen3, requests, PLACEHOLDER).drops, expected)


@pytest.mark.parametrize("method", ["prefix", "gradient"])
@pytest.mark.parametrize("budget", [1, 20, 45, 70])
def test_cutting_into_passes_changes_nothing_and_repeats_nothing(model, budget, method):
    requests = mixed_requests()
    whole = measure_drops_batch(model, requests, PLACEHOLDER, method=method)
    cut = measure_drops_batch(model, requests, PLACEHOLDER, method=method, token_budget=budget)
    assert whole.passes == 1 < cut.passes
    assert whole.tokens == cut.tokens
    assert_same(cut.drops, whole.drops)


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("intervention", INTERVENTIONS)
def test_cut_passes_hold_for_every_intervention(qwen3, intervention, sink):
    options = {"intervention": intervention, "sink": sink, "token_budget": 25}
    found = measure_drops_batch(qwen3, mixed_requests(), PLACEHOLDER, **options)
    assert found.passes > 2
    del options["token_budget"]
    assert_same(found.drops, references(qwen3, mixed_requests(), **options))


def test_budget_bounds_the_tensors_of_a_pass(qwen3):
    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.elements = max(self.elements, out.numel())
            return out

    requests = [
        DropRequest(
            random_ids(12, 1), random_ids(60, 10 + i), [slice(8, 12), slice(20, 30)], slice(57, 60)
        )
        for i in range(24)
    ]
    largest = {}
    for budget in (200, 400, 10_000):
        with Largest() as watch:
            measure_drops_batch(qwen3, requests, PLACEHOLDER, token_budget=budget)
        largest[budget] = watch.elements
    # Per token: intermediate activations, or keys of 72 tokens of context and their mask.
    assert largest[200] < 200 * 72 * 8
    assert largest[400] < 400 * 72 * 8 < largest[10_000]


def test_work_is_what_stands_behind_each_span_and_nothing_more(qwen3):
    prompt, completions = random_ids(30, 1), [random_ids(25, 20 + i) for i in range(4)]
    spans = [slice(5, 8), slice(12, 15)]
    requests = [DropRequest(prompt, ids, spans, slice(20, 22)) for ids in completions]
    serial = measure_drops_batch(qwen3, requests, PLACEHOLDER, method="serial")
    # The last of 30 + 22 tokens is predicted and never an input.
    assert (serial.passes, serial.tokens) == (4 * 3, 4 * 3 * 51)
    prefix = measure_drops_batch(qwen3, requests, PLACEHOLDER)
    # The prompt once; per completion 21 tokens, 16 from the first span on, 9 from the second.
    assert (prefix.passes, prefix.tokens) == (1, 30 + 4 * (21 + 16 + 9))
    for budget, passes in ((214, 1), (213, 2)):
        found = measure_drops_batch(qwen3, requests, PLACEHOLDER, token_budget=budget)
        assert found.passes == passes
    gradient = measure_drops_batch(qwen3, requests, PLACEHOLDER, method="gradient")
    assert (gradient.passes, gradient.tokens) == (1, 30 + 4 * 21)


@pytest.mark.parametrize("method", METHODS)
def test_logits_are_made_for_answer_positions_only(method):
    model = build("qwen3")
    positions = []
    model.lm_head.register_forward_hook(
        lambda module, inputs, output: positions.append(output.shape[:-1].numel())
    )
    request = DropRequest(random_ids(9, 1), random_ids(26, 3), [slice(2, 6)], slice(20, 23))
    measure_drops_batch(model, [request], PLACEHOLDER, method=method)
    sequences = 1 if method == "gradient" else 2
    assert sum(positions) == 3 * sequences


@pytest.mark.parametrize("method", METHODS)
def test_equal_requests_are_measured_once(qwen3, method):
    one = mixed_requests()[0]
    # What follows the answer is no difference.
    twin = DropRequest(
        torch.tensor(one.prompt_ids), [*one.completion_ids[:23], 1, 2], one.spans, one.answer
    )
    single = measure_drops_batch(qwen3, [one], PLACEHOLDER, method=method)
    double = measure_drops_batch(qwen3, [one, twin], PLACEHOLDER, method=method)
    assert (double.passes, double.tokens) == (single.passes, single.tokens)
    assert_same(double.drops, single.drops * 2)
    double.drops[0].zero_()
    assert double.drops[1].abs().min() > 0


@pytest.mark.parametrize("method", METHODS)
def test_passes_have_no_dropout_and_restore_the_training_state(method):
    model = build("llama")
    expected = measure_drops_batch(model, mixed_requests(), PLACEHOLDER, method=method).drops
    model.train()
    model.model.layers[0].eval()
    model.model.embed_tokens.weight.requires_grad_(False)
    state = {name: module.training for name, module in model.named_modules()}
    trainable = {name: weight.requires_grad for name, weight in model.named_parameters()}
    found = measure_drops_batch(model, mixed_requests(), PLACEHOLDER, method=method)
    assert_same(found.drops, expected)
    assert state == {name: module.training for name, module in model.named_modules()}
    assert trainable == {name: weight.requires_grad for name, weight in model.named_parameters()}
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(drops.requires_grad for drops in found.drops)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("method", METHODS)
def test_state_is_restored_after_an_error(method):
    model = build("qwen2").train()
    foreign = DropRequest([1, VOCABULARY + 5], random_ids(9, 1), [slice(1, 3)], slice(6, 8))
    with pytest.raises(IndexError):
        measure_drops_batch(model, [foreign], PLACEHOLDER, method=method)
    assert all(module.training for module in model.modules())
    assert model.config._attn_implementation == "sdpa"
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("method", METHODS)
def test_lora_counts_as_if_merged(method):
    base = build("qwen3")
    plain = measure_drops_batch(base, mixed_requests(), PLACEHOLDER, method=method).drops
    torch.manual_seed(5)
    lora = LoraConfig(
        r=4, target_modules="all-linear", lora_dropout=0.5, init_lora_weights=False, lora_alpha=4
    )
    wrapped = get_peft_model(base, lora).train()
    found = measure_drops_batch(wrapped, mixed_requests(), PLACEHOLDER, method=method).drops
    merged = copy.deepcopy(wrapped).merge_and_unload().eval()
    expected = measure_drops_batch(merged, mixed_requests(), PLACEHOLDER, method=method).drops
    assert_same(found, expected, rtol=1e-4, atol=2e-4)
    if method != "gradient":
        assert_same(found, references(merged, mixed_requests()), rtol=1e-4, atol=2e-4)
    assert (found[0] - plain[0]).abs().max() > 0.1


def test_bfloat16_agrees_with_serial():
    model = build("qwen2").bfloat16()
    serial, prefix = (
        torch.cat(measure_drops_batch(model, mixed_requests(), PLACEHOLDER, method=method).drops)
        for method in ("serial", "prefix")
    )
    assert serial.dtype == torch.float32
    assert (serial - prefix).abs().max() <= 2e-2 * serial.abs().max()


def embedding_gradient(model, request):
    """The answer's log-probability differentiated at the input embeddings, in one plain pass."""
    whole = [*request.prompt_ids, *request.completion_ids[: request.answer.stop]]
    embedded = model.get_input_embeddings()(torch.tensor([whole])).detach().requires_grad_()
    table = log_softmax(model(inputs_embeds=embedded).logits[0], dim=-1)
    first = len(request.prompt_ids) + request.answer.start
    sum(table[t - 1, whole[t]] for t in range(first, len(whole))).backward()
    model.zero_grad(set_to_none=True)
    return embedded.detach()[0], embedded.grad[0]


def test_gradient_is_the_first_order_term(model):
    requests = mixed_requests()
    placeholder = model.get_input_embeddings().weight[PLACEHOLDER].detach()
    expected = []
    for request in requests:
        embedded, gradient = embedding_gradient(model, request)
        change = ((placeholder - embedded) * gradient).sum(-1)[len(request.prompt_ids) :]
        expected.append(torch.stack([change[span].sum() for span in request.spans]))
    found = measure_drops_batch(model, requests, PLACEHOLDER, method="gradient")
    assert_same(found.drops, expected, rtol=1e-4, atol=1e-4)


def test_gradient_tends_to_the_drop_as_the_placeholder_nears_the_span(qwen3):
    model = copy.deepcopy(qwen3)
    completion = random_ids(20, 3)
    completion[4:7] = [11, 11, 11]
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        direction = torch.randn(weight.shape[1], generator=torch.Generator().manual_seed(1))
        weight[PLACEHOLDER] = weight[11] + 1e-3 * direction
    arguments = (model, random_ids(5, 2), completion, [slice(4, 7)], slice(17, 20), PLACEHOLDER)
    exact, estimate = measure_drops(*arguments), measure_drops(*arguments, method="gradient")
    assert estimate.abs() > 1e-3
    torch.testing.assert_close(estimate, exact, rtol=3e-2, atol=0.0)


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"method": "fast"}, "prefix, serial, gradient"),
        ({"intervention": "uniform"}, "pad, delete, attention, truncate"),
        ({"sink": "all"}, "answer, rest"),
    ],
)
def test_unknown_names_are_refused_with_what_is_allowed(qwen3, options, allowed):
    with pytest.raises(ValueError, match=allowed):
        measure_drops_batch(qwen3, mixed_requests(), PLACEHOLDER, **options)


@pytest.mark.parametrize("options", [{"intervention": "delete"}, {"sink": "rest"}])
def test_gradient_refuses_what_it_does_not_estimate(qwen3, options):
    with pytest.raises(ValueError, match="gradient"):
        measure_drops_batch(qwen3, mixed_requests(), PLACEHOLDER, method="gradient", **options)


@pytest.mark.parametrize(
    ("spans", "answer", "message"),
    [
        ([slice(0, 2)], slice(6, 6), "answer"),
        ([slice(0, 2)], slice(8, 11), "answer"),
        ([slice(0, 2)], slice(-3, -1), "answer"),
        ([slice(4, 7)], slice(6, 8), "span"),
        ([slice(8, 9)], slice(6, 8), "span"),
        ([slice(3, 3)], slice(6, 8), "span"),
        ([slice(-2, 3)], slice(6, 8), "span"),
        ([], slice(6, 6), "answer"),
    ],
)
def test_senseless_slices_are_refused(qwen3, spans, answer, message):
    with pytest.raises(ValueError, match=message):
        measure_drops(qwen3, [1, 2], random_ids(10, 1), spans, answer, PLACEHOLDER)


def test_an_empty_prompt_is_refused(qwen3):
    with pytest.raises(ValueError, match="prompt"):
        measure_drops(qwen3, [], random_ids(10, 1), [slice(0, 2)], slice(6, 8), PLACEHOLDER)


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("intervention", INTERVENTIONS)
@pytest.mark.parametrize("method", ["prefix", "serial"])
def test_a_sliding_window_shorter_than_the_sequence_is_kept_to(method, intervention, sink):
    changes = {"use_sliding_window": True, "max_window_layers": 1}
    short, wide = (build("qwen2", sliding_window=size, **changes) for size in (8, 64))
    options = {"intervention": intervention, "sink": sink}
    if intervention == "attention":
        # The reference's mask takes the place of the window's: other layers cannot be told apart.
        expected = measure_drops_batch(short, mixed_requests(), PLACEHOLDER, **options).drops
    else:
        expected = references(short, mixed_requests(), **options)
    found = measure_drops_batch(short, mixed_requests(), PLACEHOLDER, method=method, **options)
    assert_same(found.drops, expected)
    far = measure_drops_batch(wide, mixed_requests(), PLACEHOLDER, method=method, **options)
    assert max((a - b).abs().max() for a, b in zip(far.drops, found.drops, strict=True)) > 0.01


def test_a_model_with_attention_of_its_own_is_run_whole_with_a_warning():
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=1, n_head=2)
    bloom = BloomForCausalLM(config).eval()
    with pytest.warns(UserWarning, match="times as many tokens"):
        prefix = measure_drops_batch(bloom, mixed_requests(), PLACEHOLDER)
    serial = measure_drops_batch(bloom, mixed_requests(), PLACEHOLDER, method="serial")
    assert_same(prefix.drops, references(bloom, mixed_requests()))
    assert_same(serial.drops, references(bloom, mixed_requests()))
    assert prefix.passes < serial.passes


def tokenizer(**special):
    words = {"a": 0, "<end>": 1, "<pad>": 2}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words)), **special)


def test_placeholder_is_the_pad_token_else_the_end_of_text():
    assert placeholder_id(tokenizer(pad_token="<pad>", eos_token="<end>")) == 2
    assert placeholder_id(tokenizer(eos_token="<end>")) == 1
    with pytest.raises(ValueError, match="pad"):
        placeholder_id(tokenizer())
