"""Evolution strategies for a neural mirror's parameters: who is tried, and what follows from it.

Each generation tries members around a centre, in antithetic pairs: centre + sigma e and
centre - sigma e. Parameters below 0 count as 0, so that every mirror that is tried is convex; of
signed ones about half are not, and have no divergence. Nothing here trains: a generation is a
search and its members' fitness, and the next search is a function of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfdapo.checksums import check
from cfdapo.files import UserError, read_json
from cfdapo.policy.divergences import PARAMETERS, draw_parameters
from cfdapo.settings import EvolutionSettings, parse, plain

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Search:
    """Where a search stands before its generation number `generation`, counted from 0.

    `centre` is what that generation is drawn around, `best` the accepted one, which is the map that
    is found; `best_fitness` is the mean of the members around it, None before any. `rejected`
    counts generations in a row that were not accepted. `history` has a row a generation.
    """

    generation: int
    centre: tuple[float, ...]
    best: tuple[float, ...]
    best_fitness: float | None
    rejected: int
    stopped: bool
    history: tuple[dict[str, Any], ...]


def begin(settings: EvolutionSettings) -> Search:
    """The search before its first generation, around parameters of U[0, scale]."""
    drawn = tuple(draw_parameters(settings.seed, settings.scale))
    return Search(0, drawn, drawn, None, 0, False, ())


def deviation(settings: EvolutionSettings, generation: int) -> float:
    """sigma of a generation, which shrinks."""
    return settings.sigma * settings.decay**generation


def direction(settings: EvolutionSettings, generation: int, pair: int) -> Floats:
    """e of a pair, standard normal, shape (380,); the same whoever asks."""
    generator = np.random.default_rng([settings.seed, generation, pair])
    return generator.standard_normal(PARAMETERS)


def member(search: Search, settings: EvolutionSettings, number: int) -> tuple[float, ...]:
    """Parameters of a member: of pair `number` // 2, the first of it with plus."""
    pair, minus = divmod(number, 2)
    step = deviation(settings, search.generation) * direction(settings, search.generation, pair)
    moved = np.asarray(search.centre) + (-step if minus else step)
    return _convex(moved)


def advance(search: Search, settings: EvolutionSettings, fitness: Sequence[float | None]) -> Search:
    """The search after a generation whose members had this fitness, in their order.

    The centre is accepted where the members' mean fitness is above the best so far. Then follows a
    step of rate / (2 pairs sigma) * sum of (f+ - f-) e from the accepted centre, f by `fitness`
    raw or as ranks from -1/2 to 1/2. After `patience` rejected generations in a row the search
    stops, and its later members are not tried.

    Raises:
        UserError: there are not two members a pair, or one that was tried has no fitness.
    """
    if search.stopped:
        return replace(search, generation=search.generation + 1)
    if len(fitness) != 2 * settings.pairs:
        raise UserError(f"{len(fitness)} members have a fitness, not {2 * settings.pairs}")
    if None in fitness:
        number = list(fitness).index(None)
        raise UserError(f"member {number} of generation {search.generation} has no fitness")
    found = np.asarray(fitness, dtype=np.float64)
    mean = float(found.mean())
    accepted = search.best_fitness is None or mean > search.best_fitness
    best = search.centre if accepted else search.best
    rejected = 0 if accepted else search.rejected + 1
    row = {
        "generation": search.generation,
        "sigma": deviation(settings, search.generation),
        "fitness": found.tolist(),
        "mean": mean,
        "accepted": accepted,
        "centre": list(search.centre),
    }
    return Search(
        search.generation + 1,
        _convex(np.asarray(best) + settings.rate * _ascent(search, settings, found)),
        best,
        mean if accepted else search.best_fitness,
        rejected,
        rejected >= settings.patience,
        (*search.history, row),
    )


def read_search(path: Path, settings: EvolutionSettings) -> Search:
    """The search that `path` holds.

    Raises `UserError` where it is damaged or was begun with other settings.
    """
    if check(path).made_from != {"evolution": plain(settings)}:
        raise UserError(f"{path}: is of a search with other settings; delete it and begin anew")
    return parse(Search, read_json(path))


def found_map(path: Path) -> tuple[float, ...]:
    """The parameters that a search has found, out of its last generation's file."""
    check(path)
    return parse(Search, read_json(path)).best


def _ascent(search: Search, settings: EvolutionSettings, fitness: Floats) -> Floats:
    """The estimated gradient of fitness, shape (380,)."""
    shaped = _ranks(fitness) if settings.fitness == "ranks" else fitness
    gains = shaped[0::2] - shaped[1::2]
    directions = [direction(settings, search.generation, pair) for pair in range(settings.pairs)]
    scale = 2 * settings.pairs * deviation(settings, search.generation)
    return gains @ np.stack(directions) / scale


def _ranks(fitness: Floats) -> Floats:
    """From -1/2, the worst, to 1/2; equal ones share their mean."""
    below = (fitness[:, None] > fitness[None, :]).sum(axis=1)
    equal = (fitness[:, None] == fitness[None, :]).sum(axis=1) - 1
    return (below + equal / 2) / (len(fitness) - 1) - 0.5


def _convex(parameters: Floats) -> tuple[float, ...]:
    return tuple(np.maximum(parameters, 0.0).tolist())
