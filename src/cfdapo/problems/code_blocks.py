"""Cut a completion into the parts of it that are Python: fenced blocks, and code between words.

A *mark* is a fence, of any length and wherever on its line, or a tag such as [PYTHON] or <code>.
What lies between two marks is a piece, whether the first opens or closes, so that one too many or
too few turns nothing inside out; what tells code from words and output is that it parses. A mark in
a string or a comment is part of the code around it. A piece that does not parse as a whole is
looked through for statements among its words.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Range = tuple[int, int]

NEW_LINE = re.compile(r"\r\n|\r|\n")
_CLOSING = (
    r"</(?:code|pre|python|answer|solution|s)>|\[(?:/PYTHON|/CODE|DONE)\]|\\end\{\w+\}"
    r"|<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text)\|>"
)
_MARK_PATTERN = (
    rf"`{{3,}}|^[\t\x20>]*~{{3,}}|(?i:{_CLOSING}"
    rf"|<(?:code|pre|python|answer|solution)(?:\x20[^<>\r\n]{{0,80}})?>"
    r"|\[(?:PYTHON|CODE|BEGIN)\]|\\begin\{\w+\})"
)
_MARK = re.compile(_MARK_PATTERN, re.MULTILINE)
_CLOSING_TAG = re.compile(_CLOSING, re.IGNORECASE)
_STRING_PATTERN = r"""
    '''(?:[^\\]|\\.)*?'''     | \"""(?:[^\\]|\\.)*?\"""
    | '(?:[^'\\\r\n]|\\.)*' | "(?:[^"\\\r\n]|\\.)*"
"""
# An apostrophe begins no string: nothing ends it on its line.
_STRING_OR_MARK = re.compile(
    rf"{_STRING_PATTERN} | \#[^\r\n]* | (?P<mark>{_MARK_PATTERN})",
    re.DOTALL | re.VERBOSE | re.MULTILINE,
)
_STRING_OR_BRACKET = re.compile(
    rf"{_STRING_PATTERN} | \#[^\r\n]* | \\(?:{NEW_LINE.pattern})"
    rf"| (?P<bracket>[()\[\]{{}}]) | (?P<line>{NEW_LINE.pattern})",
    re.DOTALL | re.VERBOSE,
)
_REST_OF_LINE = re.compile(r"[^\r\n]*")
# What may follow an opening fence on its line: a language, a name, attributes.
_INFO = re.compile(r"[ \t]*[\w.+#{}/:,-]*(?:[ \t]+[\w.-]+=\S*|[ \t]*\{[^{}\r\n]*\})*[ \t]*")
_LANGUAGE = re.compile(r"[ \t]*(?:python|py)[\w.]*[ \t:]", re.IGNORECASE)
_MARGIN = re.compile(r"[ \t]*")
_QUOTED = re.compile(r"[ \t]*>[ \t]?(?!>>)")
_PROMPT = re.compile(r"[ \t]*(?:(?P<first>>>>|In[ ]\[[0-9 ]*\]:)|\.\.\.:?)(?:[ ]|$)")
_NUMBERED = re.compile(r"[ \t]*(?P<number>[0-9]{1,4})(?:[ ]?[|:.)](?:[ ]|$)|\t|[ ]{1,2}|$)")
_CHANGED = re.compile(r"\+(?!\+\+)|[ ]")
_NOT_IN_RESULT = re.compile(r"-|@@|\+\+\+[ ]|\\[ ]No newline")
# A statement may begin so; a line that begins so goes on with the statement before.
_BEGINNING = re.compile(
    r"[ \t]*(?:@\w|(?:async[ \t]+)?def\b|class\b|import\b|from\b.*\bimport\b"
    r"|(?:if|for|while|with|try)\b.*:|[A-Za-z_][\w.\[\], \t]*(?::[^=]+)?=[^=])"
)
_IN_A_SENTENCE = re.compile(r"`((?:def\b|\w+[ \t]*=[ \t]*lambda\b)[^`\r\n]*)`")
_DEFINITION = re.compile(r"[ \t]*(?:@\w|(?:async[ \t]+)?def\b|class\b)")
_GOING_ON = re.compile(r"[ \t]*(?:(?:else|elif|except|finally)\b|[)\]}])")
# So many guesses that read far ahead may fail: each costs as much as all of the text.
_MOST_GUESSES = 24


