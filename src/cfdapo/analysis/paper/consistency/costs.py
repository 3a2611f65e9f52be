"""Checks of Table 8 and of Appendix A: time."""

from collections.abc import Iterator

from cfdapo.analysis.paper.consistency.check import MODELS, Check, compare, number
from cfdapo.analysis.paper.rounding import Paper, exactly, hull

# Of the paper's training.
STEPS = 500


def costs(paper: Paper) -> Iterator[Check]:
    """Table 8 from its own columns, and Appendix A's ranges."""
    table, steps = "table8_overhead", exactly(STEPS / 60)
    overheads, shares = [], []
    for model in MODELS:
        vanilla, treated = paper(table, model, "DAPO"), paper(table, model, "CF")
        overheads.append(paper(table, model, "OH"))
        yield compare(
            f"Table 8, {model}, OH",
            overheads[-1],
            "Table 8: CF over DAPO minutes",
            exactly(100) * (treated / vanilla - exactly(1)),
            "%",
        )
        credit = paper(table, model, "CF/step") * steps
        shares.append(exactly(100) * credit / treated)
        yield compare(
            f"Table 8, {model}, CF − DAPO minutes",
            treated - vanilla,
            f"Table 8: CF/step × {STEPS} steps",
            credit,
            "min",
        )
    for row, computed, source in (
        ("overhead", overheads, "Table 8: OH"),
        ("CF share of training time", shares, f"Table 8: CF/step × {STEPS} over CF minutes"),
    ):
        for end, one in zip(("minimum", "maximum"), hull(computed), strict=True):
            yield compare(
                f"Appendix A, {row}, {end}", paper("appendixA", row, end), source, one, "%"
            )


def step_time(paper: Paper) -> Iterator[Check]:
    """Appendix A's breakdown of a step of Qwen2.5-3B."""
    model, parts = "Qwen2.5-3B", ("generation", "log-probs", "CF estimation", "other")
    seconds = {part: paper("appendixA", f"{model} seconds per step", part) for part in parts}
    total = sum(seconds.values(), exactly(0))
    for part, value in seconds.items():
        yield compare(
            f"Appendix A, {model}, share of {part}",
            paper("appendixA", f"{model} share of a step", part),
            "Appendix A: its seconds over their sum",
            exactly(100) * value / total,
            "%",
        )
    yield compare(
        f"Table 8, {model}, CF minutes",
        paper("table8_overhead", model, "CF"),
        f"Appendix A: seconds of a step × {STEPS}",
        total * exactly(STEPS / 60),
        "min",
    )
    yield compare(
        f"Table 8, {model}, CF/step",
        paper("table8_overhead", model, "CF/step"),
        "Appendix A: CF estimation",
        seconds["CF estimation"],
        "s",
    )
    ratio = paper("appendixA", "Llama3.2-3B", "gradient-free pass")
    ratio = ratio / paper("appendixA", "Llama3.2-3B", "standard pass")
    low, high = (
        paper.exact("appendixA", "gradient-free against standard pass", end)
        for end in ("minimum", "maximum")
    )
    yield Check(
        "Appendix A, gradient-free against standard pass",
        f"{number(low)} to {number(high)}",
        "Appendix A: Llama3.2-3B's passes",
        "×",
        ratio,
        "",
        ratio.within(low, high),
    )
