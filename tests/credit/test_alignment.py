"""Characters to tokens, for byte-level BPE and for the decoders of sentencepiece models."""

import functools
import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from cfdapo.credit.alignment import completion_text, to_tokens, token_offsets
from cfdapo.credit.spans import Span, find_answer, find_spans

CORPUS = [
    "Natalia sold 48/2 = 24 clips in May. 6 × 36 = 216.",
    "café × 6 = 36 😀 漢字, naïve 😀😀 the cat  sat on the\n\nmat",
    "#### 18",
] * 3
REPLACEMENT = "\ufffd"


def wrap(backend: Tokenizer, end: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end)


@functools.cache
def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2, Llama-3 and Qwen: 256 byte tokens, merges, special and added tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=320,
            initial_alphabet=sorted(alphabet),
            special_tokens=["<|end|>"],
            show_progress=False,
        ),
    )
    backend.add_tokens([AddedToken("<think>"), AddedToken("漢字")])
    return wrap(backend, "<|end|>")


@functools.cache
def byte_fallback(strip: bool = True) -> PreTrainedTokenizerFast:
    """As Llama-2 (`strip`) and Gemma: ▁ for a space, <0xE2> for bytes outside the vocabulary."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.train_from_iterator(
        ["Natalia sold 48/2 = 24 clips in May. é"] * 3,
        trainers.BpeTrainer(
            vocab_size=330, special_tokens=["<unk>", "</s>", *byte_tokens], show_progress=False
        ),
    )
    # The trainer makes the byte tokens special; in a sentencepiece model they are not.
    settings = json.loads(backend.to_str())
    settings["added_tokens"] = settings["added_tokens"][:2]
    backend = Tokenizer.from_str(json.dumps(settings))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * strip)
    return wrap(backend, "</s>")


@functools.cache
def metaspace(scheme: str = "always") -> PreTrainedTokenizerFast:
    """As T5: unigrams, the first token's ▁ stands for nothing."""
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
    backend.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=90,
            special_tokens=["<unk>", "</s>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    return wrap(backend, "</s>")


TOKENIZERS = {
    "byte-level": byte_level,
    "byte-fallback": byte_fallback,
    "byte-fallback-unstripped": lambda: byte_fallback(strip=False),
    "metaspace": metaspace,
    "metaspace-never": lambda: metaspace("never"),
}
EVERY_TOKENIZER = pytest.mark.parametrize("name", TOKENIZERS)
# Every id, a few beyond the vocabulary (models have more rows than tokens), and many bytes.
RANDOM_IDS = st.lists(st.one_of(st.integers(0, 340), st.integers(0, 260)), max_size=30)
TEXTS = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("é×😀漢 4=a\n")))


def decode(ids: list[int], tokenizer: PreTrainedTokenizerFast) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@EVERY_TOKENIZER
@settings(max_examples=150, deadline=None)
@given(ids=RANDOM_IDS)
def test_offsets_of_any_ids_cover_the_decoded_text(name: str, ids: list[int]) -> None:
    tokenizer = TOKENIZERS[name]()
    text = completion_text(ids, tokenizer)
    assert text == decode(ids, tokenizer)
    offsets = token_offsets(ids, tokenizer)
    assert len(offsets) == len(ids)
    assert {c for start, end in offsets for c in range(start, end)} == set(range(len(text)))
    for (start, end), (next_start, next_end) in zip(offsets, offsets[1:], strict=False):
        assert start <= next_start and end <= next_end
        # Neighbours share at most the one character whose bytes they hold.
        assert end - next_start <= 1


