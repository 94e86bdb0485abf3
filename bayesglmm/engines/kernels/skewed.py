"""An explicit density for the hyperparameters: a product of two-piece Student t densities in rotated coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesglmm.blocks import Floats

# A little heavier than normal, so that importance ratios stay bounded; and for tails that are much heavier.
LIGHT, HEAVY = 10.0, 3.0
NORMAL = 100.0  # in many dimensions every heavy tail costs: most draws would lie far out on some axis


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
    freedom : ndarray, shape (2, t)
        Degrees of freedom of the Student t on each side.
    """

    centre: Floats
    axes: Floats
    scale: Floats
    freedom: Floats

    def standardise(self, theta: Floats) -> Floats:
        """Return the coordinates in units of the scale on their side, shape (draws, t)."""
        s = np.linalg.solve(self.axes, (theta - self.centre).T).T
        return np.asarray(s / np.where(s < 0, self.scale[0], self.scale[1]))

    def quantile(self, uniform: Floats) -> Floats:
        """Return theta for uniform numbers in (0, 1), shape (draws, t); random or a net."""
        below = self._below()
        tail = np.where(uniform < below, 0.5 * uniform / below, 0.5 + 0.5 * (uniform - below) / (1 - below))
        low = tail < 0.5
        t = special.stdtrit(np.where(low, self.freedom[0], self.freedom[1]), np.clip(tail, 1e-9, 1 - 1e-9))
        return np.asarray(self.centre + (t * np.where(low, self.scale[0], self.scale[1])) @ self.axes.T)

    def _below(self) -> Floats:
        """Return the mass below the centre on each axis: such that the density is continuous there."""
        from scipy import stats

        mass = self.scale / stats.t.pdf(0.0, self.freedom)
        return np.asarray(mass[0] / mass.sum(axis=0))

    def logpdf(self, theta: Floats) -> Floats:
        """Return log q, shape (draws,)."""
        from scipy import stats

        t = self.standardise(theta)
        low, below = t < 0, self._below()
        own = stats.t.logpdf(t, np.where(low, self.freedom[0], self.freedom[1]))
        own = own + np.log(np.where(low, 2.0 * below / self.scale[0], 2.0 * (1.0 - below) / self.scale[1]))
        return np.asarray(own.sum(axis=1) - np.linalg.slogdet(self.axes)[1])
