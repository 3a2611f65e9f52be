"""Checks of Tables 1, 2, 3 and 7: accuracies, their differences and p-values."""

from collections.abc import Iterator

from scipy import stats

from cfdapo.analysis.paper.consistency.check import MODELS, Check, compare, number
from cfdapo.analysis.paper.rounding import Interval, Paper, hull

# Of the paper's t-tests.
SEEDS = 3


def differences(paper: Paper) -> Iterator[Check]:
    """Table 3's differences from Tables 1 and 2."""
    for table, column in (("table1_accuracy", "Δ@500"), ("table2_auc", "ΔAUC")):
        for model in MODELS:
            own = paper.exact("table3_significance", model, column)
            computed = paper(table, model, "CF") - paper(table, model, "DAPO")
            printed = paper("table3_significance", model, column)
            same = [
                other
                for other in MODELS
                if other != model and paper.exact("table3_significance", other, column) == own
            ]
            # Equal numbers are worth a word only where this one is wrong.
            remark = f"the same number as of {same[0]}" if same else ""
            yield compare(
                f"Table 3, {model}, {column}",
                printed,
                f"{_table(table)}: CF − DAPO",
                computed,
                "points",
                "" if printed.meets(computed) else remark,
            )


def _table(name: str) -> str:
    return f"Table {name.removeprefix('table')[0]}"


def attainable_p(difference: Interval, first: Interval, second: Interval, seeds: int) -> Interval:
    """The p-values of a paired t-test that rounded means and standard deviations leave open.

    The standard deviation of paired differences lies between |s1 - s2| and s1 + s2. Both are
    allowed to be of samples or of populations, which widens the range.
    """
    correction = (seeds / (seeds - 1)) ** 0.5
    apart = max(first.low - second.high, second.low - first.high, 0.0)
    most = (first.high + second.high) * correction
    greatest = max(abs(difference.low), abs(difference.high))
    least = max(0.0, difference.low, -difference.high)
    p_highest = 2 * stats.t.sf(least * seeds**0.5 / most, seeds - 1)
    p_lowest = 2 * stats.t.sf(greatest * seeds**0.5 / apart, seeds - 1) if apart else 0.0
    return Interval(float(p_lowest), float(p_highest))


def p_values(paper: Paper) -> Iterator[Check]:
    """Table 3's p-values against what the standard deviations of Tables 1 and 2 allow."""
    for table, difference, column in (
        ("table1_accuracy", "Δ@500", "p@500"),
        ("table2_auc", "ΔAUC", "p AUC"),
    ):
        for model in MODELS:
            ours, dapos = (paper.std(table, model, mode) for mode in ("CF", "DAPO"))
            delta = paper("table3_significance", model, difference)
            yield compare(
                f"Table 3, {model}, {column}",
                paper("table3_significance", model, column),
                f"its {difference}, the stds of {_table(table)}, {SEEDS} pairs, any correlation",
                attainable_p(delta, ours, dapos, SEEDS),
                "p",
            )


def ordering(paper: Paper) -> Iterator[Check]:
    """CF > DAPO >= Random > Inverted (Section 3.4), on the printed means."""
    for table in ("table1_accuracy", "table2_auc"):
        for model in MODELS:
            means = {m: paper(table, model, m) for m in ("CF", "DAPO", "Random", "Inverted")}
            wrong = [
                f"{lower} − {upper} is {number(means[lower].middle - means[upper].middle)}"
                for upper, lower in zip(means, list(means)[1:], strict=False)
                if means[lower].low >= means[upper].high - 1e-9
            ]
            yield Check(
                f"Section 3.4, {model}",
                "CF > DAPO ≥ Random > Inverted",
                f"the means of {_table(table)}",
                "",
                None,
                "; ".join(wrong) or "holds",
                not wrong,
                "the text says that it holds generally" if wrong else "",
            )


def gains(paper: Paper) -> Iterator[Check]:
    """Section 4.2's and Section 1's gains from Table 1."""
    gains = []
    for model in MODELS:
        gains.append(
            paper("table1_accuracy", model, "CF") - paper("table1_accuracy", model, "DAPO")
        )
        yield compare(
            f"Section 4.2, gain of {model}",
            paper("section4.2", model, "gain"),
            "Table 1: CF − DAPO",
            gains[-1],
            "points",
        )
    for model in ("Qwen3-1.7B", "Llama3.2-3B"):
        yield compare(
            f"Section 4.2, Inverted below DAPO, {model}",
            paper("section4.2", model, "Inverted below DAPO"),
            "Table 1: DAPO − Inverted",
            paper("table1_accuracy", model, "DAPO") - paper("table1_accuracy", model, "Inverted"),
            "points",
        )
    for column, computed in zip(("minimum", "maximum"), hull(gains), strict=True):
        yield compare(
            f"Section 1, {column} of the gains",
            paper("section1", "gain over DAPO", column),
            "Table 1: CF − DAPO of all models",
            computed,
            "points",
        )


def code(paper: Paper) -> Iterator[Check]:
    """Table 7's differences; Section 4.4's best checkpoint and who is ahead."""
    table = "table7_code"
    steps = paper.rows(table)
    modes = {mode: {s: paper(table, s, mode) for s in steps} for mode in ("CF", "Vanilla")}
    for step in steps:
        yield compare(
            f"Table 7, step {step}, Δ",
            paper(table, step, "Δ"),
            "Table 7: CF − Vanilla",
            modes["CF"][step] - modes["Vanilla"][step],
            "points",
        )
    best = {mode: max(steps, key=lambda s: of[s].middle) for mode, of in modes.items()}
    for mode, of in modes.items():
        yield compare(
            f"Section 4.4, best checkpoint, {mode}",
            paper("section4.4", "best checkpoint", mode),
            f"Table 7: the highest, at step {best[mode]}",
            of[best[mode]],
            "%",
        )
    one = best["CF"] == best["Vanilla"]
    other = modes["CF"][best["Vanilla"]].middle
    yield Check(
        "Section 4.4, “at the best checkpoint”",
        "one checkpoint",
        "Table 7: steps of the highest pass rates",
        "",
        None,
        f"CF's is {best['CF']}, Vanilla's {best['Vanilla']}",
        one,
        "" if one else f"at Vanilla's best step CF has {number(other)} %",
    )
    start = paper.exact("section4.4", "vanilla ahead from", "step")
    behind = [
        s for s in steps if float(s) >= start and modes["CF"][s].low >= modes["Vanilla"][s].high
    ]
    yield Check(
        "Section 4.4, vanilla is ahead",
        f"from step {number(start)}",
        "Table 7: steps from there on",
        "",
        None,
        f"CF is ahead at {', '.join(behind)}" if behind else "holds",
        not behind,
        "" if number(start) in steps else f"Table 7 has no step {number(start)}",
    )
