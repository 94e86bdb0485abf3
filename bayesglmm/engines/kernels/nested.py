"""Nested integration: an explicit density of the hyperparameters and draws of everything (Rue, Martino, Chopin 2009).

theta is explored around its mode. Skewness along the axes of the curvature gives a first density q; Laplace's
approximation is then evaluated at a low-discrepancy set of support points from q, and a polynomial fitted to the
differences bends q into q~, from which theta is drawn. Draws of x start from the nearest support point, where
the conditional mean and H are made anew, and move with the derivative of x-hat; so the density of what was drawn is
known exactly, which importance ratios need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy import spatial
from scipy.stats import qmc

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.correction import conditional_mean
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import Optimum, safe_inverse
from bayesglmm.engines.kernels.skewed import SkewedDensity
from bayesglmm.linalg import NotPositiveDefiniteError

_LOG_2PI = float(np.log(2.0 * np.pi))
_PROBE = 2.0  # standard deviations out along each axis where skewness is measured
_REACH = 4.0  # beyond so many scales the polynomial is held constant
_CANDIDATES = 20  # per draw, for resampling


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
    """

    psi: Floats
    mode: ConditionalMode
    centre: Floats
    jacobian: Floats


@dataclass(frozen=True, eq=False)
class Draws:
    """Joint draws.

    Attributes
    ----------
    psi : ndarray, shape (draws, size)
    x : ndarray, shape (draws, view.size)
    log_density : ndarray, shape (draws,)
        Of the distribution they were drawn from, jointly.
    log_theta : ndarray, shape (draws,)
        Of the hyperparameters alone.
    cell : ndarray of int, shape (draws,)
        Support point that each started from.
    """

    psi: Floats
    x: Floats
    log_density: Floats
    log_theta: Floats
    cell: Ints


