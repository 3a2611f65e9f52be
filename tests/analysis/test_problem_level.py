import itertools

import numpy as np
import pytest
from scipy import stats

from cfdapo.analysis.outcomes.problem_level import (
    CrossedBootstrap,
    collect_answers,
    compare_on_problems,
    crossed_test,
    sign_flip_test,
    step_weights,
)
from cfdapo.analysis.records.curves import area_under_curve
from cfdapo.analysis.records.runs import Run
from cfdapo.files import UserError


def run_of(mode: str, seed: int, marks: dict[int, str], model: str = "m") -> Run:
    """A run from steps and marks: `{25: "+-+"}` is two of three problems right at step 25."""
    rows = [
        {"step": step, "problem": f"p{index}", "correct": mark == "+"}
        for step, text in marks.items()
        for index, mark in enumerate(text)
    ]
    return Run(model, mode, seed, rows)


def brute_force(differences) -> float:
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    return sum(total >= observed for total in sums) / len(sums)


@pytest.mark.parametrize(
    "differences", [[3, -1, 2, 0, 5], [4, 4, -2, 6, 0, 0, 2], [1], [-7, 3, 3], [2, 2, 2, 2]]
)
def test_sign_flips_are_all_counted(differences):
    assert sign_flip_test(np.array(differences)) == pytest.approx(brute_force(differences))


def test_of_one_run_a_mode_it_is_mcnemars_exact_test():
    # 12 problems only the first got right, 4 only the second, 84 both or neither.
    differences = np.array([1] * 12 + [-1] * 4 + [0] * 84)
    assert sign_flip_test(differences) == pytest.approx(stats.binomtest(12, 16).pvalue)


def test_equal_answers_leave_nothing_to_flip():
    assert sign_flip_test(np.zeros(5, dtype=int)) == 1.0


def test_many_problems_do_not_underflow_to_a_wrong_value():
    differences = np.array([1] * 700 + [-1] * 619)
    expected = stats.binomtest(700, 1319).pvalue
    assert sign_flip_test(differences) == pytest.approx(expected, rel=1e-9)


def test_weights_of_steps_give_accuracy_and_area():
    steps, accuracy = [0, 50, 200], np.array([0.6, 0.8, 0.9])
    weights, scale = step_weights(steps, "auc")
    # Trapezoids: 50, 50 + 150 and 150 half widths; their common divisor is 50.
    assert (weights.tolist(), scale) == ([1, 4, 3], 8)
    assert weights @ accuracy / scale == pytest.approx(area_under_curve(steps, accuracy))
    weights, scale = step_weights(steps, "accuracy")
    assert (weights.tolist(), scale) == ([0, 0, 1], 1)


def test_analysis_of_variance_by_hand():
    # Two seeds, three problems; cell means 1, seed effects -1 and 1, problem effects -2, 0 and 2,
    # rest [[1, 0, -1], [-1, 0, 1]].
    points = np.array([[1 - 1 - 2 + 1, 1 - 1 + 0, 1 - 1 + 2 - 1], [1 + 1 - 2 - 1, 2.0, 1 + 1 + 3]])
    # Mean squares: seeds 3 * 2 / 1 = 6, problems 2 * 8 / 2 = 8, rest 4 / 2 = 2.
    found = crossed_test(points)
    assert found["seed_variance"] == pytest.approx((6 - 2) / 3)
    assert found["problem_variance"] == pytest.approx((8 - 2) / 2)
    assert found["residual_variance"] == pytest.approx(2)
    # Variance of the mean (6 + 8 - 2) / 6 = 2; freedom 12^2 / (36/1 + 64/2 + 4/2) = 144 / 70.
    assert found["freedom"] == pytest.approx(144 / 70)
    expected = 2 * stats.t.sf(1 / np.sqrt(2), 144 / 70)
    assert found["p_crossed"] == pytest.approx(expected)


def made_points(generator, seeds, problems, by_seed, by_problem, rest):
    return (
        generator.normal(0, by_seed, (seeds, 1))
        + generator.normal(0, by_problem, (1, problems))
        + generator.normal(0, rest, (seeds, problems))
    )


