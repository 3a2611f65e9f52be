"""Run MBPP+'s canonical solutions, and a mutated copy of each, through the sandbox and the grader.

    CFDAPO_DATA=folder PYTHONPATH=src python benchmarks/mbpp_sandbox.py [--workers 2] [--tasks N]

Every canonical solution has to pass. The mutation of a solution is one change at a place drawn by
the task's number: a comparison negated (< becomes >=), + and - swapped, * and // made +, or an
integer constant raised by one; without such a place, every return gives None. A mutant that
returns, or raises, something else for some input has to fail; one that does not is equivalent.
"""

import argparse
import ast
import os
import random
import time
from dataclasses import replace
from typing import Any

from cfdapo.problems import mbpp
from cfdapo.problems.code_tests import CodeTests, passes
from cfdapo.problems.sandbox.host import Job, Outcome, capabilities, run_many
from cfdapo.problems.sandbox.values import dumps

NEGATED = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
REPLACED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Add}


def mutate(code: str, seed: int) -> str:
    """The code with one change (see above)."""
    tree = ast.parse(code)
    places = [node for node in ast.walk(tree) if _changes(node)]
    if places:
        _change(random.Random(seed).choice(places))
    else:
        for node in ast.walk(tree):
            if isinstance(node, ast.Return):
                node.value = ast.Constant(None)
    return ast.unparse(tree)


def _changes(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return True
    if isinstance(node, ast.BinOp):
        return type(node.op) in REPLACED
    return isinstance(node, ast.Constant) and type(node.value) is int


def _change(node: Any) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = NEGATED[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp):
        node.op = REPLACED[type(node.op)]()
    else:
        node.value += 1


def run_all(codes: list[str], tests: list[CodeTests], workers: int) -> tuple[list[Outcome], float]:
    """Outcomes of all calls, also after one that raised, and the seconds that they took."""
    jobs = [
        Job(code, one.function, one.calls, one.limits)
        for code, one in zip(codes, tests, strict=True)
    ]
    began = time.perf_counter()
    outcomes = run_many(jobs, workers)
    return outcomes, time.perf_counter() - began


def said(outcome: Outcome) -> list[str]:
    """What the calls gave, to compare two runs without the grader."""
    calls = outcome.calls
    return [outcome.status, *(dumps([call.value, call.error is not None]) for call in calls)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", type=int, help="only so many tasks, from the front")
    arguments = parser.parse_args()
    tasks = mbpp.read_tasks()[: arguments.tasks]
    print(f"walls: {', '.join(sorted(capabilities().walls))}; load {os.getloadavg()[0]:.1f}")
    began = time.perf_counter()
    rows = mbpp.make_rows(tasks)
    print(f"expected outputs of {len(rows)} tasks: {time.perf_counter() - began:.1f} s")
    tests = [CodeTests.from_gold(row["answer"]) for row in rows]
    given = sum(len(task["base_input"]) + len(task["plus_input"]) for task in tasks)
    print(f"inputs: {given}, used: {sum(len(one.calls) for one in tests)}")
    codes = [task["canonical_solution"] for task in tasks]
    used = sum(os.times()[:4])
    canonical, seconds = run_all(codes, tests, arguments.workers)
    used = sum(os.times()[:4]) - used
    passed = [passes(outcome, one) for outcome, one in zip(canonical, tests, strict=True)]
    guests = sum(outcome.cpu_seconds for outcome in canonical)
    print(
        f"canonical solutions: {sum(passed)} of {len(passed)} pass; {seconds:.1f} s with "
        f"{arguments.workers} workers; CPU {used:.1f} s, of which guests {guests:.1f} s; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    mutants = [mutate(code, seed) for seed, code in enumerate(codes)]
    # Mutants may never end: what they lose by a shorter time is a verdict that they fail anyway.
    quick = [replace(one, cpu_seconds=min(one.cpu_seconds, 10)) for one in tests]
    mutated, seconds = run_all(mutants, quick, arguments.workers)
    counts = {"changed, fails": 0, "changed, passes": 0, "equivalent, passes": 0}
    counts["equivalent, fails"] = 0
    for task, one, before, after in zip(tasks, tests, canonical, mutated, strict=True):
        kind = "equivalent" if said(before) == said(after) else "changed"
        verdict = "passes" if passes(after, one) else "fails"
        counts[f"{kind}, {verdict}"] += 1
        if (kind, verdict) in (("changed", "passes"), ("equivalent", "fails")):
            print(f"  {kind}, yet {verdict}: {task['task_id']} {task['entry_point']}")
    print(f"mutants: {counts}; {seconds:.1f} s")


if __name__ == "__main__":
    main()
