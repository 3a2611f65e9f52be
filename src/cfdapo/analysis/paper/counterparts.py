"""Where a study's tables have the counterparts of the paper's numbers (Table 10)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cfdapo.analysis.paper.numbers import PaperNumber
from cfdapo.analysis.rendering.table import read_table
from cfdapo.analysis.rendering.wording import TOO_FEW_STEPS
from cfdapo.vocabulary import PAPER_CODE_TASK

PAPER_MODELS = ("Qwen3-1.7B", "Qwen2.5-3B", "Llama3.2-3B")
MODES_BY_HEADING = {
    "CF": "counterfactual",
    "DAPO": "vanilla",
    "Vanilla": "vanilla",
    "Random": "random",
    "Inverted": "inverted",
}


@dataclass(frozen=True)
class Ours:
    """One of a study's numbers, with what spread is known; without a value, `reason` says why.

    `seeds` is of how many trained runs it is; None of what no training decides.
    """

    value: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    seeds: int | None = None


class StudyTables:
    """The numbers that a study's other tables left as CSV, each file read once.

    Args:
        folder: the study's results, with `tables/` and `statistics/`.
        task: the study's task.
    """

    def __init__(self, folder: str | Path, task: str | None = None):
        self.folder, self.task = Path(folder), task
        self._frames: dict[str, pd.DataFrame | None] = {}

    def frame(self, name: str) -> pd.DataFrame | None:
        """A table's numbers, or the curves; None where there is no such file."""
        if name not in self._frames:
            where = "statistics" if name == "curves" else "tables"
            path = self.folder / where / f"{name}.csv"
            self._frames[name] = read_table(path) if path.is_file() else None
        return self._frames[name]

    def seeds(self, name: str, model: str) -> int | None:
        """How many seeds of a model are behind a table's numbers; None where these are of none."""
        if name not in _OF_RUNS:
            return None
        accuracy = self.frame("table1_accuracy")
        if accuracy is None or "seeds" not in accuracy.columns:
            return None
        counts = accuracy.loc[accuracy["model"] == model, "seeds"]
        return None if counts.empty else int(counts.min())

    def find(self, name: str, model: str, where: Mapping[str, str], value: str) -> Ours | pd.Series:
        """The one row of a model in which the columns are, or begin, as `where` says."""
        frame = self.frame(name)
        if frame is None:
            return Ours(reason=f"{name} was not made")
        missing = {"model", value, *where} - set(frame.columns)
        if missing:
            return Ours(reason=f"{name} has no column {', '.join(sorted(missing))}")
        rows = frame[frame["model"] == model]
        for column, wanted in where.items():
            texts = rows[column].astype(str)
            same = texts == wanted
            rows = rows[same if same.any() else texts.str.startswith(wanted)]
        if rows.empty:
            return Ours(reason=f"{name} has no such number of this model")
        row = rows.iloc[0]
        if pd.isna(row[value]):
            return Ours(reason=_why(row) or _UNDEFINED.get(name, f"undefined in {name}"))
        return row


_UNDEFINED = {"table13_sample_efficiency": "never reached", "table8_overhead": TOO_FEW_STEPS}
# Tables of trained runs.
_OF_RUNS = (
    *("table1_accuracy", "table2_auc", "table3_significance", "table8_overhead"),
    "table13_sample_efficiency",
)


def _why(row: pd.Series) -> str:
    reason = row.get("reason", "")
    return "" if pd.isna(reason) else str(reason)


# Looks one of a model's numbers up.
Query = Callable[[StudyTables, str], Ours]


def cell(name: str, value: str, scale: float = 1.0, **where: str) -> Query:
    """A number in a column of a table's row; with its spread, if the column is its estimate."""

    def query(tables: StudyTables, model: str) -> Ours:
        row = tables.find(name, model, where, value)
        if isinstance(row, Ours):
            return row
        spread: dict[str, float] = {}
        if value in ("mean", "value", "difference", "enrichment"):
            found = {key: row.get(key) for key in ("std", "low", "high")}
            spread = {key: float(v) * scale for key, v in found.items() if not pd.isna(v)}
        std, low, high = (spread.get(key) for key in ("std", "low", "high"))
        return Ours(float(row[value]) * scale, std, low, high, seeds=tables.seeds(name, model))

    return query


def combined(compute: Callable[..., float], *queries: Query) -> Query:
    """A number computed from others; a dash where one of them is missing."""

    def query(tables: StudyTables, model: str) -> Ours:
        found = [one(tables, model) for one in queries]
        for one in found:
            if one.value is None:
                return one
        seeds = min((one.seeds for one in found if one.seeds is not None), default=None)
        try:
            return Ours(compute(*(one.value for one in found)), seeds=seeds)
        except ZeroDivisionError:
            return Ours(reason="divided by nothing")

    return query


