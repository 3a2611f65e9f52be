"""How far a study's runs are, told from the files that they leave while they run.

Nothing here trusts a file to be whole, as others write it meanwhile, and nothing is written, so
that it can be read from any machine that sees the disk. What is finished is checked by `integrity`.
"""

import json
import math
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cfdapo.analysis.records.runs import run_name
from cfdapo.locks import is_held

WAITING, RUNNING, FINISHED, FAILED, STALE = "waiting", "running", "finished", "failed", "stale"
STATES = (RUNNING, FAILED, STALE, WAITING, FINISHED)
TRAINING, EVALUATION = "train", "evaluate"
# Where locks do not tell, what has written nothing for so long, or for so many steps, has ended.
QUIET_SECONDS, QUIET_STEPS = 900.0, 5
# Steps whose median is a run's pace.
RECENT = 20
_ENDED_BADLY = re.compile(r"(\S+: )?error: |Traceback \(most recent call last\)|slurmstepd: error")
_AT_WORK = re.compile(r"^(starting at step|going on from|step \d+: evaluated)", re.MULTILINE)
_ASKED_TO_END = re.compile(r"KeyboardInterrupt|interrupted; run again")
_TAIL = 1 << 16

Row = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far one run is; what is not known, or not there yet, is None.

    `job` is what runs, failed or comes next: training, or evaluation. `step` is the last one
    trained and `reward` its mean reward; `seconds` is the median time of a step (s), `left` what
    the training still takes (s). `accuracy` (%) is that of `evaluated`, the last step evaluated in
    whole. `said` is the last line of the log of a job that ended too early.
    """

    model: str
    mode: str
    seed: int
    state: str
    job: str
    step: int
    steps: int
    reward: float | None = None
    seconds: float | None = None
    accuracy: float | None = None
    evaluated: int | None = None
    said: str = ""
    log: Path | None = None

    @property
    def left(self) -> float | None:
        """Seconds of training to come, at the run's own pace."""
        if self.step >= self.steps:
            return 0.0
        return None if self.seconds is None else (self.steps - self.step) * self.seconds


def progress_of(results: Path, model: str, mode: str, seed: int, steps: int) -> Progress:
    """How far a run of `steps` training steps is, below the study's `results`."""
    name = run_name(model, mode, seed)
    run, logs = results / "runs" / name, results / "logs"
    trained = _is_object(run / "run.json")
    rows = _history(run)
    last: Row = rows[-1] if rows else {}
    found = Progress(
        *(model, mode, seed, WAITING, EVALUATION if trained else TRAINING),
        step=steps if trained else min(_whole(last.get("step")) or 0, steps),
        steps=steps,
        reward=_number(last.get("reward")),
        seconds=_pace(rows),
    )
    found = _with_accuracy(found, run)
    if trained and (run / "evaluation.jsonl").is_file():
        return replace(found, state=FINISHED)
    log = logs / found.job / f"{name}.log"
    state = _state_of(found, run, log)
    said = last_line(log) if state in (FAILED, STALE) else ""
    return replace(found, state=state, said=said, log=log if said else None)


def evaluated_on(results: Path, test_set: str, runs: Sequence[Progress]) -> tuple[int, int]:
    """How many of the runs are evaluated on a further test set, and how many are at it now."""
    names = [run_name(one.model, one.mode, one.seed) for one in runs]
    folders = [results / "sets" / test_set / "runs" / name for name in names]
    done = [folder for folder in folders if (folder / "evaluation.jsonl").is_file()]
    return len(done), sum(bool(is_held(one / ".evaluation.lock")) for one in folders)


def with_paces(runs: Sequence[Progress]) -> list[Progress]:
    """The runs, those without a pace of their own with that of others: of the model, or of all."""

    groups: dict[tuple[str, ...], list[float]] = {}
    for one in runs:
        for group in _alike(one) if one.seconds is not None else ():
            groups.setdefault(group, []).append(one.seconds or 0.0)
    paces = {group: statistics.median(seconds) for group, seconds in groups.items()}

    def pace(one: Progress) -> float | None:
        return next((paces[group] for group in _alike(one) if group in paces), None)

    return [one if one.seconds is not None else replace(one, seconds=pace(one)) for one in runs]


def _alike(one: Progress) -> tuple[tuple[str, ...], ...]:
    """What a run belongs to, the narrowest first."""
    return (one.model, one.mode), (one.model,), ()


def strangers(results: Path, known: Sequence[Progress]) -> list[str]:
    """Runs that lie in the results and are none of the study's."""
    names = {run_name(one.model, one.mode, one.seed) for one in known}
    found = (path for path in _glob(results / "runs", "*/*/seed*") if path.is_dir())
    return sorted({path.relative_to(results / "runs").as_posix() for path in found} - names)


def failed_logs(results: Path) -> list[Path]:
    """Logs, but for those of training and evaluation, that end with an error."""
    logs = results / "logs"
    of_runs = (logs / TRAINING, logs / EVALUATION)
    return [
        path
        for path in sorted(_glob(logs, "**/*.log"))
        if not any(path.is_relative_to(folder) for folder in of_runs) and _ended_badly(path)
    ]