@dataclass(frozen=True)
class Block:
    """Code that parses: `lines` are ranges of the text, a line each without its margin and end.

    `whole`: it is all of a piece, and no statement among words. `piece`: that piece's number.
    `inside`: the piece follows a mark that opens.
    """

    lines: tuple[Range, ...]
    tree: ast.Module
    whole: bool
    piece: int
    inside: bool


@dataclass(frozen=True)
class Piece:
    """What lies between two marks, and the code that was found in it.

    `broken`: a definition begins in it that does not parse.
    """

    lines: tuple[Range, ...]
    inside: bool
    blocks: tuple[Block, ...] = ()
    broken: bool = False


@dataclass
class _Guesses:
    left: int = _MOST_GUESSES


def parse_code(code: str) -> ast.Module | None:
    """The syntax tree, or None where the code does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on "\d" and the like
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def source_of(text: str, lines: Sequence[Range]) -> str:
    """The code that these lines of a text are."""
    return "\n".join(text[start:end] for start, end in lines)


def find_pieces(text: str, start: int, end: int) -> list[Piece]:
    """The pieces of text[start:end], in order. The work is linear in the text, times a constant."""
    start += text.startswith("\ufeff", start, end)  # a file's byte order mark
    marks = [match.span() for match in _MARK.finditer(text, start, end)]
    opening = _opening(text, marks, end)
    pieces: list[Piece] = []
    guesses = _Guesses()
    at = -1
    while at < len(marks):
        begin = marks[at][1] if at >= 0 else start
        inside = at >= 0 and opening[at]
        found, at = _longest(text, marks, at, begin, end, guesses)
        number = len(pieces)
        stop = marks[at][0] if at < len(marks) else end
        if found:
            lines, tree = found
            pieces.append(Piece(lines, inside, (Block(lines, tree, True, number, inside),)))
            continue
        lines = tuple(_lines(text, *_body(text, begin, stop, begin > start)))
        blocks, broken = _statements(text, lines, number, inside, guesses)
        pieces.append(Piece(lines, inside, blocks, broken))
    return pieces


def _opening(text: str, marks: Sequence[Range], end: int) -> list[bool]:
    """Which marks open something, if each closes what is open that can."""
    found, is_open = [], ""
    for number, (begin, after) in enumerate(marks):
        following = marks[number + 1][0] if number + 1 < len(marks) else end
        rest = _matched(_REST_OF_LINE, text, after, following)[0]
        named = bool(rest.strip()) and _INFO.fullmatch(rest) is not None
        mark = text[begin:after].strip(" \t>")
        # A fence is closed by one that is as long at least.
        fits = bool(is_open) and mark.startswith(is_open) and not named
        is_open = "" if fits or _CLOSING_TAG.match(mark) else mark
        found.append(bool(is_open))
    return found


def _longest(
    text: str, marks: Sequence[Range], at: int, begin: int, end: int, guesses: _Guesses
) -> tuple[tuple[tuple[Range, ...], ast.Module] | None, int]:
    """Lines and tree of the piece behind mark `at` if it parses, and the mark that ends it.

    Marks in strings and comments do not end it if it parses with them.
    """
    following = at + 1
    if guesses.left and following < len(marks):
        far = _first_outside_strings(text, marks, following, begin, end)
        if far > following:
            stop = marks[far][0] if far < len(marks) else end
            if found := _parsed(text, begin, stop, at >= 0):
                return found, far
            guesses.left -= 1
    stop = marks[following][0] if following < len(marks) else end
    return _parsed(text, begin, stop, at >= 0), following


def _first_outside_strings(
    text: str, marks: Sequence[Range], following: int, begin: int, end: int
) -> int:
    for lexeme in _STRING_OR_MARK.finditer(text, begin, end):
        if lexeme["mark"]:
            while marks[following][0] < lexeme.start():
                following += 1
            return following
    return len(marks)


def _parsed(
    text: str, begin: int, stop: int, marked: bool
) -> tuple[tuple[Range, ...], ast.Module] | None:
    """Lines and tree of a piece that is code, and not empty."""
    for start, end in _bodies(text, begin, stop, marked):
        lines = _dedented(text, _undressed(text, list(_lines(text, start, end))))
        tree = parse_code(source_of(text, lines))
        if tree is not None and tree.body:
            return lines, tree
    return None


def _bodies(text: str, begin: int, stop: int, marked: bool) -> Iterator[Range]:
    """Where the code of a piece may stand: below its mark, behind a language's name, at once."""
    yield _body(text, begin, stop, marked)
    if marked and not _is_named(text, begin, stop):
        if language := _LANGUAGE.match(text, begin, stop):
            yield language.end(), stop
        if new_line := NEW_LINE.search(text, begin, stop):
            yield new_line.end(), stop


