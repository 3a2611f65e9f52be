"""Where a study's results lie, and how the stages that sum them up read them."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cfdapo import checksums, integrity
from cfdapo.analysis.comparable import require_same_settings
from cfdapo.analysis.credit import read_credit
from cfdapo.analysis.curves import (
    MODE_LABELS,
    RUN_COLUMNS,
    Run,
    collect_history,
    named_modes,
    read_curves,
)
from cfdapo.analysis.problem_level import ProblemTest
from cfdapo.analysis.records import read_records
from cfdapo.analysis.significance import Comparison, read_comparisons
from cfdapo.files import UserError
from cfdapo.integrity import Parents


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

    @property
    def parents(self) -> Parents:
        """What the runs were made from, as far as it lies in the results folder."""
        return Parents(self.folder.parent)

    def evaluations(self) -> Iterator[Run]:
        """The runs with the rows of their evaluations, read and checked one at a time.

        Raises:
            UserError: files are absent, all named at once, or an evaluation is not whole or not
                of its run; see `integrity.read_evaluation`.
        """
        paths = self._paths("evaluation.jsonl")
        records, parents = dict(self._records()), self.parents
        return (
            Run(*key, integrity.read_evaluation(path, records[key], parents))
            for key, path in paths.items()
        )

    def evaluated(self) -> dict[tuple[str, str, int], dict[str, Any]]:
        """What every run's evaluation was made from."""
        paths = self._paths("evaluation.jsonl")
        return {key: checksums.read(path).made_from for key, path in paths.items()}

    def evaluation_sums(self) -> dict[str, str]:
        """The sha256 of the evaluation of every run that has one, by the run's name."""
        return {
            f"{model}/{mode}/seed{seed}": checksums.read(path).sha256
            for (model, mode, seed), path in self._all_paths("evaluation.jsonl").items()
            if path.is_file()
        }

    def history(self, columns: list[str]) -> pd.DataFrame:
        """The named columns of all training histories; see `collect_history`.

        Raises:
            UserError: files are absent, or a history is not whole or not of its run; see
                `integrity.read_history`.
        """
        paths = self._paths("history.jsonl")
        records = dict(self._records())
        runs = (
            Run(*key, integrity.read_history(path, records[key])) for key, path in paths.items()
        )
        return collect_history(runs, columns)

    def records(self) -> list[dict[str, Any]]:
        """Every run's `run.json`.

        Raises:
            UserError: files are absent, a file is damaged or the record of another run, or the
                runs had different settings.
        """
        records = [record for _, record in self._records()]
        require_same_settings(records)
        return records

    def _records(self) -> Iterator[tuple[tuple[str, str, int], dict[str, Any]]]:
        parents = self.parents
        for key, path in self._paths("run.json").items():
            record = integrity.read_run(path, parents)
            found = tuple(record[name] for name in RUN_COLUMNS)
            if found != key:
                raise UserError(f"{path}: is the record of {found}, not of {key}")
            yield key, record

    def _all_paths(self, name: str) -> dict[tuple[str, str, int], Path]:
        return {
            (model, mode, seed): self.folder / model / mode / f"seed{seed}" / name
            for model, mode, seed in self.keys()
        }

    def _paths(self, name: str) -> dict[tuple[str, str, int], Path]:
        paths = self._all_paths(name)
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
            UserError: the file is absent or damaged, its runs are not the study's, or it was made
                from other evaluations.
        """
        path = self.folder / "statistics" / "curves.csv"
        curves = read_curves(path)
        self._require_own_evaluations(path)
        found = set(curves[RUN_COLUMNS].itertuples(index=False, name=None))
        for fault, keys in (
            ("lacks", set(self.runs.keys()) - found),
            ("holds, but the study does not name,", found - set(self.runs.keys())),
        ):
            if keys:
                names = ", ".join(f"{m}/{mode}/seed{seed}" for m, mode, seed in sorted(keys))
                raise UserError(f"{path}: {fault} {names}")
        return curves

    def tests(self) -> tuple[list[Comparison], list[ProblemTest]]:
        """The tests across seeds and on problems.

        Raises:
            UserError: a file is absent or damaged, or was made from other evaluations.
        """
        folder = self.folder / "statistics"
        across_seeds, on_problems = folder / "significance.csv", folder / "problem_level.csv"
        for path in (across_seeds, on_problems):
            self._require_own_evaluations(path)
        return read_comparisons(across_seeds), read_records(on_problems, ProblemTest)

    def _require_own_evaluations(self, path: Path) -> None:
        """Refuse statistics of other evaluations than those that are here; others may be away."""
        integrity.require_made_from(path, "evaluations", self.runs.evaluation_sums())

    def profiles(self) -> dict[str, dict[str, Any]]:
        """The side-by-side profiles that there are, `overhead/{model}.json`.

        Raises:
            UserError: a file is damaged, or the profile of another model.
        """
        paths = {model: self.folder / "overhead" / f"{model}.json" for model in self.runs.models}
        return {
            model: integrity.read_profile(path, model, self.runs.parents)
            for model, path in paths.items()
            if path.is_file()
        }

    def credit(self) -> dict[str, tuple[pd.DataFrame, list[dict[str, Any]]]]:
        """Each model's measured credit: its spans and its completions.

        Raises:
            UserError: a file is absent or faulty; see `cfdapo.analysis.credit.read_credit`.
        """
        folder = self.folder / "credit"
        return {
            model: read_credit(folder / f"{model}.jsonl", folder / f"{model}.completions.jsonl")
            for model in self.runs.models
        }
