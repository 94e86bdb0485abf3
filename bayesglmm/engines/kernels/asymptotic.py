"""Draws around maximum likelihood estimates: normal in the effects themselves, not in their spherical coordinates."""

from __future__ import annotations

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.graph.latent import LatentView

_STEP = 1e-5


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
        Linear in psi.
    """
    t, out = view.theta_size, x.copy()
    theta, moves = np.asarray(centre[:t]), psi[:, :t] - centre[:t]
    here = view.factors(view.natural(theta))
    slopes = []
    for j in range(t):
        step = np.zeros(t)
        step[j] = _STEP
        high, low = (view.factors(view.natural(theta + sign * step)) for sign in (1.0, -1.0))
        slopes.append([(h - each) / (2.0 * _STEP) for h, each in zip(high, low, strict=True)])
    drawn = view.factor_draws(view.natural_draws(psi[:, :t]), len(psi))
    blocks = {part.names.u: b for b, part in enumerate(view.problem.blocks)}
    for part in view.parts:
        if part.role != "spherical":  # in precision form x is the effects themselves
            continue
        b = blocks[part.name]
        own = drawn[b]
        if np.min(np.abs(np.diagonal(own, axis1=-2, axis2=-1)), initial=1.0) < 1e-150:
            continue  # at the boundary there is no effect to speak of
        centre_u = mode[part.slice].reshape(part.shape)
        effects = x[:, part.slice].reshape(-1, *part.shape) @ here[b].T
        for j in range(t):
            if np.any(slopes[j][b]):
                effects += moves[:, j, None, None] * (centre_u @ slopes[j][b].T)
        out[:, part.slice] = np.linalg.solve(own, effects.swapaxes(1, 2)).swapaxes(1, 2).reshape(len(psi), -1)
    return out
