"""Which directions a likelihood bends in, and what has a standard error.

At a singular fit (a standard deviation of zero, a correlation matrix without full rank) the likelihood is flat far
out in some directions of the unconstrained hyperparameters. They are held where they are: what depends on them has
no standard error, and everything else has the one given that edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.graph.latent import LatentView

_FLAT = 1e-2  # gain in log-likelihood, from moving a hyperparameter all the way, that says nothing
_MOVED = 0.1  # standard errors that a quantity may move along a flat direction


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of psi.

    Attributes
    ----------
    free : ndarray, shape (size, m)
        Columns in whose coordinates minus the second derivatives are the identity.
    flat : ndarray, shape (size, k)
        Columns along which the likelihood says nothing; as long as the distance from the origin.
    """

    free: Floats
    flat: Floats

    @property
    def covariance(self) -> Floats:
        """Inverse of the curvature in the free directions, zero in the others, shape (size, size)."""
        return np.asarray(self.free @ self.free.T)


def directions(view: LatentView, psi: Floats, curvature: Floats, held: Any) -> Directions:
    """Sort the directions of psi.

    Parameters
    ----------
    view : LatentView
    psi : ndarray, shape (size,)
    curvature : ndarray, shape (size, size)
        Minus the second derivatives of the log-likelihood.
    held : ndarray of bool, shape (size,)
        What lies on its boundary: in neither set.
    """
    t = view.theta_size
    moving, beta = np.flatnonzero(~np.asarray(held)[:t]), slice(t, None)
    root = _inverse_root(curvature[beta, beta])
    # Along a direction of the hyperparameters the coefficients follow the ridge of the likelihood.
    follow = -root @ (root.T @ curvature[beta, moving])
    ridge = curvature[np.ix_(moving, moving)] + curvature[moving, beta] @ follow
    size = np.maximum(1.0, np.abs(psi[moving]))
    values, vectors = np.linalg.eigh(ridge * size[:, None] * size)
    bends = values > _FLAT
    columns = np.zeros((len(psi), len(moving)))
    columns[moving] = vectors * size[:, None]
    columns[beta] = follow @ columns[moving]
    given = np.zeros((len(psi), len(root)))
    given[beta] = root
    return Directions(np.hstack([columns[:, bends] / np.sqrt(values[bends]), given]), columns[:, ~bends])


def _inverse_root(C: Floats) -> Floats:
    """Return R with R R' the inverse of C, which may have been scaled by any units; small eigenvalues are raised."""
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(C)), 1e-300))
    values, vectors = np.linalg.eigh(C * scale[:, None] * scale)
    return np.asarray(scale[:, None] * vectors / np.sqrt(np.maximum(values, 1e-10)))


def standard_errors(slopes: Floats, covariance: Floats, flat: Floats) -> Floats:
    """Return standard errors by the delta method, nan for what moves in flat directions.

    Parameters
    ----------
    slopes : ndarray, shape (size, ...)
        Derivatives of some quantities in psi.
    covariance : ndarray, shape (size, size)
    flat : ndarray, shape (size, k)
    """
    errors = np.sqrt(np.maximum(np.einsum("i...,ij,j...->...", slopes, covariance, slopes), 0.0))
    moved = np.abs(np.tensordot(flat.T, slopes, axes=1)).max(axis=0, initial=0.0)
    return np.asarray(np.where((moved > 0.0) & (moved >= _MOVED * errors), np.nan, errors))
