"""Samples that the analysis of credit (Section 4.3) looks at: one model's completions by source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfdapo.analysis.records.measured_credit import MeasuredCredit
from cfdapo.files import UserError
from cfdapo.vocabulary import SOURCES


@dataclass(frozen=True)
class Sample:
    """The completions of one model and source, and their spans with the column `problem`."""

    model: str
    source: str
    spans: pd.DataFrame
    completions: list[dict[str, Any]]

    @property
    def sampled(self) -> bool:
        return self.source == "sampled"


def split_samples(measured: MeasuredCredit, labels: Mapping[str, str]) -> list[Sample]:
    """The samples that there are, in the order of `labels` (model -> name), sampled before gold.

    Raises:
        UserError: `labels` names a model without records, or a span is of no completion.
    """
    samples = []
    for model in labels:
        if model not in measured:
            raise UserError(f"no credit was measured for {model}; there is {', '.join(measured)}")
        spans, completions = measured[model]
        problems = {row["completion"]: row["problem"] for row in completions}
        if lost := sorted(set(spans["completion"]) - set(problems)):
            raise UserError(f"{model}: spans of unknown completions: {', '.join(lost[:5])}")
        spans = spans.assign(problem=spans["completion"].map(problems))
        for source in SOURCES:
            rows = [row for row in completions if row["source"] == source]
            if rows:
                of_source = spans[spans["source"] == source].reset_index(drop=True)
                samples.append(Sample(model, source, of_source, rows))
    return samples
