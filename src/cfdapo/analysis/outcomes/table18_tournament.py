"""Which credit wins: every mode of a study ranked, against DAPO, with what it costs (Table 18)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from cfdapo.analysis.outcomes.sample_efficiency import Reached, sample_efficiency
from cfdapo.analysis.outcomes.significance import Pairs, metric_values, paired_t_test
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import (
    digits,
    p_text,
    problems_of,
    rows_of,
    score_title,
    seeds_of,
)
from cfdapo.analysis.statistics.estimates import SIGNIFICANT, holm
from cfdapo.analysis.statistics.paired import t_interval
from cfdapo.vocabulary import CONTROL, PAPER_MODES, named_modes

_ITSELF = "DAPO is what the others are compared with"
_NO_CONTROL = "no DAPO runs"
_NO_RANK = "one seed does not tell which mode is better"
_NO_ENTROPY = "not in the histories"
_NEVER = "never"
_NEVER_TIME = "never reached"


@dataclass(frozen=True)
class Versus:
    """A mode less DAPO in one metric, in points, over seeds that both have.

    `low` to `high` and `p` are of the paired t-test; None where undefined, which `reason` says.
    """

    difference: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Entrant:
    """One mode of one model: its place, its accuracy (%) at the last step, and what it took.

    `reward` is of the completions sampled in the second half of training, `entropy` the policy's
    in nats a token over the same steps. `seconds` and
    `credit_seconds` are medians of a training step and of the credit within it, `passes` and
    `generations` means a step. `p_holm` and `reward_p_holm` are adjusted over all modes and models.
    """

    model: str
    mode: str
    rank: int
    seeds: int
    mean: float
    deviation: float | None
    final: Versus
    area: Versus
    reward: Versus
    entropy: float
    reached: Reached | None
    seconds: float
    credit_seconds: float
    passes: float
    generations: float
    p_holm: float | None = None
    reward_p_holm: float | None = None


def rank_modes(curves: pd.DataFrame, history: pd.DataFrame) -> list[Entrant]:
    """Every model's modes from the best mean accuracy at the last step down; ties share a rank.

    Args:
        curves: long table of `cfdapo.analysis.records.curves.collect`.
        history: long table of `collect_history` with `reward`, `entropy`, `seconds_step`,
            `seconds_credit`, `credit_passes` and `credit_generations` (nan where none are drawn).

    Raises:
        UserError: a run has no history up to a step that it was evaluated at.
    """
    values, reasons = metric_values(curves)
    values["reward"], reasons["reward"] = sampled_rewards(history), ""
    entropies = _late(history).groupby(["model", "mode"])["entropy"].mean()
    reached = {(r.model, r.mode): r for r in sample_efficiency(curves, history)}
    costs = history.groupby(["model", "mode"])
    seconds = costs[["seconds_step", "seconds_credit"]].median()
    counts = costs[["credit_passes", "credit_generations"]].mean().fillna(0.0)
    last = values["accuracy"].groupby(["model", "mode"])["value"]
    means, deviations, sizes = last.mean(), last.std(), last.size()
    found = []
    for model in dict.fromkeys(curves["model"]):
        of_model = means[model]
        ranks = of_model.round(9).rank(ascending=False, method="min").astype(int)
        named = named_modes(of_model.index)
        for mode in sorted(named, key=lambda mode: (ranks[mode], list(named).index(mode))):
            key = (model, mode)
            final, area, reward = (
                _versus(values[metric], model, mode, reasons[metric])
                for metric in ("accuracy", "auc", "reward")
            )
            found.append(
                Entrant(
                    *(model, mode, int(ranks[mode]), int(sizes[key]), float(means[key])),
                    None if np.isnan(deviations[key]) else float(deviations[key]),
                    *(final, area, reward, float(entropies[key]), reached.get(key)),
                    *(float(value) for value in (*seconds.loc[key], *counts.loc[key])),
                )
            )
    adjusted = holm([one.final.p for one in found]), holm([one.reward.p for one in found])
    return [
        replace(one, p_holm=p, reward_p_holm=reward)
        for one, p, reward in zip(found, *adjusted, strict=True)
    ]


def sampled_rewards(history: pd.DataFrame) -> pd.DataFrame:
    """Each run's mean reward (%) of the completions sampled in the second half of its steps.

    That of the policy as it samples, over many steps, differs less by chance from seed to seed than
    what it answers greedily after the last one. Columns `model`, `mode`, `seed` and `value`.
    """
    means = 100 * _late(history).groupby(["model", "mode", "seed"])["reward"].mean()
    return means.rename("value").reset_index()


def _late(history: pd.DataFrame) -> pd.DataFrame:
    """The second half of every run's steps."""
    steps = history.groupby(["model", "mode", "seed"])["step"].transform("max")
    return history[history["step"] > steps / 2]


