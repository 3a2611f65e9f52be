"""Parse code that may be broken, and say where in a text the nodes of its tree stand."""

import ast
import re
import warnings

NEW_LINE = re.compile(r"\r\n|\r|\n")


def parse_code(code: str) -> ast.Module | None:
    """The syntax tree, or None where the code does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on "\d" and the like
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class CodePlaces:
    """Characters of a text where the tree of its code, from `start` to `end`, has its nodes.

    A node counts lines from 1, and columns in bytes of UTF-8.
    """

    def __init__(self, text: str, start: int, end: int):
        self.text = text
        code = text[start:end]
        self.lines = [start, *(start + match.end() for match in NEW_LINE.finditer(code))]

    def of(self, node: ast.AST) -> tuple[int, int]:
        """The range of one node."""
        return self.between(node, node)

    def between(self, first: ast.AST, last: ast.AST) -> tuple[int, int]:
        """From the first node's first character to behind the last node's last one."""
        return (
            self._character(first.lineno, first.col_offset),
            self._character(last.end_lineno, last.end_col_offset),
        )

    def _character(self, line: int, column: int) -> int:
        start = self.lines[line - 1]
        # A character has one byte or more.
        prefix = self.text[start : start + column].encode(errors="surrogatepass")[:column]
        return start + len(prefix.decode(errors="ignore"))
