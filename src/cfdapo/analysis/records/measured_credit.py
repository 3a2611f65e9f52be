"""The records of measured credit, `credit/{model}.jsonl` and its completions: schema and readers.

A completion is sampled from the policy, or it is the data set's own solution ("gold"). Drops are in
nats; "combination" below is an intervention and a sink, written "pad/answer".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cfdapo import integrity
from cfdapo.files import UserError, read_jsonl

# A row a span, in the order of completions and of spans in them. Characters and tokens are those of
# the completion; ends are exclusive.
SPAN_COLUMNS = {
    "completion": "id of the completion, unique in the file",
    "source": "sampled or gold",
    "span": "number of the span in its completion, from 0, in the order of the text",
    "kind": "arithmetic, calculation or sentence (credit.spans)",
    "text": "the span's text",
    "line": "the whole line of the completion that the span begins in, stripped",
    "start": "first character",
    "end": "character behind the last",
    "token_start": "first token",
    "token_end": "token behind the last",
    "position": "middle of the span's tokens over the answer's first token, in (0, 1)",
    "last_line": "whether it lies on the last line that holds a span",
    "drop": "equation 3 by the study's own credit settings",
    "importance": "equation 4, -drop",
    "normalized": "equation 6, in [0, 1]",
    "weight": "equation 7: what mode counterfactual gives its tokens, before any rescaling",
    "drops": "combination -> drop, for each combination that was measured; {} where none was",
    "padded_drops": "tokens of padding scored behind the answer, as text -> drop; {} by default",
    "entropy": "mean entropy of the policy at the span's tokens, in nats",
    "correct": "whether the completion's answer is right, by the grader of the rewards",
    "label": "causal, restatement, filler or distractor where it is known, else null",
    "dependants": "later causal steps that need its result, null where it is not known",
}

# A row a completion, also where no span or answer was found.
COMPLETION_COLUMNS = {
    "completion": "id, as in the spans",
    "source": "sampled or gold",
    "policy": "untrained, or the adapter that measured, as counterfactual/seed0/step50",
    "problem": "id of the problem",
    "question": "its text",
    "gold": "its right answer, normalised",
    "text": "the completion",
    "tokens": "[start, end] in characters of text for each token",
    "weights": "weight of each token in mode counterfactual, by the measured settings",
    "answer": "{start, end, token_start, token_end} of the stated answer, or null",
    "extracted": "the stated answer, normalised, or null",
    "correct": "whether it is right",
    "group": "number of the group of completions of one prompt; null for gold",
    "advantage": "equation 1 within the group; null for gold",
    "noise": "whether there are drops, and none beyond the rounding of the policy's own arithmetic",
}

# model -> its spans and its completions.
MeasuredCredit = Mapping[str, tuple[pd.DataFrame, Sequence[dict[str, Any]]]]


def read_credit(spans: Path, completions: Path) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The finished spans and completions of one model in a study's results.

    Raises:
        UserError: as `read_spans`, or they are not whole; see `integrity.read_credit`.
    """
    integrity.read_credit(spans, completions)
    return read_spans(spans), read_completions(completions)


def read_spans(path: str | Path) -> pd.DataFrame:
    """The spans of one model, `SPAN_COLUMNS`; no rows where no span was measured.

    Raises:
        UserError: the file is absent or no JSON lines, or a row has other columns.
    """
    return spans_frame(_read(path, SPAN_COLUMNS))


def spans_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows of `SPAN_COLUMNS` as a table of these columns, also where there are none."""
    spans = pd.DataFrame(rows, columns=list(SPAN_COLUMNS))
    # Whole numbers stay whole where some are unknown.
    return spans.astype({"dependants": "Int64", "label": object})


def read_completions(path: str | Path) -> list[dict[str, Any]]:
    """The completions of one model, `COMPLETION_COLUMNS`.

    Raises:
        UserError: as `read_spans`.
    """
    return _read(path, COMPLETION_COLUMNS)


def _read(path: str | Path, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = read_jsonl(path)
    for number, row in enumerate(rows, 1):
        if set(row) != set(columns):
            odd = sorted(set(row) ^ set(columns))
            raise UserError(f"{path}: line {number} lacks or should not have {', '.join(odd)}")
    return rows
