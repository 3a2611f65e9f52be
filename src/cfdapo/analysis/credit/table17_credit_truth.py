"""Credit rules against the truth: Table 17, not in the paper."""

from collections.abc import Iterator, Mapping

import pandas as pd

from cfdapo.analysis.credit.truth_agreement import (
    AGREEMENT_COLUMNS,
    ITSELF,
    LEAST_STEPS,
    UNIFORM,
    measure_agreement,
)
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.records.truth import Truth
from cfdapo.analysis.rendering.table import Cell, Footnotes, Note, Table, signed
from cfdapo.analysis.rendering.wording import counted, digits, on_task
from cfdapo.analysis.statistics.estimates import RANKING_RESAMPLES
from cfdapo.vocabulary import PAPER_MODES

# Heading, metric and style of every column; "%" is of shares, "" of costs.
_COLUMNS = (
    ("ρ in a completion", "within", "+.2f"),
    ("ρ, all steps", "pooled", "+.2f"),
    ("Sign agrees", "sign", "%"),
    ("Mass on idle steps", "idle_mass", "%"),
    ("AUROC, first wrong line", "first_wrong", ".2f"),
    ("Gradient noise", "noise", ".2f"),
    ("Noise to signal", "noise_to_signal", ".2f"),
    ("Ascent", "ascent", ".2f"),
    ("Passes", "passes", ""),
    ("Samples", "generations", ""),
    ("Seconds", "seconds", ""),
)
_UNDEFINED = {
    "within": "the truth's halves do not agree, or no completion is long enough",
    "pooled": "the truth's halves do not agree, or the rule gives every step the same",
    "sign": "no step's truth differs from 0 beyond its error",
    "idle_mass": "the rule gives no advantage at all",
    "first_wrong": "no wrong completion has a line that is known to be its first wrong one",
    "noise": "no group taught anything",
    "noise_to_signal": "two groups of a problem do not agree on any direction",
    "ascent": "no group taught anything, or DAPO's gradient does not ascend",
}
_OF_THE_TRUTH = "what rules are compared with"


def table17_credit_truth(
    measured: Mapping[str, Truth],
    labels: Mapping[str, str],
    modes: Mapping[str, str],
    task: str | None = None,
) -> Table:
    """Table 17, not in the paper: credit rules held against what steps were truly worth.

    Args:
        measured: model -> its truth, as `records.truth` reads it.
        labels: model -> display name; its order is the order of rows.
        modes: mode -> display name; a rule that is no mode of the study has its own.
        task: the study's task, for the title.
    """
    found = measure_agreement({model: measured[model] for model in labels})
    names = {**PAPER_MODES, **modes}
    footnotes, rows = Footnotes(), []
    for model, label in labels.items():
        of_model = found[found["model"] == model]
        for rule in of_model["rule"].unique():
            of_rule = of_model[of_model["rule"] == rule].set_index("metric")
            first = [Cell(label), Cell(_rule_name(rule, names, measured[model]))]
            rows.append([*first, *_cells(rule, of_rule, footnotes)])
    data = found.assign(
        label=found["model"].map(labels),
        continuations=found["model"].map({m: one.continuations for m, one in measured.items()}),
    )
    return Table(
        name="table17_credit_truth",
        title=f"Credit rules against what steps were truly worth{on_task(task)}.",
        columns=["Model", "Rule", *(heading for heading, *_ in _COLUMNS)],
        rows=rows,
        data=data[["label", *AGREEMENT_COLUMNS, "continuations"]],
        notes=[*footnotes.notes(), *_notes(), *_counts(found, measured, labels)],
    )


def _rule_name(rule: str, names: Mapping[str, str], truth: Truth) -> str:
    if rule == ITSELF:
        return f"the truth itself, K = {truth.continuations}"
    return names.get(rule, rule)


def _cells(rule: str, found: pd.DataFrame, footnotes: Footnotes) -> Iterator[Cell]:
    for _, metric, style in _COLUMNS:
        if metric not in found.index:
            yield footnotes.dash(_OF_THE_TRUTH if rule == ITSELF else _UNDEFINED[metric])
        elif pd.isna(found.loc[metric, "value"]):
            yield footnotes.dash(_UNDEFINED[metric])
        else:
            yield Cell(_text(found.loc[metric], style))


