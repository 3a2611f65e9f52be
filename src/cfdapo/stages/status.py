"""Show how a study's runs are doing, also while they run: a line a run, then totals.

Reads only, from any terminal and any machine that sees the results, and loads no model.

python -m cfdapo.stages.status --study paper
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cfdapo.analysis.records.progress import (
    EVALUATION,
    FAILED,
    FINISHED,
    RUNNING,
    STALE,
    STATES,
    WAITING,
    Progress,
    evaluated_on,
    failed_logs,
    last_line,
    progress_of,
    strangers,
    with_paces,
)
from cfdapo.analysis.records.runs import run_name
from cfdapo.analysis.rendering.table import DASH
from cfdapo.analysis.rendering.wording import counted, digits
from cfdapo.settings import Study
from cfdapo.stages import guarded
from cfdapo.study import load_study

HEADINGS = ("run", "state", "step", "reward", "accuracy %", "s/step", "left")
_DOING = {(RUNNING, EVALUATION): "evaluating", (WAITING, EVALUATION): "waiting (trained)"}
_MEANING = (
    "stale: begun and ended too early without an error, by a kill or a signal; the study run again "
    "goes on from its last checkpoint"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", required=True, help="a study of config/studies")
    parser.add_argument("--results", type=Path, help="its results folder; default: results/STUDY")
    given = parser.parse_args()
    study, results = load_study(given.study), given.results or Path("results") / given.study
    print(f"{results}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    print("\n".join(report(study, results)))


def report(study: Study, results: Path) -> list[str]:
    """The lines that say how the study is doing whose results are, or will be, in `results`."""
    runs = with_paces(
        [
            progress_of(results, model, mode, seed, study.training.steps)
            for model in study.models
            for mode in study.modes
            for seed in study.seeds
        ]
    )
    lines = [*_aligned([HEADINGS, *map(_cells, runs)]), "", *_totals(runs)]
    lines += _sets(study, results, runs) + _ended(runs)
    for log in failed_logs(results):
        lines += ["", f"failed, for all runs that need it: {log}", f"  {last_line(log)}"]
    if others := strangers(results, runs):
        lines += ["", f"not of this study, and left out: {', '.join(others)}"]
    return lines


def _cells(one: Progress) -> tuple[str, ...]:
    accuracy = DASH if one.accuracy is None else f"{one.accuracy:.1f} @{one.evaluated}"
    return (
        run_name(one.model, one.mode, one.seed),
        _DOING.get((one.state, one.job), one.state),
        f"{one.step}/{one.steps}",
        DASH if one.reward is None else f"{one.reward:.3f}",
        accuracy,
        # Before a run's first step its pace is a guess from others.
        DASH if one.seconds is None or not one.step else digits(one.seconds),
        DASH if one.state == FINISHED else _left(one.left),
    )


def _left(seconds: float | None) -> str:
    """A time to come, as in "2 h 05 min"."""
    if seconds is None:
        return "?"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _totals(runs: Sequence[Progress]) -> list[str]:
    counts = Counter(one.state for one in runs)
    found = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    steps, done = sum(one.steps for one in runs), sum(one.step for one in runs)
    lines = [f"{counted(len(runs), 'run')}: {found}; {done} of {counted(steps, 'step')} trained"]
    lefts = [one.left for one in runs]
    known = [left for left in lefts if left is not None]
    if len(known) < len(lefts):
        lines.append("training left: unknown before a first step")
    elif total := sum(known):
        training = sum(one.state == RUNNING and one.job != EVALUATION for one in runs)
        lines.append(f"training left: {_left(total)} of one job after the other, evaluation aside")
        if training > 1:
            lines[-1] += f"; {_left(max(total / training, max(known)))} with {training} at once"
    if counts[STALE]:
        lines.append(_MEANING)
    return lines


def _sets(study: Study, results: Path, runs: Sequence[Progress]) -> list[str]:
    """A line a further test set, which is evaluated by jobs of its own."""
    lines = []
    for name in study.evaluation.sets or {}:
        done, at_work = evaluated_on(results, name, runs)
        lines.append(f"test set {name}: {done} of {counted(len(runs), 'run')} evaluated")
        lines[-1] += f", {at_work} being evaluated" if at_work else ""
    return lines


def _ended(runs: Sequence[Progress]) -> list[str]:
    """The last line of the log of every run that ended too early."""
    lines = []
    for one in runs:
        if one.state in (FAILED, STALE) and one.log is not None:
            name = run_name(one.model, one.mode, one.seed)
            lines += ["", f"{one.state}: {name}, {one.job}: {one.log}", f"  {one.said}"]
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


if __name__ == "__main__":
    guarded(main)
