import pandas as pd
import pytest

from cfdapo.analysis.outcomes.sample_efficiency import sample_efficiency, training_minutes
from cfdapo.files import UserError


def made(accuracies: dict[tuple[str, int], list[float]], seconds: float = 30.0):
    """Curves at steps 0, 2 and 4 by (mode, seed), and histories of equally long steps."""
    curves = [
        ("m", mode, seed, step, accuracy, 50)
        for (mode, seed), values in accuracies.items()
        for step, accuracy in zip((0, 2, 4), values, strict=True)
    ]
    history = [
        ("m", mode, seed, step, seconds * (1 + seed))
        for mode, seed in accuracies
        for step in (1, 2, 3, 4)
    ]
    return (
        pd.DataFrame(curves, columns=["model", "mode", "seed", "step", "accuracy", "problems"]),
        pd.DataFrame(history, columns=["model", "mode", "seed", "step", "seconds_step"]),
    )


RUNS = {
    ("vanilla", 0): [10, 40, 50],
    ("vanilla", 1): [10, 50, 70],
    ("counterfactual", 0): [10, 75, 40],
    ("counterfactual", 1): [10, 50, 55],
    ("random", 0): [10, 59, 59],
    ("random", 1): [10, 60, 20],
}


def test_steps_and_minutes_by_hand():
    curves, history = made(RUNS)
    cf, vanilla, random = sample_efficiency(curves, history)
    # Vanilla ends at (50 + 70) / 2; CF's mean at step 2 is 62.5. Two steps of 30 s and two of 60 s
    # are 1 and 2 minutes.
    assert (cf.target, cf.final, cf.step, cf.minutes) == (60.0, 47.5, 2, 1.5)
    assert cf.seed_steps == {0: 2, 1: None}
    assert (vanilla.step, vanilla.minutes) == (4, 3.0)
    assert vanilla.seed_steps == {0: None, 1: 4}
    # 59.5 at best: never, though one seed reaches it.
    assert (random.step, random.minutes, random.seed_steps) == (None, None, {0: None, 1: 2})


def test_an_accuracy_that_is_reached_untrained_takes_no_time():
    curves, history = made({("vanilla", 0): [60, 50, 40], ("random", 0): [60, 0, 0]})
    vanilla, random = sample_efficiency(curves, history)
    assert (vanilla.step, vanilla.minutes, random.step) == (0, 0.0, 0)


def test_without_vanilla_there_is_nothing_to_reach():
    assert sample_efficiency(*made({("random", 0): [1, 2, 3]})) == []


def test_the_order_of_rows_does_not_matter():
    curves, history = made(RUNS)
    shuffled = [frame.sample(frac=1, random_state=1) for frame in (curves, history)]
    by_mode = {r.mode: r for r in sample_efficiency(*shuffled)}
    assert by_mode == {r.mode: r for r in sample_efficiency(curves, history)}


def test_a_history_that_ends_early_is_named():
    curves, history = made(RUNS)
    with pytest.raises(UserError, match="m/random/seed1: the history ends at step 3"):
        training_minutes(curves, history.iloc[:-1])
