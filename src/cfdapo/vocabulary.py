"""What things are called: modes, interventions, sinks, labels, and tasks with what each can do.

Plain data that imports nothing, so that every part of the package can use the same words. Names of
modes, interventions, sinks and tasks are settings of a study; tests keep the schema equal to them.
Display names are for tables and figures only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# How tokens are weighted in the paper (Section 3.4), in its column order, with its headings. A
# study may have variants of them and other rules besides, which bring names of their own.
PAPER_MODES = {
    "counterfactual": "CF",
    "vanilla": "DAPO",
    "random": "Random",
    "inverted": "Inverted",
}
# The mode that the paper proposes, and the one that it is compared with.
TREATMENT, CONTROL = "counterfactual", "vanilla"

# What becomes of a span, and what is scored then (Section 3.2 and variations of it).
INTERVENTIONS = ("pad", "delete", "attention", "truncate")
SINKS = ("answer", "rest")
# An intervention and a sink, as records of measured credit name drops.
COMBINATIONS = tuple(f"{intervention}/{sink}" for intervention in INTERVENTIONS for sink in SINKS)
# Equation 3: the span is padded, the answer is scored.
PAPERS_COMBINATION = "pad/answer"

# What the answer owes to a span, where that is known.
SPAN_LABELS = ("causal", "restatement", "filler", "distractor")
# Whose completions credit is measured on: the policy's goes before the data set's own solutions.
SOURCES = ("sampled", "gold")


@dataclass(frozen=True)
class TaskTraits:
    """What a task is called and what can be said of it.

    `label` names its problems and `score` what is measured on them, in titles; `score_axis` is the
    same on axes. `code`: solutions are programs that are run. `made`: problems can be made, so that
    models can be made and pretrained on them. `causes_known`: for some solutions it is known which
    parts the answer comes from. `spelled_alike`: an answer that is right is spelled as the gold
    one, or is the same number.
    """

    label: str
    score: str
    score_axis: str = "Test accuracy (%)"
    code: bool = False
    made: bool = False
    causes_known: bool = True
    spelled_alike: bool = True


TASKS = {
    "arithmetic": TaskTraits("Arithmetic", "Arithmetic test accuracy", made=True),
    "verbs": TaskTraits("Verbs", "Verbs test accuracy", made=True),
    "programs": TaskTraits(
        "made programs", "Pass rate on made programs", "Pass rate (%)", code=True, made=True
    ),
    "gsm8k": TaskTraits("GSM8K", "GSM8K test accuracy"),
    "mbpp": TaskTraits("MBPP+", "MBPP+ pass rate", "Pass rate (%)", code=True, causes_known=False),
    "jsonl": TaskTraits(
        "own questions",
        "Accuracy on own test questions",
        causes_known=False,
        spelled_alike=False,
    ),
}
# The tasks of the paper: of its Tables 1 to 6 and 8, and of Table 7.
PAPER_TASK, PAPER_CODE_TASK = "gsm8k", "mbpp"


def named_modes(present: Iterable[str], names: Mapping[str, str] = PAPER_MODES) -> dict[str, str]:
    """Mode -> display name of the modes that are present, in the order of tables and legends.

    The paper's four come first, in the paper's order, then variants in the order of `names`
    (mode -> display name), then modes that have no name, in the order given.
    """
    modes = list(dict.fromkeys(present))
    known = {**PAPER_MODES, **names}
    ordered = [mode for mode in known if mode in modes]
    return {mode: known.get(mode, mode) for mode in dict.fromkeys([*ordered, *modes])}
