"""Divergences D(p, q) of a policy p from its reference q, of log-probabilities (GBMPO).

Each takes log p and log q of the same tokens, tensors of one shape, and returns D of that shape in
float32; its gradient flows into both. All are 0 where p = q and nowhere negative. What trains with
`kl` is the library's own term; the function here is for measuring it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cfdapo.files import UserError
from cfdapo.settings import DivergenceSettings

Divergence = Callable[[Tensor, Tensor], Tensor]

# Of a neural mirror's units: 21 of each activation, of which there are six. Its parameters are
# those of the units, v, w and b, then a and c.
_OF_EACH = 21
_UNITS = 6 * _OF_EACH
PARAMETERS = 3 * _UNITS + 2
# Where a root's slope is infinite: no nearer to 0 than this.
_TINY = 1e-12
_LOG_SHIFT = 1e-3

# Gauss-Legendre on [0, 1]: exact for polynomials up to degree 15.
_NODES, _NODE_WEIGHTS = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(8))
_NODES, _NODE_WEIGHTS = (_NODES + 1) / 2, _NODE_WEIGHTS / 2


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """q/p - log(q/p) - 1 (k3), whose mean under p is the Kullback-Leibler divergence."""
    ratio = log_q.float() - log_p.float()
    return torch.expm1(ratio) - ratio


def l2_log(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(log p - log q)²."""
    return (log_p.float() - log_q.float()).square()


def prob_l2(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(p - q)², the Bregman divergence of h(y) = y²; subtracted in float32."""
    return (log_p.float().exp() - log_q.float().exp()).square()


@dataclass(frozen=True)
class NeuralMirror:
    """The Bregman divergence of a convex h, given by its slope h'.

    h'(p) = sum_j v_j act_j(w_j p + b_j) + a p + c log p, with `v`, `w`, `b` of shape (126,): 21
    units each of x³, x², sqrt(x⁺), the cube root, log(x⁺ + 1e-3) and exp. Their part of
    D(p, q), the integral of h'(s) - h'(q) from q to p, is by Gauss-Legendre of 8 nodes, which
    cannot be negative where h' grows; that of a and c is exact. Computed in float64.

    Raises:
        ValueError: h' falls somewhere in (0, 1], so that h is not convex and D no divergence.
    """

    v: Tensor
    w: Tensor
    b: Tensor
    a: float
    c: float

    def __post_init__(self) -> None:
        near_zero = torch.linspace(-40, 0, 1001, dtype=torch.float64).exp()
        grid = torch.cat([near_zero, torch.linspace(1e-3, 1, 1000).double()]).sort().values
        slope = self.slope(grid)
        falls = slope.diff() < -1e-12 * slope.abs().max()
        if falls.any():
            where = grid[int(falls.nonzero()[0])].item()
            raise ValueError(
                f"the neural mirror is not convex: its slope h' falls at p = {where:.3g}, so that "
                "it gives no divergence"
            )

    def slope(self, p: Tensor) -> Tensor:
        """h'(p), in float64."""
        p = p.double()
        return self._units(p) + self.a * p + self.c * p.log()

    def __call__(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """D(p, q) of log-probabilities of one shape."""
        log_p, log_q = log_p.double(), log_q.double()
        p, q, ratio = log_p.exp(), log_q.exp(), log_p - log_q
        nodes, weights = _NODES.to(p), _NODE_WEIGHTS.to(p)
        between = q.unsqueeze(-1) + nodes * (p - q).unsqueeze(-1)
        rise = self._units(between) - self._units(q).unsqueeze(-1)
        units = (p - q) * (rise * weights).sum(-1)
        entropic = p * (ratio + torch.expm1(-ratio))
        return (units + self.a / 2 * (p - q).square() + self.c * entropic).float()

    def _units(self, p: Tensor) -> Tensor:
        units = p.unsqueeze(-1) * self.w.to(p) + self.b.to(p)
        cube, square, root, cube_root, log, exp = units.split(_OF_EACH, dim=-1)
        active = [
            cube**3,
            square**2,
            root.clamp(min=_TINY).sqrt(),
            cube_root.sign() * cube_root.abs().clamp(min=_TINY).pow(1 / 3),
            (log.clamp(min=0) + _LOG_SHIFT).log(),
            exp.exp(),
        ]
        return torch.cat(active, dim=-1) @ self.v.to(p)


def mirror_of(parameters: Sequence[float]) -> NeuralMirror:
    """The mirror of 380 parameters: v, w, b, a and c. ValueError where it is not convex."""
    values = torch.tensor(parameters, dtype=torch.float64)
    v, w, b, (a, c) = values.split([_UNITS, _UNITS, _UNITS, 2])
    return NeuralMirror(v, w, b, a.item(), c.item())


def draw_parameters(seed: int, scale: float) -> list[float]:
    """A mirror's 380 parameters from U[0, scale], which makes it convex."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(PARAMETERS, generator=generator, dtype=torch.float64) * scale
    return drawn.tolist()


def draw_mirror(seed: int, scale: float) -> NeuralMirror:
    """The mirror of `draw_parameters`; ValueError where `scale` is negative."""
    return mirror_of(draw_parameters(seed, scale))


def get_divergence(
    settings: DivergenceSettings, mirror: Sequence[float] | None = None
) -> Divergence | None:
    """The penalty; None of none. `mirror` has the parameters of one that was evolved.

    Raises `UserError` where that one is missing or not convex.
    """
    if settings.mirror is not None and settings.mirror.evolved:
        if mirror is None:
            raise UserError("divergence.mirror.evolved: needs the map that was found, --mirror")
        try:
            return mirror_of(mirror)
        except ValueError as error:
            raise UserError(f"divergence.mirror: {error}") from error
    if settings.mirror is not None:
        return draw_mirror(settings.mirror.seed, settings.mirror.scale)
    return {"kl": kl, "l2_log": l2_log, "prob_l2": prob_l2}.get(settings.name)


def potential(
    divergence: Divergence, p: Tensor
) -> tuple[list[float], list[float]] | tuple[list[None], list[None]]:
    """h(p), which is 0 at 1, and h'(p), by which a divergence is a Bregman one; shape (n,).

    kl is that of -log p with its arguments swapped. None of l2_log, which is one of log p.
    """
    if divergence is l2_log:
        return [None] * len(p), [None] * len(p)
    if divergence is kl:
        return (-p.log()).tolist(), (-1 / p).tolist()
    one = torch.ones_like(p)
    slopes = divergence.slope if isinstance(divergence, NeuralMirror) else lambda at: 2 * at
    h = divergence(p.log(), one.log()).double() + slopes(one) * (p - one)
    return h.tolist(), slopes(p).tolist()


def over_vocabulary(divergence: Divergence, logits: Tensor, reference: Tensor) -> Tensor:
    """The sum of D(p_v, q_v) over all tokens v, of logits of shape (..., V); shape (...)."""
    log_p, log_q = logits.float().log_softmax(-1), reference.float().log_softmax(-1)
    return divergence(log_p, log_q).sum(-1)
