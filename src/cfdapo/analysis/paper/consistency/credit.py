"""Checks of Tables 4, 5 and 6 and of Section 4.3: measured credit."""

from collections.abc import Iterator

from cfdapo.analysis.paper.consistency.check import MODELS, Check, compare, number
from cfdapo.analysis.paper.rounding import Interval, Paper, exactly, hull


def distribution(paper: Paper) -> Iterator[Check]:
    """Table 4's counts and shares, and the text's numbers of spans."""
    table, total = "table4_drop_distribution", paper("section4.3", "sample", "spans")
    counts = {row: paper(table, row, "Count") for row in paper.rows(table)}
    summed = sum(counts.values(), exactly(0))
    yield compare("Section 4.3, spans", total, "Table 4: sum of the counts", summed, "spans")
    for row, count in counts.items():
        yield compare(
            f"Table 4, {row}, %",
            paper(table, row, "%"),
            "Table 4: its count over all",
            exactly(100) * count / summed,
            "%",
        )
    distractors = paper("section4.3", "distractors", "spans")
    yield compare("Section 4.3, distractors", distractors, "Table 4", counts["Distractor"], "spans")
    halves = [
        paper("section4.3", f"{kind} completions", "spans") for kind in ("correct", "incorrect")
    ]
    yield compare(
        "Section 4.3, spans",
        total,
        "Section 4.3: spans of correct and of incorrect completions",
        halves[0] + halves[1],
        "spans",
    )


def content(paper: Paper) -> Iterator[Check]:
    """Table 5's enrichments from its own shares."""
    for row in paper.rows("table5_content"):
        yield compare(
            f"Table 5, {row}, enrichment",
            paper("table5_content", row, "Enrich."),
            "Table 5: critical over low",
            paper("table5_content", row, "Critical") / paper("table5_content", row, "Low"),
            "×",
        )


def spans(paper: Paper) -> Iterator[Check]:
    """Section 4.3's averages against Section 3.2's and Table 8's."""
    completions = paper("section4.3", "sample", "completions")
    ends = ("minimum", "maximum")
    for row, column, noun in (
        ("masking tokens", "tokens", "tokens"),
        ("masking spans", "spans", "spans"),
    ):
        low, high = (paper.exact("section3.2", row, end) for end in ends)
        computed = paper("section4.3", "sample", column) / completions
        yield Check(
            f"Section 3.2, {noun} a completion",
            f"{number(low)} to {number(high)}",
            f"Section 4.3: {noun} over completions",
            noun,
            computed,
            "",
            computed.within(low, high),
            "the average completion is longer" if not computed.within(low, high) else "",
        )
    rows = [paper("table8_overhead", m, "Spans/comp.") for m in MODELS]
    least, most = hull(rows)
    computed = paper("section4.3", "sample", "spans") / completions
    fits = computed.within(least.low, most.high)
    yield Check(
        "Table 8, spans a completion",
        f"{number(least.middle)} to {number(most.middle)}",
        "Section 4.3: spans over completions",
        "spans",
        computed,
        "",
        fits,
        "" if fits else "Table 8 counts spans above a threshold of which the method has none",
    )


def correctness(paper: Paper) -> Iterator[Check]:
    """Correct against incorrect completions, and where distractors lie."""
    right, wrong = (
        paper("section4.3", f"{kind} completions", "mean drop") for kind in ("correct", "incorrect")
    )
    ratios = [wrong / right, right / wrong]
    computed = Interval(100 * (ratios[0].low - 1), 100 * (ratios[0].high - 1))
    other = Interval(100 * (1 - ratios[1].high), 100 * (1 - ratios[1].low))
    yield compare(
        "Section 4.3, incorrect against correct, %",
        paper("section4.3", "correct against incorrect", "difference"),
        "Section 4.3: the means' ratio, over either",
        Interval(min(computed.low, other.low), max(computed.high, other.high)),
        "%",
    )
    share = paper("section4.3", "distractors", "in incorrect completions")
    of_all = (
        exactly(100)
        * paper("section4.3", "incorrect completions", "spans")
        / paper("section4.3", "sample", "spans")
    )
    holds = share.high > of_all.low
    yield Check(
        "Section 4.3, distractors go with failure",
        f"{number(share.middle)} % of them in incorrect completions",
        "Section 4.3: share of all spans that are in incorrect completions",
        "%",
        of_all,
        "",
        holds,
        "" if holds else "distractors are rarer in incorrect completions than in correct ones",
    )


def gradient(paper: Paper) -> Iterator[Check]:
    """Gradient concentration: ratios of shares."""
    ratios = []
    for row in ("high importance", "low importance"):
        computed = paper("section4.3", row, "gradient mass") / paper("section4.3", row, "tokens")
        ratios.append(computed)
        yield compare(
            f"Section 4.3, {row}, ratio",
            paper("section4.3", row, "ratio"),
            "Section 4.3: share of mass over share of tokens",
            computed,
            "×",
        )
    yield compare(
        "Section 4.3, high against low importance",
        paper("section4.3", "high against low importance", "ratio"),
        "Section 4.3: the shares' ratios",
        ratios[0] / ratios[1],
        "×",
    )


def example(paper: Paper) -> Iterator[Check]:
    """Table 6: the final step scores lowest, restatements are 4 to 5 times lower."""
    values = {row: paper("table6_example", row, "|Δ|") for row in paper.rows("table6_example")}
    lowest, top = (pick(values, key=lambda row: values[row].middle) for pick in (min, max))
    final = next(row for row in values if row.startswith("Final"))
    yield Check(
        "Section 4.3, the final calculation scores lowest",
        number(values[final].middle),
        "Table 6: the least",
        "nats",
        values[lowest],
        "",
        lowest == final,
    )
    restated = [
        row for row in values if row.startswith(("Total number", "Dishes with mango jelly"))
    ]
    low, high = (
        paper.exact("section4.3", "restatements below the top span", end)
        for end in ("minimum", "maximum")
    )
    for row in restated:
        computed = values[top] / values[row]
        yield Check(
            f"Section 4.3, “{row}” below the top span",
            f"{number(low)} to {number(high)}",
            "Table 6: the highest over it",
            "×",
            computed,
            "",
            computed.within(low - 0.5, high + 0.5),
        )
