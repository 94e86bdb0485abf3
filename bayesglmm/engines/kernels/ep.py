"""Expectation propagation as a function of the hyperparameters, with its gradient.

log Z is stationary in the sites, so its derivative is the one with the sites held: of log |H| and of the sites at the
mean as in Laplace's approximation without a third derivative, and of the normalisers of the tilted distributions,
d log Zhat_i / d phi = E dl_i / d phi (Seeger 2005; Rasmussen and Williams 2006, section 5.5.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.adjoint import Expansion
from bayesglmm.engines.kernels.ep_cells import cells_of
from bayesglmm.engines.kernels.ep_sites import Approximation, FixedPoint, Schedule
from bayesglmm.engines.kernels.ep_tilted import tilted_means
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import MarginalObjective, Objective
from bayesglmm.graph.latent import LatentView


class EPObjective(MarginalObjective):
    """log Z of expectation propagation, for models with one linear predictor; see `MarginalObjective`.

    Parameters
    ----------
    view : LatentView
    kind : {"posterior", "ml", "reml"}
    schedule : Schedule
        How fixed points are searched.
    """

    name = "expectation propagation"
    engine = "ep"
    centred_at = "fixed point"
    level_nodes: ClassVar[Mapping[int, int]] = {1: 25, 2: 9}  # a normal as wide as a skewed density
    single = False

    def __init__(self, view: LatentView, kind: Objective = "posterior", schedule: Schedule | None = None) -> None:
        super().__init__(view, kind)
        self.schedule = Schedule() if schedule is None else schedule

    def mode(
        self,
        psi: Floats,
        start: ConditionalMode | Floats | None = None,
        log_prior: float | None = None,
        predicted: bool = False,
    ) -> Approximation:
        """Return the fixed point; arguments as in `MarginalObjective.mode`.

        Sites are searched from those of `start`, where it has any, whether it is `predicted` or not: the gradient
        is right at a fixed point only.
        """
        theta, coefficients, log_prior = self._read(psi, log_prior)
        search = FixedPoint(self.structure, theta, coefficients, self.schedule)
        return search.run(start if isinstance(start, Approximation) else None, log_prior)

    def expansion(self, mode: ConditionalMode) -> Expansion:
        """Return the derivatives of the sites; of those in the dispersions the means over tilted distributions."""
        assert isinstance(mode, Approximation)
        work, cells = mode.work, cells_of(self.structure)
        n, F = self.structure.n, sum(cells.sizes.values())
        d1 = cells.by_row(mode.sites.shift)[None] + work.d2[0] * work.etas
        dphi, d1phi = np.zeros((F, n)), np.zeros((F, 1, n))
        if F:
            dphi, d1phi = (cells.by_row(means) for means in tilted_means(cells, work.phi, mode.cavity))
        return Expansion(d1, work.d2, np.zeros((1, 1, 1, n)), dphi, d1phi, np.zeros((F, 1, 1, n)))

    def centre(self, mode: ConditionalMode, guess: Floats | None = None) -> Floats:
        """Return the mean, which is what is matched."""
        return mode.x

    def moved(self, mode: ConditionalMode, step: Floats) -> ConditionalMode:
        """Return the fixed point itself: its sites are where the next search starts."""
        return mode