def _curve(mode: str, step: str) -> Query:
    """Pass rate (%) at a step, mean over seeds; code only."""

    def query(tables: StudyTables, model: str) -> Ours:
        if tables.task != PAPER_CODE_TASK:
            return Ours(reason="the study's task is not code")
        curves = tables.frame("curves")
        if curves is None:
            return Ours(reason="curves were not collected")
        rows = curves[(curves["model"] == model) & (curves["mode"] == mode)]
        rows = rows[rows["step"] == int(step)]
        if rows.empty:
            return Ours(reason="no evaluation at this step")
        std = rows["accuracy"].std()
        seeds = int(rows["seed"].nunique())
        deviation = None if pd.isna(std) else float(std)
        return Ours(float(rows["accuracy"].mean()), deviation, seeds=seeds)

    return query


def _spans(quantity: str, value: str = "value", scale: float = 1.0) -> Query:
    return cell("table15_span_statistics", value, scale=scale, source="sampled", quantity=quantity)


def _drops(quantity: str) -> Query:
    return cell("table4_drop_distribution", "value", source="sampled", quantity=quantity)


def _cost(quantity: str, variant: str) -> Query:
    return cell("table8_overhead", "value", quantity=quantity, variant=variant)


def _test(metric: str, value: str) -> Query:
    return cell("table3_significance", value, baseline="vanilla", metric=metric)


def _mode(table: str, mode: str) -> Query:
    return cell(table, "mean", mode=MODES_BY_HEADING[mode])


def _share(part: Query, whole: Query) -> Query:
    return combined(lambda a, b: 100 * a / b, part, whole)


def _largest_p() -> Query:
    pairs = ("early against middle", "middle against late", "early against late")
    return combined(max, *(_spans(f"Position: {pair}, p", "p_welch") for pair in pairs))


_WRONG = _spans("All spans in incorrect completions")
_GAIN = _test("accuracy", "difference")
_NO_STEP = "steps are not broken down so in a table"
_EXAMPLE = "a completion of the paper's own"
_FORECAST = "an expectation of the paper, not a measurement"
_BAND = "Gradient mass: "
_LOW = f"{_BAND}low, outside and answer together"
_HIGH = f"{_BAND}high"

