"""Kill a tiny training at random times, run it again until it ends, and compare it to the bit.

Unlike the tests, which hit chosen points of a step, the signals come from outside at times drawn
uniformly from what is left of the training: SIGKILL, and SIGTERM, which has to end it with code 75.
Exits with 1 where a run did not end with the same adapters and history as one left alone.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tiny_run

from cfdapo.settings import as_flag
from cfdapo.study import ROOT

# What a stopped training may end with: saved, or past its last step and publishing or done.
STOPPED = (75, -signal.SIGTERM, 0)
BEGUN = ("starting at step 0", "going on from")


class Training:
    """One run's command, folder and log."""

    def __init__(self, folder: Path, name: str, paths: dict[str, Path], given: argparse.Namespace):
        self.out, self.log = folder / name, folder / f"{name}.log"
        changed = {"steps": given.steps, "checkpoint_every": given.checkpoint_every}
        self.command = [
            *(sys.executable, "-m", "cfdapo.stages.train"),
            *("--model", tiny_run.MODEL, "--model-dir", str(paths["model_dir"])),
            *("--problems", str(paths["problems"]), "--mode", given.mode, "--seed", "0"),
            *("--settings", as_flag(tiny_run.settings(given.mode, **changed))),
            *("--save-minutes", str(given.save_minutes), "--out", str(self.out)),
        ]

    def start(self) -> subprocess.Popen:
        """Start it, or go on; returns when it is about to train."""
        environment = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        with open(self.log, "w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                self.command, env=os.environ | environment, stdout=stream, stderr=stream
            )
        while process.poll() is None and not any(text in self.printed() for text in BEGUN):
            time.sleep(0.01)
        return process

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def step(self) -> int:
        """The step of the last whole checkpoint."""
        marks = self.out.glob("state/checkpoint-*/complete.json")
        return max((int(path.parent.name.partition("-")[2]) for path in marks), default=0)

    def finish(self) -> float:
        """Run it to its end; returns the seconds from where it began to train."""
        process = self.start()
        began = time.perf_counter()
        if process.wait():
            sys.exit(f"a run that nothing hit failed:\n{self.printed()}")
        return time.perf_counter() - began


def hit(run: Training, number: signal.Signals, seconds: float, dice: random.Random) -> bool:
    """Go on for a random part of `seconds`, then send the signal; False if it ended before."""
    process = run.start()
    delay = dice.uniform(0, seconds)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        allowed = STOPPED if number == signal.SIGTERM else (-signal.SIGKILL,)
    else:
        allowed = (0,)
    code = process.wait()
    met = f"{number.name} after {delay:.2f} s, last checkpoint of step {run.step()}, code {code}"
    if code not in allowed:
        sys.exit(f"{met}:\n{run.printed()}")
    print(f"  {met}{', had ended before' if allowed == (0,) else ''}", flush=True)
    return allowed != (0,)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="SIGKILLs in all")
    parser.add_argument("--stops", type=int, default=5, help="SIGTERMs in all")
    parser.add_argument("--per-run", type=int, default=3, help="most signals a run")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--checkpoint-every", type=int, default=5)
    parser.add_argument("--save-minutes", type=float, default=0.02)
    parser.add_argument("--mode", default="counterfactual")
    parser.add_argument("--dice", type=int, default=0, help="seed of the times")
    given = parser.parse_args()
    dice = random.Random(given.dice)
    signals = [signal.SIGKILL] * given.kills + [signal.SIGTERM] * given.stops
    dice.shuffle(signals)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = tiny_run.prepare(folder, pretraining_steps=100)
        whole = Training(folder, "whole", paths, given)
        seconds = whole.finish()
        print(f"left alone: {seconds:.1f} s for {given.steps} steps", flush=True)
        expected, runs, different = tiny_run.left(whole.out), 0, 0
        while signals:
            runs += 1
            run = Training(folder, f"run{runs}", paths, given)
            print(f"run {runs}", flush=True)
            for _ in range(min(given.per_run, len(signals))):
                left = seconds * (1 - run.step() / given.steps)
                if (run.out / "run.json").is_file() or not hit(run, signals[0], left, dice):
                    break
                signals.pop(0)
            if not (run.out / "run.json").is_file():
                run.finish()
            left = tiny_run.left(run.out)
            odd = [name for name in {**expected, **left} if left.get(name) != expected.get(name)]
            different += bool(odd)
            print(f"  {f'DIFFERENT: {odd}' if odd else 'the same bits'}", flush=True)
            shutil.rmtree(run.out)
    print(f"{given.kills} SIGKILL and {given.stops} SIGTERM in {runs} runs, {different} different")
    sys.exit(int(different > 0))


if __name__ == "__main__":
    main()
