"""Every table and figure of a study, declared once; the modules that make them load by name.

A table or figure `name` of a street, a folder of `cfdapo.analysis`, is made by `make(results)` in
the module `{street}.{name}`. Rules, the Makefile and the two stages ask the declarations here.
Nothing heavy is imported, so that the workflow, which runs in an environment of its own, can ask.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cfdapo.files import UserError
from cfdapo.vocabulary import TASKS, TaskTraits

# What a table can be made from, and the files of a study's results that these are.
NEEDS = {
    "curves": "statistics/curves.csv",
    "comparisons": "statistics/significance.csv and statistics/problem_level.csv",
    "histories": "every run's history.jsonl, and run.json, which says that it is its own",
    "descriptions": "every run's run.json",
    "profiles": "every model's overhead/{model}.json",
    "credit": "every model's credit/{model}.jsonl and credit/{model}.completions.jsonl",
    "evaluations": "every run's evaluation.jsonl, and run.json, which says that it is its own",
    "divergences": "statistics/divergences.csv, of a study that trains with some",
    "truth": "every model's credit/{model}.steps.jsonl and credit/{model}.rules.jsonl",
}


@dataclass(frozen=True)
class Spec:
    """A table or figure: what it is called and says, what it is made from, and by which module.

    `needs` are keys of `NEEDS`, `tables` other tables whose CSV is read. `fits` says of which tasks
    it has something to say.
    """

    name: str
    street: str
    caption: str
    needs: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    fits: Callable[[TaskTraits], bool] = lambda task: True

    @property
    def module(self) -> str:
        return f"cfdapo.analysis.{self.street}.{self.name}"

    def make(self, results: Any) -> Any:
        """Make it from a study's `records.results.Results`: a `Table`, or matplotlib's `Figure`."""
        return importlib.import_module(self.module).make(results)


def _no_code(task: TaskTraits) -> bool:
    return not task.code


def _causes_known(task: TaskTraits) -> bool:
    return task.causes_known


TABLES = (
    Spec(
        "table1_accuracy",
        "outcomes",
        "Greedy accuracy on the test problems after the last training step, mean ± standard "
        "deviation over seeds; best in bold (Table 1 of the paper).",
        needs=("curves",),
    ),
    Spec(
        "table2_auc",
        "outcomes",
        "Area under accuracy over training steps, divided by the span of steps; mean ± standard "
        "deviation over seeds; best in bold (Table 2 of the paper).",
        needs=("curves",),
    ),
    Spec(
        "table3_significance",
        "outcomes",
        "Counterfactual credit against DAPO by paired t-tests across seeds, after the last step "
        "and on the area under the curve (Table 3 of the paper). Beside it Holm's correction and "
        "a test on the problems that all runs share. A dash has its reason below the table.",
        needs=("curves", "comparisons"),
    ),
    Spec(
        "table3b_comparisons",
        "outcomes",
        "Every comparison of two modes: paired t-test across seeds with Holm's correction, effect "
        "size, bootstrap intervals, and tests on the problems that all runs share (not in the "
        "paper).",
        needs=("curves", "comparisons"),
    ),
    Spec(
        "table4_drop_distribution",
        "credit",
        "Drops of the answer's log-probability: moments, the paper's classes, quantiles and how "
        "much importance the top spans hold (Table 4 of the paper).",
        needs=("credit",),
    ),
    # Its patterns are of arithmetic.
    Spec(
        "table5_content",
        "credit",
        "Content patterns in the most and the least important quarter of the spans that lower the "
        "answer, with their enrichment and its 95 % interval between problems (Table 5 of the "
        "paper).",
        needs=("credit",),
        fits=_no_code,
    ),
    Spec(
        "table6_example",
        "credit",
        "Worked examples chosen by a rule that looks at no drop: each span with its drop, rank, "
        "weight and label (Table 6 of the paper).",
        needs=("credit",),
    ),
    Spec(
        "table7_code",
        "outcomes",
        "Pass rate of the programs by training step, mean ± standard deviation over seeds; every "
        "counterfactual mode less DAPO with its 95 % interval (Table 7 of the paper, whose numbers "
        "stand beside those of MBPP+). Below the table, the spans that each mode finds in a "
        "completion.",
        needs=("curves", "histories"),
        fits=lambda task: task.code,
    ),
    Spec(
        "table8_overhead",
        "costs",
        "What credit costs: whole training runs, which share the machine, and a side-by-side "
        "profile of one step (Table 8 of the paper).",
        needs=("descriptions", "histories", "profiles"),
    ),
    Spec(
        "table9_credit_validity",
        "credit",
        "Which credit finds the spans that are known to be causal, by intervention and sink, "
        "against baselines that measure nothing; not in the paper.",
        needs=("credit",),
        fits=_causes_known,
    ),
    # The paper's numbers, but for one table, are of GSM8K.
    Spec(
        "table10_reported_vs_reproduced",
        "paper",
        "Every number that the paper reports, beside this study's counterpart, with what can be "
        "said of their agreement.",
        needs=("curves",),
        tables=(
            *("table1_accuracy", "table2_auc", "table3_significance", "table4_drop_distribution"),
            *("table5_content", "table8_overhead", "table13_sample_efficiency"),
            "table15_span_statistics",
        ),
        fits=_no_code,
    ),
    Spec(
        "table11_estimator_cost",
        "costs",
        "What each way of measuring the drops costs for one rollout batch of which no group is "
        "skipped, and how far its drops are from the serial reference's (not in the paper).",
        needs=("profiles",),
    ),
    Spec(
        "table12_power",
        "outcomes",
        "The difference between counterfactual credit and DAPO that a few seeds can detect, the "
        "seeds that the paper's gains need, and what the size of the test set adds, from measured "
        "variances (not in the paper).",
        needs=("curves", "comparisons"),
    ),
    Spec(
        "table13_sample_efficiency",
        "outcomes",
        "The first evaluated step, and the training time, at which each mode reaches the accuracy "
        "that DAPO ends with (Section 4.2 of the paper).",
        needs=("curves", "histories"),
    ),
    Spec(
        "table14_ordering",
        "outcomes",
        "Whether counterfactual > DAPO >= random > inverted holds: every pair tested, and the "
        "whole ordering under resampling of seeds (not in the paper).",
        needs=("curves",),
    ),
    Spec(
        "table15_span_statistics",
        "credit",
        "The numbers of Section 4.3's text, the paper's beside: position, length, correct against "
        "incorrect completions, distractors, token weights and gradient concentration.",
        needs=("credit",),
    ),
    Spec(
        "table16_inconsistencies",
        "paper",
        "The paper's numbers recomputed from others that it prints; what cannot fit together, "
        "however the numbers were rounded, goes first.",
        fits=_no_code,
    ),
    Spec(
        "table17_credit_truth",
        "credit",
        "Credit rules held against what steps were truly worth by Monte-Carlo continuations: "
        "correlation, sign, mass on steps worth nothing, the first wrong line, noise of the "
        "gradient, and cost (not in the paper).",
        needs=("truth",),
    ),
    Spec(
        "table18_tournament",
        "outcomes",
        "Every mode ranked by its accuracy after the last training step: difference to DAPO with "
        "its interval and Holm's correction, the step and the time at which it reaches DAPO's "
        "accuracy, and what a step costs (not in the paper).",
        needs=("curves", "histories"),
    ),
    Spec(
        "table19_divergences",
        "outcomes",
        "Accuracy and length by divergence from the base model, against no penalty and against KL, "
        "the numbers that were reported beside; the penalty's share of loss and gradient, and the "
        "spread over seeds (arXiv 2602.04380).",
        needs=("curves", "histories", "evaluations", "divergences"),
    ),
)

FIGURES = (
    Spec(
        "figure1_training_curves",
        "outcomes",
        "Greedy accuracy over training steps, mean over seeds, shaded by one standard deviation "
        "(Figure 1 of the paper).",
        needs=("curves",),
    ),
    Spec(
        "figure2_training_dynamics",
        "outcomes",
        "Mean reward of the sampled completions, and the mean and spread of the token weights, "
        "over training steps.",
        needs=("histories",),
    ),
    Spec(
        "figure3_accuracy_time",
        "outcomes",
        "Greedy accuracy over training time, credit included, mean over seeds, shaded by one "
        "standard deviation (not in the paper); jobs may have shared their machine.",
        needs=("curves", "histories"),
    ),
    Spec(
        "figure4_overhead",
        "costs",
        "Seconds of one training step by phase, without credit and with each way of measuring it, "
        "from a side-by-side profile (not in the paper).",
        needs=("profiles",),
    ),
    Spec(
        "figure5_drop_histogram",
        "credit",
        "Share of spans by drop, stacked by label where it is known and by kind of span where it "
        "is not.",
        needs=("credit",),
    ),
    Spec(
        "figure6_importance_position",
        "credit",
        "Importance of spans over their position in the reasoning, with means by tenths, with and "
        "without the last line.",
        needs=("credit",),
    ),
    Spec(
        "figure7_weights",
        "credit",
        "Share of tokens by weight in mode counterfactual, stacked by band of importance.",
        needs=("credit",),
    ),
    Spec(
        "figure8_credit_validity",
        "credit",
        "AUROC of causal against other spans within a completion, with 95 % intervals between "
        "problems, by intervention and sink and by baseline.",
        tables=("table9_credit_validity",),
        fits=_causes_known,
    ),
    Spec(
        "figure9_credit_truth",
        "credit",
        "Four measures of credit rules against the true worth of steps, with 95 % intervals "
        "between problems.",
        tables=("table17_credit_truth",),
    ),
    Spec(
        "figure10_divergences",
        "outcomes",
        "The divergences that a study trains with: h and its slope over a token's probability, and "
        "what the token costs (arXiv 2602.04380).",
        needs=("divergences",),
    ),
)


def fitting(specs: tuple[Spec, ...], task: str, unmeasured: tuple[str, ...] = ()) -> list[Spec]:
    """Those that have something to say of a study's task.

    `unmeasured` are needs that the study does not measure; what is made from them is left out.
    """
    absent = {*unmeasured}
    absent |= {spec.name for spec in TABLES if set(spec.needs) & absent}
    fit = [spec for spec in specs if spec.fits(TASKS[task])]
    return [s for s in fit if s.name not in absent and not {*s.needs, *s.tables} & absent]


def of_credit_alone(specs: tuple[Spec, ...]) -> list[Spec]:
    """Those that measured credit decides, itself or by tables of it; they need no training."""
    alone = [("credit",), ("truth",)]
    measured = {spec.name for spec in TABLES if spec.needs in alone and not spec.tables}
    known = {"credit", "truth", *measured}
    return [
        spec for spec in specs if spec.needs + spec.tables and {*spec.needs, *spec.tables} <= known
    ]


def of_evaluations_alone(specs: tuple[Spec, ...]) -> list[Spec]:
    """Those that evaluations alone decide: each further test set of a study has its own."""
    return [
        spec
        for spec in specs
        if spec.needs and {*spec.needs} <= {"curves", "comparisons"} and not spec.tables
    ]


def set_rule(spec: Spec) -> str:
    """The name of the rule that makes it of a further test set."""
    return f"set_{spec.name}"


def find(specs: tuple[Spec, ...], name: str) -> Spec:
    """The one of that name; raises `UserError` listing the names there are."""
    for spec in specs:
        if spec.name == name:
            return spec
    raise UserError(f"{name!r} is not one of {', '.join(spec.name for spec in specs)}")


if __name__ == "__main__":
    every = TABLES + FIGURES
    print("\n".join([s.name for s in every] + [set_rule(s) for s in of_evaluations_alone(every)]))
