"""Exact against approximate density of (theta, beta) where the posterior factorises by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import MarginalObjective
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.linalg import NotPositiveDefiniteError

_LOG_2PI = float(np.log(2.0 * np.pi))
_DRAWS = 8  # of the coefficients at each theta, in antithetic pairs


@dataclass(frozen=True, eq=False)
class Marginal:
    """The normal approximation of p(beta | y, theta) at one theta.

    Attributes
    ----------
    theta : ndarray, shape (t,)
    centre : ndarray, shape (p,)
    root : ndarray, shape (p, p)
        Lower Cholesky factor of the covariance.
    near : ndarray
        Group effects at the mode, where searches start.
    """

    theta: Floats
    centre: Floats
    root: Floats
    near: Floats

    def logpdf(self, beta: Floats) -> float:
        """Return the log density."""
        z = np.linalg.solve(self.root, beta - self.centre)
        return float(-0.5 * z @ z - np.log(np.diag(self.root)).sum() - 0.5 * len(z) * _LOG_2PI)


class GroupedRatio:
    """log p(y, beta, theta) - log q(beta | theta), group effects integrated out by quadrature.

    Parameters
    ----------
    objective : MarginalObjective
        Of kind ``"posterior"``.
    nodes : int or None
        Per group effect; by the number of effects if None.
    """

    def __init__(self, objective: MarginalObjective, nodes: int | None = None) -> None:
        self.view = objective.view
        width = Quadrature(self.view, 1).corner.width
        self.quadrature = Quadrature(self.view, nodes or {1: 9, 2: 5, 3: 5}[width])
        structure = self.quadrature.structure
        self.at, self.inner = structure.coefficients, structure.inner
        self.mean = self.view.mean[self.at]
        Q = self.view.precision(np.zeros(self.view.theta_size))[self.at, :][:, self.at]
        self.precision = np.asarray(Q.toarray(), dtype=float)
        flat = self.view.log_prior_x(self.view.mean, np.zeros(self.view.theta_size))
        self.constant = flat + 0.5 * len(self.inner) * _LOG_2PI

    def marginal(self, mode: ConditionalMode, centre: Floats) -> Marginal:
        """Return the normal approximation of the coefficients at a mode, with a corrected centre."""
        units = np.zeros((self.view.size, len(self.at)))
        units[self.at, np.arange(len(self.at))] = 1.0
        covariance = mode.factor.solve(units)[self.at]
        root = np.linalg.cholesky(0.5 * (covariance + covariance.T)) if len(self.at) else np.zeros((0, 0))
        return Marginal(mode.theta, centre[self.at], root, mode.x[self.inner])

    def __call__(self, marginal: Marginal, beta: Floats, log_prior: float, near: Floats | None = None) -> float:
        """Return the log ratio at one beta; nan where there is no mode.

        Parameters
        ----------
        marginal : Marginal
        beta : ndarray, shape (p,)
        log_prior : float
            Of theta.
        near : ndarray, optional
            Group effects to start from.
        """
        deviation = beta - self.mean
        prior = self.constant - 0.5 * float(deviation @ self.precision @ deviation) + log_prior
        try:
            value = self.quadrature(marginal.theta, beta, marginal.near if near is None else near)[0]
        except NotPositiveDefiniteError:
            return np.nan
        return value + prior - marginal.logpdf(beta)

    def log_marginal(self, marginal: Marginal, log_prior: float, random: np.random.Generator) -> float:
        """Return log p(y, theta), the coefficients integrated out by importance sampling."""
        p = len(self.at)
        z = random.standard_normal((_DRAWS // 2, p)) if p else np.zeros((1, 0))
        both = np.concatenate([z, -z]) if p else z
        ratios = np.array([self(marginal, marginal.centre + marginal.root @ one, log_prior) for one in both])
        top = float(np.max(ratios))
        return top + float(np.log(np.mean(np.exp(ratios - top))))
