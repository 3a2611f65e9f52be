"""Flags that several stages share: a study's runs, its results, and what is said of them."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cfdapo.analysis.records.results import Results, Runs
from cfdapo.analysis.records.runs import run_name
from cfdapo.files import UserError
from cfdapo.vocabulary import PAPER_MODES, TASKS, named_modes


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say which runs belong to the study."""
    parser.add_argument("--models", nargs="+", required=True, help="models, in the tables' order")
    parser.add_argument(
        "--modes", nargs="+", required=True, help="weightings, and the study's variants of them"
    )
    parser.add_argument("--seeds", nargs="+", required=True, type=int, help="seeds of the runs")
    parser.add_argument(
        "--missing", nargs="+", default=(), help="runs to do without, as model/mode/seed0"
    )
    parser.add_argument(
        "--test-set", type=Path, help="folder of a further test set; default: the study's own"
    )


def add_results_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of a stage that sums up a study: its results, its runs, its settings and labels."""
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
    parser.add_argument("--task", choices=TASKS, help="the study's task, or the test set's")
    parser.add_argument("--test-set-label", help="display name of the test set")
    parser.add_argument(
        "--weight-groups",
        type=json_object,
        default={},
        help='modes that differ in their weighting only, as {"raw": {"weighting": "mode"}}',
    )


def runs_of(given: argparse.Namespace, folder: Path) -> Runs:
    """What the flags of `add_run_arguments` name, in the folder of {model}/{mode}/seed{seed}.

    Raises:
        UserError: a run to do without is none of the study's, or no run is left.
    """
    missing = frozenset(given.missing)
    whole = Runs(folder, given.models, given.modes, given.seeds, test_set=given.test_set)
    if strange := missing - {run_name(*key) for key in whole.keys()}:  # noqa: SIM118
        raise UserError(f"--missing: no such run: {', '.join(sorted(strange))}")
    runs = replace(whole, missing=missing)
    if not runs.keys():
        raise UserError("--missing: these are all runs of the study")
    return runs


def json_object(text: str) -> dict[str, Any]:
    """A JSON object given as a flag; raises `ArgumentTypeError`, which argparse reports."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def results_of(given: argparse.Namespace) -> Results:
    """What the flags of `add_results_arguments` name.

    JSON from the workflow is sorted; the order is that of `--models` and `--modes`.

    Raises:
        UserError: a label of a model that the study does not have, or a mode that is neither
            a weighting nor labelled as a variant.
    """
    unknown = [model for model in given.labels if model not in given.models]
    if unknown:
        raise UserError(f"--labels: no such model: {', '.join(unknown)}")
    known = [*PAPER_MODES, *given.mode_labels]
    strange = [mode for mode in given.modes if mode not in known]
    if strange:
        raise UserError(f"--modes: no such mode: {', '.join(strange)}; {', '.join(known)}")
    runs = runs_of(given, given.results / "runs")
    present = {model for model, _, _ in runs.keys()}  # noqa: SIM118
    variants = {mode: given.mode_labels[mode] for mode in given.modes if mode not in PAPER_MODES}
    modes = named_modes(given.modes, variants)
    return Results(
        folder=given.test_set or given.results,
        runs=runs,
        labels={m: given.labels.get(m, m) for m in given.models if m in present},
        modes=modes,
        task=given.task,
        weight_groups=_in_order(given.weight_groups, list(modes)),
        test_set=(given.test_set_label or given.test_set.name) if given.test_set else None,
    )


def _in_order(groups: Mapping[str, Mapping[str, str]], modes: list[str]) -> dict[str, Any]:
    """The groups by their modes' places; without any, every mode is a weighting of its own."""
    if not groups:
        return {"raw": {mode: mode for mode in modes}}
    return dict(sorted(groups.items(), key=lambda item: [modes.index(m) for m in item[1].values()]))
