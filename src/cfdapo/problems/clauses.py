r"""Tell which number a clause states, among all the numbers that are in it.

A clause is what stands behind "the answer is" or "Final answer:", up to the end of its sentence, or
the content of a box or of bold type. It states

- the last result of its equation ("16 - 7 = 9 eggs": 9), else
- the number that it begins with, but for words such as "about" or "a total of", else
- its last number that is the sentence's own: not in "in 7 days" or "by selling 18 eggs", nor behind
  "because", "which", "if". Numbers behind "the" ("the 3 friends") or a name for them ("day 7") are
  only taken where there are no others.

A bound ("less than 20", "rounded to 2 decimal places", "between 5 and 10") says something about an
answer that is not in it, so that a clause of bounds alone states nothing.
"""

from enum import IntEnum
from typing import NamedTuple

from cfdapo.problems.lexing import VARIABLES, Token, beside, is_dress, lex, word_set

# A clause "18, because 3 * 6 = 18" is no equation chain: these words end the chain's left side.
_CHAIN_STOPS = frozenset(
    ("because", "since", "which", "as", "so", "by", "where", "if", "when", "with", "from")
    + ("after", "given", "for", "and", "but")
)
_SUBORDINATORS = word_set(
    "because since which who whose whom where when while although though if as unless whereas"
)
_BOUNDS = word_set("than between within below above under beyond exceeds exceed to nearest closest")
_PREPOSITIONS = word_set(
    "of for in on at by with after before per over from during through until every each out into"
    " across among via without"
)
# "a total of 18" is 18; "one of 18" is not.
_AMOUNTS = word_set(
    "total sum profit cost price amount balance average mean distance length height weight speed"
    " rate score value area perimeter volume age temperature discount revenue income salary loss"
    " difference remainder quantity tip bill number"
)
_DETERMINERS = word_set("the these those all his its their our my your other first last")
# A number behind one of these is its name.
_NAMED = word_set(
    "day step week month year page question problem part case option line row room chapter item"
    " level grade equation method example no"
)
_CONJUNCTIONS = frozenset(("and", "or"))
# The subject or verb of a sentence: a number behind it is the sentence's own.
_SENTENCE_WORDS = word_set(
    "he she it they we you i there is are was were be equals has have had makes make made earns"
    " earn earned gets get got pays pay paid costs cost needs need spends spent saves saved sells"
    " sold buys bought gives gave takes took leaves left remains owes receives received weighs runs"
    " ran walks walked drives drove travels traveled reads eats ate drinks uses used contains holds"
    " becomes comes came adds totals can could will would should must"
)
_REACH = 3  # words from a preposition to its number


class Certainty(IntEnum):
    """How surely a number is what its clause states; the lower the surer."""

    DIRECT = 0
    OWN = 1
    NAMED = 2
    GOVERNED = 3
    BOUND = 4


class Value(NamedTuple):
    """The token that a clause states, and how surely."""

    token: Token
    certainty: Certainty


def numbers(text: str, tokens: list[Token]) -> list[int]:
    """Indices of the numbers that are not exponents (the 2 of "15 cm^2")."""

    def is_exponent(index: int) -> bool:
        left = beside(tokens, index, -1)
        return left is not None and text[left.start : left.end] == "^"

    return [i for i, token in enumerate(tokens) if token.kind == "number" and not is_exponent(i)]


def results(text: str, tokens: list[Token], indices: list[int]) -> list[int]:
    """Indices of the numbers that follow an equals sign and are no operand."""
    found = []
    for index in indices:
        left = beside(tokens, index, -1)
        if left is not None and left.kind == "equals" and not _in_expression(text, tokens, index):
            found.append(index)
    return found