def _versus(values: pd.DataFrame, model: str, mode: str, reason: str) -> Versus:
    if mode == CONTROL:
        return Versus(None, reason=_ITSELF)
    if CONTROL not in set(values.loc[values["model"] == model, "mode"]):
        return Versus(None, reason=reason or _NO_CONTROL)
    pairs = Pairs.of(values, model, (mode, CONTROL), reason)
    if not pairs.first:
        return Versus(None, reason=pairs.note)
    difference = float(np.mean(pairs.differences))
    _, p, undefined = paired_t_test(pairs.first, pairs.second)
    if p is None:
        return Versus(difference, reason=undefined)
    return Versus(difference, *t_interval(pairs.differences), p, pairs.note)


def table18_tournament(
    curves: pd.DataFrame,
    history: pd.DataFrame,
    labels: Mapping[str, str],
    task: str | None = None,
    modes: Mapping[str, str] = PAPER_MODES,
) -> Table:
    """Table 18, not in the paper.

    Args:
        curves, history: as for `rank_modes`.
        labels, task: as for `table1_accuracy`.
        modes: mode -> display name.

    Raises:
        UserError: `labels` names a model without runs, or a run lacks its history.
    """
    models = rows_of(labels, list(curves["model"].unique()))
    names = named_modes(curves["mode"], modes)
    entrants = [one for one in rank_modes(curves, history) if one.model in models]
    base = {one.model: one.seconds for one in entrants if one.mode == CONTROL}
    footnotes = Footnotes()
    return Table(
        name="table18_tournament",
        title=(
            f"{score_title(task)} at step {curves['step'].max()}: every mode against DAPO, "
            f"best first; {seeds_of(curves)}, {problems_of(curves)}; differences in points, with "
            f"95 % intervals. * p < {SIGNIFICANT}."
        ),
        columns=[
            *("Model", "Rank", "Mode", "Mean ± SD (%)", "Δ [95 %]", "p", "Holm p"),
            *("ΔAUC [95 %]", "ΔReward [95 %]", "Reward's p", "Reward's Holm p", "Entropy"),
            *("Step of DAPO's final", "Minutes to it", "Step time, DAPO = 1"),
            *("Credit (s a step)", "Passes a step", "Continuations a step"),
        ],
        rows=[_cells(one, models, names, base, footnotes) for one in entrants],
        data=_data(entrants, models),
        notes=[*footnotes.notes(), *_notes(entrants)],
    )


def _cells(
    one: Entrant,
    models: Mapping[str, str],
    names: Mapping[str, str],
    base: Mapping[str, float],
    footnotes: Footnotes,
) -> list[Cell]:
    spread = "" if one.deviation is None else f" ± {one.deviation:.1f}"
    ratio = one.seconds / base[one.model] if one.model in base else None
    return [
        *(Cell(models[one.model]), _rank(one, footnotes), Cell(names[one.mode])),
        Cell(f"{one.mean:.1f}{spread}", bold=one.rank == 1 and one.seeds > 1),
        *_tested(one.final, one.p_holm, footnotes),
        _difference(one.area, footnotes),
        *_tested(one.reward, one.reward_p_holm, footnotes),
        Cell(digits(one.entropy)) if one.entropy > 0 else footnotes.dash(_NO_ENTROPY),
        *_reached_cells(one.reached, footnotes),
        footnotes.dash(_NO_CONTROL) if ratio is None else Cell(f"{ratio:.2f}"),
        *(Cell(digits(value) if value else "0") for value in (one.credit_seconds, one.passes)),
        Cell(f"{one.generations:.0f}"),
    ]