# By table, row and column; the row "" stands for every model of the paper's, or for every row. A
# text says why there is no counterpart.
_QUERIES: dict[tuple[str, str, str], Query | str] = {
    **{
        (table, "", mode): _mode(table, mode)
        for table in ("table1_accuracy", "table2_auc")
        for mode in ("CF", "DAPO", "Random", "Inverted")
    },
    ("table3_significance", "", "Δ@500"): _GAIN,
    ("table3_significance", "", "p@500"): _test("accuracy", "p"),
    ("table3_significance", "", "ΔAUC"): _test("auc", "difference"),
    ("table3_significance", "", "p AUC"): _test("auc", "p"),
    ("table6_example", "", "|Δ|"): _EXAMPLE,
    ("table8_overhead", "", "DAPO"): _cost("time", "vanilla"),
    ("table8_overhead", "", "CF"): _cost("time", "counterfactual"),
    ("table8_overhead", "", "OH"): _cost("overhead", "runs"),
    ("table8_overhead", "", "Spans/comp."): _cost("spans_per_completion", "counterfactual"),
    ("table8_overhead", "", "CF/step"): _cost("credit", "counterfactual"),
    ("section1", "", "minimum"): _GAIN,
    ("section1", "", "maximum"): _GAIN,
    ("section4.2", "", "gain"): _GAIN,
    ("section4.2", "", "step of DAPO's final accuracy"): cell(
        "table13_sample_efficiency", "step", mode="counterfactual"
    ),
    ("section4.2", "", "Inverted below DAPO"): combined(
        lambda a, b: a - b, _mode("table1_accuracy", "DAPO"), _mode("table1_accuracy", "Inverted")
    ),
    **{
        ("section3.2", "masking tokens", end): combined(
            lambda a, b: a / b, _spans("Tokens"), _spans("Completions")
        )
        for end in ("minimum", "maximum")
    },
    **{
        ("section3.2", "masking spans", end): combined(
            lambda a, b: a / b, _spans("Spans"), _spans("Completions with spans")
        )
        for end in ("minimum", "maximum")
    },
    **{
        ("section3.2", "saved by spans", end): combined(
            lambda a, b: a / b, _spans("Tokens"), _spans("Spans")
        )
        for end in ("minimum", "maximum")
    },
    ("section4.3", "sample", "spans"): _spans("Spans"),
    ("section4.3", "sample", "completions"): _spans("Completions"),
    ("section4.3", "sample", "tokens"): _spans("Tokens"),
    ("section4.3", "drops", "skewness"): _drops("Skewness"),
    ("section4.3", "drops", "kurtosis"): _drops("Kurtosis"),
    **{
        ("section4.3", "mean drop by position", third): _spans(
            f"Position: mean drop, {third} third"
        )
        for third in ("early", "middle", "late")
    },
    ("section4.3", "mean drop by position", "pairwise"): _largest_p(),
    ("section4.3", "length and drop", "r"): _spans("Length (tokens) and drop: Pearson"),
    ("section4.3", "length and drop", "p"): _spans("Length (tokens) and drop: Pearson", "p"),
    **{
        ("section4.3", f"{kind} completions", "mean drop"): _spans(f"Mean drop, {kind}")
        for kind in ("correct", "incorrect")
    },
    ("section4.3", "incorrect completions", "spans"): combined(
        lambda spans, share: round(spans * share / 100), _spans("Spans"), _WRONG
    ),
    ("section4.3", "correct completions", "spans"): combined(
        lambda spans, share: round(spans * (1 - share / 100)), _spans("Spans"), _WRONG
    ),
    ("section4.3", "correct against incorrect", "p"): _spans("Correct against", "p_welch"),
    ("section4.3", "correct against incorrect", "difference"): combined(
        lambda wrong, right: 100 * (wrong / right - 1),
        _spans("Mean drop, incorrect"),
        _spans("Mean drop, correct"),
    ),
    ("section4.3", "distractors", "spans"): _spans("Distractors: drop"),
    ("section4.3", "distractors", "share"): _share(_spans("Distractors: drop"), _spans("Spans")),
    ("section4.3", "distractors", "in incorrect completions"): _spans("Distractors in incorrect"),
    ("section4.3", "distractors", "strongest drop"): _spans("Strongest distractor"),
    ("section4.3", "tokens at a weight limit", "minimum"): _spans("Tokens: at w_min"),
    ("section4.3", "tokens at a weight limit", "maximum"): _spans("Tokens: at w_max"),
    **{
        ("section4.3", f"{name} importance", column): _spans(quantity, value, scale)
        for name, quantity in (("high", _HIGH), ("low", _LOW))
        for column, value, scale in (
            ("tokens", "share_of_tokens", 100),
            ("gradient mass", "share_of_mass", 100),
            ("ratio", "value", 1),
        )
    },
    ("section4.3", "high against low importance", "ratio"): _spans(
        f"{_BAND}ratio of high over ratio of low, outside"
    ),
    ("section4.3", "restatements below the top span", ""): _EXAMPLE,
    ("section4.4", "", ""): "the paper's reading of its Table 7",
    ("appendixA", "overhead", ""): _cost("overhead", "runs"),
    ("appendixA", "CF share of training time", ""): _cost("credit_share", "counterfactual"),
    ("appendixA", "CF memory", ""): _cost("peak_memory_accelerator", "counterfactual"),
    ("appendixA", "vanilla memory", ""): _cost("peak_memory_accelerator", "vanilla"),
    ("appendixA", "Qwen2.5-3B seconds per step", "CF estimation"): _cost(
        "credit", "counterfactual"
    ),
    ("appendixA", "Qwen2.5-3B share of a step", "CF estimation"): _cost(
        "credit_share", "counterfactual"
    ),
    ("appendixA", "Qwen2.5-3B seconds per step", ""): _NO_STEP,
    ("appendixA", "Qwen2.5-3B share of a step", ""): _NO_STEP,
    ("appendixA", "gradient-free against standard pass", ""): _NO_STEP,
    ("appendixA", "Llama3.2-3B", ""): _NO_STEP,
    ("appendixA", "speed-up of batched passes", ""): _FORECAST,
    ("appendixA", "passes saved by the top 3 spans", ""): _FORECAST,
    ("appendixA", "cache hit rate", ""): "the cache is off by default and in no table",
}


def query_of(entry: PaperNumber) -> Query | str:
    """How to look up the counterpart of a number, or why there is none.

    Raises:
        KeyError: nobody has said where the counterpart is.
    """
    table, row, column = entry.table, entry.row, entry.column
    if table == "table4_drop_distribution":
        count = _drops(f"{row}: drop")
        return count if column == "Count" else _share(count, _drops("Spans"))
    if table == "table5_content":
        value = {"Critical": "critical_share", "Low": "low_share"}.get(column, "enrichment")
        scale = 1 if value == "enrichment" else 100
        return cell("table5_content", value, scale=scale, source="sampled", pattern=row)
    if table == "table7_code":
        if column == "Δ":
            rates = (_curve(MODES_BY_HEADING[mode], row) for mode in ("CF", "Vanilla"))
            return combined(lambda a, b: a - b, *rates)
        return _curve(MODES_BY_HEADING[column], row)
    for key in ((table, row, column), (table, row, ""), (table, "", column), (table, "", "")):
        if key in _QUERIES:
            return _QUERIES[key]
    raise KeyError(f"no counterpart of {table}, {row}, {column}")


def model_of(entry: PaperNumber) -> str | None:
    """The model of the paper's that a number belongs to, if it names one."""
    return next((model for model in PAPER_MODELS if entry.row.startswith(model)), None)
