"""Means of the log-likelihood over a normal density of x, and its values at draws: what cumulants are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.correction import row_nodes
from bayesglmm.engines.kernels.newton import NewtonSearch, Work
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import SelectedInverse

_NODES = {1: 7, 2: 5, 3: 3}  # by number of predictors


@dataclass(frozen=True, eq=False)
class Averages:
    """Sums over rows of means over N(centre, H^-1).

    Attributes
    ----------
    value : float
        Of the log-likelihood.
    slope : ndarray, shape (size,)
        A' E l'.
    trace : float
        Sum of l'' at the mode times the variances of the predictors.
    """

    value: float
    slope: Floats
    trace: float


def row_averages(view: LatentView, work: Work, inverse: SelectedInverse, centre: Floats) -> Averages:
    """Return the means around a centre, with the covariances of a mode."""
    middle, h = _middle(work, centre), work.rows.covariances(inverse)
    value, slope = 0.0, np.zeros_like(middle)
    for shift, weight in zip(*row_nodes(h, _NODES), strict=True):
        found = _likelihood(view, work, middle + shift, 1)
        value += float(weight) * float(found.value.sum())
        slope += weight * NewtonSearch.first(found)
    return Averages(value, work.rows.transpose(slope), float((h * work.d2).sum()))


def row_antithetic(view: LatentView, work: Work, centre: Floats, e: Floats) -> Floats:
    """Return the log-likelihoods at centre + e and centre - e, shape (2, m), for e of shape (size, m)."""
    middle, out = _middle(work, centre), np.empty((2, e.shape[1]))
    for j in range(e.shape[1]):
        moved = work.rows.eta(e[:, j])
        for i, sign in enumerate((1.0, -1.0)):
            out[i, j] = _likelihood(view, work, middle + sign * moved, 0).value.sum()
    return out


def _middle(work: Work, centre: Floats) -> Floats:
    return np.asarray(work.etas + work.rows.eta(centre - work.inner))


def _likelihood(view: LatentView, work: Work, etas: Floats, order: int) -> RowDerivatives:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return view.elementwise(list(etas), work.phi, order)
