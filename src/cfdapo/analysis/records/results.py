"""Where a study's results lie, and what tables and figures read of them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cfdapo import checksums, integrity
from cfdapo.analysis.records.compatibility import require_same_settings
from cfdapo.analysis.records.curves import read_curves
from cfdapo.analysis.records.measured_credit import MeasuredCredit, read_credit
from cfdapo.analysis.records.runs import RUN_COLUMNS, Run, collect_history, run_name
from cfdapo.analysis.records.truth import Truth, read_truth
from cfdapo.files import UserError
from cfdapo.integrity import Parents


@dataclass(frozen=True)
class Runs:
    """The runs of a study: every model with every mode and seed, below `folder`.

    `missing` are the names of those that are not finished and are to be done without. `test_set` is
    the folder of a further test set, whose evaluations are then the runs'.
    """

    folder: Path
    models: list[str]
    modes: list[str]
    seeds: list[int]
    missing: frozenset[str] = frozenset()
    test_set: Path | None = None

    def keys(self) -> list[tuple[str, str, int]]:
        """(model, mode, seed) of every run but the missing, in the tables' order."""
        return [key for key in self._planned() if run_name(*key) not in self.missing]

    def _planned(self) -> list[tuple[str, str, int]]:
        return [(m, mode, seed) for m in self.models for mode in self.modes for seed in self.seeds]

    def missing_in_words(self) -> str:
        """Which runs are missing, as in "a/vanilla: seeds 1, 2"; empty if none is."""
        seeds: dict[str, list[str]] = {}
        for model, mode, seed in self._planned():
            if run_name(model, mode, seed) in self.missing:
                seeds.setdefault(f"{model}/{mode}", []).append(str(seed))
        return "; ".join(
            f"{run}: seed{'s' if len(lacks) > 1 else ''} {', '.join(lacks)}"
            for run, lacks in seeds.items()
        )

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
        described = dict(self._described())
        other = self.test_set is not None
        parents = Parents(self.test_set) if self.test_set else self.parents
        return (
            Run(*key, integrity.read_evaluation(path, described[key], parents, other))
            for key, path in paths.items()
        )

    def evaluated(self) -> dict[tuple[str, str, int], dict[str, Any]]:
        """What every run's evaluation was made from."""
        paths = self._paths("evaluation.jsonl")
        return {key: checksums.read(path).made_from for key, path in paths.items()}

    def evaluation_sums(self) -> dict[str, str]:
        """The sha256 of the evaluation of every run that has one, by the run's name."""
        paths = {run_name(*key): path for key, path in self._places("evaluation.jsonl").items()}
        return {n: checksums.read(path).sha256 for n, path in paths.items() if path.is_file()}

    def history(self, columns: list[str], optional: Sequence[str] = ()) -> pd.DataFrame:
        """The named columns of all training histories; see `collect_history`.

        Raises:
            UserError: files are absent, or a history is not whole or not of its run; see
                `integrity.read_history`.
        """
        paths = self._paths("history.jsonl")
        described = dict(self._described())
        runs = (
            Run(*key, integrity.read_history(path, described[key])) for key, path in paths.items()
        )
        return collect_history(runs, columns, optional)

    def descriptions(self) -> list[dict[str, Any]]:
        """Every run's `run.json`.

        Raises:
            UserError: files are absent, a file is damaged or the record of another run, or the
                runs had different settings.
        """
        found = [description for _, description in self._described()]
        require_same_settings(found)
        return found

    def _described(self) -> Iterator[tuple[tuple[str, str, int], dict[str, Any]]]:
        parents = self.parents
        for key, path in self._paths("run.json").items():
            description = integrity.read_run(path, parents)
            said = tuple(description[name] for name in RUN_COLUMNS)
            if said != key:
                raise UserError(f"{path}: is the record of {said}, not of {key}")
            yield key, description

    def of_modes(self, modes: Iterable[str]) -> "Runs":
        """The runs of those of the modes that the study has, in the order given."""
        return replace(self, modes=[mode for mode in modes if mode in self.modes])

    def _places(self, name: str) -> dict[tuple[str, str, int], Path]:
        evaluated = self.test_set if name == "evaluation.jsonl" else None
        folder = evaluated / "runs" if evaluated else self.folder
        return {key: folder / run_name(*key) / name for key in self.keys()}

    def _paths(self, name: str) -> dict[tuple[str, str, int], Path]:
        paths = self._places(name)
        absent = [str(path) for path in paths.values() if not path.is_file()]
        if absent:
            raise UserError(f"missing run files: {', '.join(absent)}")
        return paths


@dataclass(frozen=True)
class Results:
    """A study's results folder, or a further test set's, and what is said of it.

    `labels` are display names of its models, `modes` of its modes, both in the order of tables.
    `task` is the study's. `weight_groups` (`cfdapo.study.weight_groups`) are modes that differ in
    their weighting only: what is special -> weighting -> mode. `test_set` is how a further test set
    is called, whose `folder` and `task` these then are.
    """

    folder: Path
    runs: Runs
    labels: dict[str, str]
    modes: dict[str, str]
    task: str | None = None
    weight_groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    test_set: str | None = None

    def curves(self) -> pd.DataFrame:
        """The study's curves, `statistics/curves.csv`.

        Raises:
            UserError: the file is absent or damaged, its runs are not the study's, or it was made
                from other evaluations.
        """
        path = self.folder / "statistics" / "curves.csv"
        curves = read_curves(path)
        integrity.require_made_from(path, "evaluations", self.runs.evaluation_sums())
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
            UserError: a file is damaged, or the profile of another model.
        """
        paths = {model: self.folder / "overhead" / f"{model}.json" for model in self.runs.models}
        return {
            model: integrity.read_profile(path, model, self.runs.parents)
            for model, path in paths.items()
            # A folder or a broken link in its place is no absence: reading it says so.
            if os.path.lexists(path)
        }

    def truth(self) -> dict[str, Truth]:
        """Each model's true step advantages, and the credit rules that were held against them.

        Raises:
            UserError: a file is absent or faulty; see `cfdapo.analysis.records.truth`.
        """
        return {model: read_truth(self.folder / "credit", model) for model in self.runs.models}

    def credit(self) -> MeasuredCredit:
        """Each model's measured credit: its spans and its completions.

        Raises:
            UserError: a file is absent or faulty; see `cfdapo.analysis.records.measured_credit`.
        """
        folder = self.folder / "credit"
        return {
            model: read_credit(folder / f"{model}.jsonl", folder / f"{model}.completions.jsonl")
            for model in self.runs.models
        }
