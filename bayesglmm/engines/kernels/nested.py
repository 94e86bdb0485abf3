"""Nested integration: an explicit density of the hyperparameters and draws of everything (Rue, Martino, Chopin 2009).

theta is explored around its mode. Skewness along the axes of the curvature gives a first density q; Laplace's
approximation is then evaluated at a low-discrepancy set of support points from q, and radial cubics through the
differences bend q into q~, from which theta is drawn. Draws of x start from the nearest support point, where
the conditional mean and H are made anew; the mean moves with the derivative of x-hat, and the deviations of every
level are scaled to the drawn theta (`rescaling`). So the density of what was drawn is known exactly, which importance
ratios need.

With many hyperparameters (forty smooths, say) no affordable set of points is dense. Then the support points are the
draws of theta, weighted by p~ / q where enough of them stay effective, and x is drawn at each from its own
conditional density.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.adjoint import NaturalJacobian
from bayesglmm.engines.kernels.grouped import GroupedRatio
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import MarginalObjective
from bayesglmm.engines.kernels.optimum import Optimum, safe_inverse
from bayesglmm.engines.kernels.pareto import smoothed
from bayesglmm.engines.kernels.skewed import HEAVY, LIGHT, NORMAL, SkewedDensity
from bayesglmm.linalg import NotPositiveDefiniteError

_PROBES = (2.0, 6.0)  # scales out along each axis where the fall of the objective is measured
_REACH = 12.0  # beyond so many scales the interpolant is held constant
_CANDIDATES = 6  # per draw, for resampling
_USEFUL = 0.25  # share of the support points that weights must leave effective
_TOGETHER, _STRIDE = 2**20, 64  # numbers of x that are worked on at once; in multiples of so many draws
MANY = 8  # hyperparameters; with more of them no set of points is dense enough to interpolate between


@dataclass(frozen=True, eq=False)
class Support:
    """A hyperparameter point with the exact conditional normal approximation there.

    Attributes
    ----------
    psi : ndarray, shape (size,)
    mode : ConditionalMode
    centre : ndarray, shape (view.size,)
        Mean of x there: the mode, corrected for skewness.
    jacobian : ndarray, shape (view.size, size)
        d x-hat / d psi.
    height : float
        Log density of psi there, by Laplace's approximation or by quadrature.
    """

    psi: Floats
    mode: ConditionalMode
    centre: Floats
    jacobian: Floats
    height: float


@dataclass(frozen=True, eq=False)
class Draws:
    """Joint draws.

    Attributes
    ----------
    psi : ndarray, shape (draws, size)
    x : ndarray, shape (draws, view.size)
    """

    psi: Floats
    x: Floats


@dataclass(frozen=True, eq=False)
class _Known:
    """A point of the net whose conditional mode was found, and how the mode moves with psi."""

    number: int
    psi: Floats
    mode: ConditionalMode
    moves: Floats


class Exploration:
    """The hyperparameters' density around an optimum.

    Parameters
    ----------
    objective : MarginalObjective
    optimum : Optimum
    points : int
        Support points, a power of two; one if there are no hyperparameters.
    seed : int
    quadrature : int or None
        Nodes per group effect that correct the density of the hyperparameters; None for Laplace's approximation.

    Attributes
    ----------
    support : tuple of Support
    log_ratio : ndarray, shape (points,)
        L - log q at the support points.
    weights : ndarray, shape (points,)
        Of the support points as draws of the hyperparameters; sum to one.
    dense : bool
        Whether theta is drawn between the support points; else they are the draws.
    even : bool
        Whether weights were given up, since they left too few points effective: theta is then drawn from q.
    """

    def __init__(
        self, objective: MarginalObjective, optimum: Optimum, points: int, seed: int, quadrature: int | None = None
    ) -> None:
        self.objective, self.optimum, self.quadrature = objective, optimum, quadrature
        self.seed, self.random = seed, np.random.default_rng(seed)
        self.dense = objective.size <= MANY
        self.density = self._density()
        net = self._net(points)
        found = sorted(self._modes(net), key=lambda known: known.number)
        self.failures = len(net) - len(found)
        found = found or [_Known(0, optimum.psi, optimum.mode, self._moves(optimum.mode))]
        self.points = np.array([known.psi for known in found])
        self.support = tuple(self._supports(found))
        heights = np.array([support.height for support in self.support])
        self.log_ratio = heights - self.density.logpdf(self.points)
        self.weights, self.even = self._weights()
        if self.dense:
            self._fit(heights)

    # hyperparameters

    def _weights(self) -> tuple[Floats, bool]:
        if len(self.points) == 1:
            return np.ones(1), False
        # The mode is no member of the net.
        ratio = self.log_ratio[1:]
        weights = np.exp(ratio - ratio.max()) if self.dense else smoothed(ratio)[0]
        weights = weights / weights.sum()
        even = not self.dense and 1.0 / np.sum(weights**2) < _USEFUL * len(weights)
        weights = np.full(len(weights), 1.0 / len(weights)) if even else weights
        return np.concatenate([[0.0], weights]), even

    def at_points(self, draws: int, random: np.random.Generator) -> tuple[Ints, Floats]:
        """Draw support points in proportion to their weights; return which, and the log density drawn from."""
        position = (np.arange(draws) + random.random()) / draws
        cell = np.minimum(np.searchsorted(np.cumsum(self.weights), position), len(self.weights) - 1)
        height = np.array([self.support[k].height for k in cell]) - self.optimum.value
        return cell, self.density.logpdf(self.points[cell]) if self.even else height

    def _modes(self, psi: Floats) -> Iterator[_Known]:
        """Yield the conditional modes where there are any, from the centre outwards.

        Each search starts from where the nearest of the modes that are known moves to; where Jacobians are not
        computed, from the best mode.
        """
        objective = self.objective
        place = self.density.standardise(psi) if objective.size else psi
        order = np.argsort((place**2).sum(axis=1), kind="stable")
        prior = objective.view.log_prior_draws(psi)
        changes = objective.natural_jacobians(psi[order]) if self.dense else repeat(None)
        far, near, known = np.full(len(psi), np.inf), np.zeros(len(psi), dtype=np.intp), list[_Known]()
        for i, change in zip(order, changes, strict=False):
            start: ConditionalMode | Floats = self.optimum.mode
            if known and self.dense:
                here = known[near[i]]
                start = objective.moved(here.mode, here.moves @ (psi[i] - here.psi))
            try:
                mode = objective.mode(psi[i], start, float(prior[i]))
            except NotPositiveDefiniteError:
                continue
            if np.isfinite(mode.log_marginal):
                known.append(_Known(int(i), psi[i], mode, self._moves(mode, change)))
                distance = ((place - place[i]) ** 2).sum(axis=1)
                near[distance < far] = len(known) - 1
                far = np.minimum(far, distance)
                yield known[-1]

    def _moves(self, mode: ConditionalMode, change: NaturalJacobian | None = None) -> Floats:
        """Return d x-hat / d psi; zeros where theta is not drawn between the support points."""
        if self.dense:
            return self.objective.jacobian(mode, change)
        return np.broadcast_to(0.0, (self.objective.view.size, self.objective.size))

    def _supports(self, found: Sequence[_Known]) -> Iterator[Support]:
        objective = self.objective
        grouped = None if self.quadrature is None else GroupedRatio(objective, self.quadrature)
        prior = np.zeros(len(found)) if grouped is None else objective.view.log_prior_draws(self.points)
        guess: Floats | None = None
        for known, log_prior in zip(found, prior, strict=True):
            centre, height = objective.centre(known.mode, guess), known.mode.log_marginal
            guess = centre - known.mode.x if guess is None else guess
            if grouped is not None:
                exact = grouped.log_marginal(grouped.marginal(known.mode, centre), float(log_prior), self.random)
                height = exact if np.isfinite(exact) else height
            yield Support(known.psi, known.mode, centre, known.moves, height)

    def _density(self) -> SkewedDensity:
        """Measure the fall of the objective along both sides of every axis of the curvature."""
        covariance = safe_inverse(self.optimum.curvature)
        order = self._order(covariance) if self.dense else np.arange(len(covariance))
        axes = np.zeros_like(covariance)
        if len(order):
            axes[order] = np.linalg.cholesky(covariance[np.ix_(order, order)])
        values = np.diag(covariance)
        light, wider = (LIGHT, 1.05) if self.dense else (NORMAL, 1.0)
        scale, freedom = np.ones((2, len(values))), np.full((2, len(values)), light)
        for j in range(len(values)):
            for side, sign in enumerate((-1.0, 1.0)):
                near = self._scale(sign * axes[:, j], _PROBES[0])
                if not self.dense:
                    scale[side, j] = near
                    continue
                far = self._scale(sign * axes[:, j], _PROBES[1] * near)
                # A standard deviation that may be zero has an exponential tail on the log scale, for example.
                scale[side, j], freedom[side, j] = near, HEAVY if far > 1.1 * near else light
        return SkewedDensity(self.optimum.psi, axes, wider * scale, freedom)

    def _order(self, covariance: Floats) -> Ints:
        """Return the hyperparameters with the heaviest lower tail last: its axis is then its own coordinate.

        As a standard deviation goes to zero the others settle at fixed values, so that such a tail follows the
        coordinate and no line of regression.
        """
        excess = np.zeros(len(covariance))
        for j in range(len(covariance)):
            unit = np.zeros(len(covariance))
            unit[j] = -np.sqrt(covariance[j, j])
            excess[j] = self._scale(unit, 4.0) * np.sqrt(self.optimum.curvature[j, j] * covariance[j, j])
        return np.argsort(excess, kind="stable")

    def _scale(self, direction: Floats, distance: float) -> float:
        """Return the scale, in units of `direction`, of a normal that falls as the objective does at a distance."""
        try:
            mode = self.objective.mode(self.optimum.psi + distance * direction, self.optimum.mode)
        except NotPositiveDefiniteError:
            return 0.5 * distance
        fall = self.optimum.value - mode.log_marginal
        return float(np.clip(distance / np.sqrt(2.0 * max(fall, 1e-3)), 0.25, 3.0)) if np.isfinite(fall) else 1.0

    def _net(self, points: int) -> Floats:
        size = self.objective.size
        if size == 0:
            return np.zeros((1, 0))
        from scipy.stats import qmc  # takes as long as a first maximum likelihood fit, which does not need it

        power = max(0, int(np.ceil(np.log2(points))))
        uniform = qmc.Sobol(size, scramble=True, rng=self.random).random_base2(power)
        # The very mode is a support point, too: most of the mass is around it.
        return np.vstack([self.optimum.psi, self.density.quantile(uniform)])

    def _fit(self, heights: Floats) -> None:
        """Interpolate log p~ - log q between the support points by radial cubics."""
        from scipy import interpolate

        self.interpolant: Any = None
        target = self.log_ratio - self.log_ratio.max()
        self.bounds = float(target.min()), 0.0
        size = self.objective.size
        if size and len(self.points) >= 4 * (size + 1):
            degree = 2 if len(self.points) >= 2 * (size + 1) * (size + 2) else 1
            places, first = np.unique(self.density.standardise(self.points), axis=0, return_index=True)
            self.interpolant = interpolate.RBFInterpolator(
                places, target[first], kernel="cubic", degree=degree, smoothing=1e-6
            )

    def correction(self, psi: Floats) -> Floats:
        """Return log q~ - log q up to its constant."""
        if self.interpolant is None:
            return np.zeros(len(psi))
        found = self.interpolant(np.clip(self.density.standardise(psi), -_REACH, _REACH))
        return np.asarray(np.clip(found, *self.bounds))

    @property
    def log_evidence(self) -> float:
        """Log of the integral of exp L over the hyperparameters, by the support points as a net from q."""
        if self.objective.size == 0:
            return self.optimum.value
        ratios = self.log_ratio[1:]  # the first point is the mode, no member of the net
        top = float(ratios.max())
        return top + float(np.log(np.exp(ratios - top).sum() / (len(ratios) + self.failures)))

    def draw(self, draws: int) -> Draws:
        """Draw hyperparameters from q~ and everything else given them."""
        psi = self.hyperparameters(draws, self.random)[0]
        x = standard_normals(self.objective, draws, self.random)
        return Draws(psi, latent_draws(self.objective, self.support, psi, self.nearest(psi), x))

    def hyperparameters(self, draws: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw from q~; return psi, shape (draws, size), and its log density."""
        size = self.objective.size
        if size == 0:
            return np.zeros((draws, 0)), np.zeros(draws)
        if not self.dense:
            cell, log_theta = self.at_points(draws, random)
            # Equal ones follow each other, so that effective sample sizes, which read autocorrelation, count them as
            # what they are; the points come in random order, so that every chain has some of all kinds.
            order = np.argsort(random.permutation(len(self.points))[cell], kind="stable")
            return self.points[cell][order], log_theta[order]
        candidates = self.density.quantile(random.random((_CANDIDATES * draws, size)))
        correction = self.correction(candidates)
        weight = np.exp(correction - correction.max())
        # Systematic resampling: as even as the weights allow.
        position = (np.arange(draws) + random.random()) / draws * weight.sum()
        chosen = np.minimum(np.searchsorted(np.cumsum(weight), position), len(weight) - 1)
        chosen = random.permutation(chosen)
        constant = float(correction.max() + np.log(weight.mean()))
        psi = candidates[chosen]
        return psi, self.density.logpdf(psi) + correction[chosen] - constant

    def nearest(self, psi: Floats) -> Ints:
        """Return for each draw the support point from which x starts, shape (draws,)."""
        if not self.objective.size:
            return np.zeros(len(psi), dtype=np.intp)
        return np.asarray(self._places.query(self.density.standardise(psi))[1], dtype=np.intp)

    @cached_property
    def _places(self) -> Any:
        from scipy import spatial

        return spatial.cKDTree(self.density.standardise(self.points))


