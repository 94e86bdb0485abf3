"""Draws around maximum likelihood estimates: normal in the effects themselves, not in their spherical coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats
from bayesglmm.graph.latent import LatentView

if TYPE_CHECKING:
    from bayesglmm.graph.problem import BlockParts

_STEP = 1e-5
_TOGETHER = 2**20  # effects, or entries of Lambda, that are computed at once
_NOTHING = 1e-150


def normal_effects(view: LatentView, mode: Floats, centre: Floats, psi: Floats, x: Floats) -> Floats:
    """Return draws of x whose effects b = Lambda(theta) u are linear in what was drawn.

    Effects that the data know well hardly move with their standard deviation. A draw that is linear in u does: b is
    then that draw times the drawn standard deviation, and a band of a smooth comes out far too wide where the
    standard deviation is poorly known. Here b is linearised at the estimates, as the asymptotic theory has it, and u
    is what gives this b under the drawn Lambda.

    Parameters
    ----------
    view : LatentView
    mode : ndarray, shape (view.size,)
        x at the estimates.
    centre : ndarray, shape (view.theta_size or more,)
        The estimates; hyperparameters first.
    psi : ndarray, shape (draws, view.theta_size or more)
        Drawn around them.
    x : ndarray, shape (draws, view.size)
        Linear in psi. It is written over.
    """
    t = view.theta_size
    theta, moves = np.asarray(centre[:t]), psi[:, :t] - centre[:t]
    here = view.factors(view.natural(theta))
    slopes = []
    for j in range(t):
        step = np.zeros(t)
        step[j] = _STEP
        high, low = (view.factors(view.natural(theta + sign * step)) for sign in (1.0, -1.0))
        slopes.append([(h - each) / (2.0 * _STEP) for h, each in zip(high, low, strict=True)])
    drawn = view.natural_draws(psi[:, :t])
    blocks = {part.names.u: b for b, part in enumerate(view.problem.blocks)}
    for part in view.parts:
        if part.role != "spherical":  # in precision form x is the effects themselves
            continue
        b = blocks[part.name]
        centre_u = mode[part.slice].reshape(part.shape)
        several = max(1, _TOGETHER // max(part.shape[-1] ** 2, centre_u.size))
        for start in range(0, len(psi), several):
            at = slice(start, start + several)
            some = x[at, part.slice].reshape(-1, *part.shape) @ here[b].T
            for j in range(t):
                if np.any(slopes[j][b]):
                    some += moves[at, j, None, None] * (centre_u @ slopes[j][b].T)
            own = _factor(view.problem.blocks[b], {name: values[at] for name, values in drawn.items()}, len(some))
            some = some.reshape(len(some), -1, own.shape[-1])  # Lambda is copies of `own` along its diagonal
            # Where a draw lies on the boundary (a correlation of one) some effects are no longer those of any u.
            proper = np.min(np.diagonal(own, axis1=-2, axis2=-1), axis=-1, initial=1.0) > _NOTHING
            found = x[at, part.slice]
            found[proper] = _solved(own[proper], some[proper]).reshape(-1, found.shape[1])
    return x


def _solved(factor: Floats, effects: Floats) -> Floats:
    """Return u with b = u Lambda', shape (S, J, k), by forward substitution.

    Close to the boundary Lambda is singular but for rounding, and a general solver refuses what this does exactly.
    """
    u = np.empty_like(effects)
    for i in range(factor.shape[-1]):
        known = np.einsum("sjr,sr->sj", u[..., :i], factor[:, i, :i])
        u[..., i] = (effects[..., i] - known) / factor[:, None, i, i]
    return u


def _factor(part: BlockParts, drawn: Any, draws: int) -> Floats:
    """Return for every draw the matrix that Lambda consists of copies of, shape (draws, k, k)."""
    values = {name: np.asarray(value) for name, value in part.values(drawn).items()}
    core = np.asarray(part.covariance.core(values, part.block.X.shape[1], NUMPY), dtype=float)
    return np.broadcast_to(core, (draws, *core.shape[-2:]))
