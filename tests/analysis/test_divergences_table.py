"""Table 19 and Figure 10: divergences held against no penalty and against KL, by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from cfdapo.analysis.outcomes.divergences import (
    Regularised,
    compare_divergences,
    equal_deviations,
    last_lengths,
    seeds_to_tell,
)
from cfdapo.analysis.outcomes.figure10_divergences import divergence_curves
from cfdapo.analysis.outcomes.table19_divergences import _share, table19_divergences
from cfdapo.analysis.records.divergences import GRID, DivergencePoint
from cfdapo.analysis.records.runs import Run
from cfdapo.analysis.rendering.table import to_latex, to_markdown
from cfdapo.files import UserError

NAMES = {"vanilla": "DAPO", "kl": "KL", "prob-l2": "ProbL2", "other": "Random, ProbL2"}
DIVERGENCES = {
    "kl": {"name": "kl", "coefficient": 0.01, "estimator": "sampled"},
    "prob-l2": {"name": "prob_l2", "coefficient": 0.1, "estimator": "sampled"},
    "other": {"name": "prob_l2", "coefficient": 0.1, "estimator": "exact"},
}
FINAL = {
    "vanilla": [80.0, 82.0, 84.0, 90.0],
    "kl": [79.0, 81.0, 83.0, 88.0],
    "prob-l2": [81.0, 84.0, 87.0, 91.0],
    "other": [70.0, 70.5, 71.0, 71.0],
}
TOKENS = {"vanilla": 20.0, "kl": 25.0, "prob-l2": 15.0, "other": 20.0}


def record(mode: str) -> dict:
    training = {"divergence": DIVERGENCES[mode]} if mode in DIVERGENCES else {}
    credit = {"mode": "random" if mode == "other" else "vanilla"}
    return {"model": "m", "mode": mode, "settings": {"training": training, "credit": credit}}


def made(final: dict[str, list[float]]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list]:
    """Curves, lengths, a history of two steps, and records."""
    runs = [(mode, seed, value) for mode, by in final.items() for seed, value in enumerate(by)]
    curves = pd.DataFrame(
        [("m", mode, seed, 50, value, 100) for mode, seed, value in runs],
        columns=["model", "mode", "seed", "step", "accuracy", "problems"],
    )
    lengths = last_lengths(
        Run(
            *("m", mode, seed),
            [{"step": 0, "tokens": 1}]
            + [{"step": 50, "tokens": TOKENS[mode] + seed + way} for way in (-1, 1)],
        )
        for mode, seed, _ in runs
    )
    penalised = {"kl": (0.2, 1.0, np.nan), "prob-l2": (0.1, 0.3, 0.5)}
    history = pd.DataFrame(
        [
            ("m", mode, seed, step, loss + penalty, 2.0, penalty, gradient)
            for mode, seed, _ in runs
            for penalty, *both in [penalised.get(mode, (np.nan,) * 3)]
            for step, (loss, gradient) in enumerate(zip((0.1, 0.3), both, strict=True))
        ],
        columns=[
            *("model", "mode", "seed", "step", "loss", "grad_norm"),
            *("penalty_loss", "penalty_gradient"),
        ],
    )
    return curves, lengths, history, [record(mode) for mode in final]


def points() -> list[DivergencePoint]:
    """(p - q)² of each of the three penalties."""
    return [
        DivergencePoint(
            *("m", mode, own["name"], own["estimator"], own["coefficient"], p, p * p - 1, 2 * p),
            *((p - q) ** 2 for q in (0.1, 0.5, 0.9)),
        )
        for mode, own in DIVERGENCES.items()
        for p in GRID
    ]


def compared(final: dict[str, list[float]] = FINAL) -> dict[str, Regularised]:
    return {one.mode: one for one in compare_divergences(*made(final), points())}


def test_differences_to_none_and_kl_are_paired_and_corrected():
    found = compared()
    ours = found["prob-l2"]
    # 1, 2, 3 and 1: mean 1.75, standard deviation sqrt(2.75 / 3).
    half = stats.t.isf(0.025, 3) * np.sqrt(2.75 / 3 / 4)
    to_none = ours.to_none.accuracy
    assert (to_none.value, to_none.low, to_none.high) == pytest.approx(
        (1.75, 1.75 - half, 1.75 + half)
    )
    assert to_none.p == pytest.approx(stats.ttest_1samp([1, 2, 3, 1], 0).pvalue)
    assert ours.to_kl.accuracy.value == pytest.approx(np.mean([2, 3, 4, 3]))
    tests = sorted(one.to_none.accuracy.p for one in found.values() if one.to_none.accuracy.p)
    assert len(tests) == 2
    assert min(one.to_none.p_holm for one in found.values() if one.to_none.p_holm) == pytest.approx(
        2 * tests[0]
    )


def test_a_mode_is_held_against_those_of_its_own_credit_only():
    other = compared()["other"]
    assert other.to_none.accuracy.value is None
    assert other.to_none.accuracy.reason == "no runs of none with the same credit"
    assert "no runs of kl" in other.to_kl.accuracy.reason and other.steadier.p is None


def test_lengths_are_of_the_last_step_and_relative_to_the_controls():
    found = compared()
    assert found["vanilla"].tokens == 21.5  # 20 to 23
    assert found["prob-l2"].to_none.tokens.value == pytest.approx(-100 * 5 / 21.5)


def test_shares_of_loss_and_gradient_and_the_cost_of_a_token():
    found = compared()
    ours, kl, none = found["prob-l2"], found["kl"], found["vanilla"]
    # Of losses 0.1 and 0.3 beside a penalty of 0.1.
    assert ours.loss == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert (ours.gradient, ours.gradient_most) == pytest.approx((0.2, 0.25))
    assert (kl.gradient, kl.gradient_most) == (0.5, 0.5)
    assert (none.loss, none.gradient, none.cost) == (None, None, None)
    assert ours.cost == pytest.approx(0.1 * 0.8**2)


def test_deviations_are_compared_as_paired_values():
    """The interval's ends are the ratios that the test just does not tell from the one measured."""
    ours = compared()["prob-l2"]
    first, second = (np.array(FINAL[mode]) for mode in ("prob-l2", "vanilla"))
    assert ours.deviation.value == pytest.approx(first.std(ddof=1))
    assert ours.steadier.value == pytest.approx(first.std() / second.std())

    def p_of(ratio: float) -> float:
        return stats.pearsonr(first + ratio * second, first - ratio * second).pvalue

    assert ours.steadier.p == pytest.approx(p_of(1.0))
    for end, bounds in ((ours.steadier.low, (0.01, 0.9)), (ours.steadier.high, (0.9, 20.0))):
        assert end == pytest.approx(optimize.brentq(lambda r: p_of(r) - 0.05, *bounds))


