"""Which statements of a program its result depends on: a static backward slice (Weiser, 1981).

Only programs whose dependences are certain are sliced: one function of assignments to names, `if`,
`for` over a value, `return` and `pass`. Anything else (a `while`, a method that could change a
list) gives no labels, rather than doubtful ones.
"""

import ast
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cfdapo.problems.code_places import Code, find_code
from cfdapo.problems.labels import Label, Sentence

_COMPARISONS = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
# Expressions without effects; of calls only those of `_PURE`.
_EXPRESSIONS = (
    ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.Constant, ast.Name, ast.Call, ast.IfExp,
    ast.List, ast.Tuple, ast.Subscript, ast.Slice, ast.ListComp, ast.GeneratorExp,
    ast.comprehension, ast.operator, ast.boolop, ast.unaryop, ast.cmpop, ast.expr_context,
)  # fmt: skip
_PURE = frozenset({"abs", "len", "list", "max", "min", "range", "reversed", "sorted", "sum"})

Needs = frozenset[int]
Values = dict[str, Needs]
NOTHING: Needs = frozenset()


def label_program(text: str, function: str) -> list[Sentence]:
    """The statements of a completion's code, "causal" or "distractor", in the order of the text.

    A statement is a simple one, or the head of a compound one without its colon, as in
    `credit.code_spans`. It is causal if the function's result depends on it, by values or by
    control; a condition of constants decides nothing, and what it keeps from running is no cause.
    `dependants` counts the causal statements, other than returns, that need it. Empty where the
    code does not parse, defines anything but `function`, holds what is not sliced, or is nested too
    deeply.
    """
    code = find_code(text, function)
    if code.tree is None or len(code.tree.body) != 1:
        return []
    definition = code.tree.body[0]
    if not isinstance(definition, ast.FunctionDef) or definition.name != function:
        return []
    slicer = _Slicer()
    try:
        slicer.block(definition.body, {}, NOTHING)
    except (_NotSliced, RecursionError):
        return []
    return list(_sentences(slicer, code)) if slicer.result else []


class _NotSliced(Exception):
    """The program holds what this module does not follow."""


@dataclass
class _Slicer:
    """Follows values through a function, forwards.

    A statement's number is its place in `statements`. `needs`: the statements that each one's
    effect depends on, through any number of others. `result`: those that the result depends on.
    """

    statements: list[ast.stmt] = field(default_factory=list)
    needs: list[Needs] = field(default_factory=list)
    result: Needs = NOTHING
    _numbers: dict[int, int] = field(default_factory=dict)

    def block(self, body: Sequence[ast.stmt], values: Values, control: Needs) -> Values | None:
        """What each name depends on after `body`, None where it always returns.

        `values`: what each name depends on before. `control`: what decides whether `body` runs.
        """
        now: Values | None = values
        for statement in body:
            now = self._statement(statement, now, control)
        return now

    def _statement(self, node: ast.stmt, values: Values | None, control: Needs) -> Values | None:
        if values is None:
            self._never(node)
            return None
        match node:
            case ast.Pass():
                return values
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return values | {name: self._effect(node, [value], values, control)}
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                effect = self._effect(node, [value], values, control | values.get(name, NOTHING))
                return values | {name: effect}
            case ast.Return(value=value) if value is not None:
                self.result |= self._effect(node, [value], values, control)
                return None
            case ast.If():
                return self._if(node, values, control)
            case ast.For(target=ast.Name(id=name), orelse=[]):
                return self._for(node, name, values, control)
        raise _NotSliced

    def _if(self, node: ast.If, values: Values, control: Needs) -> Values | None:
        decides = self._effect(node, [node.test], values, control)
        truth = _truth(node.test)
        if truth is not None:
            for statement in node.orelse if truth else node.body:
                self._never(statement)
            return self.block(node.body if truth else node.orelse, values, control)
        ends = [self.block(body, values, decides) for body in (node.body, node.orelse)]
        if None in ends:
            # What follows runs only where this did not return.
            self.result |= decides
        return _merged(ends)

    def _for(self, node: ast.For, name: str, values: Values, control: Needs) -> Values | None:
        runs = self._effect(node, [node.iter], values, control)
        before = values | {name: runs | values.get(name, NOTHING)}
        # Of a value that each round takes from the round before, until nothing more is added.
        while True:
            after = _merged([before, self.block(node.body, before, runs)])
            if after is None or after == before:
                return after
            before = after

    def _effect(
        self, node: ast.stmt, reads: Iterable[ast.expr], values: Values, control: Needs
    ) -> Needs:
        """The statement and all that it needs, which is noted."""
        needed = control
        for expression in reads:
            for name in _names(expression):
                needed |= values.get(name, NOTHING)
        number = self._number(node)
        self.needs[number] |= needed
        return needed | {number}

    def _never(self, node: ast.stmt) -> None:
        """Note a statement that does not run, and those inside it."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.stmt):
                self._number(inner)

    def _number(self, node: ast.stmt) -> int:
        """The statement's number; in a loop it comes here again."""
        if id(node) not in self._numbers:
            self._numbers[id(node)] = len(self.statements)
            self.statements.append(node)
            self.needs.append(NOTHING)
        return self._numbers[id(node)]


def _merged(ends: Iterable[Values | None]) -> Values | None:
    """Where control comes from several places: what each name may depend on."""
    open_ends = [values for values in ends if values is not None]
    if not open_ends:
        return None
    names = {name for values in open_ends for name in values}
    return {
        name: frozenset().union(*(values.get(name, NOTHING) for values in open_ends))
        for name in names
    }


def _names(expression: ast.expr) -> set[str]:
    """The names that an expression reads, without those that its comprehensions bind."""
    read: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(expression):
        if not isinstance(node, _EXPRESSIONS):
            raise _NotSliced
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Name) and node.func.id in _PURE and not node.keywords
        ):
            raise _NotSliced
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
    return read - bound


def _truth(test: ast.expr) -> bool | None:
    """Whether a condition of constants holds; None for any other."""
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Compare(
            left=ast.Constant(value=int(left)),
            ops=[comparison],
            comparators=[ast.Constant(value=int(right))],
        ) if type(comparison) in _COMPARISONS:
            return _COMPARISONS[type(comparison)](left, right)
    return None


def _sentences(slicer: _Slicer, code: Code) -> Iterator[Sentence]:
    numbered = sorted(enumerate(slicer.statements), key=lambda one: code.of(one[1]))
    for number, node in numbered:
        if isinstance(node, ast.Pass):
            continue
        last = node.test if isinstance(node, ast.If) else getattr(node, "iter", node)
        causal = number in slicer.result
        later = [
            other
            for other in slicer.result
            if other != number
            and number in slicer.needs[other]
            and not isinstance(slicer.statements[other], ast.Return)
        ]
        label: Label = "causal" if causal else "distractor"
        yield Sentence(*code.between(node, last), label, None, len(later) if causal else 0)
