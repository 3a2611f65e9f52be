"""Find the code that a completion gives for a function, and say where its nodes stand in the text.

The code is the last block that defines the function, with the earlier blocks (or, where there is no
other, later ones) that define what it uses. What only uses the function (examples, assertions,
prints) is left out: it is no part of it, and may fail where the function is right. The grader and
the credit both read it here.
"""

import ast
import builtins
import re
import symtable
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from cfdapo.problems.code_blocks import Block, Piece, Range, find_pieces, parse_code, source_of
from cfdapo.problems.thinking import outside_thinking

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
# Functions that a script has for itself; asked for by name, they are as good as others.
_OF_SCRIPTS = re.compile(r"_*(?:test|main$)")
_ENDINGS = frozenset(
    ("exit", "quit", "sys.exit", "os._exit", "unittest.main", "pytest.main", "doctest.testmod")
)
_FUTURE = re.compile(r"from[ \t]+__future__[ \t]+import\b[^(]*$")
_DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
# What defines a function, and what has a place in the code.
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign
Placed = ast.stmt | ast.expr
_PARTS = (ast.Attribute, ast.Subscript)
_EFFECTS = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)


@dataclass(frozen=True)
class Code:
    """The code in a text; `lines` are ranges of the text, a line of the code each, in its order.

    A margin, and what stands between the blocks, belong to no line.
    """

    text: str
    lines: tuple[Range, ...]

    @cached_property
    def source(self) -> str:
        """The code itself."""
        return source_of(self.text, self.lines)

    @cached_property
    def tree(self) -> ast.Module | None:
        """Its syntax tree, None where it does not parse."""
        return parse_code(self.source)

    def of(self, node: Placed) -> Range:
        """The characters of the text where a node of the tree stands."""
        return self.between(node, node)

    def between(self, first: Placed, last: Placed) -> Range:
        """From the first node's first character to behind the last node's last one."""
        assert last.end_lineno is not None and last.end_col_offset is not None  # it was parsed
        return (
            self._character(first.lineno, first.col_offset),
            self._character(last.end_lineno, last.end_col_offset),
        )

    def _character(self, line: int, column: int) -> int:
        """A node counts lines from 1, and columns in bytes of UTF-8."""
        start = self.lines[line - 1][0]
        # A character has one byte or more.
        prefix = self.text[start : start + column].encode(errors="surrogatepass")[:column]
        return start + len(prefix.decode(errors="ignore"))


@lru_cache(maxsize=256)
def find_code(text: str, function: str | None = None) -> Code:
    """The code in a completion, that which defines `function` if a name is given.

    Where no block defines it (or, without a name, any function), the last block that gives a name
    to something; where none does, the last block, broken or not; else all of the text. Thinking is
    left out (`problems.thinking`). No text raises an error; the work is linear in it, times a
    constant.
    """
    pieces = find_pieces(text, *outside_thinking(text))
    blocks = [block for piece in pieces for block in piece.blocks]
    entry = _defining(text, pieces, blocks, function)
    if entry is None:
        return Code(text, _otherwise(text, pieces, blocks, function))
    used = _used(text, blocks, entry)
    # Without a name, the block was chosen for the function that it defines.
    usage = _usage(used, function or name_of(entry_point(entry.tree)) or "")
    lines = [line for block in used for line in _without(text, block, usage)]
    return Code(text, _future_first(text, lines))


def extract_code(text: str, function: str | None = None) -> str:
    """The code in a completion as text; see `find_code`."""
    return find_code(text, function).source


def entry_point(tree: ast.Module, function: str | None = None) -> Definition | None:
    """The definition of `function` at the top level, else the last one that no other one uses.

    An assignment of a lambda defines a function, too. Where all are used by another, the last one.
    Tests and main count only where there is nothing else.
    """
    functions: dict[str, Definition] = {
        name: node for node in tree.body if isinstance(node, Definition) and (name := name_of(node))
    }
    if function is not None and function in functions:
        return functions[function]
    used = {
        inner.id
        for name, node in functions.items()
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and inner.id != name
    }
    own = {name: node for name, node in functions.items() if name not in used}
    lasting = [node for name, node in own.items() if not _OF_SCRIPTS.match(name)]
    candidates = lasting or own.values() or functions.values()
    return max(candidates, key=lambda node: node.lineno, default=None)


