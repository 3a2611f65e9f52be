"""Find the code in a text, parse it, broken or not, and say where its tree's nodes stand."""

import ast
import re
import warnings

NEW_LINE = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)


def find_code(text: str) -> tuple[int, int]:
    """The characters of the code in a completion: the last fenced block's, else all.

    A block that is not closed goes on to the end of the text. Linear in the text.
    """
    start, end, fence = 0, len(text), ""
    for mark in _FENCE.finditer(text):
        if not fence:
            fence, start, end = mark[1], min(mark.end() + 1, len(text)), len(text)
        elif mark[1].startswith(fence) and not mark[2].strip():
            end, fence = max(mark.start() - 1, start), ""
    return start, end


def extract_code(text: str) -> str:
    """The code in a completion."""
    start, end = find_code(text)
    return text[start:end]


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