@EVERY_TOKENIZER
# Of sentencepiece's byte tokens most random runs are no valid text.
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(ids=RANDOM_IDS)
def test_a_token_ends_where_the_text_up_to_it_ends(name: str, ids: list[int]) -> None:
    """Decoding the first tokens gives exactly the text they cover, where it gives valid text."""
    tokenizer = TOKENIZERS[name]()
    text, offsets = decode(ids, tokenizer), token_offsets(ids, tokenizer)
    # A later byte can make a whole run of sentencepiece's byte tokens invalid.
    assume("fallback" not in name or REPLACEMENT not in text)
    for count in range(1, len(ids) + 1):
        prefix = decode(ids[:count], tokenizer)
        if REPLACEMENT not in prefix:
            assert text.startswith(prefix)
            assert offsets[count - 1][1] == len(prefix)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_offsets_of_an_encoding_equal_the_tokenizers_own(text: str) -> None:
    encoded = byte_level()(text, add_special_tokens=False, return_offsets_mapping=True)
    assume("<|end|>" not in text)
    assert completion_text(encoded["input_ids"], byte_level()) == text
    assert token_offsets(encoded["input_ids"], byte_level()) == encoded["offset_mapping"]


@settings(max_examples=150, deadline=None)
@given(ids=RANDOM_IDS, data=st.data())
def test_a_slice_decodes_to_its_span_and_is_the_smallest(
    ids: list[int], data: st.DataObject
) -> None:
    tokenizer = byte_level()
    text = decode(ids, tokenizer)
    assume(text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    (tokens,) = to_tokens([Span(start, end, "sentence")], ids, tokenizer)
    assert text[start:end] in decode(ids[tokens], tokenizer)
    # The tokens before the slice do not reach into the span, but its first token does.
    assert len(decode(ids[: tokens.start], tokenizer)) <= start
    assert len(decode(ids[: tokens.start + 1], tokenizer)) > start
    # Its last token is needed: without it the text is not yet complete up to the span's end.
    shorter = decode(ids[: tokens.stop - 1], tokenizer)
    assert len(shorter) < end or shorter[end - 1] != text[end - 1] or REPLACEMENT in shorter


@EVERY_TOKENIZER
@settings(max_examples=100, deadline=None)
@given(ids=RANDOM_IDS, data=st.data())
def test_slices_are_disjoint_and_the_last_is_whole(name: str, ids: list[int], data) -> None:
    tokenizer = TOKENIZERS[name]()
    text = decode(ids, tokenizer)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = [Span(*pair, "sentence") for pair in zip(cuts[::2], cuts[1::2], strict=False)]
    slices = to_tokens(spans, ids, tokenizer)
    assert len(slices) == len(spans)
    for earlier, later in zip(slices, slices[1:], strict=False):
        assert earlier.start <= earlier.stop <= later.start
    if spans:
        assert slices[-1] == to_tokens(spans[-1:], ids, tokenizer)[0]
    taken = {token for tokens in slices for token in range(tokens.start, tokens.stop)}
    for token, (start, end) in enumerate(token_offsets(ids, tokenizer)):
        overlaps = any(start < span.end and span.start < end for span in spans)
        assert (token in taken) == overlaps or start == end


@pytest.mark.parametrize("name", ["byte-level", "byte-fallback", "byte-fallback-unstripped"])
def test_spans_of_a_solution_in_tokens(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    solution = "Natalia’s café 😀: 6 × 36 = 216 clips.\n48/2 = 24 × 漢\n#### 18"
    ids = tokenizer(solution, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    text = completion_text(ids, tokenizer)
    spans, answer = find_spans(text), find_answer(text)
    pieces = [
        decode(ids[tokens], tokenizer) for tokens in to_tokens([*spans, answer], ids, tokenizer)
    ]
    assert [piece.strip() for piece in pieces] == ["6 × 36 = 216", "48/2 = 24", "18"]


def test_summing_the_lengths_of_single_decoded_tokens_drifts_but_offsets_do_not() -> None:
    """The authors' mapping (peers, Spans) misplaces what follows a multi-byte character."""
    tokenizer = byte_level()
    text = "𝟚 😁 48/2 = 24"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert sum(len(decode([token], tokenizer)) for token in ids) > len(text)
    (tokens,) = to_tokens([Span(3, len(text), "arithmetic")], ids, tokenizer)
    assert decode(ids[tokens], tokenizer) == " 48/2 = 24"


def test_truncated_character_at_the_end_is_one_replacement_character() -> None:
    tokenizer = byte_level()
    ids = tokenizer("a𝟚", add_special_tokens=False)["input_ids"][:-1]
    assert len(ids) == 4
    assert completion_text(ids, tokenizer) == "a" + REPLACEMENT
    assert token_offsets(ids, tokenizer) == [(0, 1), (1, 2), (1, 2), (1, 2)]


def test_special_and_unknown_tokens_have_no_characters() -> None:
    tokenizer = byte_level()
    a, end = tokenizer.convert_tokens_to_ids("a"), tokenizer.eos_token_id
    ids = [end, a, end, len(tokenizer) + 5, a, end]
    assert token_offsets(ids, tokenizer) == [(0, 0), (0, 1), (1, 1), (1, 1), (1, 2), (2, 2)]
    spans = [Span(0, 1, "sentence"), Span(1, 2, "answer")]
    assert to_tokens(spans, ids, tokenizer) == [slice(1, 2), slice(4, 5)]
    assert to_tokens([Span(0, 2, "sentence")], ids, tokenizer) == [slice(1, 5)]


def test_the_first_space_of_sentencepiece_is_no_character() -> None:
    tokenizer = byte_fallback()
    space, a = tokenizer.convert_tokens_to_ids(["▁", "a"])
    assert completion_text([space, a, space, a], tokenizer) == "a a"
    assert token_offsets([space, a, space, a], tokenizer) == [(0, 0), (0, 1), (1, 2), (2, 3)]


def test_bytes_of_sentencepiece_are_a_character_only_together() -> None:
    tokenizer = byte_fallback()
    ids = tokenizer.convert_tokens_to_ids(["<0xC3>", "<0xA9>", "a", "<0xC3>", "<0xA9>", "<0xFF>"])
    assert completion_text(ids, tokenizer) == "éa" + 3 * REPLACEMENT
    assert token_offsets(ids, tokenizer) == [(0, 1), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_a_token_of_two_spans_belongs_to_the_later() -> None:
    tokenizer = byte_level()
    ids = tokenizer("漢字", add_special_tokens=False)["input_ids"]
    assert len(ids) == 1
    spans = [Span(0, 1, "sentence"), Span(1, 2, "answer")]
    assert to_tokens(spans, ids, tokenizer) == [slice(0, 0), slice(0, 1)]


def test_no_spans_and_no_tokens() -> None:
    assert to_tokens([], [], byte_level()) == []
    assert token_offsets([], byte_level()) == []
    assert completion_text([], byte_level()) == ""


@pytest.mark.parametrize(
    "spans",
    [
        [Span(0, 99, "sentence")],
        [Span(1, 1, "sentence")],
        [Span(1, 3, "sentence"), Span(2, 4, "sentence")],
        [Span(2, 3, "sentence"), Span(0, 1, "sentence")],
    ],
)
def test_ranges_that_are_no_sorted_spans_of_the_text_raise(spans: list[Span]) -> None:
    ids = byte_level()("48/2 = 24", add_special_tokens=False)["input_ids"]
    with pytest.raises(ValueError, match="is empty, out of order or not within"):
        to_tokens(spans, ids, byte_level())


def test_a_decoder_that_cannot_be_aligned_raises() -> None:
    backend = Tokenizer(models.WordPiece({"a": 0, "##b": 1}, unk_token="a"))
    with pytest.raises(ValueError, match="has no decoder"):
        token_offsets([0, 1], PreTrainedTokenizerFast(tokenizer_object=backend))
    backend.decoder = decoders.WordPiece()
    with pytest.raises(ValueError, match="WordPiece"):
        token_offsets([0, 1], PreTrainedTokenizerFast(tokenizer_object=backend))
