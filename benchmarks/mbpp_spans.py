"""Do the paper's arithmetic patterns see code? Spans of MBPP+'s canonical solutions, both ways.

    CFDAPO_DATA=folder PYTHONPATH=src python benchmarks/mbpp_spans.py

Each solution stands in a fenced block, its answer is the expression of its last return, and at most
ten spans before that are kept. A span of code counts as seen where an arithmetic span touches it.
"""

from collections import Counter

from cfdapo.credit.code_spans import CODE_KINDS, find_code_answer, find_code_spans
from cfdapo.credit.spans import Span, find_spans
from cfdapo.problems import mbpp


def main() -> None:
    found: Counter[str] = Counter()
    code: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    tasks = mbpp.read_tasks()
    for task in tasks:
        text = f"```python\n{task['canonical_solution'].strip()}\n```"
        answer = find_code_answer(text)
        arithmetic = find_spans(text, answer=answer)
        found.update(span.kind for span in arithmetic)
        for span in find_code_spans(text, answer=answer):
            code[span.kind] += 1
            seen[span.kind] += any(_touch(span, other) for other in arithmetic)
    print(f"spans a solution, {len(tasks)} solutions")
    for name, counts in (("arithmetic patterns", found), ("syntax tree", code)):
        kinds = ", ".join(f"{kind} {count / len(tasks):.2f}" for kind, count in counts.items())
        print(f"  {name}: {counts.total() / len(tasks):.2f} ({kinds})")
    print(f"spans of code that an arithmetic one touches: {seen.total() / code.total():.0%}")
    for kind in CODE_KINDS:
        print(f"  {kind}: {seen[kind]} of {code[kind]}")


def _touch(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


if __name__ == "__main__":
    main()