def _rank(one: Entrant, footnotes: Footnotes) -> Cell:
    return Cell(str(one.rank)) if one.seeds > 1 else footnotes.dash(_NO_RANK)


def _tested(versus: Versus, adjusted: float | None, footnotes: Footnotes) -> list[Cell]:
    """The difference, its p and the one adjusted."""
    return [
        _difference(versus, footnotes),
        *(
            footnotes.dash(versus.reason) if p is None else Cell(p_text(p))
            for p in (versus.p, adjusted)
        ),
    ]


def _difference(versus: Versus, footnotes: Footnotes) -> Cell:
    if versus.difference is None:
        return footnotes.dash(versus.reason)
    value = signed(versus.difference, "+.1f")
    if versus.low is None or versus.high is None:
        return Cell(value, mark=footnotes.mark(versus.reason))
    interval = ", ".join(signed(end, "+.1f") for end in (versus.low, versus.high))
    return Cell(f"{value} [{interval}]", mark=footnotes.mark(versus.reason))


def _reached_cells(reached: Reached | None, footnotes: Footnotes) -> list[Cell]:
    if reached is None:
        return [footnotes.dash(_NO_CONTROL)] * 2
    if reached.step is None or reached.minutes is None:
        return [Cell(_NEVER), footnotes.dash(_NEVER_TIME)]
    return [Cell(str(reached.step)), Cell(digits(reached.minutes) if reached.minutes else "0")]


def _notes(entrants: Sequence[Entrant]) -> list[Note]:
    tests = sum(one.p_holm is not None for one in entrants)
    return [
        Note(
            "Δ: mean over seeds of the paired difference to DAPO, with its interval and p by the "
            f"paired t-test. Holm: adjusted for the {tests} tests of this column, over models and "
            "modes. ΔReward is the same of the mean reward of completions sampled in the second "
            "half of training, on training problems: it varies less from seed to seed than the "
            "greedy answers after the last step. But a surer policy slips less often where it is "
            "sampled, whether or not it knows more, and a rule that praises more than it blames "
            "makes it surer: read ΔReward beside the entropy (nats a token, same steps)."
        ),
        Note(
            "Step of DAPO's final: the first evaluated step at which the mode's mean is at least "
            "what DAPO's is at the last step; minutes are training steps until then, credit "
            "included. Step time is the ratio of median steps. Jobs may have shared their machine, "
            "so that times are rough. Passes are the policy's forward passes for credit, "
            "continuations what the rule sampled besides the completions."
        ),
    ]


def _data(entrants: Sequence[Entrant], models: Mapping[str, str]) -> pd.DataFrame:
    """A row a model and mode."""
    rows = []
    for one in entrants:
        row: dict[str, Any] = {"label": models[one.model], "model": one.model, "mode": one.mode}
        row |= {"rank": one.rank, "seeds": one.seeds, "mean": one.mean, "deviation": one.deviation}
        for prefix, versus in (("", one.final), ("auc_", one.area), ("reward_", one.reward)):
            row |= {f"{prefix}{key}": value for key, value in vars(versus).items()}
        row |= {"p_holm": one.p_holm, "reward_p_holm": one.reward_p_holm, "entropy": one.entropy}
        row |= {
            "reached_step": one.reached.step if one.reached else None,
            "reached_minutes": one.reached.minutes if one.reached else None,
        }
        row |= {"seconds": one.seconds, "credit_seconds": one.credit_seconds}
        rows.append(row | {"passes": one.passes, "generations": one.generations})
    return pd.DataFrame(rows).astype({"reached_step": "Int64"})


def make(results: Results) -> Table:
    """Table 18 of a study."""
    history = results.runs.history(
        ["reward", "entropy", "seconds_step", "seconds_credit", "credit_passes"],
        ["credit_generations"],
    )
    return table18_tournament(
        results.curves(), history, results.labels, results.task, results.modes
    )
