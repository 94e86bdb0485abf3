"""Coordinates of the hyperparameters for the sampler: of unit scale, uncorrelated, and without long tails.

A standard deviation that the data do not keep away from zero has a long left tail on the log scale, where its
density falls like exp(log sd) only; chains need many draws to cross it. On its own scale it is nearly normal, cut off
at zero. With h = 1 / s, s the standard deviation of log sd at the mode,

    sd = sd-hat softplus(h + a x) / softplus(h),

which is linear in x well above zero and exponential below: no tail on either side, whatever is left of the posterior
near zero. Standard deviations with s below a quarter, and all other hyperparameters, are linear in x on the
unconstrained scale. x = R z, R R' their correlations at the mode.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats
from bayesglmm.graph.latent import LatentView

_SKEWED = 0.25  # of log sd; above, the posterior of sd is nearer to normal than that of its logarithm
_LARGEST = 1.5  # a flat posterior has no scale that its curvature could tell
_SMALLEST = 1e-3
_TRUST = 0.9  # in correlations found at one point


@dataclass(frozen=True, eq=False)
class HyperCoordinates:
    """The map from z to unconstrained theta, both of length t.

    Attributes
    ----------
    start : array, shape (t,)
        theta at z = 0.
    root : array, shape (t, t)
        R.
    rate : array, shape (t,)
        a, or the scale of what is linear.
    depth : array, shape (t,)
        h; zero for what is linear.
    """

    start: Any
    root: Any
    rate: Any
    depth: Any

    def theta(self, z: Any, xp: ArrayMath) -> tuple[Any, Any]:
        """Return theta, shape (..., t), and the log Jacobian up to a constant, shape (...)."""
        x = z @ self.root.T
        y = self.depth + self.rate * x
        sd = xp.softplus(y)
        moved = xp.where(self.depth > 0, xp.log(sd / xp.softplus(self.depth)), self.rate * x)
        along = xp.where(self.depth > 0, xp.log(xp.expit(y) / sd), 0.0 * y)
        return self.start + moved, xp.sum(along, axis=-1)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(field.name for field in fields(cls))


def hyper_coordinates(view: LatentView, theta: Floats, covariance: Floats) -> HyperCoordinates:
    """Return the coordinates around a mode.

    Parameters
    ----------
    view : LatentView
    theta : ndarray, shape (t,)
        The mode, unconstrained.
    covariance : ndarray, shape (t, t)
        Inverse of minus the second derivatives there.
    """
    variances = np.diag(covariance)
    known = bool(np.isfinite(covariance).all() and (variances > 0).all())
    scale = np.clip(np.sqrt(variances), _SMALLEST, _LARGEST) if known else np.ones(len(theta))
    depth, rate = np.zeros(len(theta)), scale.copy()
    for j in np.flatnonzero(_log_sds(view, theta) & (scale > _SKEWED)):
        depth[j] = 1.0 / scale[j]
        rate[j] = scale[j] * NUMPY.softplus(depth[j]) / NUMPY.expit(depth[j])
    return HyperCoordinates(theta, _root(covariance) if known else np.eye(len(theta)), rate, depth)


def _root(covariance: Floats) -> Floats:
    sds = np.sqrt(np.diag(covariance))
    correlation = np.clip(covariance / sds[:, None] / sds, -1.0, 1.0)
    try:
        return np.linalg.cholesky(_TRUST * correlation + (1.0 - _TRUST) * np.eye(len(sds)))
    except np.linalg.LinAlgError:
        return np.eye(len(sds))


def _log_sds(view: LatentView, theta: Floats) -> Any:
    """Return which entries of theta are logarithms of standard deviations of groups."""
    blocks = [part for predictor in view.problem.predictors for part in predictor.blocks]
    sds = {part.parameters["sd"].name for part in blocks if "sd" in part.parameters}
    natural = view.natural(theta)
    found = []
    for name, piece in zip(view.problem.names("theta"), view.split(theta), strict=True):
        logarithms = name in sds and np.allclose(natural[name], np.exp(piece))
        found.append(np.full(np.size(piece), logarithms))
    return np.concatenate([np.zeros(0, dtype=bool), *found])
