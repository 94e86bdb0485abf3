"""Where Metropolis chains begin and what their first proposals are scaled by: the mode of Laplace's approximation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import structure_of
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import Report, maximise, safe_inverse
from bayesglmm.errors import NoDerivativeError
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import NotPositiveDefiniteError

_SPREAD = 1.5  # of starts, in posterior standard deviations
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Centre:
    """A point in the middle of the posterior, roughly.

    Attributes
    ----------
    theta : ndarray, shape (t,)
        Unconstrained hyperparameters.
    x : ndarray, shape (size,)
        Coefficients there.
    covariance : ndarray, shape (t, t)
        Of theta.
    jacobian : ndarray, shape (size, t)
        Of the conditional mode in theta.
    found : bool
        Whether this is the mode of Laplace's approximation, not merely where searches start.
    """

    theta: Floats
    x: Floats
    covariance: Floats
    jacobian: Floats
    found: bool = True

    def starts(self, rng: np.random.Generator) -> Iterator[Floats]:
        """Yield candidates for theta, each nearer to the centre than the one before."""
        root = np.linalg.cholesky(self.covariance) if len(self.theta) else np.zeros((0, 0))
        for k in range(_TRIES):
            yield self.theta + _SPREAD * 0.7**k * (root @ rng.standard_normal(len(self.theta)))
        yield self.theta


def centre_of(view: LatentView, report: Report | None = None) -> Centre:
    """Return the mode of Laplace's approximation; where there is none, where searches start."""
    if "centre" not in view.kept:
        try:
            optimum = maximise(view, report=report)
        except (NotPositiveDefiniteError, NoDerivativeError):
            t = view.theta_size
            x = structure_of(view).start.copy()
            view.kept["centre"] = Centre(view.initial_theta, x, 0.1 * np.eye(t), np.zeros((view.size, t)), False)
        else:
            covariance = safe_inverse(optimum.curvature)
            jacobian = LaplaceObjective(view).jacobian(optimum.mode)
            view.kept["centre"] = Centre(optimum.psi, optimum.mode.x, covariance, jacobian)
    found: Centre = view.kept["centre"]
    return found