def test_variances_are_found_again():
    generator = np.random.default_rng(4)
    found = [crossed_test(made_points(generator, 10, 60, 3, 5, 10)) for _ in range(300)]
    means = {k: np.mean([f[k] for f in found]) for k in found[0]}
    assert means["seed_variance"] == pytest.approx(9, rel=0.1)
    assert means["problem_variance"] == pytest.approx(25, rel=0.1)
    assert means["residual_variance"] == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize(("by_seed", "by_problem"), [(0, 0), (3, 0), (0, 10), (2, 10)])
def test_without_a_difference_three_seeds_reject_in_at_most_five_percent(by_seed, by_problem):
    generator = np.random.default_rng(5)
    p = [
        crossed_test(made_points(generator, 3, 100, by_seed, by_problem, 20))["p_crossed"]
        for _ in range(800)
    ]
    # Three standard errors above 5 %.
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 800)


def test_the_bootstrap_knows_the_spread_over_seeds_and_over_problems():
    generator = np.random.default_rng(6)
    bootstrap = CrossedBootstrap(200)
    # All from seeds: the interval of the seeds' means, of which the lowest is -3 and the highest 3.
    seeds = np.repeat([[-3.0], [0.0], [3.0]], 200, axis=1)
    assert bootstrap.interval(seeds) == pytest.approx((-3.0, 3.0))
    # All from problems: the normal interval of a mean of 200.
    problems = np.repeat(generator.normal(1, 10, (1, 200)), 3, axis=0)
    half = 1.96 * problems[0].std() / np.sqrt(200)
    low, high = bootstrap.interval(problems)
    assert (low, high) == pytest.approx(
        (problems.mean() - half, problems.mean() + half), abs=0.15 * half
    )


def test_modes_are_compared_problem_by_problem_by_hand():
    answers = collect_answers(
        [
            run_of("counterfactual", 0, {0: "----", 10: "++++"}),
            run_of("counterfactual", 1, {0: "----", 10: "+++-"}),
            run_of("vanilla", 1, {10: "+---", 0: "----"}),
            run_of("vanilla", 0, {0: "----", 10: "+-+-"}),
        ]
    )
    accuracy, auc = compare_on_problems(answers)
    # Seed 0: 0, 1, 0, 1; seed 1: 0, 1, 1, 0. Summed: 0, 2, 1, 1, of which 2 of 8 flips reach 4.
    assert (accuracy.metric, accuracy.seeds, accuracy.problems) == ("accuracy", 2, 4)
    assert accuracy.difference == pytest.approx(50.0)
    assert accuracy.p_runs == pytest.approx(0.25)
    assert accuracy.low <= 50 <= accuracy.high
    assert auc.difference == pytest.approx(25.0)
    assert auc.p_runs == pytest.approx(0.25)


def test_what_cannot_be_tested_says_why():
    one = [run_of("counterfactual", 0, {5: "+-"}), run_of("vanilla", 0, {5: "--"})]
    accuracy, auc = compare_on_problems(collect_answers(one))
    assert accuracy.p_runs == 1.0 and accuracy.p_crossed is None
    assert accuracy.reason == "one seed: nothing is known of others"
    assert "at least two evaluated steps" in auc.reason and auc.difference is None
    same = [
        run_of(mode, seed, {5: "+-"}) for mode in ("counterfactual", "vanilla") for seed in (0, 1)
    ]
    accuracy, _ = compare_on_problems(collect_answers(same))
    assert (accuracy.difference, accuracy.p_runs) == (0.0, None)
    assert "equal answers" in accuracy.reason
    apart = [run_of("counterfactual", 0, {5: "+-"}), run_of("vanilla", 1, {5: "--"})]
    assert "no seed has" in compare_on_problems(collect_answers(apart))[0].reason


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (run_of("vanilla", 0, {5: "+"}), "m/vanilla/seed0: evaluated on other problems"),
        (run_of("vanilla", 0, {6: "+-"}), "m/vanilla/seed0: evaluated on other problems or at"),
        (Run("m", "vanilla", 0, []), "m/vanilla/seed0: no evaluation rows"),
    ],
)
def test_runs_that_cannot_be_compared_are_named(second, reason):
    with pytest.raises(UserError, match=reason):
        collect_answers([run_of("counterfactual", 0, {5: "+-"}), second])


def test_no_runs_is_an_error():
    with pytest.raises(UserError, match="no runs"):
        collect_answers([])