def _text(row: pd.Series, style: str) -> str:
    if not style:
        return "0" if row["value"] == 0 else digits(row["value"])
    shown = [_number(row[key], style) for key in ("value", "low", "high") if pd.notna(row[key])]
    return shown[0] if len(shown) == 1 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _number(value: float, style: str) -> str:
    return f"{100 * value:.0f} %" if style == "%" else signed(value, style)


def _notes() -> Iterator[Note]:
    yield Note(
        "A step is a line. Its truth is the gain in the chance of a right answer, each by K "
        "continuations of the policy from the line's beginning and end; behind the last line that "
        "is the reward. A rule's score on a step is the mean of its token advantages there. Only "
        "groups with right and wrong completions are in it: others teach nothing under any rule."
    )
    yield Note(
        f"ρ: Spearman's correlation of score and truth, in a completion of {LEAST_STEPS} lines or "
        "more (mean over completions; a rule with the same on all lines has 0), and over all "
        "steps, where the sign of a completion's advantage alone makes a positive one. Both are "
        "divided by the square root of the truth's reliability, which is the correlation of its "
        "two halves stepped up: what a truth without noise would give, to first order. The noise "
        "of a rule that samples is its own and stays. The CSV has them as they are, too."
    )
    yield Note(
        "Idle steps: those whose truth is 0 within 1.96 standard errors (with one right and one "
        "wrong continuation added, as no share of K is certain); more continuations leave fewer; "
        "in the truth's own row stands their share of all steps. Sign agrees: on the other steps; "
        "no advantage counts 1/2. Mass: sum of |A| over tokens. "
        "First wrong line: the chance that it has less than another line of its wrong completion, "
        "a tie being 1/2."
    )
    yield Note(
        "Gradient: of the sum over tokens of A log π, in the weights of all linear layers but the "
        "output's, for two groups of each problem, sampled apart. Noise: half the squared distance "
        "of the two, summed over problems, each rule scaled to the same sum of |A|, over that of "
        f"{PAPER_MODES[UNIFORM]}; it is smaller where a rule's mass lies on tokens that are sure "
        "anyway. Noise to signal: before that division, over the sum of the two gradients' inner "
        "products, which is the squared length of the mean gradient, whatever the scale, "
        "whether or not that is the direction that helps."
    )
    yield Note(
        "Ascent: what a step along one group's gradient gains in expected reward to first order, "
        "against a step of DAPO's of the same length. It is the inner product with the other "
        "group's gradient by the true advantages, over the root of the mean square, summed over "
        "the problems whose first group has a truth."
    )
    yield Note(
        "Passes, samples and seconds: what a rule took, over all completions sampled, in batches "
        "as they were measured; "
        f"other jobs may have shared the machine. Brackets: 95 % percentile intervals of "
        f"{RANKING_RESAMPLES} bootstrap samples of problems, too narrow where problems are few."
    )


def _counts(
    found: pd.DataFrame, measured: Mapping[str, Truth], labels: Mapping[str, str]
) -> Iterator[Note]:
    """What entered, by model."""
    for model, label in labels.items():
        rows = found[(found["model"] == model) & (found["rule"] == ITSELF)].set_index("metric")
        groups = len({row["group"] for row in measured[model].rules})
        if rows.empty:
            yield Note(f"{label}: none of {counted(groups, 'group')} taught anything.")
            continue
        steps, lines = rows.loc["pooled_raw"], rows.loc["first_wrong"]
        wrong = 0 if pd.isna(lines["completions"]) else int(lines["completions"])
        yield Note(
            f"{label}: {counted(int(steps['steps']), 'step')} of "
            f"{counted(int(steps['completions']), 'completion')} of "
            f"{counted(int(steps['problems']), 'problem')}, of {groups} measured; "
            f"{100 * rows.loc['idle_mass', 'value']:.0f} % of steps are idle; reliability of the "
            f"truth {_reliability(rows, 'within_raw')} in a completion, "
            f"{_reliability(rows, 'pooled_raw')} over all steps; "
            f"{counted(wrong, 'wrong completion')} with a first wrong line."
        )


def _reliability(rows: pd.DataFrame, metric: str) -> str:
    value = rows.loc[metric, "value"]
    return "unknown" if pd.isna(value) else f"{value:.2f}"


def make(results: Results) -> Table:
    """Table 17 of a study."""
    return table17_credit_truth(results.truth(), results.labels, results.modes, results.task)
