from html import escape

import pandas as pd
import pytest

from cfdapo.analysis.rendering.table import (
    Cell,
    Footnotes,
    Note,
    Table,
    escape_latex,
    signed,
    to_html,
    to_latex,
    to_markdown,
    write,
)


@pytest.fixture
def table() -> Table:
    return Table(
        name="table1_accuracy",
        title="Accuracy (%) & more_than 50% of #1",
        columns=["Model", "CF_1", "p"],
        rows=[
            [Cell("A|B_c"), Cell("84.3 ± 0.5", bold=True), Cell("0.035*")],
            [Cell("D"), Cell("–", mark="a"), Cell("<0.001*")],
        ],
        data=pd.DataFrame({"model": ["a", "d"], "value": [1 / 3, None]}),
        notes=[Note("no runs", "a"), Note("The paper: 84.3.")],
    )


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("50% & #1_{x}$", r"50\% \& \#1\_\{x\}\$"),
        ("a\\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
        ("p < 0.05 > |x|", r"p $<$ 0.05 $>$ \textbar{}x\textbar{}"),
        ("Δ −1 ± 2 × 3 –", r"$\Delta$ $-$1 $\pm$ 2 $\times$ 3 --"),
        ("a ≤ b ≥ c ÷ d → ρ “e”", r"a $\leq$ b $\geq$ c $\div$ d $\rightarrow$ $\rho$ ``e''"),
        ("plain text, 1.5 (%)", r"plain text, 1.5 (\%)"),
    ],
)
def test_latex_escapes(text, source):
    assert escape_latex(text) == source


def test_latex_is_a_booktabs_table(table):
    assert to_latex(table).splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        r"\caption{Accuracy (\%) \& more\_than 50\% of \#1}",
        r"\label{tab:table1_accuracy}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"Model & CF\_1 & p \\",
        r"\midrule",
        r"A\textbar{}B\_c & \textbf{84.3 $\pm$ 0.5} & 0.035* \\",
        r"D & --\textsuperscript{a} & $<$0.001* \\",
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"{\footnotesize \textsuperscript{a} no runs\par}",
        "",
        r"{\footnotesize The paper: 84.3.\par}",
        r"\end{table}",
    ]


def test_markdown_escapes_what_would_be_markup(table):
    assert to_markdown(table).splitlines() == [
        r"**Accuracy (%) & more\_than 50% of #1**",
        "",
        r"| Model | CF\_1 | p |",
        "| :--- | ---: | ---: |",
        r"| A\|B\_c | **84.3 ± 0.5** | 0.035\* |",
        r"| D | –<sup>a</sup> | \<0.001\* |",
        "",
        "<sup>a</sup> no runs",
        "",
        "The paper: 84.3.",
    ]


def test_html_is_a_page_of_its_own(table):
    page = to_html(table)
    assert page.startswith("<!DOCTYPE html>") and "http" not in page
    assert page.count("<tr>") == len(table.rows) + 1
    for row in table.rows:
        for cell in row:
            assert escape(cell.text) in page
    for note in table.notes:
        assert escape(note.text) in page


def test_files_have_all_digits_and_the_same_bytes_twice(table, tmp_path):
    paths = write(table, tmp_path / "first")
    assert [path.name for path in paths] == [
        f"table1_accuracy.{suffix}" for suffix in ("csv", "md", "tex", "html")
    ]
    for path, again in zip(paths, write(table, tmp_path / "second"), strict=True):
        assert path.read_bytes() == again.read_bytes()
    assert paths[0].read_text() == "model,value\na,0.3333333333333333\nd,\n"


def test_the_same_reason_keeps_its_letter_and_letters_never_run_out():
    footnotes = Footnotes()
    marks = [footnotes.mark(f"reason {number}") for number in range(60)]
    assert len(set(marks)) == 60
    assert marks[:2] == ["a", "b"]
    assert footnotes.dash("reason 1").mark == "b"
    assert footnotes.mark("") == ""
    assert [note.text for note in footnotes.notes()] == [f"reason {n}" for n in range(60)]


def test_negative_numbers_have_a_minus_sign():
    assert signed(-1.256, "+.2f") == "−1.26"
    assert signed(1.256, "+.2f") == "+1.26"
