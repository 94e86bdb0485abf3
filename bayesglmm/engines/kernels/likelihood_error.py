"""How far would maximum likelihood estimates move if their approximation were replaced by quadrature?

The log-likelihood with more nodes differs from the approximation by D(psi). One step of Newton's method from its
maximum, with the covariance C of its estimates, is C dD/dpsi: in standard errors the price of the approximation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.engines.kernels.likelihood import Estimation, hyperparameter_labels
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.graph.latent import LatentView

_NODES = {1: 15, 2: 9, 3: 5}
_STEP = 0.1  # of the differences, in standard errors: D is smooth, and its own error is of second order in the step


@dataclass(frozen=True)
class LikelihoodError:
    """What an approximation of the likelihood costs a maximum likelihood fit.

    Attributes
    ----------
    loglik : float
        Log-likelihood by quadrature minus the approximate one, both at the estimates.
    shifts : dict of str to float
        By parameter, in standard errors; standard deviations and dispersions on the log scale.
    """

    loglik: float
    shifts: dict[str, float]


def likelihood_error(view: LatentView, estimation: Estimation) -> LikelihoodError:
    """Compare an approximation with quadrature at its estimates.

    Parameters
    ----------
    view : LatentView
    estimation : Estimation
        By ``"ml"`` and with one node.

    Raises
    ------
    SettingsError
        Where the likelihood does not factorise by level; see `Quadrature`.
    """
    finer = Quadrature(view, _NODES[Quadrature(view, 1).corner.width])
    found, t = estimation(view), view.theta_size
    objective, start = found.objective, found.mode.x[finer.structure.inner]

    def difference(psi: np.ndarray) -> float:
        mode = objective.mode(psi, found.mode)
        return finer(psi[:t], psi[t:], start)[0] - mode.log_marginal

    errors = np.sqrt(np.maximum(np.diag(found.covariance), 0.0))
    slope = np.zeros(len(found.psi))
    for j in np.flatnonzero(errors > 0):
        step = np.zeros(len(found.psi))
        step[j] = _STEP * errors[j]
        slope[j] = (difference(found.psi + step) - difference(found.psi - step)) / (2.0 * step[j])
    known = view.problem.labels()
    labels = hyperparameter_labels(view) + [
        label for part in view.parts if part.role == "fixed" for label in known[part.name]
    ]
    moved = found.covariance @ slope
    shifts = {label: float(moved[j] / errors[j]) for j, label in enumerate(labels[: len(errors)]) if errors[j] > 0}
    return LikelihoodError(difference(found.psi), shifts)
