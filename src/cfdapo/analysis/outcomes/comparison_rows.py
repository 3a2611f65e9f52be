"""What Tables 3 and 3b share: cells, notes and numbers of comparisons."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cfdapo.analysis.outcomes.problem_level import ProblemTest
from cfdapo.analysis.outcomes.significance import ALL_MODELS, Comparison
from cfdapo.analysis.rendering.table import Cell, Footnotes
from cfdapo.analysis.rendering.wording import counted, p_text

HOLM = "Holm: adjusted for the {family}."
SIGN_FLIP = (
    "p (problems): these trained runs, on problems like these; an exact sign-flip test of the "
    "problems' differences summed over seeds. It says nothing about other seeds, so it does not "
    "say which mode is better: two seeds of one mode may differ as well."
)


def tests_counted(comparisons: Sequence[Comparison]) -> str:
    """How many of them are tests of one model, as in "3 tests"."""
    tests = sum(c.p is not None and c.model != ALL_MODELS for c in comparisons)
    return counted(tests, "test")


def by_key(tests: Sequence[ProblemTest]) -> dict[tuple[str, str, str, str], ProblemTest]:
    """Tests by model, treatment, baseline and metric."""
    return {(t.model, t.treatment, t.baseline, t.metric): t for t in tests}


def p_cell(
    test: Comparison | ProblemTest | None, name: str, footnotes: Footnotes, absent: str = ""
) -> Cell:
    """The p-value `name` of a test, or a dash for its reason, or for `absent`."""
    value = getattr(test, name, None)
    if value is not None:
        return Cell(p_text(value), mark=footnotes.mark(test.reason if test else ""))
    return footnotes.dash((test.reason if test else "") or absent or "no DAPO runs")


def numbers_of(
    comparisons: Sequence[Comparison],
    on_problems: Mapping[tuple[str, str, str, str], ProblemTest],
    models: Mapping[str, str],
) -> pd.DataFrame:
    """Every field of both kinds of test; the problem level's are called `problems_…`."""
    shared = ("model", "treatment", "baseline", "metric", "seeds")
    own = [name for name in ProblemTest.__dataclass_fields__ if name not in shared]
    rows = []
    for c in comparisons:
        if c.model not in models:
            continue
        test = on_problems.get((c.model, *c.pair, c.metric))
        more = {_problem_name(name): getattr(test, name, None) for name in own}
        rows.append({"label": models[c.model], **vars(c), **more})
    columns = ["label", *Comparison.__dataclass_fields__, *map(_problem_name, own)]
    return pd.DataFrame(rows, columns=columns)


def _problem_name(field: str) -> str:
    return field if field == "problems" else f"problems_{field}"
