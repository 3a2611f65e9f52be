"""What lets a trainer be killed at any moment and, run again, end with the same bits."""

import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler

from cfdapo.files import UserError, cannot_write
from cfdapo.policy.checkpoints import (
    KEPT,
    checkpoint,
    flaw,
    is_about_writing,
    keep_adapter,
    mark,
    thin_out,
)

# What of a run is neither in the library's checkpoint nor follows from the step.
OWN_FILE = "own_state.safetensors"
# Minutes between two checkpoints at most: what a kill without a warning loses. It is no setting of
# a study, as no result depends on it.
SAVE_MINUTES = 10.0


class Resumable(GRPOTrainer):
    """Mixin, before a GRPOTrainer: its checkpoints are whole or do not count.

    To the library's it adds a mark with checksums, the trainer's `own_state` and, where the model
    has an adapter, in every `save_steps`-th step a copy of it that stays (see
    `policy.checkpoints`). A checkpoint is also written when `save_minutes` have passed since the
    last one; when does not matter to what a run ends with. The last two checkpoints stay.

    Raises ValueError where arguments ask for what it does not do: rollouts are used up within an
    optimizer step, so that no checkpoint holds any, and `save_strategy` is "steps", without a
    `save_total_limit`.
    """

    # What the library types more widely than this trainer has it; a model may be PEFT's, which
    # passes on what it has not itself.
    args: GRPOConfig
    model: Any

    def __init__(self, *args: Any, save_minutes: float = SAVE_MINUTES, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._check_arguments()
        # The end of the last step, and the own state to save in place of the present one.
        self._boundary: dict[str, Any] | None = None
        self._own: dict[str, Tensor] | None = None
        self.add_callback(_SaveSometimes(self, save_minutes))

    def _check_arguments(self) -> None:
        used = (self.args.steps_per_generation or 0) * self.num_iterations
        if used != self.args.gradient_accumulation_steps:
            raise ValueError("rollouts must be used up within one optimizer step to be resumable")
        strategy = SaveStrategy(self.args.save_strategy)
        if strategy != SaveStrategy.STEPS:
            raise ValueError(
                f"save_strategy is {strategy.value!r} and must be 'steps', so that training can go "
                "on from any moment"
            )
        if self.args.save_total_limit is not None:
            raise ValueError(
                f"save_total_limit is {self.args.save_total_limit} and must be None: the last "
                f"{KEPT} checkpoints stay, and older ones go once a newer one is whole"
            )

    def own_state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside the library's state; empty if there is nothing."""
        return {}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what `own_state` gave."""

    def remember(self) -> None:
        """Note all that the next step changes before the optimizer moves."""
        self._boundary = {
            "random": _random_state(),
            "tokens": self.state.num_input_tokens_seen,
            "own": self.own_state(),
        }

    def save_boundary(self) -> bool:
        """Give up the step that was begun and save the state before it; False if it is saved.

        To be called when `train` ended by `Interrupted`.
        """
        folder = checkpoint(Path(str(self.args.output_dir)), self.state.global_step)
        if self._boundary is None or flaw(folder) is None:
            return False
        _set_random_state(self._boundary["random"])
        self.state.num_input_tokens_seen = self._boundary["tokens"]
        self.current_flos = 0
        self._own = self._boundary["own"]
        self._save_checkpoint(self.model, None)
        return True

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save, vouch for what was saved, then thin out; a checkpoint that fails is removed."""
        state, step = Path(str(self.args.output_dir)), self.state.global_step
        folder = checkpoint(state, step)
        own = self.own_state() if self._own is None else self._own
        try:
            super()._save_checkpoint(model, trial)
            if own:
                save_file(own, folder / OWN_FILE)
            if step % self.args.save_steps == 0 and hasattr(self.model, "peft_config"):
                keep_adapter(state, step)
            mark(folder)
        except Exception as error:
            if not is_about_writing(error):
                raise
            shutil.rmtree(folder, ignore_errors=True)
            raise _cannot_save(folder, error) from error
        thin_out(state)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        model = self.model if model is None else model
        # Beside another adapter, such as a reference's, transformers 5.17 leaves out the one that
        # learns: training would go on with a new one, without a word. Newer versions load both.
        if len(getattr(model, "peft_config", {})) > 1:
            active, *_ = model.active_adapters
            model.load_adapter(resume_from_checkpoint, "default", is_trainable=active == "default")
            model.set_adapter(active)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and (file := Path(checkpoint) / OWN_FILE).is_file():
            self.load_own_state(load_file(file))

    def _get_train_sampler(self, dataset: Any = None) -> RepeatSampler:
        """The library's sampler, in the order of any epoch at once."""
        sampler = super()._get_train_sampler(dataset)
        assert isinstance(sampler, RepeatSampler)
        return _EpochSampler(sampler)


def _cannot_save(folder: Path, error: Exception) -> UserError:
    free = shutil.disk_usage(folder.parent).free / 2**20
    return UserError(
        f"{cannot_write(folder, error)}, {free:.0f} MiB are free. "
        "Checkpoints before this one are whole: training goes on from the last of them"
    )


class _EpochSampler(RepeatSampler):
    """The same order as the library's sampler, whose generator forgets the epochs before a resume.

    Each epoch draws a new order; one that is resumed in its second epoch would draw the first's.
    """

    def __init__(self, sampler: RepeatSampler):
        super().__init__(
            sampler.data_source,
            sampler.mini_repeat_count,
            sampler.batch_size,
            sampler.repeat_count,
            sampler.shuffle,
            sampler.seed,
        )

    def set_epoch(self, epoch: int) -> None:
        """Stand where `epoch` begins, counted from 0; the data loader calls this."""
        if not self.shuffle or self.seed is None:
            return
        self.generator.manual_seed(self.seed)
        for _ in range(epoch):
            torch.randperm(self.num_samples, generator=self.generator)


class _SaveSometimes(TrainerCallback):
    """Remembers every step's end, and saves after some time even between the kept steps."""

    def __init__(self, trainer: Resumable, minutes: float):
        self.trainer = trainer
        self.seconds = minutes * 60
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.remember()
        if time.monotonic() - self.last >= self.seconds:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.last = time.monotonic()


def _random_state() -> dict[str, Any]:
    """Where all generators stand that a step may draw from."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None,
    }


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state_all(state["cuda"])
