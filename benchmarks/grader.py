"""How many answers does the grader read right, on real texts and on gold answers in many forms?

    CFDAPO_DATA=folder PYTHONPATH=src python benchmarks/grader.py --out now.json
    CFDAPO_DATA=folder PYTHONPATH=src python benchmarks/grader.py --against then.json

Four sets of texts: GSM8K's gold solutions; those without their line "####", which are graded by
their last number; its example model solutions, whose labels say which are right, with and without
their last line; and solutions that end in a gold answer, written in each of `NUMBERS` and stated in
each of `STATEMENTS`. `--against` names the records that another version of the grader left with
`--out`; what one of the two reads right and the other does not is listed. To run another version,
set PYTHONPATH to the src of its checkout.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cfdapo.files import read_jsonl
from cfdapo.problems import gsm8k
from cfdapo.problems.answers import equal, extract_answer

# Every eighth gold solution is written in each form.
EVERY = 8

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def _spoken(value: int) -> str:
    """A whole number below 1000 in words."""
    if value < 20:
        return ONES.split()[value]
    if value < 100:
        ten, one = divmod(value, 10)
        return TENS.split()[ten - 2] + (f"-{ONES.split()[one]}" if one else "")
    hundreds, rest = divmod(value, 100)
    return f"{ONES.split()[hundreds]} hundred" + (f" and {_spoken(rest)}" if rest else "")


def _grouped(value: int, separator: str) -> str:
    return f"{value:,}".replace(",", separator)


def _indian(value: int) -> str:
    head, tail = divmod(abs(value), 1000)
    pairs = []
    while head:
        head, pair = divmod(head, 100)
        pairs.append(f"{pair:02d}" if head else str(pair))
    digits = ",".join([*reversed(pairs), f"{tail:03d}" if pairs else str(tail)])
    return f"-{digits}" if value < 0 else digits


# Name of a form: how a whole number looks in it, None where it has none.
NUMBERS = {
    "digits": str,
    "1,000": lambda value: _grouped(value, ","),
    "1 000": lambda value: _grouped(value, " "),
    "1 000 (no-break)": lambda value: _grouped(value, "\u00a0"),
    "1 000 (narrow)": lambda value: _grouped(value, "\u202f"),
    "1'000": lambda value: _grouped(value, "'"),
    "1_000": lambda value: _grouped(value, "_"),
    "1{,}000": lambda value: _grouped(value, "{,}"),
    r"1\;000": lambda value: _grouped(value, r"\;"),
    r"1\text{,}000": lambda value: _grouped(value, r"\text{,}"),
    "1,00,000": _indian,
    "$18.00": lambda value: f"${value}.00",
    "18%": lambda value: f"{value}%",
    "Rs18": lambda value: f"Rs{value}",
    "赚18美元": lambda value: f"赚{value}美元",
    r"\frac{36}{2}": lambda value: rf"\frac{{{2 * value}}}{{2}}",
    r"\frac{\text{36}}{2}": lambda value: rf"\frac{{\text{{{2 * value}}}}}{{2}}",
    r"1.8\times 10^4": lambda value: rf"{value}\times 10^0" if value else None,
    "18 dollars in 7 days": lambda value: f"{value} dollars in 7 days",
    "1.8 million": lambda value: f"{value / 10**6:g} million" if value % 1000 == 0 else None,
    "2 dozen": lambda value: f"{value // 12} dozen" if value and value % 12 == 0 else None,
    "minus 5": lambda value: f"minus {-value}" if value < 0 else None,
    "- 5": lambda value: f"- {-value}" if value < 0 else None,
    "eighteen": lambda value: _spoken(value) if 0 <= value < 1000 else None,
}
STATEMENTS = {
    "####": "#### {}",
    r"\boxed{}": r"So it is $\boxed{{{}}}$.",
    r"\boxed{}, then prose": r"\boxed{{{}}}. The final answer is rounded to 2 decimal places.",
    "####, then bold prose": "#### {}\nThere are **7** days in a week.",
    "the answer is": "The answer is {}.",
    "**Final Answer:**": "**Final Answer:** {}",
    "behind thinking": "<think>The answer is 1. #### 2</think>\nThe answer is {}.",
}


class Text(NamedTuple):
    """A text to grade: its kind, a name, the gold answer, and whether it states that."""

    kind: str
    name: str
    text: str
    gold: str
    right: bool


def texts(folder: Path) -> Iterator[Text]:
    """All texts, in a fixed order."""
    rows = gsm8k.load("train", folder) + gsm8k.load("test", folder)
    for row in rows:
        solution = gsm8k.strip_marks(row["solution"])
        yield Text("gold solutions", row["id"], solution, row["answer"], True)
        prose = solution.rpartition("\n####")[0]
        yield Text("gold solutions, no ####", row["id"], prose, row["answer"], True)
    for index, row in enumerate(read_jsonl(folder / "gsm8k_model_solutions" / "solutions.jsonl")):
        gold = row["ground_truth"].rpartition("A:")[2]
        for model, answer in row.items():
            if isinstance(answer, dict):
                name, right = f"{index} {model}", answer["is_correct"]
                solution = gsm8k.strip_marks(answer["solution"])
                yield Text("model solutions", name, solution, gold, right)
                prose = solution.rpartition("\nA:")[0]
                yield Text("model solutions, no A:", name, prose, gold, right)
    for row in rows[::EVERY]:
        reasoning = gsm8k.strip_marks(row["solution"]).rpartition("####")[0]
        value = int(row["answer"])
        for statement, frame in STATEMENTS.items():
            for number, write in NUMBERS.items():
                if written := write(value):
                    name = f"{statement} | {number} | {row['id']}"
                    yield Text("forms", name, reasoning + frame.format(written), str(value), True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="where to leave what was extracted")
    parser.add_argument("--against", type=Path, help="what another version left")
    options = parser.parse_args()
    before = json.loads(options.against.read_text()) if options.against else {}
    found: dict[str, str | None] = {}
    counts: dict[str, list[int]] = {}
    changes = []
    for kind, name, text, gold, right in texts(Path(os.environ[gsm8k.DATA_VARIABLE])):
        key = f"{kind}: {name}"
        found[key] = answer = extract_answer(text)
        agrees = (answer is not None and equal(answer, gold)) == right
        agreed = before.get(key)
        agreed = (agreed is not None and equal(agreed, gold)) == right
        group = f"{kind}: {name.rpartition(' | ')[0]}" if kind == "forms" else kind
        row = counts.setdefault(group, [0, 0, 0])
        row[0] += 1
        row[1] += agrees
        row[2] += agreed
        if before and agrees != agreed and kind != "forms":
            changes.append((key, gold, before[key], answer, text[-80:]))
    for group, (total, agrees, agreed) in counts.items():
        print(f"{agrees:6} of {total:6}" + (f", {agreed:6} then" if before else ""), group)
    for change in changes:
        print(*change, sep=" | ")
    lost = [group for group, (_, agrees, agreed) in counts.items() if before and agrees < agreed]
    if before:
        print("fewer than then:", ", ".join(lost) or "none")
    if options.out:
        options.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
