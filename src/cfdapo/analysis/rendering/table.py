"""A table as data and as text: one `Table` written as CSV, Markdown, LaTeX and HTML."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
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
    """Write `{name}.csv` (the tidy numbers), `.md`, `.tex` and `.html` into `folder`.

    Other tables and figures read the numbers, so a checksum stands beside them.
    """
    endings = ("csv", "md", "tex", "html")
    csv, markdown, latex, page = (Path(folder) / f"{table.name}.{end}" for end in endings)
    finish(csv, table.data.to_csv(index=False, lineterminator="\n"))
    atomic_write(markdown, to_markdown(table))
    atomic_write(latex, to_latex(table))
    atomic_write(page, to_html(table))
    return [csv, markdown, latex, page]


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


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5em; color: #1a1a1a; background: #fff; }
caption { text-align: left; font-weight: 600; padding-bottom: .6em; }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; }
th, td { padding: .25em .7em; text-align: right; vertical-align: top; }
th { border-bottom: 1px solid; }
.text { text-align: left; }
p { max-width: 60em; font-size: 13px; }
"""


def to_html(table: Table) -> str:
    """The table as a page of its own, which reports can open: caption above, notes below."""
    kinds = ["text" if text else "number" for text in _text_columns(table)]
    head = _html_row("th", kinds, [escape(column) for column in table.columns])
    body = [_html_row("td", kinds, [_html_cell(cell) for cell in row]) for row in table.rows]
    notes = [f"<p>{_html_mark(note.mark)}{escape(note.text)}</p>" for note in table.notes]
    lines = [
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{table.name}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<table><caption>{escape(table.title)}</caption>",
        f"<thead>{head}</thead><tbody>",
        *body,
        "</tbody></table>",
        *notes,
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _html_row(tag: str, kinds: Sequence[str], cells: Sequence[str]) -> str:
    set_in = zip(kinds, cells, strict=True)
    return f"<tr>{''.join(f'<{tag} class={kind}>{cell}</{tag}>' for kind, cell in set_in)}</tr>"


def _html_cell(cell: Cell) -> str:
    text = escape(cell.text)
    return (f"<b>{text}</b>" if cell.bold else text) + _html_mark(cell.mark)


def _html_mark(mark: str) -> str:
    return f"<sup>{mark}</sup> " if mark else ""


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
