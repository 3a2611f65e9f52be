"""Training in a process of its own that a signal hits at a chosen point of a chosen step.

The processes are forked from one that has imported the stage already, and end like any other.
"""

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

# Where a step can be hit, in the order in which it goes through them.
POINTS = ("generation", "credit", "backward", "optimizer", "saving", "marking", "thinning")


def run_train(
    out: Path,
    arguments: dict[str, Any],
    hit: tuple[str, int, signal.Signals] | None = None,
    file_bytes: int | None = None,
    day: datetime | None = None,
) -> tuple[int, str]:
    """Train into `out`, `hit` by a signal at a point of a step; exit code and what was printed.

    `file_bytes` is the most that a file may hold: writing more fails, as on a full disk. `day` is
    what chat templates take for now.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cfdapo.stages.train", "frozen"])
    # Its server looks for that before it is told this process's path.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    with tempfile.NamedTemporaryFile() as log:
        told = (out, log.name, arguments, hit, file_bytes, day)
        process = context.Process(target=_child, args=told)
        process.start()
        process.join()
        return process.exitcode, log.read().decode()


def reward_by_parity(completions: list[Any], **_: Any) -> list[float]:
    """Rewards that differ within a group, which a hardly trained model's answers may not."""
    return [float(index % 2) for index in range(len(completions))]


def set_clock(day: datetime) -> None:
    """Let the clock of chat templates stand at `day`."""
    from transformers.utils import chat_template_utils

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return day

    chat_template_utils.datetime = Clock


def _child(
    out: Path,
    log: str,
    arguments: dict[str, Any],
    hit: Any,
    file_bytes: int | None,
    day: datetime | None,
) -> None:
    handle = os.open(log, os.O_WRONLY)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout.flush()
    import torch

    from cfdapo.policy import training
    from cfdapo.stages import run, train

    torch.set_num_threads(1)
    training._reward = lambda task: reward_by_parity
    if hit:
        _arm(*hit)
    if day:
        set_clock(day)
    if file_bytes is not None:  # Python ignores the signal that comes with the error
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    run(lambda: train.train(**arguments, out=out))


def _arm(point: str, step: int, number: signal.Signals) -> None:
    """Let this process send itself the signal at `point` of `step`."""
    from torch.optim import AdamW

    from cfdapo.policy import resuming, trainer
    from cfdapo.policy.checkpoints import checkpoint
    from cfdapo.policy.trainer import CFDAPOTrainer

    def send() -> None:
        sys.stdout.flush()
        os.kill(os.getpid(), number)

    trainers: list[CFDAPOTrainer] = []
    generate = CFDAPOTrainer._generate_and_score_completions

    def remember(self: CFDAPOTrainer, inputs: Any) -> Any:
        trainers[:] = [self]
        return generate(self, inputs)

    CFDAPOTrainer._generate_and_score_completions = remember

    def at(owner: Any, name: str, wanted: Callable[..., bool], after: bool = False) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            due = wanted(*args)
            if due and not after:
                send()
            result = original(*args, **kwargs)
            if due and after:
                send()
            return result

        setattr(owner, name, wrapped)

    def begun(*_: Any) -> bool:
        return bool(trainers) and trainers[0].state.global_step == step - 1

    def done(self: CFDAPOTrainer, *_: Any) -> bool:
        return self.state.global_step == step

    def folder(path: Path) -> bool:
        return path == checkpoint(path.parent, step)

    if point == "generation":
        at(CFDAPOTrainer, "_proxy_prompts", begun)
    elif point == "credit":  # in any mode, also one that measures nothing
        at(trainer, "_padded", begun)
    elif point == "backward":  # of the first of the step's batches
        at(CFDAPOTrainer, "training_step", begun, after=True)
    elif point == "optimizer":
        at(AdamW, "step", begun, after=True)
    elif point == "saving":  # the adapter is there, the optimizer is not
        at(CFDAPOTrainer, "_save_optimizer_and_scheduler", done)
    elif point == "marking":  # all files are there
        at(resuming, "mark", folder)
    else:
        at(resuming, "thin_out", lambda state: checkpoint(state, step).is_dir())
