"""An explicit density for the hyperparameters: a product of two-piece Student t densities in rotated coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from bayesglmm.blocks import Floats

_FREEDOM = 10.0  # a little heavier than normal, so that importance ratios stay bounded


@dataclass(frozen=True, eq=False)
class SkewedDensity:
    """q(theta): theta = centre + axes s, the s_j independent, each a Student t scaled by its side.

    Different scales on the two sides follow the skewness of a log standard deviation (Fernandez and Steel 1998; as
    INLA does with normal pieces, Rue, Martino and Chopin 2009, section 6.5).

    Attributes
    ----------
    centre : ndarray, shape (t,)
    axes : ndarray, shape (t, t)
    scale : ndarray, shape (2, t)
        Below and above the centre.
    """

    centre: Floats
    axes: Floats
    scale: Floats

    def standardise(self, theta: Floats) -> Floats:
        """Return the coordinates in units of the scale on their side, shape (draws, t)."""
        s = np.linalg.solve(self.axes, (theta - self.centre).T).T
        return np.asarray(s / np.where(s < 0, self.scale[0], self.scale[1]))

    def quantile(self, uniform: Floats) -> Floats:
        """Return theta for uniform numbers in (0, 1), shape (draws, t); random or a net."""
        below = self.scale[0] / self.scale.sum(axis=0)
        tail = np.where(uniform < below, 0.5 * uniform / below, 0.5 + 0.5 * (uniform - below) / (1 - below))
        t = special.stdtrit(_FREEDOM, np.clip(tail, 1e-12, 1 - 1e-12))
        return np.asarray(self.centre + (t * np.where(t < 0, self.scale[0], self.scale[1])) @ self.axes.T)

    def logpdf(self, theta: Floats) -> Floats:
        """Return log q, shape (draws,)."""
        t = self.standardise(theta)
        constant = np.log(2.0 / self.scale.sum(axis=0)).sum() - np.linalg.slogdet(self.axes)[1]
        return np.asarray(stats.t.logpdf(t, _FREEDOM).sum(axis=1) + constant)