def _body(text: str, begin: int, stop: int, marked: bool) -> Range:
    """All of a piece but for the language, if that is all that stands behind its mark."""
    if not marked or not _is_named(text, begin, stop):
        return begin, stop
    return _matched(_REST_OF_LINE, text, begin, stop).end(), stop


def _is_named(text: str, begin: int, stop: int) -> bool:
    """Whether the line of a piece's mark goes on with a language at most, and ends there."""
    rest = _matched(_REST_OF_LINE, text, begin, stop)
    ends = rest.end() == len(text) or text[rest.end()] in "\r\n"
    return ends and _INFO.fullmatch(rest[0]) is not None


def _lines(text: str, start: int, end: int) -> Iterator[Range]:
    """The lines of text[start:end] without their ends, and without empty ones around them."""
    found = []
    for new_line in NEW_LINE.finditer(text, start, end):
        found.append((start, new_line.start()))
        start = new_line.end()
    found.append((start, end))
    filled = [number for number, (one, two) in enumerate(found) if text[one:two].strip()]
    yield from found[filled[0] : filled[-1] + 1] if filled else ()


def _undressed(text: str, lines: list[Range]) -> list[Range]:
    """Without what a quotation (> ), a session (>>> ), a listing or a diff puts before them."""
    filled = [line for line in lines if text[slice(*line)].strip()]
    if filled and _PROMPT.match(text, *filled[0]):
        prompts = [(_PROMPT.match(text, *line), line) for line in filled]
        return [(match.end(), line[1]) for match, line in prompts if match]
    quotes = [(_QUOTED.match(text, *line), line) for line in filled]
    inside = [(match.end(), line[1]) for match, line in quotes if match]
    if filled and len(inside) == len(filled):
        return inside
    return _unnumbered(text, lines) or _patched(text, filled) or lines


def _unnumbered(text: str, lines: list[Range]) -> list[Range] | None:
    """Lines without their numbers, if these count up."""
    found = [_NUMBERED.match(text, *line) for line in lines]
    if len(lines) < 2 or not all(found):
        return None
    numbers = [int(match["number"]) for match in found if match]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return [(match.end(), line[1]) for match, line in zip(found, lines, strict=True) if match]


def _patched(text: str, filled: list[Range]) -> list[Range] | None:
    """What a diff makes, if these lines are one that adds something."""
    kept = [line for line in filled if not _NOT_IN_RESULT.match(text, *line)]
    if not any(text.startswith("+", line[0]) for line in kept):
        return None
    marked = all(_CHANGED.match(text, *line) for line in kept)
    return [(start + 1, end) for start, end in kept] if marked else None


def _dedented(text: str, lines: Sequence[Range]) -> tuple[Range, ...]:
    """Without the first line's margin, as far as the others have it."""
    if not lines:
        return ()
    margin = _matched(_MARGIN, text, *lines[0])[0]
    return tuple(
        (start + _shared(margin, _matched(_MARGIN, text, start, end)[0]), end)
        for start, end in lines
    )


def _shared(one: str, two: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(one, two, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(two)))


