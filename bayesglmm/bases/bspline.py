"""B-splines, which P-splines and O'Sullivan splines share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

from bayesglmm.bases.base import FittedBasis, Floats, Monomial


@dataclass(frozen=True, eq=False)
class FittedBSpline(FittedBasis):
    """B-splines on fixed knots; beyond the ends they go on as straight lines.

    Attributes
    ----------
    knots : ndarray, shape (k + degree + 1,)
    degree : int
    """

    knots: Floats
    degree: int
    penalties: tuple[Floats, ...]
    null: tuple[Monomial, ...]

    def columns(self, x: Floats) -> Floats:
        values, knots = x[:, 0], self.knots
        low, high = knots[self.degree], knots[len(knots) - 1 - self.degree]
        inside = np.clip(values, low, high)
        out = bspline(knots, self.degree, inside)
        outside = values != inside
        if outside.any():
            slopes = bspline(knots, self.degree, inside[outside], 1)
            out[outside] += (values - inside)[outside, None] * slopes
        return out


def bspline(knots: Floats, degree: int, x: Floats, derivative: int = 0) -> Floats:
    """Return B-splines or their derivatives at x (n,), shape (n, k)."""
    k = len(knots) - degree - 1
    spline = BSpline(knots, np.eye(k), degree, extrapolate=True)
    return np.asarray((spline.derivative(derivative) if derivative else spline)(x), dtype=float)


def derivative_penalty(knots: Floats, degree: int, order: int) -> Floats:
    """Return the integral of products of derivatives of the given order, shape (k, k).

    Gauss-Legendre quadrature between knots, exact for these polynomials; for cubic splines and second derivatives
    it is Simpson's rule of Wand and Ormerod (2008).
    """
    nodes, weights = np.polynomial.legendre.leggauss(max(degree - order + 1, 1))
    ends = np.unique(knots)
    half = np.diff(ends) / 2.0
    x = (ends[:-1] + half)[:, None] + half[:, None] * nodes
    w = half[:, None] * weights
    B = bspline(knots, degree, x.ravel(), order)
    return np.asarray(B.T @ (w.ravel()[:, None] * B))
