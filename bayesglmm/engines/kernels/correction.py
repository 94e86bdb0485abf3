"""From the conditional mode to the conditional mean: the variational correction of van Niekerk and Rue (2024).

A mode is a poor centre where the likelihood is skew (few events, small counts), and the coefficients that all rows
share add up the skewness of every row. Among normal densities with the covariance H^-1 of Laplace's approximation the
one nearest to the conditional posterior (in Kullback and Leibler's sense) has the mean m with

    A' E[l'(A m + e)] = Q (m - prior mean),    e_i ~ N(0, a_i' H^-1 a_i),

which a few steps of Newton's method with the H at hand solve. To first order it is the classical
m = x-hat + H^-1 A' (l''' h) / 2; for a gaussian likelihood it is the mode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import Factor, NotPositiveDefiniteError, Rows, SelectedInverse

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.objective import MarginalObjective

_STEPS = 8
_MORE_STEPS = 40  # with the curvature made anew
_SMALL = 1e-4  # squared length of a step, in posterior standard deviations, that is not worth another
_CLOSE = 1e-2  # the same, that is close enough where steps end
_HALVINGS = 10
_FALLING = 0.6  # a curvature serves while that squared length falls to this share or less
_NODES = {1: 7, 2: 5, 3: 3}


def conditional_mean(objective: MarginalObjective, mode: ConditionalMode, guess: Floats | None = None) -> Floats:
    """Return the corrected centre of p(x | y, theta) in the layout of the view's x.

    Parameters
    ----------
    objective : MarginalObjective
    mode : ConditionalMode
    guess : ndarray, shape (view.size,), optional
        The corrected centre less the mode at other hyperparameters: where to start from here.

    Returns
    -------
    ndarray, shape (view.size,)
        The mode itself where the correction does not converge, not even with its curvature made anew.
    """
    nodes = mean_nodes(mode.work.rows, mode.factor.inverse())
    return solved_mean(objective, _RowMean(mode, objective.view, nodes), guess)


def mean_nodes(rows: Rows, inverse: SelectedInverse) -> tuple[list[Floats], Floats]:
    """Return the nodes over which means are taken, for every row, and their weights."""
    return row_nodes(rows.covariances(inverse), _NODES)


def solved_mean(objective: MarginalObjective, problem: Mean, guess: Floats | None = None) -> Floats:
    """Return the corrected centre that solves a problem; see `conditional_mean`."""
    mode, structure = problem.mode, objective.structure
    start = mode.work.inner if guess is None else mode.work.inner + guess[structure.inner]
    centre = _climb(problem, start)
    if centre is None:
        centre = _climb_anew(problem, start)
    return mode.x if centre is None else structure.full(centre, mode.x[structure.coefficients])


@dataclass(frozen=True, eq=False)
class Mean(ABC):
    """What a conditional mean solves for, as a function of where it is."""

    mode: ConditionalMode

    @abstractmethod
    def gradient(self, m: Floats) -> Floats:
        """Return A' E[l'] - Q (m - prior mean)."""

    @abstractmethod
    def factor(self, m: Floats) -> Factor:
        """Factorise -A' E[l''] A + Q."""


@dataclass(frozen=True, eq=False)
class _RowMean(Mean):
    """The same by rows."""

    view: LatentView
    nodes: tuple[list[Floats], Floats]

    def gradient(self, m: Floats) -> Floats:
        """Return A' E[l'] - Q (m - prior mean)."""
        work = self.mode.work
        slope, _ = expected(self.view, self._etas(m), work.phi, self.nodes, False)
        return np.asarray(work.rows.transpose(slope) - work.prior.times(m))

    def factor(self, m: Floats) -> Factor:
        """Factorise -A' E[l''] A + Q."""
        work = self.mode.work
        _, curvature = expected(self.view, self._etas(m), work.phi, self.nodes, True)
        assert curvature is not None
        return work.rows.factor(-curvature, work.prior.Q)

    def _etas(self, m: Floats) -> Floats:
        work = self.mode.work
        return np.asarray(work.etas + work.rows.eta(m - work.inner))


def _climb(problem: Mean, centre: Floats) -> Floats | None:
    """Solve for m with the curvature at the mode; None where steps grow or stay long."""
    last = np.inf
    for _ in range(_STEPS):
        gradient = problem.gradient(centre)
        step = problem.mode.factor.solve(gradient)
        length = float(step @ gradient)
        if not np.isfinite(length) or length > last:
            return None
        centre, last = centre + step, length
        if length < _SMALL:
            break
    return centre if last < _CLOSE else None


def _climb_anew(problem: Mean, centre: Floats) -> Floats | None:
    """Solve for m with the curvature there, made anew where steps become shorter too slowly; None where that fails.

    For skew likelihoods (nearly separated responses), where the curvature at the mode says little about that at the
    mean. A step that goes too far is halved.
    """
    factor, last = None, np.inf
    gradient = problem.gradient(centre)
    for _ in range(_MORE_STEPS):
        kept = factor is not None
        try:
            factor = problem.factor(centre) if factor is None else factor
        except NotPositiveDefiniteError:
            return None
        step = factor.solve(gradient)
        length = float(step @ gradient)
        if not np.isfinite(length):
            return None
        if kept and length > _FALLING * last:
            factor = None
            continue
        size = 1.0
        for _ in range(_HALVINGS):
            there = problem.gradient(centre + size * step)
            if float(step @ there) > -0.5 * length:
                break
            size /= 2.0
        centre, gradient, last = centre + size * step, there, length
        if length < _SMALL:
            break
    return centre if last < _CLOSE else None


def expected(
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
