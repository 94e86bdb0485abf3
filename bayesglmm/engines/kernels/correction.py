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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import NotPositiveDefiniteError

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.objective import MarginalObjective

_STEPS = 8
_MORE_STEPS = 25  # with the curvature made anew
_SMALL = 1e-4  # squared length of a step, in posterior standard deviations, that is not worth another
_CLOSE = 1e-2  # the same, that is close enough where steps end
_NODES = {1: 7, 2: 5, 3: 3}


def conditional_mean(objective: MarginalObjective, mode: ConditionalMode) -> Floats:
    """Return the corrected centre of p(x | y, theta) in the layout of the view's x.

    Parameters
    ----------
    objective : MarginalObjective
    mode : ConditionalMode

    Returns
    -------
    ndarray, shape (view.size,)
        The mode itself where the correction does not converge, not even with its curvature made anew at every step.
    """
    nodes = row_nodes(mode.work.rows.covariances(mode.factor.inverse()), _NODES)
    centre = _climb(objective, mode, nodes, _STEPS)
    if centre is None:
        centre = _climb(objective, mode, nodes, _MORE_STEPS, remade=True)
    return mode.x if centre is None else objective.structure.full(centre, mode.x[objective.structure.coefficients])


def _climb(
    objective: MarginalObjective,
    mode: ConditionalMode,
    nodes: tuple[list[Floats], Floats],
    steps: int,
    remade: bool = False,
) -> Floats | None:
    """Solve for m by Newton's method; None where it does not converge.

    With `remade` the curvature is -A' E[l''] A + Q at each m instead of H, until steps are short: for skew
    likelihoods (nearly separated responses), where the curvature at the mode says little about that at the mean.
    """
    work, factor = mode.work, mode.factor
    centre, last = work.inner, np.inf
    for _ in range(steps):
        etas = work.etas + work.rows.eta(centre - work.inner)
        slope, curvature = _expected(objective.view, etas, work.phi, nodes, remade and last > 1.0)
        gradient = work.rows.transpose(slope) - work.prior.times(centre)
        try:
            factor = factor if curvature is None else work.rows.factor(-curvature, work.prior.Q)
        except NotPositiveDefiniteError:
            return None
        step = factor.solve(gradient)
        length = float(step @ gradient)
        if not np.isfinite(length) or (length > last and not remade):
            return None
        centre, last = centre + step, length
        if length < _SMALL:
            break
    return None if remade and last > _CLOSE else centre


def _expected(
    view: LatentView, etas: Floats, phi: Mapping[str, Any], nodes: tuple[list[Floats], Floats], curved: bool
) -> tuple[Floats, Floats | None]:
    """Return E l', shape (P, n), and E l'', shape (P, P, n), if `curved`, over the nodes of every row."""
    elementwise, (shifts, weights) = view.elementwise, nodes
    slope, curvature = np.zeros_like(etas), np.zeros((len(etas), *etas.shape)) if curved else None
    for at in range(0, len(shifts), elementwise.together):
        own = slice(at, at + elementwise.together)
        with np.errstate(over="ignore", invalid="ignore"):
            found = elementwise.many(etas[:, None] + np.stack(shifts[own], axis=1), phi, 1)
        assert found.d1 is not None
        slope += np.einsum("m,pmn->pn", weights[own], found.d1)
        if curvature is not None:
            assert found.d2 is not None
            curvature += np.einsum("m,pqmn->pqn", weights[own], found.d2)
    return slope, curvature


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
