"""A made-up study: curves and records whose numbers come from a seed."""

import numpy as np
import pandas as pd
import pytest

from cfdapo.analysis.records.measured_credit import read_completions, read_spans
from cfdapo.vocabulary import PAPER_MODES

GAIN = {"counterfactual": 1.0, "vanilla": 0.0, "random": -0.2, "inverted": -1.0}


@pytest.fixture
def labels() -> dict[str, str]:
    return {"qwen3": "Qwen3-tiny", "qwen2": "Qwen2-tiny", "llama": "Llama_tiny & Co"}


@pytest.fixture
def curves(labels) -> pd.DataFrame:
    """3 models x 4 modes x 3 seeds x 5 steps of rising accuracy."""
    random = np.random.default_rng(7)
    rows = [
        (model, mode, seed, step, 70 + step / 10 + GAIN[mode] + random.normal(0, 0.3), 200)
        for model in labels
        for mode in PAPER_MODES
        for seed in range(3)
        for step in range(0, 101, 25)
    ]
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "step", "accuracy", "problems"])


@pytest.fixture
def history(labels) -> pd.DataFrame:
    """20 training steps of every run."""
    random = np.random.default_rng(8)
    rows = [
        (model, mode, seed, step, random.random(), 1 + random.random(), random.random(), 4.5, 0.25)
        for model in labels
        for mode in PAPER_MODES
        for seed in range(3)
        for step in range(1, 21)
    ]
    return pd.DataFrame(
        rows,
        columns=[
            *("model", "mode", "seed", "step", "reward", "weight_mean", "weight_std"),
            *("spans_per_completion", "seconds_credit"),
        ],
    )


@pytest.fixture
def records(labels) -> list[dict]:
    """`run.json` of vanilla (10 min) and counterfactual (14, 15 and 16 min) runs."""
    return [
        {
            "model": model,
            "mode": mode,
            "seed": seed,
            "steps": 20,
            "seconds": {"total": 60.0 * minutes, "credit": 60.0 * (minutes - 10)},
            "peak_memory_bytes": {"resident": 2**30, "accelerator": None},
            "hardware": {"cores": 2},
        }
        for model in labels
        for seed in range(3)
        for mode, minutes in (("vanilla", 10), ("counterfactual", 14 + seed))
    ]


def estimator(passes, tokens, seconds, difference, spearman) -> dict:
    """What a profile says about one method."""
    return {
        "passes": passes,
        "tokens": tokens,
        "seconds": seconds,
        "max_difference": difference,
        "spearman": spearman,
        "peak_memory_accelerator": None,
    }


@pytest.fixture
def profiles() -> dict[str, dict]:
    """A side-by-side profile of one of the three models."""
    return {
        "qwen3": {
            "model": "qwen3",
            "repeats": 3,
            "completions": 16,
            "spans_per_completion": 4.5,
            "proxy": None,
            "seconds": {"generation": 3.0, "update": 1.0},
            "methods": {
                "serial": estimator(88, 9000, 2.48, 0.0, 1.0),
                "prefix": estimator(2, 3000, 0.8, 3e-5, 1.0),
                "gradient": estimator(1, 1000, 0.4, 2.5, -0.25),
            },
            "ratio": {"credit_over_vanilla_step": {"serial": 0.62, "prefix": 0.2}},
        }
    }


@pytest.fixture(scope="session")
def measured(credit_folder):
    """The made-up measured credit of two models: model -> (spans, completions)."""
    return {
        model: (
            read_spans(credit_folder / f"{model}.jsonl"),
            read_completions(credit_folder / f"{model}.completions.jsonl"),
        )
        for model in ("llama-tiny", "qwen3-tiny")
    }
