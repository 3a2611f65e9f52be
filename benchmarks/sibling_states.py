"""Are states of real solutions, by `credit.states`, shared, and do they tell who is right?

    CFDAPO_DATA=folder PYTHONPATH=src python benchmarks/sibling_states.py

GSM8K's example model solutions, four of each problem by four models, labelled right or wrong. Each
is predicted by the mean label of its three siblings; by that of those which pass the state after
its first calculation; and by that of those which pass its last one. Where no sibling passes it, the
siblings' mean stands in. For the rule `departure`, of the solutions with a right sibling: how many
right ones end in a state that none of these has, so that a way of their own would be blamed if they
were wrong, and how many wrong ones share a state with one. Prints one row of a table, with 95 %
intervals that resample problems.
"""

import argparse
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cfdapo.analysis.statistics.estimates import Estimate
from cfdapo.analysis.statistics.ranking import estimate, pooled_auroc, resample
from cfdapo.credit.states import Siblings, calculation_states
from cfdapo.credit.steps import Step, find_lines
from cfdapo.files import read_jsonl
from cfdapo.problems import gsm8k

FILE = Path("gsm8k_model_solutions") / "solutions.jsonl"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
COLUMNS = (
    *("solutions", "right", "first state shared", "second state shared"),
    *("right, own way", "wrong, begun as a right one"),
    *("AUROC: siblings' mean", "first state", "last state", "first - mean", "last - mean"),
)


def different_states(text: str) -> list[Hashable]:
    """The states of a solution, each once, in order; the empty one at its beginning is none."""
    steps = [Step(start, end, slice(0, 0)) for start, end in find_lines(text)]
    return [state for state in dict.fromkeys(calculation_states(text, steps)) if state]


def departures(group: Siblings) -> tuple[list[bool], list[bool]]:
    """Of right solutions whether their end is their own, of wrong ones whether a state is shared.

    Both against right siblings, of solutions that have such and a state.
    """
    own, begun = [], []
    for i, states in group.states.items():
        right = [j for j in group.states if j != i and group.rewards[j]]
        ground = {state for j in right for state in group.states[j]}
        if right and states and group.rewards[i]:
            own.append(states[-1] not in ground)
        elif right and states:
            begun.append(any(state in ground for state in states))
    return own, begun


def measure(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | Estimate]:
    """`COLUMNS` of problems with a labelled solution for each of `MODELS`."""
    shared: tuple[list[bool], list[bool]] = ([], [])
    departed: tuple[list[bool], list[bool]] = ([], [])
    scores: list[tuple[float, float, float]] = []
    right, problem = [], []
    for number, row in enumerate(rows):
        labels = [float(row[model]["is_correct"]) for model in MODELS]
        texts = [gsm8k.strip_marks(row[model]["solution"]) for model in MODELS]
        group = Siblings(dict(enumerate(map(different_states, texts))), labels)
        for i, states in group.states.items():
            values = [group.value(i, place) for place in range(len(states))]
            for found, value in zip(shared, values, strict=False):
                found.append(value is not None)
            mean = group.mean(i)
            known = [mean if value is None else value for value in values] or [mean]
            scores.append((mean, known[0], known[-1]))
        for found, of_group in zip(departed, departures(group), strict=True):
            found += of_group
        right += [label == 1 for label in labels]
        problem += [number] * len(labels)
    weights = resample(len(rows))
    mean, first, last = (
        pooled_auroc(np.array(one), np.array(right), np.array(problem), weights)
        for one in zip(*scores, strict=True)
    )
    found = len(right), np.mean(right), *map(np.mean, shared), *map(np.mean, departed)
    aurocs = [estimate(one) for one in (mean, first, last, first - mean, last - mean)]
    return dict(zip(COLUMNS, [*map(float, found), *aurocs], strict=True))


def _cell(name: str, value: float | Estimate) -> str:
    if isinstance(value, Estimate):
        return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
    return f"{value:.0f}" if name == "solutions" else f"{100 * value:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("CFDAPO_DATA", ".")
    parser.add_argument("--solutions", type=Path, default=Path(folder) / FILE)
    found = measure(read_jsonl(parser.parse_args().solutions))
    print(" | ".join(found))
    print(" | ".join(_cell(name, value) for name, value in found.items()))


if __name__ == "__main__":
    main()