def is_direct(text: str, tokens: list[Token]) -> bool:
    """Whether a number comes before any word that counts.

    None are the words of `lexing.is_dress`, x in "x = 5" and what is written against the number,
    as in 赚18美元, but not in 第3 ("the third").
    """
    for index, token in enumerate(tokens):
        if token.kind == "number":
            return True
        if token.kind == "word" and not is_dress(text, token):
            right = beside(tokens, index, 1)
            if right is None:
                return False
            named = right.kind == "equals" and token.end == token.start + 1
            glued = right.kind == "number" and token.end == right.start
            if not named and not (glued and text[token.end - 1] != "第"):
                return False
    return False


def is_sentence(text: str, tokens: list[Token]) -> bool:
    """Whether a clause has a verb or a pronoun, and is no mere value with its unit."""
    words = (text[token.start : token.end] for token in tokens if token.kind == "word")
    return any(word.casefold() in _SENTENCE_WORDS for word in words)


def begins_reason(text: str, token: Token) -> bool:
    """Whether what a clause states is over: at a bracket, or at "because", "which" or the like."""
    word = text[token.start : token.end]
    return word == "(" or (token.kind == "word" and word.casefold() in _SUBORDINATORS)


def clause_value(text: str, tokens: list[Token]) -> Value | None:
    """What a clause states (see the module); an expression without a result is stated as text."""
    indices = numbers(text, tokens)
    if not indices:
        return None
    equated = results(text, tokens, indices)
    if equated and _is_chain(text, tokens, indices[0]):
        return Value(tokens[equated[-1]], Certainty.DIRECT)
    alone = [index for index in indices if not _in_expression(text, tokens, index)]
    if not alone:
        last = max(i for i, token in enumerate(tokens) if token.kind == "number")
        return Value(Token("opaque", tokens[indices[0]].start, tokens[last].end), Certainty.DIRECT)
    certainties = _certainties(text, tokens)
    if is_direct(text, tokens):
        first = tokens[alone[0]]
        in_words = not any(map(str.isdigit, text[first.start : first.end]))
        # "Two trains leave, and the distance is 18"
        if not in_words or all(certainties[index] > Certainty.NAMED for index in alone[1:]):
            return Value(_either(text, tokens, alone[0]) or first, Certainty.DIRECT)
        alone = alone[1:]
    best = min(certainties[index] for index in alone)
    return Value(tokens[[index for index in alone if certainties[index] == best][-1]], best)


def _either(text: str, tokens: list[Token], index: int) -> Token | None:
    """The text "18 or 20" where another number is joined to the one at `index`, else None.

    Not "0.5 or 50%", which is one number in two units.
    """
    joint, other = beside(tokens, index, 1), beside(tokens, index, 1, skip=1)
    if joint is None or other is None or other.kind != "number":
        return None
    one, two = tokens[index].value or 0, other.value or 0
    same = one in (two, 100 * two) or two == 100 * one
    joined = text[joint.start : joint.end].casefold() in ("or", "to") and not same
    return Token("opaque", tokens[index].start, other.end) if joined else None


def whole_value(text: str, start: int = 0, end: int | None = None) -> Token | None:
    """The one number that a value (a box's content, a gold answer) consists of, or None."""
    tokens = _without_reason(text, lex(text, start, end, states=True))
    kinds = {token.kind for token in tokens}
    indices = numbers(text, tokens)
    found = results(text, tokens, indices)
    if found and "pause" not in kinds:
        return tokens[found[-1]]
    if "opaque" in kinds or not indices or _in_expression(text, tokens, indices[0]):
        return None
    if len(indices) > 1 and kinds & {"pause", "equals", "operator"}:
        return None
    same = len({tokens[index].value for index in indices}) == 1  # "eighteen (18)"
    return tokens[indices[0]] if same or _is_measured(text, tokens, indices) else None


def _without_reason(text: str, tokens: list[Token]) -> list[Token]:
    """Without what only explains a value: "18 eggs (9 * 2)", "18, since 9 * 2 = 18"."""
    seen = False
    for index, token in enumerate(tokens):
        left = beside(tokens, index, -1)
        bracket = text[token.start : token.end] == "(" and left is not None and left.kind == "word"
        if seen and (bracket or (token.kind == "word" and begins_reason(text, token))):
            return tokens[:index]
        seen = seen or token.kind == "number"
    return tokens


