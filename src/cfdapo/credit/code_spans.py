"""Find the spans and the answer sink of a completion that is code, from its syntax tree.

The code is what the grader runs (`problems.code_places`); words around it are in no span.

- A span is a simple statement, or the head of a compound one without its colon ("if x > 0",
  "for x in xs"), so that spans never nest. Imports, assignments, conditionals (if, elif, match),
  loops, calls and returns are spans, comprehensions the assignments and calls whose value holds
  one. Signatures, docstrings, comments and other statements are in no span: the task gives them, or
  they say nothing of the result.
- The sink is by default the expression of the entry point's last return: what the function gives,
  as the stated number is what a solution in words gives. It leaves nearly all of the code before it
  to be measured; the whole function, the other option, leaves only imports and helpers.
  Equation 5 scores one run of tokens, so of several returns the last one counts, and the earlier
  ones, which guard special cases, are spans.
- The entry point is the function that the problem asks for. Where nobody names it, it is the last
  one at the top level that no other function there uses.

Code that does not parse is read line by line, by its first words. No text raises an error.
"""

import ast
import re
from collections.abc import Iterator

from cfdapo.credit.spans import Span
from cfdapo.problems.code_places import FUNCTIONS, Code, Placed, entry_point, find_code

# In the order in which they are kept where there are more than max_spans: what decides the result.
CODE_KINDS = ("return", "conditional", "loop", "comprehension", "assignment", "call", "import")

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Kinds of line by their beginning; the first that fits.
_LINES = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"(?:async\s+)?def\b|class\b|@|#|\"\"\"|'''|(?:else|try|finally|pass)\b", None),
        (r"(?:import|from)\b", "import"),
        (r"(?:if|elif|match|case)\b", "conditional"),
        (r"(?:async\s+)?(?:for|while)\b", "loop"),
        (r"return\b", "return"),
        (r"[^=(#]*=[^=].*\bfor\b", "comprehension"),
        (r"[\w.,*\[\]'\" \t:]+?(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)", "assignment"),
        (r"[\w.]+\s*\(", "call"),
    )
)
_RETURN = re.compile(r"[ \t]*return[ \t]+(?=\S)")
_DEFINITION = re.compile(r"(?:async[ \t]+)?def\b")


def find_code_answer(text: str, sink: str = "returns", function: str | None = None) -> Span | None:
    """The characters of the sink: of the last return's expression ("returns"), or the "function".

    `function` names the entry point. None if there is no function, or nothing that it returns.
    """
    code = find_code(text, function)
    if code.tree is None:
        found = _sink_by_lines(code, sink)
    else:
        node = _sink_node(code.tree, sink, function)
        found = code.of(node) if node else None
    return Span(*found, "answer") if found and found[0] < found[1] else None


def find_code_spans(
    text: str, max_spans: int = 10, answer: Span | None = None, function: str | None = None
) -> list[Span]:
    """At most `max_spans` spans of the code, sorted, disjoint, and before `answer` if given.

    `function` names the entry point. Where there are more than K_max = `max_spans`, they are kept
    in the order of `CODE_KINDS`; within a kind, what stands first in the text goes first.
    """
    code = find_code(text, function)
    if code.tree is None:
        found = _spans_by_lines(code)
    else:
        pieces = _pieces(code.tree)
        found = [Span(*code.between(first, last), kind) for first, last, kind in pieces]
    spans = _disjoint(span for span in found if answer is None or span.end <= answer.start)
    kept = sorted(spans, key=lambda span: (CODE_KINDS.index(span.kind), span.start))
    return sorted(kept[: max(max_spans, 0)], key=lambda span: span.start)


def _pieces(tree: ast.Module) -> Iterator[tuple[Placed, Placed, str]]:
    """The first and last node, and the kind, of every span."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, node, "import"
        elif isinstance(node, ast.Return):
            yield node, node, "return"
        elif isinstance(node, ast.If | ast.While):
            yield node, node.test, "conditional" if isinstance(node, ast.If) else "loop"
        elif isinstance(node, ast.For | ast.AsyncFor):
            yield node, node.iter, "loop"
        elif isinstance(node, ast.Match):
            yield node, node.subject, "conditional"
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            yield node, node, "comprehension" if _has(node, _COMPREHENSIONS) else "assignment"
        elif isinstance(node, ast.Expr) and _has(node, ast.Call):
            yield node, node, "comprehension" if _has(node, _COMPREHENSIONS) else "call"


def _has(node: ast.AST, kinds: type | tuple[type, ...]) -> bool:
    return any(isinstance(inner, kinds) for inner in ast.walk(node))


def _sink_node(tree: ast.Module, sink: str, name: str | None) -> Placed | None:
    function = entry_point(tree, name)
    if function is None or sink == "function":
        return function
    if isinstance(function, ast.Assign):
        return function.value.body if isinstance(function.value, ast.Lambda) else None
    returns = [node.value for node in _own_nodes(function) if isinstance(node, ast.Return)]
    return max(
        (value for value in returns if value is not None),
        key=lambda value: (value.lineno, value.col_offset),
        default=None,
    )


def _own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)


def _disjoint(spans: Iterator[Span]) -> list[Span]:
    """Non-empty spans, sorted; of two that overlap the first (no parsed code has such)."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if span.start < span.end and (not found or found[-1].end <= span.start):
            found.append(span)
    return found


def _lines(code: Code) -> Iterator[tuple[int, int]]:
    """Ranges of the lines of the code, without the spaces around them; none is empty."""
    for first, last in code.lines:
        line = code.text[first:last]
        if stripped := line.strip():
            begin = first + line.index(stripped)
            yield begin, begin + len(stripped)


def _spans_by_lines(code: Code) -> list[Span]:
    found = []
    for first, last in _lines(code):
        line = code.text[first:last]
        kind = next((kind for pattern, kind in _LINES if pattern.match(line)), None)
        if kind:
            found.append(Span(first, last, kind))
    return found


def _sink_by_lines(code: Code, sink: str) -> tuple[int, int] | None:
    lines = list(_lines(code))
    if sink == "function":
        # At the top level: no spaces before it.
        tops = {first for first, _ in code.lines}
        heads = [
            first for first, last in lines if first in tops and _DEFINITION.match(code.text, first)
        ]
        return (heads[-1], lines[-1][1]) if heads else None
    returns = [
        (match.end(), last)
        for first, last in lines
        if (match := _RETURN.match(code.text, first, last)) and match.end() < last
    ]
    return returns[-1] if returns else None
