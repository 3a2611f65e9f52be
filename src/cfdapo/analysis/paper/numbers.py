"""The numbers that the paper reports, each kept once, as printed, by table, row and column.

Rows and columns carry the paper's own headings. Text sections count as tables: `section1`,
`section3.2`, `section4.2`, `section4.3`, `section4.4` and `appendixA`. Where the paper
contradicts itself, the printed number stays and `note` says what it contradicts. Settings of
its training (Section 4.1) are configuration, not results, and are not kept here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Number = float | tuple[float, float]


@dataclass(frozen=True)
class PaperNumber:
    """One printed number: `value`, with `std` over seeds where the paper gives it, in `unit`.

    The unit `p <` marks an upper bound of a p-value, `x` a ratio, `+%` what is added in percent.
    """

    table: str
    row: str
    column: str
    value: float
    unit: str
    std: float | None = None
    note: str = ""


def _grid(
    table: str, columns: Sequence[str], units: str | Sequence[str], rows: dict[str, tuple]
) -> Iterator[PaperNumber]:
    """One `PaperNumber` a cell; a cell is a number or (mean, std)."""
    if isinstance(units, str):
        units = [units] * len(columns)
    for row, cells in rows.items():
        for column, unit, cell in zip(columns, units, cells, strict=True):
            value, std = cell if isinstance(cell, tuple) else (cell, None)
            note = _NOTES.get((table, row, column), "")
            yield PaperNumber(table, row, column, float(value), unit, std, note)


_NOTES = {
    ("table3_significance", "Llama3.2-3B", "ΔAUC"): (
        "Table 2's means differ by 0.7; +0.46 is the number of the Qwen2.5-3B row above"
    ),
    ("table3_significance", "Llama3.2-3B", "p AUC"): (
        "belongs to a difference that contradicts Table 2"
    ),
    ("table6_example", "Final: 36 - 10 + 2 = 28", "|Δ|"): (
        "the text calls the line that holds the answer mechanical; a score of the answer's "
        "tokens alone ranks it first"
    ),
    ("table8_overhead", "Qwen3-1.7B", "CF/step"): (
        "500 steps of 21.5 s are 179 min, the run times differ by 130 min"
    ),
    ("section4.3", "distractors", "in incorrect completions"): (
        "82.9 % of all spans (11,384 of 13,737) lie in incorrect completions, so distractors "
        "are rarer there than other spans are"
    ),
    ("section4.4", "best checkpoint", "Vanilla"): (
        "not one checkpoint: vanilla's best step is 250, where CF has 51.3; CF's is 300"
    ),
    ("section4.4", "vanilla ahead from", "step"): (
        "a step that Table 7 lacks: CF is ahead at 100, vanilla at 200"
    ),
}
_MODES = ("CF", "DAPO", "Random", "Inverted")

_TABLE1 = _grid(
    "table1_accuracy",
    _MODES,
    "%",
    {
        "Qwen3-1.7B": ((84.3, 0.5), (83.4, 0.6), (82.5, 0.5), (81.9, 0.9)),
        "Qwen2.5-3B": ((86.7, 0.2), (85.6, 0.2), (85.8, 0.8), (85.3, 0.3)),
        "Llama3.2-3B": ((78.9, 0.3), (78.2, 0.6), (78.1, 0.6), (76.4, 1.5)),
    },
)
_TABLE2 = _grid(
    "table2_auc",
    _MODES,
    "%",
    {
        "Qwen3-1.7B": ((83.2, 0.4), (82.5, 0.5), (82.1, 0.5), (81.0, 0.8)),
        "Qwen2.5-3B": ((85.8, 0.4), (85.3, 0.4), (85.0, 0.8), (84.8, 0.3)),
        "Llama3.2-3B": ((77.3, 0.3), (76.6, 0.6), (75.9, 0.5), (75.6, 1.2)),
    },
)
_TABLE3 = _grid(
    "table3_significance",
    ("Δ@500", "p@500", "ΔAUC", "p AUC"),
    ("points", "p", "points", "p"),
    {
        "Qwen3-1.7B": (0.90, 0.112, 0.74, 0.035),
        "Qwen2.5-3B": (1.09, 0.002, 0.46, 0.049),
        "Llama3.2-3B": (0.76, 0.125, 0.46, 0.613),
    },
)
_TABLE4 = _grid(
    "table4_drop_distribution",
    ("Count", "%"),
    ("spans", "%"),
    {
        "Critical": (1500, 10.9),
        "Important": (4176, 30.4),
        "Moderate": (6231, 45.4),
        "Low": (1349, 9.8),
        "Distractor": (481, 3.5),
    },
)
_TABLE5 = _grid(
    "table5_content",
    ("Critical", "Low", "Enrich."),
    ("%", "%", "x"),
    {
        "Calculation chain": (28.3, 2.5, 11.2),
        "Multiply/divide operations": (41.9, 6.4, 6.5),
        "Proportion/rate reasoning": (22.1, 5.6, 3.9),
        "Total/sum operations": (48.5, 17.0, 2.9),
        "Conclusion": (16.8, 7.1, 2.4),
        "Equation setup": (3.7, 10.1, 0.37),
        "Step headers": (1.7, 2.8, 0.62),
    },
)
_TABLE6 = _grid(
    "table6_example",
    ("|Δ|",),
    "nats",
    {
        "Break down the problem step by step": (387,),
        "Total number of dishes: 36": (172,),
        "Dishes with mango salsa: 3": (211,),
        "Fresh mangoes: 1/6 × 36 = 6 dishes": (806,),
        "Dishes with mango jelly: 1": (183,),
        "Total mango: 6 + 3 + 1 = 10 dishes": (646,),
        "Oliver can pick mango out of: 2": (148,),
        "Final: 36 - 10 + 2 = 28": (102,),
        "Oliver can eat 28 dishes": (190,),
    },
)
_TABLE7 = _grid(
    "table7_code",
    ("CF", "Vanilla", "Δ"),
    ("%", "%", "points"),
    {
        "25": (52.7, 51.6, 1.1),
        "100": (52.4, 51.9, 0.5),
        "200": (52.1, 53.4, -1.3),
        "250": (51.3, 54.2, -2.9),
        "300": (53.7, 54.0, -0.3),
    },
)
_TABLE8 = _grid(
    "table8_overhead",
    ("DAPO", "CF", "OH", "Spans/comp.", "CF/step"),
    ("min", "min", "+%", "spans", "s"),
    {
        "Qwen3-1.7B": (405, 535, 32, 5.2, 21.5),
        "Llama3.2-3B": (403, 578, 43, 7.2, 21.0),
        "Qwen2.5-3B": (412, 715, 74, 5.8, 36.4),
    },
)
_SECTION1 = _grid("section1", ("minimum", "maximum"), "points", {"gain over DAPO": (0.8, 1.1)})
_SECTION32 = (
    *_grid(
        "section3.2",
        ("minimum", "maximum"),
        "passes per completion",
        {"masking tokens": (200, 500), "masking spans": (5, 10)},
    ),
    *_grid("section3.2", ("minimum", "maximum"), "x", {"saved by spans": (20, 50)}),
)
_SECTION42 = (
    *_grid(
        "section4.2",
        ("gain", "step of DAPO's final accuracy"),
        ("points", "steps"),
        {"Qwen3-1.7B": (0.9, 100), "Qwen2.5-3B": (1.1, 125), "Llama3.2-3B": (0.8, 225)},
    ),
    *_grid(
        "section4.2",
        ("Inverted below DAPO",),
        "points",
        {"Qwen3-1.7B": (1.5,), "Llama3.2-3B": (1.8,)},
    ),
)
_SECTION43 = (
    *_grid(
        "section4.3",
        ("spans", "completions", "tokens"),
        ("spans", "completions", "tokens"),
        {"sample": (13737, 1467, 858798)},
    ),
    *_grid("section4.3", ("skewness", "kurtosis"), "", {"drops": (-2.19, 7.73)}),
    *_grid(
        "section4.3",
        ("early", "middle", "late", "pairwise"),
        ("nats", "nats", "nats", "p <"),
        {"mean drop by position": (-201, -270, -233, 1e-10)},
    ),
    *_grid("section4.3", ("r", "p"), ("r", "p <"), {"length and drop": (-0.56, 1e-100)}),
    *_grid(
        "section4.3",
        ("spans", "mean drop"),
        ("spans", "nats"),
        {"correct completions": (2353, -221), "incorrect completions": (11384, -235)},
    ),
    *_grid(
        "section4.3", ("p", "difference"), ("p", "%"), {"correct against incorrect": (0.012, 6)}
    ),
    *_grid(
        "section4.3",
        ("spans", "share", "in incorrect completions", "strongest drop"),
        ("spans", "%", "%", "nats"),
        {"distractors": (481, 3.5, 76.1, 633)},
    ),
    *_grid("section4.3", ("minimum", "maximum"), "%", {"tokens at a weight limit": (1.2, 21.8)}),
    *_grid(
        "section4.3",
        ("tokens", "gradient mass", "ratio"),
        ("%", "%", "x"),
        {"high importance": (26.3, 42.5, 1.6), "low importance": (53.9, 32.2, 0.6)},
    ),
    *_grid("section4.3", ("ratio",), "x", {"high against low importance": (2.7,)}),
    *_grid("section4.3", ("minimum", "maximum"), "x", {"restatements below the top span": (4, 5)}),
)
_SECTION44 = (
    *_grid("section4.4", ("CF", "Vanilla"), "%", {"best checkpoint": (53.7, 54.2)}),
    *_grid("section4.4", ("step",), "steps", {"vanilla ahead from": (150,)}),
    *_grid("section4.4", ("minimum", "maximum"), "points", {"noise": (1, 2)}),
)
_APPENDIX = (
    *_grid(
        "appendixA",
        ("generation", "log-probs", "CF estimation", "other"),
        "s",
        {"Qwen2.5-3B seconds per step": (42.4, 1.2, 36.4, 5.9)},
    ),
    *_grid(
        "appendixA",
        ("generation", "log-probs", "CF estimation", "other"),
        "%",
        {"Qwen2.5-3B share of a step": (49, 1, 42, 7)},
    ),
    *_grid(
        "appendixA",
        ("minimum", "maximum"),
        "%",
        {"overhead": (32, 74), "CF share of training time": (30, 42)},
    ),
    *_grid(
        "appendixA",
        ("minimum", "maximum"),
        "GB",
        {"CF memory": (11.3, 12.5), "vanilla memory": (12.6, 13.3)},
    ),
    *_grid(
        "appendixA",
        ("minimum", "maximum"),
        "x",
        {"gradient-free against standard pass": (0.4, 0.7), "speed-up of batched passes": (2, 3)},
    ),
    *_grid(
        "appendixA",
        ("gradient-free pass", "standard pass"),
        "s",
        {"Llama3.2-3B": (0.37, 0.75)},
    ),
    *_grid("appendixA", ("maximum",), "%", {"cache hit rate": (1,)}),
    *_grid("appendixA", ("minimum", "maximum"), "%", {"passes saved by the top 3 spans": (40, 60)}),
)

PAPER_NUMBERS: list[PaperNumber] = [
    *_TABLE1,
    *_TABLE2,
    *_TABLE3,
    *_TABLE4,
    *_TABLE5,
    *_TABLE6,
    *_TABLE7,
    *_TABLE8,
    *_SECTION1,
    *_SECTION32,
    *_SECTION42,
    *_SECTION43,
    *_SECTION44,
    *_APPENDIX,
]
_BY_KEY = {(entry.table, entry.row, entry.column): entry for entry in PAPER_NUMBERS}


def paper_number(table: str, row: str, column: str) -> PaperNumber:
    """The paper's number at a table, row and column.

    Raises:
        KeyError: the paper has no such number; the message lists what the table or row has.
    """
    try:
        return _BY_KEY[table, row, column]
    except KeyError:
        known = paper_columns(table, row) or paper_rows(table)
        raise KeyError(
            f"the paper reports no {table}, {row}, {column}; known there: {', '.join(known)}"
        ) from None


def paper_rows(table: str) -> list[str]:
    """The rows of one of the paper's tables, in its order; empty if there is no such table."""
    return list(dict.fromkeys(entry.row for entry in PAPER_NUMBERS if entry.table == table))


def paper_columns(table: str, row: str) -> list[str]:
    """The columns of one row, in the paper's order; empty if there is no such row."""
    return [entry.column for entry in PAPER_NUMBERS if (entry.table, entry.row) == (table, row)]
