"""What a span is about: the seven content patterns of Table 5, found in text.

The paper names the patterns and gives one example of each, no expressions. What each means here
stands beside it; a line may show several. Signs count only between operands, so that marks of
Markdown ("**Total:**", "- 3 apples") are no operations.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfdapo.analysis.statistics.clustered import share_ratio
from cfdapo.analysis.statistics.estimates import Estimate

_LATEX_SPACE = re.compile(r"\\[,;:! ]|~|&")
# Words that name what a number counts, without LaTeX commands and letters that are variables.
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\{([^{}]*)\}")
_EQUALS = re.compile(r"(?<![<>!=:])=(?![=>])")
# What ends one statement before the next equals sign.
_SEPARATOR = re.compile(r"[,;.:]\s|[;\n]|[<>⇒→]|\\(?:implies|Rightarrow|rightarrow|quad)")

_FLAGS = re.IGNORECASE | re.VERBOSE
_NUMBER = r"(?:\\?[$£€]\s?)?\d[\d,.]*"
_TIME = r"(?:second|minute|hour|day|week|month|year)"
_FRACTION = r"(?:hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|eighths?|tenths?)"
_COUNT = r"(?:a|an|one|two|three|four|five|six|seven|eight|nine|ten)"

_MULTIPLY_DIVIDE = re.compile(
    rf"""
      [\w)%\]}}] [ ]* (?<!\*) [*×·⋅∙÷] (?!\*) [ ]* (?: [\d$£€(\\] | [a-z]\b )   # 3 * 4, 20% × $5
    | \d \s* x \s* (?:\\?[$£€])? \d                                           # 12 x 2
    | \\ (?: times | cdot | div )\b
    | {_NUMBER} \s+ / \s+ {_NUMBER}                                           # 48 / 2
    | {_NUMBER} / {_NUMBER} \s* [=+\-−*×÷/)]                                  # 48/2 = 24
    | [=+\-−*×÷(] \s* {_NUMBER} \s* / \s* {_NUMBER}                           # = 48/2
    | \) \s* / \s* \(? {_NUMBER}                                              # (3 + 5) / 2
    | \\[dt]?frac \{{[^{{}}]*\}} \s* \{{[^{{}}]*\}} \s* (?:=|\\times|\\cdot|[*×])
    | \b (?: multipl (?:y|ie[sd]|ying|ication) | divid (?:e|es|ed|ing) | division
           | products?\sof | quotients? | twice | thrice | doubl (?:e|es|ed|ing)
           | tripl (?:e|es|ed|ing) ) \b
    | (?: \d | \b{_COUNT} ) \s times \b                                       # three times as many
    | \b times \s (?: as | more | \d | the\snumber )
    """,
    _FLAGS,
)
_PROPORTION_RATE = re.compile(
    rf"""
      \d \s* \\?%                                                             # 20%, 25\%
    | \b (?: percent (?:age)?s? | proportion\w* | ratios? | rates? | fractions? | mph | kmh ) \b
    | \b per \b (?! \s se\b )
    | \w / (?: {_TIME} | h | hr | s | min | kg | lb ) s? \b                   # 60 miles/hour
    | (?: {_NUMBER} | \b times | \b once | \b twice ) (?:\s[a-z]+)? \s (?:a|an|each|every) \s
      {_TIME} \b                                                              # $12 an hour
    | \b (?: half | one-half ) \s (?: of | as | the | that | his | her | their | its ) \b
    | \b {_COUNT} [\s-] {_FRACTION} \b (?! \s (?:dollar|past|time) )
    | \b quarters? \s of \b
    | \d \s* / \s* \d+ (?:st|nd|rd|th)? s? \s (?:of|the|as)\b                 # 1/6 of the dishes
    | \\[dt]?frac \{{\d+\}} \{{\d+\}} \s* [$)]* \s* of \b
    | \d \s out \s of \s (?: the \s | every \s )? \d
    """,
    _FLAGS,
)
_TOTAL_SUM = re.compile(
    r"""
      \b (?: totals? | total(?:l?ed|l?ing) | altogether | combined | sums? | summed | summing
           | plus | adds? | added | adding | addition ) \b
    | \b in \s all \b (?! \s (?:of|the|these|those|her|his|its|our|their)\b )
    | [\w)%\]}$] \s* \+ \s* [\d$£€(\\a-z]                                     # 23 + 45, x + 2
    """,
    _FLAGS,
)
_CONCLUSION = re.compile(
    r"""
      \b (?: therefore | thus | hence | consequently | accordingly ) \b | ∴ | \\therefore
    | \b (?: in \s conclusion | to \s conclude | as \s a \s result | we \s (?:can\s)? conclude ) \b
    | (?: ^ | [.!?:,;] \s+ | \n ) [\s*_>-]* so \b (?! \s (?:far|much|many|that|long|as|on)\b )
    | \b (?: the | our | final | my ) \s answer \b [\s*_:]* (?: is\b | = | : | \\boxed | [\d$] )
    | ^ [\s*#_]* (?:final\s)? answer \s* [:*]
    | \\boxed
    """,
    _FLAGS,
)
_SETUP = re.compile(
    r"""
      \b let (?: 's | ’s | \s us )? \s (?: \\? [$(] \s* )? [a-z] \b [\s$)\\]* (?: = | be\b | denote
           | represent | equal | stand )                                      # let x be
    | \b let \s (?: the | her | his | their | each | number ) \b .{0,60}? \b (?:be|equal|denote) \b
    | \b let (?: 's | ’s | \s us ) \s (?: say | call | denote | define | assume | suppose | set \b
           | represent | use \s (?:the\s)? (?:variable|letter) )
    | \b (?: suppose | assum (?:e|ing) | denot (?:e|es|ed|ing) | defin (?:e|ing) ) \b
    | \b [a-z] [$)\\]* \s represents? \b
    | \b represent .{0,40} \s (?:as|by|with) \s [\\$(]* [a-z] \b
    | \b (?: set (?:ting)? \s up | writ (?:e|ing) | form (?:ing)? ) \s (?: an | the | this | our )
      \s (?: \w+ \s )? equation
    """,
    _FLAGS,
)
_STEP_HEADER = re.compile(
    r"^ [\s*#_>•-]* (?:\d+[.)]\s+)? [*_]* step \s* (?: \#? \d+ | one | two | three | four | five "
    r"| six ) \b",
    _FLAGS,
)


def is_chain(text: str) -> bool:
    """Whether an equals sign carries on to the next ("x = y = z").

    Between the two signs stands no end of a clause and at most one word, the name of what is
    counted ("= 16 apples = 16"), so that two equations in one sentence are no chain.
    """
    plain = _LATEX_SPACE.sub(" ", _LATEX_TEXT.sub(r" \1 ", text))
    signs = list(_EQUALS.finditer(plain))
    for first, second in zip(signs, signs[1:], strict=False):
        between = plain[first.end() : second.start()]
        if not _SEPARATOR.search(between) and len(_WORD.findall(between)) <= 1:
            return True
    return False


# The paper's rows, by its own headings and in its order.
PATTERNS: dict[str, Callable[[str], bool]] = {
    "Calculation chain": is_chain,
    "Multiply/divide operations": lambda text: bool(_MULTIPLY_DIVIDE.search(text)),
    "Proportion/rate reasoning": lambda text: bool(_PROPORTION_RATE.search(text)),
    "Total/sum operations": lambda text: bool(_TOTAL_SUM.search(text)),
    "Conclusion": lambda text: bool(_CONCLUSION.search(text)),
    "Equation setup": lambda text: bool(_SETUP.search(text)),
    "Step headers": lambda text: bool(_STEP_HEADER.search(text)),
}


def find_patterns(text: str) -> set[str]:
    """Names of the patterns, keys of `PATTERNS`, that a line of a completion shows."""
    return {name for name, shown in PATTERNS.items() if shown(text)}


@dataclass(frozen=True)
class Enrichment:
    """A pattern's prevalence: shares of critical and low spans in [0, 1], None without spans."""

    pattern: str
    critical: float | None
    low: float | None
    ratio: Estimate


def _share(side: np.ndarray) -> float | None:
    return float(side.mean()) if len(side) else None


def measure_enrichment(critical: pd.DataFrame, low: pd.DataFrame) -> list[Enrichment]:
    """Every pattern's prevalence in the lines of two classes of spans, and their ratio.

    Args:
        critical, low: rows of spans with the columns `line` and `problem`.
    """
    shown = [[find_patterns(line) for line in spans["line"]] for spans in (critical, low)]
    found = []
    for pattern in PATTERNS:
        first, second = (
            np.array([pattern in names for names in side], dtype=bool) for side in shown
        )
        ratio = share_ratio(first, second, critical["problem"], low["problem"])
        found.append(Enrichment(pattern, _share(first), _share(second), ratio))
    return found
