"""Sample efficiency: when a mode reaches the accuracy that DAPO ends with (Section 4.2)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfdapo.analysis.records.curves import final_accuracy
from cfdapo.analysis.records.runs import run_name
from cfdapo.analysis.statistics.paired import SAME
from cfdapo.files import UserError
from cfdapo.vocabulary import CONTROL, named_modes


@dataclass(frozen=True)
class Reached:
    """When one mode of one model first reaches vanilla's final mean accuracy, `target` (%).

    `step` is the first evaluated step whose mean over seeds reaches it, `minutes` the mean training
    time until then; None where it never does. `seed_steps` has the same for every seed alone,
    against the same target, and `final` (%) is the mode's mean accuracy at the last step.
    """

    model: str
    mode: str
    target: float
    final: float
    step: int | None
    minutes: float | None
    seed_steps: dict[int, int | None]


def sample_efficiency(curves: pd.DataFrame, history: pd.DataFrame) -> list[Reached]:
    """Every model's modes, in the order of tables; no row for a model without vanilla runs.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        history: long table of `collect_history` with `seconds_step` (s, credit included).

    Raises:
        UserError: a run has no history up to a step that it was evaluated at.
    """
    elapsed = training_minutes(curves, history).groupby(["model", "mode", "step"])["minutes"].mean()
    last = final_accuracy(curves)
    found = []
    for model in dict.fromkeys(curves["model"]):
        of_model = curves[curves["model"] == model]
        final = last[last["model"] == model].groupby("mode")["value"].mean()
        if CONTROL not in final:
            continue
        target = float(final[CONTROL])
        for mode in named_modes(of_model["mode"]):
            rows = of_model[of_model["mode"] == mode]
            step = _first(rows.groupby("step")["accuracy"].mean(), target)
            minutes = None if step is None else float(elapsed[model, mode, step])
            seeds = {
                int(seed): _first(one.set_index("step")["accuracy"].sort_index(), target)
                for seed, one in rows.groupby("seed")
            }
            found.append(Reached(model, mode, target, float(final[mode]), step, minutes, seeds))
    return found


def _first(accuracy: pd.Series, target: float) -> int | None:
    """The first step, the index in ascending order, at which `accuracy` is at least the target."""
    reached = accuracy.index[accuracy.to_numpy() >= target - SAME]
    return int(reached[0]) if len(reached) else None


def training_minutes(curves: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The curves with `minutes`: the run's training time until then, credit included.

    Evaluation, saving and loading are left out; step 0 is at 0 minutes.

    Raises:
        UserError: a run has no history up to a step that it was evaluated at.
    """
    frames = []
    keys = ["model", "mode", "seed"]
    times = dict(list(history.groupby(keys)))
    for key, curve in curves.groupby(keys, sort=False):
        trained = times[key].sort_values("step") if key in times else history.iloc[:0]
        if curve["step"].max() > len(trained):
            raise UserError(f"{run_name(*key)}: the history ends at step {len(trained)}")
        total = np.concatenate([[0.0], np.cumsum(trained["seconds_step"].to_numpy()) / 60])
        frames.append(curve.assign(minutes=total[curve["step"].to_numpy()]))
    return pd.concat(frames, ignore_index=True)