def name_of(node: ast.AST | None) -> str | None:
    """The name of the function that a statement defines, None if it defines none."""
    if isinstance(node, FUNCTIONS):
        return node.name
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Lambda)
        and isinstance(node.targets[0], ast.Name)
    ):
        return node.targets[0].id
    return None


@dataclass(frozen=True)
class _Names:
    """What code binds at its top level, and what it takes from outside (no builtins).

    `foreign`: of `given`, what it imports from modules that no Python has. `star`: it imports all
    that some module has.
    """

    given: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    star: bool = False


@lru_cache(maxsize=1024)
def _names(source: str) -> _Names:
    try:
        top = symtable.symtable(source, "code", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Names()
    symbols = top.get_symbols()
    given = {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}
    needed = {one.get_name() for one in symbols if one.is_referenced()}
    tables = top.get_children()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        needed |= {
            one.get_name() for one in table.get_symbols() if one.is_global() and one.is_referenced()
        }
    foreign, star = _imports(parse_code(source))
    return _Names(frozenset(given), frozenset(needed - given) - _BUILTINS, foreign, star)


def _imports(tree: ast.Module | None) -> tuple[frozenset[str], bool]:
    """Names from modules that are not Python's own, and whether any module's every name."""
    found, star = set(), False
    for node in tree.body if tree else ():
        if isinstance(node, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
            star |= "*" in names
            if (node.module or "").partition(".")[0] not in sys.stdlib_module_names:
                found.update(names)
    return frozenset(found), star


def _block_names(text: str, block: Block) -> _Names:
    return _names(source_of(text, block.lines))


def _defining(
    text: str, pieces: Sequence[Piece], blocks: Sequence[Block], function: str | None
) -> Block | None:
    """The last block that defines the function: in a fence or all code rather than among words, and
    with a body rather than without."""
    ranked = []
    for number, block in enumerate(blocks):
        definition = entry_point(block.tree, function)
        if function is not None:
            names = _block_names(text, block)
            fits = function in names.given - names.foreign
        else:
            # Where the last definition is broken, no other one stands for it.
            fits = definition is not None and (block.whole or not pieces[block.piece].broken)
        if fits:
            name = name_of(definition) or ""
            lasting = function is not None or not _OF_SCRIPTS.match(name)
            rank = (block.whole or block.inside, not _is_stub(definition), lasting, number)
            ranked.append((rank, block))
    return max(ranked, key=lambda pair: pair[0], default=(None, None))[1]


def _is_stub(definition: ast.AST | None) -> bool:
    """Whether a function's body only says that there is none yet."""
    return isinstance(definition, FUNCTIONS) and all(
        isinstance(node, ast.Pass | ast.Raise)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in definition.body
    )


def _used(text: str, blocks: Sequence[Block], entry: Block) -> list[Block]:
    """`entry` and the blocks that define what it uses: the nearest before it, else one behind."""
    at = next(number for number, block in enumerate(blocks) if block is entry)
    providers: dict[str, int] = {}
    for number in [*range(at - 1, -1, -1), *range(at + 1, len(blocks))]:
        for name in _block_names(text, blocks[number]).given:
            providers.setdefault(name, number)
    used, missing = {at}, False
    waiting = [at]
    while waiting:
        names = _block_names(text, blocks[waiting.pop()])
        for name in names.needed - _block_names(text, entry).given:
            missing |= name not in providers
            number = providers.get(name, at)
            if number not in used:
                used.add(number)
                waiting.append(number)
    if missing:
        used |= {n for n in range(at) if _block_names(text, blocks[n]).star}
    # An import may be needed where the function is defined: "Don't forget to import List".
    late = {n for n in used if n > at and _only_imports(blocks[n])}
    return [blocks[number] for number in sorted(used, key=lambda n: (n not in late, n))]


def _only_imports(block: Block) -> bool:
    return all(isinstance(node, ast.Import | ast.ImportFrom) for node in block.tree.body)


def _usage(blocks: Sequence[Block], function: str) -> set[int]:
    """The statements (their ids) at the top level of `blocks` that only use the function."""
    named = [(node, _statement_names(node)) for block in blocks for node in block.tree.body]
    required = _grown({function}, [(names.given, names.needed) for _, names in named])
    # Tests, a main: what leads to the function.
    users = _grown(
        {function, "input"},
        [
            (names.needed, names.given)
            for node, names in named
            if isinstance(node, _DEFINITIONS)
            and not names.given & required
            and not _is_registered(node, required)
        ],
    )
    left_out: set[int] = set()
    results: set[str] = set()
    for node, names in named:
        if names.given & required or _is_registered(node, required):
            continue
        if _only_uses(node, names, users) or names.needed & results:
            left_out.add(id(node))
            results |= names.given
    return left_out


def _is_registered(node: ast.stmt, required: set[str]) -> bool:
    """Whether a decorator adds a definition to what is required: "@f.register"."""
    return any(
        isinstance(inner, ast.Name) and inner.id in required
        for decorator in getattr(node, "decorator_list", ())
        for inner in ast.walk(decorator)
    )


def _grown(names: set[str], rules: Iterable[tuple[frozenset[str], frozenset[str]]]) -> set[str]:
    """`names` and all that follow: where one of a rule's first is among them, so are its second."""
    found, size = set(names), 0
    while size < len(found):
        size = len(found)
        for condition, consequence in rules:
            if condition & found:
                found |= consequence
    return found


def _statement_names(node: ast.stmt) -> _Names:
    try:
        return _names(ast.unparse(node))
    except RecursionError:
        return _Names()


def _only_uses(node: ast.stmt, names: _Names, users: set[str]) -> bool:
    """Whether a statement gives an example, checks or asks for something."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return False
    if isinstance(node, _DEFINITIONS):
        return bool(names.given & users)
    if _ends(node):
        return True
    inner = list(ast.walk(node))
    if isinstance(node, ast.Assert) or (
        isinstance(node, ast.Expr) and not any(isinstance(one, _EFFECTS) for one in inner)
    ):
        return True
    if any(isinstance(one, _PARTS) and isinstance(one.ctx, ast.Store) for one in inner):
        return False
    calls = [one.func for one in inner if isinstance(one, ast.Call)]
    if any(isinstance(one, ast.Attribute) and one.attr == "parse_args" for one in calls):
        return True  # a script asks for its arguments
    return any(isinstance(one, ast.Name) and one.id in users for one in calls)


def _ends(node: ast.stmt) -> bool:
    """Whether a statement ends a script or runs its tests."""
    if isinstance(node, ast.Raise):
        return True
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) in _ENDINGS


def _without(text: str, block: Block, left_out: set[int]) -> Sequence[Range]:
    """The lines of a block but those of some statements, and without empty ones around them."""
    gone: set[int] = set()
    kept: set[int] = set()
    for node in block.tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        last = node.end_lineno or node.lineno
        (gone if id(node) in left_out else kept).update(range(first, last + 1))
    gone -= kept
    lines = [line for number, line in enumerate(block.lines, start=1) if number not in gone]
    if not gone or parse_code(source_of(text, lines)) is None:
        return block.lines
    filled = [number for number, line in enumerate(lines) if text[slice(*line)].strip()]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _future_first(text: str, lines: Sequence[Range]) -> tuple[Range, ...]:
    """Imports from __future__, which may stand in a later block, before everything else."""
    future = [line for line in lines if _FUTURE.match(text, *line)]
    return (*future, *(line for line in lines if line not in future)) if future else tuple(lines)


def _otherwise(
    text: str, pieces: Sequence[Piece], blocks: Sequence[Block], function: str | None
) -> tuple[Range, ...]:
    """The lines to take where nothing defines the function; see `find_code`."""
    head = re.compile(rf"(?:async[ \t]+)?def[ \t]+{re.escape(function) if function else ''}\b")
    begun = [piece for piece in pieces if piece.broken]
    if function:
        begun = [piece for piece in begun if head.search(source_of(text, piece.lines))]
    naming = [block for block in blocks if _block_names(text, block).given]
    inside = [piece for piece in pieces if piece.inside]
    for found in (begun, naming, [piece for piece in inside if piece.lines], inside):
        if found:
            return ([one for one in found if one.inside] or found)[-1].lines
    return tuple(line for piece in pieces for line in piece.lines)
