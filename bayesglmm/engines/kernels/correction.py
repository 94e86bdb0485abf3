"""From the conditional mode to the conditional mean: the variational correction of van Niekerk and Rue (2024).

A mode is a poor centre where the likelihood is skew (few events, small counts), and the coefficients that all rows
share add up the skewness of every row. Among normal densities with the covariance H^-1 of Laplace's approximation the
one nearest to the conditional posterior (in Kullback and Leibler's sense) has the mean m with

    A' E[l'(A m + e)] = Q (m - prior mean),    e_i ~ N(0, a_i' H^-1 a_i),

which a few steps of Newton's method with the H at hand solve. To first order it is the classical
m = x-hat + H^-1 A' (l''' h) / 2; for a gaussian likelihood it is the mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import LaplaceObjective

_STEPS = 8
_SMALL = 1e-4  # squared length of a step, in posterior standard deviations, that is not worth another
_NODES = {1: 7, 2: 5, 3: 3}


def conditional_mean(objective: LaplaceObjective, mode: ConditionalMode) -> Floats:
    """Return the corrected centre of p(x | y, theta) in the layout of the view's x.

    Parameters
    ----------
    objective : LaplaceObjective
    mode : ConditionalMode

    Returns
    -------
    ndarray, shape (view.size,)
        The mode itself where the correction does not converge.
    """
    view, structure, work = objective.view, objective.structure, mode.work
    leverage = work.rows.leverage(mode.factor.inverse(), -work.d2)
    spread, weights = row_nodes(leverage.h, _NODES)
    centre, last = work.inner, np.inf
    for _ in range(_STEPS):
        etas = work.etas + work.rows.eta(centre - work.inner)
        slope = np.zeros_like(etas)
        with np.errstate(over="ignore", invalid="ignore"):
            for shift, weight in zip(spread, weights, strict=True):
                first = view.elementwise(list(etas + shift), work.phi, 1).d1
                assert first is not None
                slope += weight * first
        gradient = work.rows.transpose(slope) - work.prior.times(centre)
        step = mode.factor.solve(gradient)
        length = float(step @ gradient)
        if not np.isfinite(length) or length > last:
            return mode.x
        centre, last = centre + step, length
        if length < _SMALL:
            break
    return structure.full(centre, mode.x[structure.coefficients])


@cache
def _hermite(count: int) -> tuple[Floats, Floats]:
    points, weights = hermegauss(count)
    return points, weights / weights.sum()


def row_nodes(h: Floats, counts: Mapping[int, int]) -> tuple[list[Floats], Floats]:
    """Return Gauss-Hermite nodes of N(0, h_i) for every row, and their weights.

    Parameters
    ----------
    h : ndarray, shape (P, P, n)
        Covariance of the predictors of each row.
    counts : mapping of int to int
        Nodes per predictor by P; a cubature of degree three for more predictors than it knows.

    Returns
    -------
    nodes : list of ndarray, each (P, n)
    weights : ndarray
    """
    P = len(h)
    points, weights = _hermite(counts.get(P, 3))
    if P == 1:
        return [np.sqrt(np.maximum(h[0], 0.0)) * z for z in points], weights
    values, vectors = np.linalg.eigh(np.moveaxis(h, -1, 0))
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    if len(counts) < P:
        # Too many dimensions for a product of nodes: a cubature of degree three.
        directions = np.sqrt(P) * np.vstack([np.eye(P), -np.eye(P)])
        return [(root @ z).T for z in directions], np.full(2 * P, 0.5 / P)
    grid = list(product(range(len(points)), repeat=P))
    found = [(root @ np.array([points[j] for j in row])).T for row in grid]
    return found, np.array([np.prod(weights[list(row)]) for row in grid])
