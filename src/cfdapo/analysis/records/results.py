"""Where a study's results lie, and what tables and figures read of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cfdapo.analysis.records.compatibility import require_same_settings
from cfdapo.analysis.records.curves import read_curves
from cfdapo.analysis.records.measured_credit import MeasuredCredit, read_completions, read_spans
from cfdapo.analysis.records.runs import RUN_COLUMNS, Run, collect_history, run_name
from cfdapo.files import UserError, read_json, read_jsonl


@dataclass(frozen=True)
class Runs:
    """The runs of a study: every model with every mode and seed, below `folder`."""

    folder: Path
    models: list[str]
    modes: list[str]
    seeds: list[int]

    def keys(self) -> list[tuple[str, str, int]]:
        """(model, mode, seed) of every run, in the tables' order."""
        return [(m, mode, seed) for m in self.models for mode in self.modes for seed in self.seeds]

    def rows(self, name: str) -> Iterator[Run]:
        """The runs with the rows of their file `name`, read one at a time.

        Raises:
            UserError: files are absent, all named at once, or a file cannot be read.
        """
        paths = self._paths(name)
        return (Run(*key, read_jsonl(path)) for key, path in paths.items())

    def history(self, columns: list[str]) -> pd.DataFrame:
        """The named columns of all training histories; see `collect_history`."""
        return collect_history(self.rows("history.jsonl"), columns)

    def descriptions(self) -> list[dict[str, Any]]:
        """Every run's `run.json`.

        Raises:
            UserError: files are absent, a file is the record of another run, or the runs had
                different settings.
        """
        found = []
        for key, path in self._paths("run.json").items():
            description = read_json(path)
            said = tuple(description.get(name) for name in RUN_COLUMNS)
            if said != key:
                raise UserError(f"{path}: is the record of {said}, not of {key}")
            found.append(description)
        require_same_settings(found)
        return found

    def of_modes(self, modes: Iterable[str]) -> "Runs":
        """The runs of those of the modes that the study has, in the order given."""
        return replace(self, modes=[mode for mode in modes if mode in self.modes])

    def _paths(self, name: str) -> dict[tuple[str, str, int], Path]:
        paths = {key: self.folder / run_name(*key) / name for key in self.keys()}
        absent = [str(path) for path in paths.values() if not path.is_file()]
        if absent:
            raise UserError(f"missing run files: {', '.join(absent)}")
        return paths


@dataclass(frozen=True)
class Results:
    """A study's results folder and what is said of it.

    `labels` are display names of its models, `modes` of its modes, both in the order of tables.
    `task` is the study's. `weight_groups` (`cfdapo.study.weight_groups`) are modes that differ in
    their weighting only: what is special -> weighting -> mode.
    """

    folder: Path
    runs: Runs
    labels: dict[str, str]
    modes: dict[str, str]
    task: str | None = None
    weight_groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def curves(self) -> pd.DataFrame:
        """The study's curves, `statistics/curves.csv`.

        Raises:
            UserError: the file is absent, or its runs are not the study's.
        """
        path = self.folder / "statistics" / "curves.csv"
        curves = read_curves(path)
        found = set(curves[RUN_COLUMNS].itertuples(index=False, name=None))
        for fault, keys in (
            ("lacks", set(self.runs.keys()) - found),
            ("holds, but the study does not name,", found - set(self.runs.keys())),
        ):
            if keys:
                names = ", ".join(run_name(*key) for key in sorted(keys))
                raise UserError(f"{path}: {fault} {names}")
        return curves

    def profiles(self) -> dict[str, dict[str, Any]]:
        """The side-by-side profiles that there are, `overhead/{model}.json`.

        Raises:
            UserError: a file is the profile of another model.
        """
        paths = {model: self.folder / "overhead" / f"{model}.json" for model in self.runs.models}
        profiles = {model: read_json(path) for model, path in paths.items() if path.is_file()}
        for model, profile in profiles.items():
            if profile.get("model") != model:
                raise UserError(f"{paths[model]}: is the profile of {profile.get('model')}")
        return profiles

    def credit(self) -> MeasuredCredit:
        """Each model's measured credit: its spans and its completions.

        Raises:
            UserError: a file is absent or faulty; see `cfdapo.analysis.records.measured_credit`.
        """
        folder = self.folder / "credit"
        return {
            model: (
                read_spans(folder / f"{model}.jsonl"),
                read_completions(folder / f"{model}.completions.jsonl"),
            )
            for model in self.runs.models
        }
