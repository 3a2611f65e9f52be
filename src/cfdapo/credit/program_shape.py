"""Programs as they are but for the names that they give themselves, so that siblings compare.

What a program binds (parameters, targets, imports, inner functions) may have any name, and is
numbered here scope by scope, in the order in which it comes up. All other names mean something:
builtins, and whatever is taken from outside. So do those by which others ask for what is bound:
attributes and the names in a class, parameters that some call names, and what is graded.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cfdapo.problems.code_places import FUNCTIONS, name_of

# What reads variables by their names while it runs.
_READ_NAMES = frozenset(("locals", "globals", "vars", "dir", "eval", "exec"))
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def program_shape(tree: ast.Module, function: str | None = None) -> str | None:
    """Text that two programs share where they differ in no more than the names they bind.

    `tree` is changed. `function` is what is graded, and keeps its name; without it, all functions
    and classes at the top level do. None where the program is nested too deep to be read.
    """
    try:
        return ast.dump(_Numbered(tree, function).visit(tree))
    except RecursionError:
        return None


@dataclass
class _Scope:
    """Names bound in a scope; `kept` of them keep their spelling, `outside` are the module's."""

    bound: set[str]
    kept: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    is_class: bool = False


class _Numbered(ast.NodeTransformer):
    def __init__(self, tree: ast.Module, function: str | None) -> None:
        nodes = list(ast.walk(tree))
        declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        module = _Scope(_bound(tree.body) | declared, _graded(tree, function))
        self.scopes = [module]
        self.numbers: dict[tuple[int, str], str] = {}
        self.called = {node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg}
        self.reads_names = bool(names & _READ_NAMES)
        # Scopes are told apart by their identity, so that all must live.
        self.seen = [module]

    def _named(self, name: str) -> str:
        scope = self._scope_of(name)
        if scope is None or name in scope.kept or self.reads_names:
            return name
        # No name of Python's own looks like this.
        return self.numbers.setdefault((id(scope), name), f"<{len(self.numbers)}>")

    def _scope_of(self, name: str) -> _Scope | None:
        """The scope that binds `name` as it is read in the innermost one; None if it is free."""
        *around, innermost = self.scopes
        seen = [innermost, *(scope for scope in reversed(around) if not scope.is_class)]
        for scope in seen:
            if name in scope.outside:
                break
            if name in scope.bound:
                return scope
        module = self.scopes[0]
        return module if name in module.bound else None

    def _inside(self, scope: _Scope, nodes: Iterable[ast.AST]) -> None:
        self.seen.append(scope)
        self.scopes.append(scope)
        for node in nodes:
            self.visit(node)
        self.scopes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._named(node.name)
        return self._function(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.name = self._named(node.name)
        return self._function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._function(node, [node.body])

    def _function(self, node: _Function, body: list) -> ast.AST:
        # Before the names inside are changed.
        parameters = {one.arg for one in _parameters(node)}
        outside = _declared(body, ast.Global)
        inner = _Scope(parameters | _bound(body), parameters & self.called, outside)
        for one in _around(node):
            self.visit(one)
        self._inside(inner, [*_parameters(node), *body])
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._named(node.arg)
        return node  # its annotation is read around the function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._named(node.name)
        for one in _around(node):
            self.visit(one)
        bound = _bound(node.body)
        outside = _declared(node.body, ast.Global)
        self._inside(_Scope(bound, bound, outside, is_class=True), node.body)
        return node

    def _comprehension(self, node: _Comprehension) -> ast.AST:
        first, *others = node.generators
        self.visit(first.iter)
        bound = {
            one.id
            for generator in node.generators
            for one in ast.walk(generator.target)
            if isinstance(one, ast.Name)
        }
        rest = [first.target, *first.ifs, *others]
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._inside(_Scope(bound), [*rest, *parts])
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._named(node.id)
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        name = node.asname or node.name.partition(".")[0]
        if node.name != "*":
            number = self._named(name)
            # "import a.b" binds a, and "import a.b as c" the inner one.
            node.asname = number if node.asname or "." not in node.name else None
        return node

    def _declaration(self, node: ast.Global | ast.Nonlocal) -> ast.AST:
        node.names = [self._named(name) for name in node.names]
        return node

    visit_Global = visit_Nonlocal = _declaration

    def _capture(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> ast.AST:
        node.name = self._named(node.name) if node.name else None
        return self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = _capture

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        node.rest = self._named(node.rest) if node.rest else None
        return self.generic_visit(node)


def _graded(tree: ast.Module, function: str | None) -> set[str]:
    """The names at the top level by which others may ask for something."""
    if function is not None:
        return {function}
    named = {name_of(node) for node in tree.body}
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    return classes | {name for name in named if name}


def _bound(body: Iterable[ast.AST]) -> set[str]:
    """The names that a scope with this body binds, without parameters and what it declares."""
    body = list(body)
    found = {name for node in _own_nodes(body) for name in _binds(node)}
    return found - _declared(body, ast.Global) - _declared(body, ast.Nonlocal)


def _declared(body: Iterable[ast.AST], kind: type[ast.Global] | type[ast.Nonlocal]) -> set[str]:
    return {name for node in _own_nodes(body) if isinstance(node, kind) for name in node.names}


def _own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a scope without those inside the scopes in it, but for the scopes' own nodes."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            waiting += _around(node)
        elif isinstance(node, _COMPREHENSIONS):
            # := in it binds around it; its targets do not.
            waiting += (one.target for one in ast.walk(node) if isinstance(one, ast.NamedExpr))
            waiting.append(node.generators[0].iter)
        else:
            waiting += ast.iter_child_nodes(node)


def _around(node: ast.AST) -> list[ast.AST]:
    """What belongs to a function or class and is read in the scope around it."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    assert isinstance(node, _Function)
    found: list[ast.AST] = [
        *node.args.defaults,
        *(one for one in node.args.kw_defaults if one is not None),
    ]
    found += [one.annotation for one in _parameters(node) if one.annotation is not None]
    if not isinstance(node, ast.Lambda):
        found += [*node.decorator_list, *([node.returns] if node.returns else [])]
    return found


def _parameters(node: _Function) -> list[ast.arg]:
    args = node.args
    rest = [one for one in (args.vararg, args.kwarg) if one is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *rest]


def _binds(node: ast.AST) -> Iterator[str]:
    """The names that a node itself binds in its scope."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.alias) and node.name != "*":
        yield node.asname or node.name.partition(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
