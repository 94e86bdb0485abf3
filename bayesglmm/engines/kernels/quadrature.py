"""Adaptive Gauss-Hermite quadrature over the effects of one grouping factor, one or several per level.

Given hyperparameters and population coefficients the levels are independent, so the marginal likelihood is a
product of small integrals. Nodes are centred at each level's mode and scaled with the Cholesky factor of its
curvature there (Liu and Pierce 1994, Pinheiro and Bates 1995; lme4's nAGQ for one effect per level).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy import special

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode, find_mode
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.parted import PartedView

_MOST_EFFECTS = 3
_LOG_2PI = float(np.log(2.0 * np.pi))


class Quadrature:
    """log p(y | theta, beta), the group effects integrated out numerically.

    Parameters
    ----------
    view : LatentView
    nodes : int
        Per effect; 1 is Laplace's approximation.

    Raises
    ------
    SettingsError
        If the marginal likelihood does not factorise by level, or a level has more than three effects.
    """

    def __init__(self, view: LatentView, nodes: int) -> None:
        if isinstance(view, PartedView):
            raise SettingsError("Quadrature needs all rows in memory at once: fit without parts.")
        if view.problem.residual is not None:
            raise SettingsError(
                "Quadrature is for families where Laplace's approximation is not exact. With correlated residuals "
                'the response is normal: model.fit("laplace", objective="ml") is exact as it is.'
            )
        coupled = next((part.block for part in view.problem.blocks if part.block.latent == "precision"), None)
        if coupled is not None:
            raise SettingsError(
                "Quadrature integrates out up to three effects per level, level by level. "
                f"`{coupled.label}` couples {len(coupled.levels) * len(coupled.terms):,} effects by a sparse "
                'precision. Use model.fit("laplace"), with resample=True where its verdict is not good, or '
                'model.fit("nuts").'
            )
        self.view = view
        self.structure = Structure(view, outer=True, flat=True, smallest=1)
        pattern = self.structure.pattern
        if len(pattern.corners) != 1 or len(pattern.border):
            raise SettingsError(
                "Quadrature needs exactly one grouping factor and no smooths: otherwise the marginal likelihood is "
                'no product over levels. Use model.fit("laplace"), with resample=True where its verdict is not good, '
                'or model.fit("nuts").'
            )
        self.corner = pattern.corners[0]
        if self.corner.width > _MOST_EFFECTS:
            raise SettingsError(
                f"With {self.corner.width} effects per level quadrature needs {nodes}^{self.corner.width} nodes: "
                f'at most {_MOST_EFFECTS} are allowed. Use model.fit("laplace") or model.fit("nuts").'
            )
        points, weights = hermegauss(nodes)
        grid = list(product(range(nodes), repeat=self.corner.width))
        self.nodes = np.array([[points[j] for j in row] for row in grid])
        self.log_weights = np.array([np.log(weights[list(row)]).sum() for row in grid])

    def __call__(self, theta: Floats, beta: Floats, near: Floats | None = None) -> tuple[float, ConditionalMode]:
        """Evaluate.

        Parameters
        ----------
        theta : ndarray, shape (t,)
        beta : ndarray
            Population coefficients, at the structure's `coefficients`.
        near : ndarray, optional
            Start for the group effects.

        Returns
        -------
        value : float
        mode : ConditionalMode
            Of the group effects.
        """
        mode = find_mode(self.structure, theta, beta, near, 0.0)
        return float(self.by_level(mode, beta).sum()), mode

    def by_level(self, mode: ConditionalMode, beta: Floats) -> Floats:
        """Return the log integral of every level, shape (levels,)."""
        corner, view, work = self.corner, self.view, mode.work
        inverse = mode.factor.inverse_L[0]  # type: ignore[attr-defined]
        centre = work.inner[corner.columns]
        offset = self.structure.offset(view.natural(mode.theta), beta)
        found = np.empty((len(self.nodes), corner.levels))
        x = np.empty(self.structure.pattern.size)
        for k, z in enumerate(self.nodes):
            u = centre + np.einsum("lba,b->la", inverse, z)
            x[corner.columns] = u
            with np.errstate(over="ignore", invalid="ignore"):
                rows = view.elementwise(list(offset + work.rows.eta(x)), work.phi, 0)
            log_prior = -0.5 * (u * u).sum(axis=1) - 0.5 * corner.width * _LOG_2PI
            found[k] = np.bincount(corner.index, rows.value, corner.levels) + log_prior + 0.5 * z @ z
        log_scale = np.log(np.einsum("lkk->lk", inverse)).sum(axis=1)
        total: Floats = special.logsumexp(found + self.log_weights[:, None], axis=0) + log_scale
        return total


def factorises(view: LatentView) -> bool:
    """Return whether `Quadrature` can serve a model."""
    try:
        Quadrature(view, 1)
    except SettingsError:
        return False
    return True