class Exploration:
    """The hyperparameters' density around an optimum.

    Parameters
    ----------
    objective : LaplaceObjective
    optimum : Optimum
    points : int
        Support points, a power of two; one if there are no hyperparameters.
    seed : int

    Attributes
    ----------
    support : tuple of Support
    log_ratio : ndarray, shape (points,)
        L - log q at the support points.
    """

    def __init__(self, objective: LaplaceObjective, optimum: Optimum, points: int, seed: int) -> None:
        self.objective, self.optimum = objective, optimum
        self.random = np.random.default_rng(seed)
        self.density = self._density()
        psi = self._net(points)
        prior = objective.view.log_prior_draws(psi)
        modes, kept = [], []
        for row, log_prior in zip(psi, prior, strict=True):
            try:
                mode = objective.mode(row, optimum.mode, float(log_prior))
            except NotPositiveDefiniteError:
                continue
            if np.isfinite(mode.log_marginal):
                modes.append(mode)
                kept.append(row)
        self.failures = len(psi) - len(kept)
        if not kept:
            modes, kept = [optimum.mode], [optimum.psi]
        self.points = np.array(kept)
        self.support = tuple(
            Support(row, mode, conditional_mean(objective, mode), objective.jacobian(mode))
            for row, mode in zip(kept, modes, strict=True)
        )
        heights = np.array([mode.log_marginal for mode in modes])
        self.log_ratio = heights - self.density.logpdf(self.points)
        self._fit(heights)

    # hyperparameters

    def _density(self) -> SkewedDensity:
        """Measure the fall of the objective along both sides of every axis of the curvature."""
        values, vectors = np.linalg.eigh(safe_inverse(self.optimum.curvature))
        axes = vectors * np.sqrt(values)
        scale = np.ones((2, len(values)))
        for j in range(len(values)):
            for side, sign in enumerate((-1.0, 1.0)):
                scale[side, j] = self._scale(sign * axes[:, j])
        return SkewedDensity(self.optimum.psi, axes, 1.05 * scale)

    def _scale(self, direction: Floats) -> float:
        """Return the scale, in units of `direction`, of a normal that falls as the objective does."""
        distance = _PROBE
        for _ in range(3):
            try:
                mode = self.objective.mode(self.optimum.psi + distance * direction, self.optimum.mode)
                fall = self.optimum.value - mode.log_marginal
            except NotPositiveDefiniteError:
                fall = np.inf
            if fall > 0.25 and np.isfinite(fall):
                return float(np.clip(distance / np.sqrt(2.0 * fall), 0.25, 4.0))
            distance *= 0.5 if fall > 0.25 else 2.0
        return 0.25 if fall > 0.25 else 4.0

    def _net(self, points: int) -> Floats:
        size = self.objective.size
        if size == 0:
            return np.zeros((1, 0))
        power = max(0, int(np.ceil(np.log2(points))))
        uniform = qmc.Sobol(size, scramble=True, rng=self.random).random_base2(power)
        # The very mode is a support point, too: most of the mass is around it.
        return np.vstack([self.optimum.psi, self.density.quantile(uniform)])

    def _fit(self, heights: Floats) -> None:
        """Fit the polynomial correction by weighted least squares, weights by height."""
        size = self.objective.size
        self.powers = _powers(size, len(self.points))
        weight = np.exp(0.25 * np.maximum(heights - heights.max(), -16.0))
        design = self._features(self.points)
        ridge = 1e-6 * np.eye(design.shape[1])
        gram = design.T @ (weight[:, None] * design)
        target = self.log_ratio - self.log_ratio.max()
        self.coefficients = np.linalg.solve(gram + ridge * np.trace(gram), design.T @ (weight * target))
        fitted = design @ self.coefficients
        self.bounds = float(fitted.min()), float(fitted.max())
        self.misfit = float(np.sqrt(np.average((fitted - target) ** 2, weights=weight)))

    def _features(self, psi: Floats) -> Floats:
        s = np.clip(self.density.standardise(psi), -_REACH, _REACH) / _REACH
        columns = [np.prod(s[:, list(power)], axis=1) if power else np.ones(len(s)) for power in self.powers]
        return np.stack(columns, axis=1)

    def correction(self, psi: Floats) -> Floats:
        """Return log q~ - log q up to its constant."""
        return np.clip(self._features(psi) @ self.coefficients, *self.bounds)

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
        size = self.objective.size
        if size == 0:
            return self._latent(np.zeros((draws, 0)), np.zeros(draws))
        candidates = self.density.quantile(self.random.random((_CANDIDATES * draws, size)))
        correction = self.correction(candidates)
        weight = np.exp(correction - correction.max())
        # Systematic resampling: as even as the weights allow.
        position = (np.arange(draws) + self.random.random()) / draws * weight.sum()
        chosen = np.minimum(np.searchsorted(np.cumsum(weight), position), len(weight) - 1)
        chosen = self.random.permutation(chosen)
        constant = float(correction.max() + np.log(weight.mean()))
        psi = candidates[chosen]
        return self._latent(psi, self.density.logpdf(psi) + correction[chosen] - constant)

    # latent part

    def _latent(self, psi: Floats, log_theta: Floats) -> Draws:
        """Draw x from the normal approximation at the nearest support point, moved along with psi."""
        if self.objective.size:
            places = spatial.cKDTree(self.density.standardise(self.points))
            cell = np.asarray(places.query(self.density.standardise(psi))[1], dtype=np.intp)
        else:
            cell = np.zeros(len(psi), dtype=np.intp)
        z = self.random.standard_normal((len(psi), len(self.objective.structure.inner)))
        x, log_x = latent_draws(self.objective, self.support, psi, cell, z)
        return Draws(psi, x, log_theta + log_x, log_theta, cell)


def latent_draws(
    objective: LaplaceObjective, support: Sequence[Support], psi: Floats, cell: Ints, z: Floats
) -> tuple[Floats, Floats]:
    """Return x = m_k + J_k (psi - psi_k) + L_k^-T z and the log density of x given psi.

    Parameters
    ----------
    objective : LaplaceObjective
    support : sequence of Support
    psi : ndarray, shape (draws, size)
    cell : ndarray of int, shape (draws,)
        k for each draw.
    z : ndarray, shape (draws, inner)
        Standard normal.
    """
    inner = objective.structure.inner
    x, log_x = np.empty((len(psi), objective.view.size)), np.empty(len(psi))
    for k in np.unique(cell):
        here, own = support[k], np.flatnonzero(cell == k)
        moved = here.centre + (psi[own] - here.psi) @ here.jacobian.T
        moved[:, inner] += here.mode.factor.half_solve(z[own].T).T
        x[own] = moved
        log_x[own] = 0.5 * (here.mode.factor.logdet() - (z[own] ** 2).sum(axis=1) - len(inner) * _LOG_2PI)
    return x, log_x


def _powers(size: int, points: int) -> list[tuple[int, ...]]:
    """Return the monomials of the highest total degree (at most 6) that leave four points per coefficient."""
    powers: list[tuple[int, ...]] = [()]
    for degree in range(1, 7):
        more = list(combinations_with_replacement(range(size), degree))
        if size == 0 or 4 * (len(powers) + len(more)) > points:
            break
        powers += more
    return powers