def _statements(
    text: str, lines: Sequence[Range], piece: int, inside: bool, guesses: _Guesses
) -> tuple[tuple[Block, ...], bool]:
    """The statements among the words of a piece, and whether a definition is broken."""
    found, broken, at = [], False, 0
    while at < len(lines):
        block, stop = None, at + 1
        if (prompt := _PROMPT.match(text, *lines[at])) and prompt["first"]:
            stop = _end_of_entry(text, lines, at)
            entry = _undressed(text, list(lines[at:stop]))
            block = _statement(text, entry, piece, inside)
        elif _BEGINNING.match(text, *lines[at]):
            block, stop = _statement_at(text, lines, at, piece, inside, guesses)
        if block:
            found.append(block)
        elif _DEFINITION.match(text, *lines[at]):
            broken, stop = True, _end_of_indented(text, lines, at)
        else:
            short = [match.span(1) for match in _IN_A_SENTENCE.finditer(text, *lines[at])]
            found += filter(None, [_statement(text, [one], piece, inside) for one in short])
        at = stop
    return tuple(found), broken


def _end_of_entry(text: str, lines: Sequence[Range], at: int) -> int:
    """Where what was typed at the prompt in line `at` of an interactive session ends."""
    for number in range(at + 1, len(lines)):
        prompt = _PROMPT.match(text, *lines[number])
        if prompt is None or prompt["first"]:
            return number
    return len(lines)


def _statement_at(
    text: str, lines: Sequence[Range], at: int, piece: int, inside: bool, guesses: _Guesses
) -> tuple[Block | None, int]:
    """The statement that begins with line `at`, if it parses, and the line behind it."""
    stop = _end_of_indented(text, lines, at)
    block = _statement(text, lines[at:stop], piece, inside)
    if block or not guesses.left:
        return block, stop if block else at + 1
    indented, stop = stop, _end_of_brackets(text, lines, at)
    block = _statement(text, lines[at:stop], piece, inside) if stop > indented else None
    guesses.left -= block is None
    return block, stop if block else at + 1


def _statement(text: str, lines: Sequence[Range], piece: int, inside: bool) -> Block | None:
    dedented = _dedented(text, lines)
    tree = parse_code(source_of(text, dedented))
    return Block(dedented, tree, False, piece, inside) if tree is not None else None


def _end_of_indented(text: str, lines: Sequence[Range], at: int) -> int:
    """Where the lines end that are indented more than line `at`, or go on with its statement."""
    width, last = _width(text, lines[at]), at
    for number in range(at + 1, len(lines)):
        if not text[slice(*lines[number])].strip():
            continue
        if not _continues(text, lines, number, last, width):
            break
        last = number
    return last + 1


def _continues(text: str, lines: Sequence[Range], number: int, last: int, width: int) -> bool:
    """Whether a line belongs to the statement that began at `width` and came as far as `last`."""
    own = _width(text, lines[number])
    decorated = text.startswith("@", lines[last][0] + width) and _width(text, lines[last]) == width
    return own > width or (
        own == width and (decorated or _GOING_ON.match(text, *lines[number]) is not None)
    )


def _end_of_brackets(text: str, lines: Sequence[Range], at: int) -> int:
    """`_end_of_indented`, but lines that begin in brackets or strings may stand anywhere."""
    width, last, depth, number = _width(text, lines[at]), at, 0, at
    for lexeme in _STRING_OR_BRACKET.finditer(text, lines[at][0], lines[-1][1]):
        if lexeme["bracket"]:
            depth += 1 if lexeme[0] in "([{" else -1
        elif not lexeme["line"]:
            if inner := len(NEW_LINE.findall(lexeme[0])):
                number = last = number + inner
        else:
            number += 1
            if depth <= 0 and text[slice(*lines[number])].strip():
                if not _continues(text, lines, number, last, width):
                    return last + 1
                last = number
            elif depth > 0:
                last = number
    return last + 1


def _width(text: str, line: Range) -> int:
    return len(_matched(_MARGIN, text, *line)[0])


def _matched(pattern: re.Pattern[str], text: str, start: int, end: int) -> re.Match[str]:
    """The match of a pattern that also matches nothing, so that there always is one."""
    found = pattern.match(text, start, end)
    assert found is not None
    return found
