"""The value-flow graph of GSM8K solutions: twenty that were labelled by hand, and each rule alone."""

import pytest

from cfdapo.problems import gsm8k
from cfdapo.problems.value_flow import label_lines, label_solution

LETTERS = {"c": "causal", "r": "restatement", "f": "filler", "d": "distractor"}

# Line by line: what a line is, and how many later causal lines need its result ("c2"); "-" where a
# line says nothing by itself (algebra with an unknown, an empty line). Labelled by reading the
# solutions, before the code was run on them.
BY_HAND = {
    ("test", 62): "c2 c1 c0",
    ("test", 63): "c3 c1 c3 c2 c1 c0",
    ("test", 87): "c3 c2 c1 c0",
    ("test", 98): "c1 c0",
    ("test", 157): "c2 c1 c2 c3 c2 c1 r0 c0",
    ("test", 219): "r0 c2 c2 c1 c0 r0",
    ("test", 308): "c2 c1 c1 c0",
    ("test", 341): "c3 c3 c2 c2 c1 c0",
    ("test", 444): "c2 c1 c0 r0",
    ("test", 500): "- - - - c3 c2 c1 c0 r0",
    ("test", 550): "c3 c3 c2 c1 c0",
    ("test", 682): "c1 - - - - c0",
    ("test", 808): "c3 c3 c2 c1 c0 r0",
    ("test", 1022): "- - c2 - c1 c0",
    ("test", 1030): "c3 c3 c2 c2 c1 c0",
    ("test", 1042): "c2 c3 c2 - c1 c0",
    ("test", 1102): "c1 c3 c2 c3 c2 c1 c0",
    ("test", 1193): "c1 c1 c1 c1 c0",
    ("train", 4848): "c3 c2 c2 c1 c0",
    ("train", 5298): "d0 d0 c1 d0 d0 c0",
}


def written(lines) -> str:
    short = {label: letter for letter, label in LETTERS.items()}
    return " ".join(f"{short[line[0]]}{line[1]}" if line else "-" for line in lines)


@pytest.mark.parametrize(("split", "number"), BY_HAND, ids=lambda value: str(value))
def test_a_solution_labelled_by_hand(data_folder, split, number):
    row = gsm8k.load(split, data_folder)[number]
    assert written(label_lines(row["solution"], row["question"])) == BY_HAND[split, number]