def _is_measured(text: str, tokens: list[Token], indices: list[int]) -> bool:
    """Whether all numbers but the first say what that is of: "18 dollars in 7 days".

    Not so "1 in 4", "2 out of 5", "3 groups of 5 apples" and "5 more than 3".
    """
    certainties = _certainties(text, tokens)
    words = {text[token.start : token.end].casefold() for token in tokens if token.kind == "word"}
    counted = [beside(tokens, index, 1) for index in indices]
    return "of" not in words and all(
        right is not None
        and right.kind == "word"
        and text[right.start : right.end].casefold() not in _PREPOSITIONS
        and certainties[index] == (Certainty.OWN if index == indices[0] else Certainty.GOVERNED)
        for index, right in zip(indices, counted, strict=True)
    )


def _in_expression(text: str, tokens: list[Token], index: int) -> bool:
    """Whether the number at `index` is an operand, as 3 and 4 of "3 * 4" or 2 of "2x"."""

    def is_operand(token: Token | None) -> bool:
        return token is not None and (
            token.kind == "number"
            or (token.kind == "word" and text[token.start : token.end] in VARIABLES)
        )

    for step in (-1, 1):
        near, far = beside(tokens, index, step), beside(tokens, index, step, skip=1)
        if near is None:
            continue
        if near.kind == "opaque" or (near.kind == "operator" and is_operand(far)):
            return True
        if step == 1 and near.start == tokens[index].end and is_operand(near):
            return True
    return False


def _is_chain(text: str, tokens: list[Token], first: int) -> bool:
    """Whether the first number of a clause belongs to the left side of its first equation."""
    for index, token in enumerate(tokens):
        if token.kind == "equals":
            return True
        word = text[token.start : token.end].casefold()
        if index > first and (token.kind == "pause" or word in _CHAIN_STOPS):
            return False
    return False


class _Before(NamedTuple):
    """What was read of a clause up to a number: the words since the last number or pause."""

    words: tuple[str, ...] = ()
    subordinate: bool = False
    last: Certainty | None = None  # of the number that the words follow


def _certainties(text: str, tokens: list[Token]) -> dict[int, Certainty]:
    """How surely each number of a clause is the clause's own, leaving out what it begins with."""
    found: dict[int, Certainty] = {}
    before = _Before()
    for index, token in enumerate(tokens):
        word = text[token.start : token.end].casefold()
        if token.kind == "pause" or word == ":":
            before = _Before()
        elif token.kind == "word":
            subordinate = before.subordinate or word in _SUBORDINATORS
            before = before._replace(words=(*before.words[-_REACH:], word), subordinate=subordinate)
        elif token.kind == "number":
            found[index] = _certainty(before)
            before = before._replace(words=(), last=found[index])
    return found


def _certainty(before: _Before) -> Certainty:
    """How surely a number that stands behind these words is its clause's own."""
    words = before.words
    if before.subordinate:
        return Certainty.GOVERNED
    if before.last is not None and words and words[-1] in _CONJUNCTIONS and len(words) <= 2:
        return before.last  # "in 5 days and 3 hours"
    own = Certainty.OWN
    if words and words[-1] in _DETERMINERS | _NAMED:
        own, words = Certainty.NAMED, words[:-1]
    for index in reversed(range(len(words))):
        word = words[index]
        if word in _SENTENCE_WORDS:
            return own
        if word == "to" and index != len(words) - 1:
            continue  # "to make 18"
        if word in _BOUNDS:
            return Certainty.BOUND
        if word in _PREPOSITIONS and (index == 0 or words[index - 1] not in _AMOUNTS):
            return Certainty.GOVERNED
    return own
