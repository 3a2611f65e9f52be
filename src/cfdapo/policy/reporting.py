"""Trackers that a training reports its log to: TensorBoard and others that transformers knows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from cfdapo.files import UserError


@dataclass(frozen=True)
class Reports:
    """The trackers that one run reports to, and its name there."""

    to: tuple[str, ...] = ()
    name: str | None = None


NO_REPORTS = Reports()


def require_reporters(names: Sequence[str]) -> None:
    """Refuse trackers that the library does not know or that cannot be used here.

    Raises:
        UserError: naming the tracker, and what the library says is missing.
    """
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UserError(f"training.report_to: {name!r} is not one of {known}")
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except (RuntimeError, ImportError, ValueError) as error:
            # Mostly that its package is not installed.
            raise UserError(f"training.report_to: {name} cannot be used here: {error}") from error


def keep_logs_in(folder: Path) -> None:
    """Let TensorBoard write into `folder`/tensorboard, not where the run's state is, which goes."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / "tensorboard")
