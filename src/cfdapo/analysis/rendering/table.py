"""A table as data and as text: one `Table` written as CSV, Markdown and LaTeX."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cfdapo.checksums import check, finish
from cfdapo.files import UserError, atomic_write

DASH = "–"
# A column of nothing but dashes is one of numbers that are undefined.
_NUMERIC = re.compile(r"[-+−<>≤≥(\[]?\s*[.\d]|–$")


@dataclass(frozen=True)
class Cell:
    """What a reader sees in one field; `mark` is the letter of a footnote."""

    text: str
    bold: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Note:
    """A line below the table; `mark` is the letter that cells refer to, or empty."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table for readers (`columns`, `rows`, `notes`) and for programs (`data`, tidy, numeric)."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    data: pd.DataFrame
    notes: list[Note] = field(default_factory=list)


class Footnotes:
    """Letters of footnotes for reasons; the same reason keeps its letter."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, reason: str) -> str:
        if not reason:
            return ""
        number = len(self._marks)
        letter = string.ascii_lowercase[number % 26] * (number // 26 + 1)
        return self._marks.setdefault(reason, letter)

    def dash(self, reason: str) -> Cell:
        return Cell(DASH, mark=self.mark(reason))

    def notes(self) -> list[Note]:
        return [Note(text, mark) for text, mark in self._marks.items()]


def signed(value: float, style: str) -> str:
    """A number in a `format` style, with a minus sign rather than a hyphen."""
    return format(value, style).replace("-", "−")


def write(table: Table, folder: str | Path) -> list[Path]:
    """Write `{name}.csv` (the tidy numbers), `{name}.md` and `{name}.tex` into `folder`.

    Other tables and figures read the numbers, so a checksum stands beside them.
    """
    csv, markdown, latex = (Path(folder) / f"{table.name}.{end}" for end in ("csv", "md", "tex"))
    finish(csv, table.data.to_csv(index=False, lineterminator="\n"))
    atomic_write(markdown, to_markdown(table))
    atomic_write(latex, to_latex(table))
    return [csv, markdown, latex]


def read_table(path: str | Path) -> pd.DataFrame:
    """The numbers that `write` left.

    Raises:
        UserError: the file is absent, damaged or no table.
    """
    check(path)
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise UserError(f"{path}: is no table ({error})") from error


def _text_columns(table: Table) -> list[bool]:
    """Which columns are set flush left: the first, and those where no cell begins as numbers do."""
    columns = zip(*([cell.text for cell in row] for row in table.rows), strict=True)
    words = [not any(map(_NUMERIC.match, texts)) for texts in columns] or [False] * len(
        table.columns
    )
    return [True, *words[1:]]


def to_markdown(table: Table) -> str:
    """The table as Markdown (pipe table), title above, notes below."""
    lines = [f"**{_escape_markdown(table.title)}**", ""]
    lines.append(_markdown_row([_escape_markdown(column) for column in table.columns]))
    lines.append(_markdown_row([":---" if text else "---:" for text in _text_columns(table)]))
    lines += [_markdown_row([_markdown_cell(cell) for cell in row]) for row in table.rows]
    for note in table.notes:
        mark = f"<sup>{note.mark}</sup> " if note.mark else ""
        lines += ["", mark + _escape_markdown(note.text)]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell) -> str:
    text = _escape_markdown(cell.text)
    text = f"**{text}**" if cell.bold else text
    return f"{text}<sup>{cell.mark}</sup>" if cell.mark else text


def _escape_markdown(text: str) -> str:
    return text.translate({ord(sign): f"\\{sign}" for sign in "\\`*_|<>[]"})


def to_latex(table: Table) -> str:
    """The table as LaTeX: a `table` with a booktabs `tabular`, caption above, notes below."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escape_latex(table.title)}}}",
        f"\\label{{tab:{table.name}}}",
        f"\\begin{{tabular}}{{{''.join('l' if text else 'r' for text in _text_columns(table))}}}",
        "\\toprule",
        _latex_row([escape_latex(column) for column in table.columns]),
        "\\midrule",
        *(_latex_row([_latex_cell(cell) for cell in row]) for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    for note in table.notes:
        mark = f"\\textsuperscript{{{note.mark}}} " if note.mark else ""
        lines += ["", f"{{\\footnotesize {mark}{escape_latex(note.text)}\\par}}"]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    text = f"\\textbf{{{text}}}" if cell.bold else text
    return f"{text}\\textsuperscript{{{cell.mark}}}" if cell.mark else text


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
        "|": r"\textbar{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "Δ": r"$\Delta$",
        "÷": r"$\div$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "→": r"$\rightarrow$",
        "π": r"$\pi$",
        "ρ": r"$\rho$",
        "τ": r"$\tau$",
        "…": r"\ldots{}",
        "“": "``",
        "”": "''",
        "–": "--",
        "−": "$-$",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def escape_latex(text: str) -> str:
    """Text as LaTeX source that prints it: special characters escaped, signs as mathematics."""
    return text.translate(_LATEX)