def last_line(log: Path) -> str:
    """The last line of a log that is not empty; of a progress bar, its last state."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", _tail(log))]
    return next((line for line in reversed(lines) if line), "")


# What state a run is in that is not finished.


def _state_of(found: Progress, run: Path, log: Path) -> str:
    lock = run / (".train.lock" if found.job == TRAINING else ".evaluation.lock")
    held = is_held(lock)
    if held:
        return RUNNING
    if _ended_badly(log):
        return FAILED
    if _asked_to_end(log):
        return STALE
    # A job that still imports its libraries has a log that is younger than the last one's lock.
    starting = _modified(log) > _modified(lock) and not _AT_WORK.search(_tail(log))
    if (held is None or starting) and _is_fresh(found, run, log):
        return RUNNING
    return STALE if _was_begun(found.job, run, log) else WAITING


def _is_fresh(found: Progress, run: Path, log: Path) -> bool:
    """Whether the job has written something lately."""
    own = [log, run / "history.jsonl", run / "evaluation.partial.jsonl", run / "state"]
    newest = max(map(_modified, own))
    return time.time() - newest < max(QUIET_SECONDS, QUIET_STEPS * (found.seconds or 0.0))


def _was_begun(job: str, run: Path, log: Path) -> bool:
    left = ("state", "history.jsonl") if job == TRAINING else ("evaluation.partial.jsonl",)
    return log.is_file() or any((run / name).exists() for name in left)


def _ended_badly(log: Path) -> bool:
    lines = re.split(r"[\r\n]+", _tail(log))
    return not _asked_to_end(log) and any(map(_ENDED_BADLY.match, lines))


def _asked_to_end(log: Path) -> bool:
    return bool(_ASKED_TO_END.match(last_line(log)))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


# What a run has left.


def _history(run: Path) -> list[Row]:
    """The last rows of the history; where a failed job's is gone, those of its checkpoint."""
    rows = [row for row in _last_rows(run / "history.jsonl") if _whole(row.get("step"))]
    saved = sorted(_glob(run / "state", "checkpoint-*/trainer_state.json"), key=_modified)
    if rows or not saved:
        return rows
    log = _read_object(saved[-1]).get("log_history")
    entries = [row for row in log if isinstance(row, dict)] if isinstance(log, list) else []
    named = ({**row, "seconds_step": row.get("step_time")} for row in entries)
    return [row for row in named if "reward" in row and _whole(row.get("step"))]


def _pace(rows: Sequence[Row]) -> float | None:
    times = [_number(row.get("seconds_step")) for row in rows[-RECENT:]]
    known = [seconds for seconds in times if seconds is not None]
    return statistics.median(known) if known else None


def _with_accuracy(found: Progress, run: Path) -> Progress:
    """With the accuracy at the last step whose problems were all answered."""
    whole = run / "evaluation.jsonl"
    # In a partial one the last step is unfinished.
    path, which = (whole, 1) if whole.is_file() else (run / "evaluation.partial.jsonl", 2)
    size = _TAIL
    while True:
        rows, all_of_it = _rows_of_tail(path, size)
        marks: dict[int, list[bool]] = {}
        for row in rows:
            if (step := _whole(row.get("step"), least=0)) is not None:
                marks.setdefault(step, []).append(row.get("correct") is True)
        if all_of_it or len(marks) > which:
            break
        size *= 4
    if len(marks) < which:
        return found
    evaluated = list(marks)[-which]
    accuracy = 100 * statistics.mean(marks[evaluated])
    return replace(found, accuracy=accuracy, evaluated=evaluated)


def _last_rows(path: Path) -> list[Row]:
    return _rows_of_tail(path, _TAIL)[0]


def _rows_of_tail(path: Path, size: int) -> tuple[list[Row], bool]:
    """The objects in a file's last `size` bytes, without torn lines, and whether that is all."""
    content, whole = _end_of(path, size)
    lines = content.split(b"\n")
    return list(_objects(lines if whole else lines[1:])), whole


def _objects(lines: Sequence[bytes]) -> Iterator[Row]:
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _tail(path: Path) -> str:
    return _end_of(path, _TAIL)[0].decode(errors="replace")


def _end_of(path: Path, size: int) -> tuple[bytes, bool]:
    """A file's last `size` bytes, and whether that is all; nothing where it cannot be read."""
    try:
        with open(path, "rb") as stream:
            length = stream.seek(0, 2)
            stream.seek(max(0, length - size))
            return stream.read(size), length <= size
    except OSError:
        return b"", True


def _is_object(path: Path) -> bool:
    return bool(_read_object(path))


def _read_object(path: Path) -> Row:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _glob(folder: Path, pattern: str) -> list[Path]:
    """What is there now; a folder may vanish while it is listed."""
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _whole(value: Any, least: int = 1) -> int | None:
    return value if type(value) is int and value >= least else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None
