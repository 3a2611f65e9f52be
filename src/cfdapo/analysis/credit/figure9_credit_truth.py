"""Figure 9: credit rules against the truth, a dot a rule, a panel a measure and model."""

from collections.abc import Mapping

import matplotlib
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfdapo.analysis.credit.truth_agreement import ITSELF, UNIFORM
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import THEME
from cfdapo.analysis.rendering.table import read_table
from cfdapo.files import UserError
from cfdapo.vocabulary import PAPER_MODES

# Metric -> name of its axis, and where a rule that knows nothing is, or DAPO.
_PANELS = {
    "within": ("ρ with the truth,\nin a completion", 0.0),
    "first_wrong": ("AUROC,\nfirst wrong line", 0.5),
    "idle_mass": ("mass on steps\nworth nothing", None),
    "ascent": ("ascent for a step's length,\nDAPO = 1", 1.0),
}
# Okabe and Ito's blue, and a grey for what rules are compared with.
_RULE, _COMPARED = "#0072B2", "#555555"


def truth_dots(found: pd.DataFrame, labels: Mapping[str, str], modes: Mapping[str, str]) -> Figure:
    """Figure 9: four measures of Table 17 with their 95 % intervals, by rule.

    Args:
        found: rows of `truth_agreement.measure_agreement`, as Table 17's CSV has them.
        labels: model -> title of its row; its order is the order of rows.
        modes: mode -> display name.

    Raises:
        UserError: no group of any model taught anything.
    """
    # The truth has no mass, but a share of steps.
    other = (found["rule"] == ITSELF) & (found["metric"] == "idle_mass")
    drawn = found[found["metric"].isin(_PANELS) & found["value"].notna() & ~other]
    drawn = drawn[drawn["model"].isin(labels)]
    if drawn.empty:
        raise UserError("no group of any model taught anything, so there is nothing to draw")
    names = {**PAPER_MODES, ITSELF: "the truth itself", **modes}
    rules = list(found["rule"].unique())
    models = [model for model in labels if model in set(drawn["model"])]
    height = (0.17 * len(rules) + 0.75) * len(models) + 0.3
    with matplotlib.rc_context(THEME):
        figure = Figure(figsize=(1.3 + 1.75 * len(_PANELS), height), layout="constrained")
        panels = figure.subplots(
            len(models), len(_PANELS), squeeze=False, sharex="col", sharey=True
        )
        for row, model in zip(panels, models, strict=True):
            for panel, (metric, (_, nothing)) in zip(row, _PANELS.items(), strict=True):
                here = drawn[(drawn["model"] == model) & (drawn["metric"] == metric)]
                _draw(panel, here, rules, nothing)
                panel.set_yticks(range(len(rules)), [names.get(rule, rule) for rule in rules])
            row[0].set_title(labels[model], loc="left")
        for panel, (axis, _) in zip(panels[-1], _PANELS.values(), strict=True):
            panel.set_xlabel(axis)
        figure.supxlabel(
            "bars: 95 % bootstrap intervals between problems; dotted: a rule that knows nothing, "
            "and DAPO",
            fontsize=7,
        )
    return figure


def _draw(panel: Axes, found: pd.DataFrame, rules: list[str], nothing: float | None) -> None:
    """Dots with bars; `nothing` is where a rule would be that knows nothing, if that is known."""
    if found.empty:
        panel.text(0.5, 0.5, "not known", ha="center", transform=panel.transAxes)
    else:
        seaborn.pointplot(
            # Three numbers a dot: its value, which is the first, and the ends of its bar.
            found.melt(["rule"], ["value", "low", "high"], value_name="number"),
            x="number",
            y="rule",
            hue="rule",
            order=rules,
            hue_order=rules,
            palette=[_COMPARED if rule in (ITSELF, UNIFORM) else _RULE for rule in rules],
            estimator=lambda numbers: numbers.iloc[0],
            errorbar=("pi", 100),
            err_kws={"linewidth": 0.8},
            linestyle="none",
            markersize=3.8,
            markeredgewidth=0,
            legend=False,
            orient="y",
            ax=panel,
        )
    if nothing is not None:
        panel.axvline(nothing, color="black", linewidth=0.6, linestyle=":")
    panel.set(ylim=(len(rules) - 0.5, -0.5), xlabel="", ylabel="")
    panel.grid(axis="y", visible=False)


def make(results: Results) -> Figure:
    """Figure 9 of a study, drawn from the numbers of its Table 17."""
    found = read_table(results.folder / "tables" / "table17_credit_truth.csv")
    return truth_dots(found, results.labels, results.modes)
