"""What can be seen of a training while it runs: its history, a row longer with every step."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from cfdapo.checksums import beside
from cfdapo.files import UserError, append_stream, as_jsonl, atomic_write, cannot_write
from cfdapo.policy.training import history


class GrowingHistory(TrainerCallback):
    """Adds a row to history.jsonl in `folder`, the run's, whenever a step is logged.

    The file is for looking on: that a run is finished, run.json says, which goes when a training
    begins where one was finished. The trainer's own log stays the truth: where training begins, or
    goes on from a checkpoint, the file is written anew from it, without the rows of steps that were
    given up or a line that was torn. A row that cannot be written, as on a full disk, ends no
    training; the next one brings it along.
    """

    def __init__(self, folder: Path):
        self.path = folder / "history.jsonl"
        self._finished = folder / "run.json"
        # Whether the file holds all that was logged.
        self._whole = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write what was logged up to the checkpoint, if there is one."""
        for stale in (self._finished, beside(self._finished), beside(self.path)):
            stale.unlink(missing_ok=True)
        self._whole = False
        self._write(state.log_history)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the row of what was logged last."""
        self._write(state.log_history)

    def _write(self, log: list[dict[str, Any]]) -> None:
        try:
            if self._whole:
                with append_stream(self.path) as stream:
                    # One write a row: whoever reads meanwhile sees at most the last one torn.
                    stream.write(as_jsonl(history(log[-1:])))
            else:
                atomic_write(self.path, as_jsonl(history(log)))
            self._whole = True
        except (OSError, UserError) as error:
            self._whole = False
            wrong = error if isinstance(error, UserError) else cannot_write(self.path, error)
            print(f"warning: {wrong}; training goes on", flush=True)