def test_what_a_spread_needs():
    few = compared({mode: values[:2] for mode, values in FINAL.items()})
    assert few["kl"].steadier.reason == "a test for variances needs three seeds"
    equal = compared(FINAL | {"vanilla": [80.0] * 4})
    assert equal["kl"].steadier.reason == "a variance of 0"
    assert equal["vanilla"].deviation.reason == "equal values in every seed"
    curves, *_ = made(FINAL)
    assert equal_deviations(curves, "m") == pytest.approx(
        stats.levene(*FINAL.values(), center="median").pvalue
    )
    assert equal_deviations(made({m: v[:1] for m, v in FINAL.items()})[0], "m") is None


@pytest.mark.parametrize("moved", [0.0, 2.5])
def test_runs_that_move_together_are_no_test_of_deviations(moved):
    """As those of a penalty too weak to change an answer; Holm's family has them not."""
    found = compared(FINAL | {"kl": [value + moved for value in FINAL["vanilla"]]})
    assert found["kl"].steadier.value == pytest.approx(1.0)
    assert found["kl"].steadier.p is None and found["kl"].steadier_holm is None
    assert found["kl"].steadier.reason == "the same difference, or sum, in every seed"
    others = [one for one in found.values() if one.steadier.p is not None]
    assert others and others[0].steadier_holm == pytest.approx(len(others) * others[0].steadier.p)


def test_how_many_seeds_a_ratio_of_three_takes():
    """Of 3 seeds F is 9 with (2, 2) degrees of freedom: p = 2 / (1 + 9)."""
    assert 2 * stats.f.sf(9, 2, 2) == pytest.approx(0.2)
    assert seeds_to_tell(3.0) == 6


def table(final: dict[str, list[float]] = FINAL):
    curves, lengths, history, records = made(final)
    found = compare_divergences(curves, lengths, history, records, points())
    return table19_divergences(found, curves, {"m": "M"}, "verbs", NAMES)


def test_the_table_shows_reported_numbers_beside_and_says_whose_they_are():
    shown = table()
    by_mode = {row[1].text: [cell.text for cell in row] for row in shown.rows}
    assert list(by_mode) == ["DAPO", "KL", "ProbL2", "Random, ProbL2"]
    assert by_mode["ProbL2"][2:5] == ["prob_l2, 0.1", "85.8", "+1.8 [+0.2, +3.3]"]
    assert by_mode["ProbL2"][-2:] == ["86.7", "60.2"]
    assert by_mode["DAPO"][-2:] == ["–", "–"] and by_mode["Random, ProbL2"][-2:] == ["–", "–"]
    assert by_mode["ProbL2"][10:13] == ["0.064", "38", "20 (≤ 25)"]
    assert [_share(one) for one in (3.7e-7, 0.0078, 1.0, 1.2)] == ["3.7e-05", "0.78", "100", "120"]
    told = " ".join(note.text for note in shown.notes)
    assert "arXiv 2602.04380, Qwen3-4B on other problems" in told and "from 6 seeds on" in told
    data = shown.data.set_index("mode")
    assert data.loc["prob-l2", "to_none_value"] == pytest.approx(1.75)
    assert data.loc["prob-l2", "reported_gsm8k"] == "86.7"


def test_a_table_of_one_seed_has_dashes_with_reasons():
    shown = table({mode: values[:1] for mode, values in FINAL.items()})
    assert "nan" not in to_markdown(shown) + to_latex(shown)
    assert "one seed: a t-test needs at least two" in to_markdown(shown)


def test_the_figure_has_three_panels_and_needs_a_penalty():
    figure = divergence_curves(points(), {"m": "M"}, NAMES)
    h, slope, cost = figure.axes
    assert [len(panel.get_lines()) for panel in figure.axes] == [3, 3, 3]
    assert cost.get_yscale() == "log"
    assert h.get_lines()[0].get_ydata()[0] == 0.0
    with pytest.raises(UserError, match="no mode of the study has a penalty"):
        divergence_curves([], {"m": "M"}, NAMES)