def standard_normals(objective: MarginalObjective, draws: int, random: np.random.Generator) -> Floats:
    """Return what `latent_draws` starts from: standard normal numbers where x is drawn, shape (draws, view.size)."""
    inner, x = objective.structure.inner, np.empty((draws, objective.view.size))
    step = _step(len(inner))
    for start in range(0, draws, step):
        own = x[start : start + step]
        own[:, inner] = random.standard_normal((len(own), len(inner)))
    return x


def _step(size: int) -> int:
    """Return how many draws of x are worked on at once; a multiple of what matrix products take at once.

    So it does not change their rounding.
    """
    return _STRIDE * max(1, _TOGETHER // (_STRIDE * max(size, 1)))


def latent_draws(
    objective: MarginalObjective,
    support: Sequence[Support],
    psi: Floats,
    cell: Ints,
    x: Floats,
    rescaled: bool = True,
) -> Floats:
    """Return x = m_k + J_k (psi - psi_k) + T L_k^-T z, shape (draws, view.size), written over z.

    With thousands of levels draws are by far the largest array of a fit, so there is but one of them.

    Parameters
    ----------
    objective : MarginalObjective
    support : sequence of Support
    psi : ndarray, shape (draws, size)
    cell : ndarray of int, shape (draws,)
        k for each draw.
    x : ndarray, shape (draws, view.size)
        z, where x is drawn (`standard_normals`). It becomes x.
    rescaled : bool
        Whether deviations are scaled to psi (`Rescaling`); else T is the identity, and x is linear in psi and z.
    """
    inner, step = objective.structure.inner, _step(objective.view.size)
    natural = objective.view.natural_draws(psi[:, : objective.theta_size]) if rescaled else {}
    for k in np.unique(cell):
        here, members = support[k], np.flatnonzero(cell == k)
        elsewhere = rescaled and not np.all(psi[members] == here.psi)
        rescaling = objective.rescaling(here.mode) if elsewhere else None
        for start in range(0, len(members), step):
            own = members[start : start + step]
            deviation = here.mode.factor.half_solve(np.take(x[own], inner, axis=1).T).T
            if rescaling is not None:
                drawn = {name: values[own] for name, values in natural.items()}
                deviation = rescaling.times(drawn, deviation)
            moved = here.centre + (psi[own] - here.psi) @ here.jacobian.T
            moved[:, inner] += deviation
            x[own] = moved
    return x
