"""Map characters of a completion's text to its own token ids, exactly and without re-tokenising.

A tokenizer's decoder turns tokens into text in a few steps, each of which is repeated here on
characters that remember the tokens they came from. Decoding the tokens one by one and adding up
the lengths would drift: a token may hold a part of a multi-byte character, and what a token
decodes to depends on its neighbours (leading spaces, runs of byte tokens).
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol


class CharacterRange(Protocol):
    """Anything with a `start` and an `end` (exclusive) in characters, such as a `Span`."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class _Character(NamedTuple):
    """A character of the text, and the first and last token that hold a byte of it."""

    text: str
    first: int
    last: int


# What the decoder's steps pass on: pieces of text, at first one for each token.
_Piece = list[_Character]

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def completion_text(completion_ids: Iterable[int], tokenizer: Any) -> str:
    """The text that spans index into: the decoded completion.

    Special tokens contribute no characters, and spaces are not cleaned up. Every character
    offset in `cfdapo.credit` refers to this string.
    """
    return tokenizer.decode(
        _ids(completion_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def token_offsets(completion_ids: Iterable[int], tokenizer: Any) -> list[tuple[int, int]]:
    """Range of characters (start, end exclusive) of each token within `completion_text`.

    One pair for each of the completion's T tokens. A token that holds a part of a multi-byte
    character covers that character, so neighbours may overlap by one character. A token without
    characters (special, unknown to the vocabulary, or a stripped space) has start == end, at the
    place where it stands; between the bytes of one character it counts as holding that one.
    Starts and ends never decrease.

    Raises ValueError for a tokenizer whose decoder is neither byte-level nor sentencepiece, and
    for one whose own decoding differs from these offsets: rather no offsets than wrong ones.
    """
    ids = _ids(completion_ids)
    characters = _decode(_token_strings(ids, tokenizer), _decoder_steps(tokenizer))
    if "".join(character.text for character in characters) != completion_text(ids, tokenizer):
        raise ValueError(f"{type(tokenizer).__name__} decodes in a way that cannot be aligned")
    starts: list[int | None] = [None] * len(ids)
    ends = [0] * len(ids)
    for position, character in enumerate(characters):
        for token in range(character.first, character.last + 1):
            starts[token] = position if starts[token] is None else starts[token]
            ends[token] = position + 1
    offsets, here = [], 0
    for start, end in zip(starts, ends, strict=True):
        offsets.append((here, here) if start is None else (start, end))
        here = offsets[-1][1]
    return offsets


def to_tokens(
    spans: Sequence[CharacterRange], completion_ids: Iterable[int], tokenizer: Any
) -> list[slice]:
    """Token slice of each span; `spans` are sorted and disjoint, in characters.

    A token that shares at least one character with a span belongs to it. Where two spans share a
    token it belongs to the later one, so that the answer, which is the last, is always whole:
    pass it with the spans, as `to_tokens([*spans, answer], ...)`. The slices are therefore
    disjoint and in order. A slice is empty only if its span lies within a token that the next
    span takes. A token without characters in the middle of a span is within its slice.

    Raises ValueError for spans that are empty, overlap, are out of order or reach beyond the text,
    and as `token_offsets` does.
    """
    offsets = token_offsets(completion_ids, tokenizer)
    _check_ranges(spans, length=offsets[-1][1] if offsets else 0)
    slices, token = [], 0
    for span in spans:
        while token < len(offsets) and offsets[token][1] <= span.start:
            token += 1
        stop = token
        while stop < len(offsets) and offsets[stop][0] < span.end:
            stop += 1
        slices.append(slice(token, stop))
    for earlier, later in pairwise(range(len(slices))):
        stop = min(slices[earlier].stop, slices[later].start)
        slices[earlier] = slice(slices[earlier].start, stop)
    return slices


def _check_ranges(spans: Sequence[CharacterRange], length: int) -> None:
    """Raise ValueError unless `spans` are sorted, disjoint, not empty and within the text."""
    here = 0
    for span in spans:
        if not here <= span.start < span.end <= length:
            raise ValueError(f"{span} is empty, out of order or not within {length} characters")
        here = span.end


def _ids(completion_ids: Iterable[int]) -> list[int]:
    """Plain integers, from a list, an array or a tensor of shape (T,)."""
    return [int(token) for token in completion_ids]


def _token_strings(ids: list[int], tokenizer: Any) -> list[str | None]:
    """The vocabulary's string of each token, None for tokens that decoding skips."""
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    backend = tokenizer.backend_tokenizer
    return [None if token in special else backend.id_to_token(token) for token in ids]


def _decoder_steps(tokenizer: Any) -> list[dict[str, Any]]:
    """The settings of each of the decoder's steps, in order."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        raise ValueError(f"{type(tokenizer).__name__} has no decoder: a fast tokenizer is needed")
    settings = json.loads(decoder.__getstate__())
    steps = settings["decoders"] if settings["type"] == "Sequence" else [settings]
    unknown = [step["type"] for step in steps if step["type"] not in _STEPS]
    if unknown:
        raise ValueError(f"cannot align a decoder with {unknown}; it may use {sorted(_STEPS)}")
    return steps


def _decode(tokens: list[str | None], steps: list[dict[str, Any]]) -> list[_Character]:
    """The text's characters, with their tokens, after all of the decoder's steps."""
    pieces: list[_Piece] = [
        [_Character(character, index, index) for character in token]
        for index, token in enumerate(tokens)
        if token is not None
    ]
    for step in steps:
        pieces = _STEPS[step["type"]](pieces, step)
    return [character for piece in pieces for character in piece]


def _byte_level(pieces: list[_Piece], _: dict[str, Any]) -> list[_Piece]:
    """GPT-2's decoder: characters stand for bytes, and all bytes are decoded together."""
    table = _byte_of_character()
    data, tokens = bytearray(), []
    for piece in pieces:
        # A token with a character outside the table was added as text, not as bytes.
        if all(character.text in table for character in piece):
            encoded = bytes(table[character.text] for character in piece)
        else:
            encoded = _text(piece).encode()
        data += encoded
        tokens += [piece[0].first] * len(encoded) if piece else []
    return [_decode_utf8(bytes(data), tokens)]


def _byte_fallback(pieces: list[_Piece], _: dict[str, Any]) -> list[_Piece]:
    """Sentencepiece's decoder for <0xE2>: a run of byte tokens is text, or one U+FFFD a byte."""
    done: list[_Piece] = []
    run: list[tuple[int, int]] = []

    def close_run() -> None:
        data = bytes(byte for byte, _ in run)
        tokens = [token for _, token in run]
        try:
            data.decode()
        except UnicodeDecodeError:
            done.append([_Character("\ufffd", token, token) for token in tokens])
        else:
            done.append(_decode_utf8(data, tokens))
        run.clear()

    for piece in pieces:
        if match := _BYTE_TOKEN.fullmatch(_text(piece)):
            run.append((int(match[1], 16), piece[0].first))
            continue
        close_run()
        done.append(piece)
    close_run()
    return done


def _metaspace(pieces: list[_Piece], step: dict[str, Any]) -> list[_Piece]:
    """Sentencepiece's ▁ is a space, but stands for nothing in the first token."""
    drop_first = step["prepend_scheme"] != "never"
    return [
        [
            character._replace(text=" ") if character.text == step["replacement"] else character
            for character in piece
            if not (index == 0 and drop_first and character.text == step["replacement"])
        ]
        for index, piece in enumerate(pieces)
    ]


def _replace(pieces: list[_Piece], step: dict[str, Any]) -> list[_Piece]:
    """Replace a fixed string by another within each piece."""
    pattern = step["pattern"].get("String")
    if not pattern:
        raise ValueError(f"cannot align a decoder that replaces {step['pattern']}")
    return [_replace_in_piece(piece, pattern, step["content"]) for piece in pieces]


def _replace_in_piece(piece: _Piece, pattern: str, content: str) -> _Piece:
    text, done, here = _text(piece), [], 0
    while (found := text.find(pattern, here)) >= 0:
        first, last = piece[found].first, piece[found + len(pattern) - 1].last
        done += piece[here:found] + [_Character(new, first, last) for new in content]
        here = found + len(pattern)
    return done + piece[here:]


def _fuse(pieces: list[_Piece], _: dict[str, Any]) -> list[_Piece]:
    """Join all pieces into one."""
    return [[character for piece in pieces for character in piece]]


def _strip(pieces: list[_Piece], step: dict[str, Any]) -> list[_Piece]:
    """Cut at most `start` leading and `stop` trailing characters equal to `content`."""
    return [_strip_piece(piece, step["content"], step["start"], step["stop"]) for piece in pieces]


def _strip_piece(piece: _Piece, content: str, most_start: int, most_stop: int) -> _Piece:
    start, stop = 0, len(piece)
    while start < min(most_start, len(piece)) and piece[start].text == content:
        start += 1
    while len(piece) - stop < most_stop and stop > start and piece[stop - 1].text == content:
        stop -= 1
    return piece[start:stop]


_STEPS: dict[str, Callable[[list[_Piece], dict[str, Any]], list[_Piece]]] = {
    "ByteLevel": _byte_level,
    "ByteFallback": _byte_fallback,
    "Metaspace": _metaspace,
    "Replace": _replace,
    "Fuse": _fuse,
    "Strip": _strip,
}


def _text(piece: _Piece) -> str:
    return "".join(character.text for character in piece)


def _decode_utf8(data: bytes, tokens: list[int]) -> _Piece:
    """Characters of `data`, whose byte i is from token `tokens[i]`; U+FFFD where it is invalid."""
    done: _Piece = []
    here = 0
    while here < len(data):
        try:
            text, invalid_end = data[here:].decode(), here
        except UnicodeDecodeError as error:
            # The error names the bytes that one U+FFFD stands for; those before it are valid.
            text, invalid_end = data[here : here + error.start].decode(), here + error.end
        for character in text:
            end = here + len(character.encode())
            done.append(_Character(character, tokens[here], tokens[end - 1]))
            here = end
        if here < invalid_end:
            done.append(_Character("\ufffd", tokens[here], tokens[invalid_end - 1]))
            here = invalid_end
    return done


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """Byte-level BPE's alphabet: printable Latin-1 bytes are themselves, others from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(0x100) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(0x100 + index): byte for index, byte in enumerate(others)}
