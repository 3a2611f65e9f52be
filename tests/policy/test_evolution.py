"""Evolution strategies for a mirror: pairs, steps, acceptance, patience; by hand and on hills."""

from dataclasses import replace

import numpy as np
import pytest

from cfdapo.files import UserError
from cfdapo.policy.divergences import PARAMETERS, draw_parameters, mirror_of
from cfdapo.policy.evolution import Search, advance, begin, deviation, direction, member
from cfdapo.settings import EvolutionSettings

SETTINGS = EvolutionSettings(
    **{"generations": 15, "pairs": 2, "steps": 100, "held_out": 0.2, "sigma": 0.01, "decay": 0.99},
    **{"rate": 0.01, "fitness": "raw", "patience": 2, "seed": 42, "scale": 0.01},
    coefficient=1e-4,
)


def on_a_hill(search: Search, settings: EvolutionSettings, goal: np.ndarray) -> list[float]:
    """Fitness of a generation's members that is the higher the nearer they are to `goal`."""
    members = [member(search, settings, number) for number in range(2 * settings.pairs)]
    return [-float(np.abs(np.asarray(one) - goal).sum()) for one in members]


def test_a_search_begins_at_the_drawn_parameters():
    search = begin(SETTINGS)
    assert search.centre == search.best == tuple(draw_parameters(42, 0.01))
    assert (search.generation, search.best_fitness, search.stopped) == (0, None, False)


def test_members_are_antithetic_and_the_same_whoever_asks():
    search = replace(begin(SETTINGS), centre=(1.0,) * PARAMETERS)
    plus, minus, other = (np.asarray(member(search, SETTINGS, number)) for number in range(3))
    np.testing.assert_allclose(plus + minus, 2.0)
    np.testing.assert_allclose(plus - 1, 0.01 * direction(SETTINGS, 0, 0))
    assert not np.allclose(plus, other)
    later = replace(search, generation=3)
    assert not np.allclose(plus, member(later, SETTINGS, 0))
    assert deviation(SETTINGS, 3) == pytest.approx(0.01 * 0.99**3)


def test_trap_members_of_signed_noise_would_mostly_not_be_convex_and_ours_all_are():
    search, refused = begin(SETTINGS), 0
    for pair in range(10):
        mirror_of(member(search, SETTINGS, 2 * pair))
        signed = np.asarray(search.centre) + 0.01 * direction(SETTINGS, 0, pair)
        try:
            mirror_of(signed.tolist())
        except ValueError:
            refused += 1
    assert refused > 2


@pytest.mark.parametrize("fitness", ["raw", "ranks"])
def test_a_step_is_the_estimated_gradient(fitness):
    settings = replace(SETTINGS, fitness=fitness)
    search = replace(begin(settings), centre=(1.0,) * PARAMETERS)
    found = advance(search, settings, [0.9, 0.1, 0.4, 0.4])
    # Ranks: 1/2 and -1/2; the two equal ones share 0.
    gains = {"raw": (0.8, 0.0), "ranks": (1.0, 0.0)}[fitness]
    step = 0.01 * sum(g * direction(settings, 0, n) for n, g in enumerate(gains)) / (4 * 0.01)
    np.testing.assert_allclose(np.asarray(found.centre) - 1, step)
    assert found.best == search.centre and found.best_fitness == pytest.approx(0.45)
    assert found.history[0]["accepted"] and found.history[0]["fitness"] == [0.9, 0.1, 0.4, 0.4]


def test_a_generation_that_is_no_better_is_rejected_and_trap_patience_ends_the_search():
    """Theirs reads a patience and never uses it."""
    first = advance(begin(SETTINGS), SETTINGS, [0.5] * 4)
    second = advance(first, SETTINGS, [0.5, 0.5, 0.5, 0.4])
    assert not second.history[-1]["accepted"] and second.rejected == 1
    assert second.best == first.best and second.best_fitness == 0.5
    better = advance(second, SETTINGS, [0.6] * 4)
    assert (better.rejected, better.best_fitness, better.best) == (0, 0.6, second.centre)
    third = advance(second, SETTINGS, [0.5] * 4)
    assert third.stopped and third.rejected == SETTINGS.patience
    after = advance(third, SETTINGS, [])
    assert after == replace(third, generation=4)


@pytest.mark.parametrize("fitness", ["raw", "ranks"])
def test_it_climbs(fitness):
    goal = np.full(PARAMETERS, 0.02)
    settings = replace(SETTINGS, fitness=fitness, pairs=20, patience=99, rate=1e-4)
    search = begin(settings)
    for _ in range(30):
        search = advance(search, settings, on_a_hill(search, settings, goal))
    means = [row["mean"] for row in search.history]
    assert search.best_fitness == max(means) > means[0]
    assert sum(row["accepted"] for row in search.history) > 1
    left, began = (
        np.abs(np.asarray(one) - goal).sum() for one in (search.best, search.history[0]["centre"])
    )
    assert left < began


def test_members_without_a_fitness_are_named():
    with pytest.raises(UserError, match="3 members have a fitness, not 4"):
        advance(begin(SETTINGS), SETTINGS, [0.1] * 3)
    with pytest.raises(UserError, match="member 2 of generation 0 has no fitness"):
        advance(begin(SETTINGS), SETTINGS, [0.1, 0.2, None, 0.3])
