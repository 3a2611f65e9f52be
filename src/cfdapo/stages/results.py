"""Where a study's results lie, and how the stages that sum them up read them."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cfdapo.analysis.records.compatibility import require_same_settings
from cfdapo.analysis.records.curves import (
    MODE_LABELS,
    RUN_COLUMNS,
    Run,
    collect_history,
    named_modes,
    read_curves,
)
from cfdapo.analysis.records.measured_credit import read_completions, read_spans
from cfdapo.files import UserError, read_json, read_jsonl


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say which runs belong to the study."""
    parser.add_argument("--models", nargs="+", required=True, help="models, in the tables' order")
    parser.add_argument(
        "--modes", nargs="+", required=True, help="weightings, and the study's variants of them"
    )
    parser.add_argument("--seeds", nargs="+", required=True, type=int, help="seeds of the runs")


def add_results_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of a stage that sums up a study: its results, its runs and its models' labels."""
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    add_run_arguments(parser)
    parser.add_argument(
        "--labels", type=json_object, default={}, help='display names, as {"model": "Label"}'
    )
    parser.add_argument(
        "--mode-labels",
        type=json_object,
        default={},
        help='display names of variants, as {"mode": "Label"}',
    )


def json_object(text: str) -> dict[str, Any]:
    """A JSON object given as a flag; raises `ArgumentTypeError`, which argparse reports."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


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

    def records(self) -> list[dict[str, Any]]:
        """Every run's `run.json`.

        Raises:
            UserError: files are absent, a file is the record of another run, or the runs had
                different settings.
        """
        records = []
        for key, path in self._paths("run.json").items():
            record = read_json(path)
            found = tuple(record.get(name) for name in RUN_COLUMNS)
            if found != key:
                raise UserError(f"{path}: is the record of {found}, not of {key}")
            records.append(record)
        require_same_settings(records)
        return records

    def _paths(self, name: str) -> dict[tuple[str, str, int], Path]:
        paths = {
            (model, mode, seed): self.folder / model / mode / f"seed{seed}" / name
            for model, mode, seed in self.keys()
        }
        absent = [str(path) for path in paths.values() if not path.is_file()]
        if absent:
            raise UserError(f"missing run files: {', '.join(absent)}")
        return paths


@dataclass(frozen=True)
class Results:
    """A study's results folder, its runs, and the labels of its models and its modes."""

    folder: Path
    runs: Runs
    labels: dict[str, str]
    modes: dict[str, str]

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Results":
        """From the flags of `add_results_arguments`.

        Raises:
            UserError: a label of a model that the study does not have, or a mode that is neither
                a weighting nor labelled as a variant.
        """
        unknown = [model for model in arguments.labels if model not in arguments.models]
        if unknown:
            raise UserError(f"--labels: no such model: {', '.join(unknown)}")
        known = [*MODE_LABELS, *arguments.mode_labels]
        strange = [mode for mode in arguments.modes if mode not in known]
        if strange:
            raise UserError(f"--modes: no such mode: {', '.join(strange)}; {', '.join(known)}")
        labels = {model: arguments.labels.get(model, model) for model in arguments.models}
        # JSON from the workflow is sorted; the order is that of --modes.
        variants = {m: arguments.mode_labels[m] for m in arguments.modes if m not in MODE_LABELS}
        modes = named_modes(arguments.modes, variants)
        folder = arguments.results
        runs = Runs(folder / "runs", arguments.models, arguments.modes, arguments.seeds)
        return cls(folder, runs, labels, modes)

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
                names = ", ".join(f"{m}/{mode}/seed{seed}" for m, mode, seed in sorted(keys))
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

    def credit(self) -> dict[str, tuple[pd.DataFrame, list[dict[str, Any]]]]:
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
