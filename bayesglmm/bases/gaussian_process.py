"""Gaussian processes of low rank: ``bs="gp"`` (Kammann and Wand 2003; Wood 2017, section 5.8.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from bayesglmm.bases.base import (
    BASES,
    Basis,
    BasisOptions,
    FittedBasis,
    Floats,
    Monomial,
    basis_size,
    evaluate_monomials,
    monomials,
    require_distinct,
    require_plane,
)
from bayesglmm.bases.thin_plate import centres, largest
from bayesglmm.errors import DataError

SPHERICAL, POWER_EXPONENTIAL, MATERN_3_2, MATERN_5_2, MATERN_7_2 = 1, 2, 3, 4, 5
_PIECE = 2**22


@dataclass(frozen=True, eq=False)
class FittedProcess(FittedBasis):
    """A Gaussian process at new points, given its largest eigenvectors at the data points, and a trend.

    Attributes
    ----------
    points : ndarray, shape (nu, d)
        Centred data points.
    centre : ndarray, shape (d,)
    kernel : int
        1 spherical, 2 power exponential, 3 to 5 Matern with smoothness 3/2, 5/2, 7/2.
    reach, power : float
        Distances are divided by `reach`; `power` is that of the exponential kernel.
    weights : ndarray, shape (nu, q)
        Eigenvectors.
    trend : tuple of Monomial
        The constant, and unless the process is stationary the covariates.
    """

    points: Floats
    centre: Floats
    kernel: int
    reach: float
    power: float
    weights: Floats
    trend: tuple[Monomial, ...]
    penalties: tuple[Floats, ...]
    null: tuple[Monomial, ...]
    left_out: int = 0

    def columns(self, x: Floats) -> Floats:
        centred, q = x - self.centre, self.weights.shape[1]
        out = np.empty((len(x), q + len(self.trend)))
        out[:, q:] = evaluate_monomials(centred, self.trend)
        step = max(1, _PIECE // len(self.points))
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            E = correlation(cdist(centred[part], self.points) / self.reach, self.kernel, self.power)
            out[part, :q] = E @ self.weights
        return out


class GaussianProcess(Basis):
    """``m=c(kernel, range, power)`` as in mgcv: Matern 3/2 with the largest distance as its range if not given.

    A negative kernel number leaves the linear trend out, so that the process is stationary.
    """

    name = "gp"
    title = "Gaussian process of low rank"
    dimensions = (1, 4)

    def fit(self, x: Floats, options: BasisOptions) -> FittedProcess:
        d = x.shape[1]
        kernel, reach, power, stationary = _kernel(options)
        k = basis_size(options, d + 1 + (10, 30, 100)[min(d, 3) - 1], d + 2, f"a {self.title} of {d} covariates")
        points = centres(require_distinct(x, k))
        centre = x.mean(axis=0)
        points = points - centre
        trend = monomials(d, 0 if stationary else 1)
        if d > 1:
            require_plane(points, trend)
        distances = cdist(points, points)
        reach = float(distances.max()) if reach <= 0.0 else reach
        values, vectors = largest(correlation(distances / reach, kernel, power), k - len(trend))
        # over a long range a process has few directions in which it varies at all; rounding makes up the others
        seen = values > np.finfo(float).eps * len(points) * values.max()
        left_out = int(np.sum(~seen))
        values, vectors = values[seen], vectors[:, seen]
        penalty = np.diag(np.concatenate([values, np.zeros(len(trend))]))
        return FittedProcess(points, centre, kernel, reach, power, vectors, trend, (penalty,), trend, left_out)


def _kernel(options: BasisOptions) -> tuple[int, float, float, bool]:
    m = options.m
    kernel = int(abs(m[0])) if m else MATERN_3_2
    reach = m[1] if len(m) > 1 else -1.0
    power = m[2] if len(m) > 2 else 1.0
    if len(m) > 3 or (m and m[0] != int(m[0])) or not 1 <= kernel <= 5 or not 0.0 < power <= 2.0:
        raise DataError(
            "m= of a Gaussian process is c(kernel, range, power): kernel 1 (spherical), 2 (power exponential), "
            "3, 4, 5 (Matern 3/2, 5/2, 7/2), negative without a linear trend; power above 0 and at most 2."
        )
    return kernel, reach, power, bool(m and m[0] < 0)


def correlation(r: Floats, kernel: int, power: float = 1.0) -> Floats:
    """Return the correlation at scaled distances r."""
    if kernel == SPHERICAL:
        return np.where(r <= 1.0, 1.0 - 1.5 * r + 0.5 * r**3, 0.0)
    if kernel == POWER_EXPONENTIAL:
        return np.asarray(np.exp(-(r**power)))
    decay = np.exp(-r)
    if kernel == MATERN_3_2:
        return np.asarray((1.0 + r) * decay)
    if kernel == MATERN_5_2:
        return np.asarray((1.0 + r + r**2 / 3.0) * decay)
    return np.asarray((1.0 + r + 0.4 * r**2 + r**3 / 15.0) * decay)


BASES.register(GaussianProcess())
