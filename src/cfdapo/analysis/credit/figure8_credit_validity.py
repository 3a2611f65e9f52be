"""Figure 8: which credit finds causal spans, a dot a score, a panel a model and source."""

from collections.abc import Mapping, Sequence

import matplotlib
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cfdapo.analysis.credit.validity import BASELINES, SCOPES
from cfdapo.analysis.records.results import Results
from cfdapo.analysis.rendering.figures import THEME
from cfdapo.analysis.rendering.table import read_table
from cfdapo.files import UserError
from cfdapo.vocabulary import PAPERS_COMBINATION

# As in Table 9, shorter.
_NAMES = {
    PAPERS_COMBINATION: f"{PAPERS_COMBINATION} (paper)",
    "length": "length",
    "later": "later first",
    "earlier": "earlier first",
    "entropy": "high entropy first",
    "low entropy": "low entropy first",
    "arithmetic": "calculations first",
}


# Scope -> name, colour and marker: Okabe and Ito's colours, with markers that tell them apart
# without.
_DOTS = dict(
    zip(
        SCOPES,
        (
            ("all spans", "#D55E00", "o"),
            ("without the last line", "#0072B2", "s"),
            ("calculations only", "#555555", "^"),
        ),
        strict=True,
    )
)


def validity_dots(found: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Figure 8: AUROC in a completion with its 95 % interval, by score and by spans ranked.

    Args:
        found: rows of `validity.measure_validity`, as Table 9's CSV has them.
        labels: model -> title of its column; its order is the order of columns.

    Raises:
        UserError: no sample has causal spans and others of known labels.
    """
    drawn = found[(found["metric"] == "within_auroc") & found["value"].notna()]
    drawn = drawn[drawn["model"].isin(labels)]
    if drawn.empty:
        raise UserError("no spans with known labels, causal and others, so nothing to draw")
    models = [model for model in labels if model in set(drawn["model"])]
    sources = [source for source in ("sampled", "gold") if source in set(drawn["source"])]
    scores = _in_order(drawn)
    height = 0.17 * len(scores) + 0.35
    with matplotlib.rc_context(THEME):
        figure = Figure(
            figsize=(1.5 + max(2.0 * len(models), 3.0), height * len(sources) + 0.8),
            layout="constrained",
        )
        panels = figure.subplots(len(sources), len(models), squeeze=False, sharex=True, sharey=True)
        for row, source in enumerate(sources):
            for column, model in enumerate(models):
                panel = panels[row, column]
                here = drawn[(drawn["model"] == model) & (drawn["source"] == source)]
                _draw(panel, here, scores)
                panel.set_title(f"{labels[model]}, {source}")
        for panel in panels[-1]:
            panel.set_xlabel("AUROC in a completion")
        _legend(figure)
    return figure


def _in_order(drawn: pd.DataFrame) -> list[str]:
    """Drops first, then baselines, each as in the table."""
    return sorted(drawn["score"].unique(), key=lambda score: score in BASELINES)


def _draw(panel: Axes, found: pd.DataFrame, scores: Sequence[str]) -> None:
    if found.empty:
        panel.text(0.5, 0.5, "no labels known", ha="center", transform=panel.transAxes)
    seaborn.pointplot(
        # Three numbers a dot: its value, which is the first, and the ends of its bar. One problem
        # has no interval, so its dot no bar.
        found.melt(["score", "scope"], ["value", "low", "high"], value_name="number"),
        x="number",
        y="score",
        hue="scope",
        order=scores,
        hue_order=SCOPES,
        palette=[colour for _, colour, _ in _DOTS.values()],
        markers=[marker for *_, marker in _DOTS.values()],
        estimator=lambda numbers: numbers.iloc[0],
        errorbar=("pi", 100),
        err_kws={"linewidth": 0.8},
        dodge=0.48,
        linestyle="none",
        markersize=3.8,
        markeredgewidth=0,
        legend=False,
        orient="y",
        ax=panel,
    )
    panel.axvline(0.5, color="black", linewidth=0.6, linestyle=":")
    drops = sum(score not in BASELINES for score in scores)
    panel.axhline(drops - 0.5, color="black", linewidth=0.6)
    panel.set(xlim=(-0.02, 1.02), ylim=(len(scores) - 0.5, -0.5), xlabel="", ylabel="")
    panel.set_yticks(range(len(scores)), [_NAMES.get(score, score) for score in scores])
    panel.grid(axis="y", visible=False)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=3.5, linewidth=0.8)
        for _, colour, marker in _DOTS.values()
    ]
    figure.legend(
        handles,
        [name for name, *_ in _DOTS.values()],
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        title="bars: 95 % bootstrap intervals between problems; dotted: chance",
        title_fontsize=7,
    )


def make(results: Results) -> Figure:
    """Figure 8 of a study, drawn from the numbers of its Table 9."""
    found = read_table(results.folder / "tables" / "table9_credit_validity.csv")
    return validity_dots(found, results.labels)
