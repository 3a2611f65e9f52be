"""Paired tests on problems: every run of a study answers the same ones (Table 3b).

Two questions, two tests. *Do these trained runs differ?* takes the runs as given and flips the
signs of the problems' differences, which is exact and has as much power as there are problems.
*Would new seeds and new problems differ?* takes both as drawn at random; it can never be surer
than the few seeds allow.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cfdapo.analysis.outcomes.significance import METRICS, left_out, pairs_of
from cfdapo.analysis.records.curves import graded_problems
from cfdapo.analysis.records.runs import Run
from cfdapo.analysis.statistics.estimates import RUN_RESAMPLES, percentile_interval
from cfdapo.analysis.statistics.paired import GENERATOR_SEED
from cfdapo.files import UserError


@dataclass(frozen=True)
class Answers:
    """Which problems every run of a study answered right.

    `correct` maps (model, mode, seed) to bool, shape (steps, problems); `steps` ascends.
    """

    steps: list[int]
    problems: list[str]
    correct: dict[tuple[str, str, int], NDArray]


@dataclass(frozen=True)
class ProblemTest:
    """Treatment minus baseline on the same problems, for one model and metric.

    `difference` is in percentage points. `p_runs` takes the runs as given (exact sign-flip test of
    the problems' differences); `p_crossed` takes seeds and problems as random, with `freedom`
    degrees; `low` to `high` is the 95 % interval of a bootstrap that draws seeds and problems.
    The variances, in points squared, are those of one problem's difference in one pair of runs:
    by seed, by problem, and the rest. What is undefined is None; `reason` says why.
    """

    model: str
    treatment: str
    baseline: str
    metric: str
    difference: float | None
    seeds: int
    problems: int
    reason: str
    p_runs: float | None = None
    p_crossed: float | None = None
    freedom: float | None = None
    low: float | None = None
    high: float | None = None
    seed_variance: float | None = None
    problem_variance: float | None = None
    residual_variance: float | None = None


def collect_answers(runs: Iterable[Run]) -> Answers:
    """The answers of all runs, consumed one at a time, as their completions take memory.

    Raises:
        UserError: no runs, a faulty evaluation, or runs on other problems or at other steps.
    """
    steps: list[int] = []
    problems: list[str] = []
    correct = {}
    for run in runs:
        try:
            graded = graded_problems(run.rows)
        except ValueError as error:
            raise UserError(f"{run}: {error}") from error
        steps, problems = steps or sorted(graded), problems or sorted(graded[min(graded)])
        odd = [step for step in graded if sorted(graded[step]) != problems]
        if odd or sorted(graded) != steps:
            raise UserError(f"{run}: evaluated on other problems or at other steps than the rest")
        marks = [[graded[step][problem] for problem in problems] for step in steps]
        correct[run.model, run.mode, run.seed] = np.array(marks, dtype=bool)
    if not correct:
        raise UserError("no runs to compare on problems")
    return Answers(steps, problems, correct)


def compare_on_problems(answers: Answers) -> list[ProblemTest]:
    """Compare modes as `significance.pairs_of` has them, on each problem.

    Returns:
        For each model and pair of modes a row for `accuracy` and one for `auc`.
    """
    bootstrap = CrossedBootstrap(len(answers.problems))
    modes: dict[str, list[str]] = {}
    for model, mode, _ in answers.correct:
        modes.setdefault(model, []).append(mode)
    return [
        _test(answers, model, pair, metric, bootstrap)
        for model, present in modes.items()
        for pair in pairs_of(present)
        for metric in METRICS
    ]


def step_weights(steps: Sequence[int], metric: str) -> tuple[NDArray, int]:
    """Whole-number weights of the steps, and what their sum stands for 1 in the metric.

    The last step alone for `accuracy`, trapezoids for `auc`, so that differences stay exact.

    Raises:
        ValueError: an area of fewer than two steps.
    """
    weights = np.zeros(len(steps), dtype=np.int64)
    if metric == "accuracy":
        weights[-1] = 1
        return weights, 1
    if len(steps) < 2:
        raise ValueError("an area under the curve needs at least two evaluated steps")
    widths = np.diff(steps)
    weights[:-1] += widths
    weights[1:] += widths
    weights //= math.gcd(*map(int, weights))
    return weights, int(weights.sum())


def _test(
    answers: Answers,
    model: str,
    pair: tuple[str, str],
    metric: str,
    bootstrap: "CrossedBootstrap",
) -> ProblemTest:
    seeds = [{s for m, mode, s in answers.correct if (m, mode) == (model, name)} for name in pair]
    common = sorted(seeds[0] & seeds[1])
    test = ProblemTest(model, *pair, metric, None, len(common), len(answers.problems), "")
    if not common:
        return replace(test, reason=f"no seed has {pair[0]} and {pair[1]} runs")
    try:
        weights, scale = step_weights(answers.steps, metric)
    except ValueError as error:
        return replace(test, reason=str(error))
    treated, control = (
        np.array([weights @ answers.correct[model, mode, s] for s in common]) for mode in pair
    )
    differences = treated - control
    points = 100 * differences / scale
    test = replace(test, difference=float(points.mean()))
    if not differences.any():
        return replace(test, reason="equal answers to every problem in every seed")
    test = replace(test, p_runs=sign_flip_test(differences.sum(axis=0)))
    if len(common) < 2 or len(answers.problems) < 2:
        return replace(test, reason="one seed: nothing is known of others")
    low, high = bootstrap.interval(points)
    crossed: dict[str, Any] = crossed_test(points)
    reason = left_out(seeds[0] ^ seeds[1], common)
    return replace(test, low=low, high=high, reason=reason, **crossed)


def sign_flip_test(differences: NDArray) -> float:
    """Exact two-sided p of whole-number differences whose signs are exchangeable, shape (n,).

    All 2^n flips are counted through the distribution of their sum. Of differences of -1, 0 and 1
    it is McNemar's exact test.
    """
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return 1.0
    sizes = sizes // np.gcd.reduce(sizes)
    observed = abs(int((np.sign(differences[differences != 0]) * sizes).sum()))
    total = int(sizes.sum())
    # chance[k]: of the positive ones adding up to k; the flipped sum is then 2 k - total.
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    reached = 0
    for size in sizes:
        before = chance[: reached + 1] / 2
        chance[: reached + 1] = before
        chance[size : reached + size + 1] += before
        reached += int(size)
    sums = np.abs(2 * np.arange(total + 1) - total)
    return float(min(1.0, chance[sums >= observed].sum()))


def crossed_test(points: NDArray) -> dict[str, float | None]:
    """Test of the mean difference with seeds and problems as crossed random effects.

    Analysis of variance of one observation a cell; Satterthwaite's degrees of freedom. The seeds'
    mean square counts as at least the residual one, as few seeds may look alike by luck.

    Args:
        points: differences, shape (seeds, problems), both at least 2.

    Returns:
        `p_crossed`, `freedom` and the three variances of `ProblemTest`, below 0 taken as 0.
    """
    seeds, problems = points.shape
    mean = points.mean()
    of_seed, of_problem = points.mean(axis=1) - mean, points.mean(axis=0) - mean
    rest = points - mean - of_seed[:, None] - of_problem[None, :]
    degrees = (seeds - 1, problems - 1, (seeds - 1) * (problems - 1))
    by_seed = problems * float(of_seed @ of_seed) / degrees[0]
    by_problem = seeds * float(of_problem @ of_problem) / degrees[1]
    residual = float((rest**2).sum()) / degrees[2]
    variances = {
        "seed_variance": max(0.0, (by_seed - residual) / problems),
        "problem_variance": max(0.0, (by_problem - residual) / seeds),
        "residual_variance": residual,
    }
    squares = (max(by_seed, residual), max(by_problem, residual), residual)
    variance = squares[0] + squares[1] - squares[2]
    if variance < 1e-18:
        return {**variances, "p_crossed": None, "freedom": None}
    freedom = variance**2 / sum(s**2 / n for s, n in zip(squares, degrees, strict=True))
    statistic = mean / math.sqrt(variance / (seeds * problems))
    p = float(2 * stats.t.sf(abs(statistic), freedom))
    return {**variances, "p_crossed": p, "freedom": float(freedom)}


class CrossedBootstrap:
    """Draws seeds and problems with replacement; the draws of problems serve all comparisons."""

    def __init__(self, problems: int) -> None:
        generator = np.random.default_rng(GENERATOR_SEED)
        shares = np.full(problems, 1 / problems)
        drawn = generator.multinomial(problems, shares, size=RUN_RESAMPLES)
        self._problems = drawn.astype(np.float32)

    def interval(self, points: NDArray) -> tuple[float, float]:
        """95 % percentile interval of the mean of differences, shape (seeds, problems)."""
        seeds, problems = points.shape
        generator = np.random.default_rng(GENERATOR_SEED + 1)
        drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=RUN_RESAMPLES)
        sums = self._problems @ points.T.astype(np.float32)
        means = (drawn * sums).sum(axis=1) / (seeds * problems)
        return percentile_interval(means)
