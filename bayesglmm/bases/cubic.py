"""Natural cubic regression splines in terms of their values at the knots: ``bs="cr"``, with shrinkage ``"cs"``.

Wood (2017), Generalized Additive Models, section 5.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.bases.base import (
    BASES,
    Basis,
    BasisOptions,
    FittedBasis,
    Floats,
    Monomial,
    basis_size,
    order,
    require_distinct,
)
from bayesglmm.bases.shrinkage import shrunk
from bayesglmm.errors import DataError


@dataclass(frozen=True, eq=False)
class FittedCubic(FittedBasis):
    """A cubic spline with linear ends.

    Attributes
    ----------
    knots : ndarray, shape (k,)
    curvatures : ndarray, shape (k, k)
        Second derivatives at the knots as linear functions of the values there.
    """

    knots: Floats
    curvatures: Floats
    penalties: tuple[Floats, ...]
    null: tuple[Monomial, ...]

    def columns(self, x: Floats) -> Floats:
        values, knots = x[:, 0], self.knots
        inside = np.clip(values, knots[0], knots[-1])
        j = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(knots) - 2)
        h = knots[j + 1] - knots[j]
        left, right = knots[j + 1] - inside, inside - knots[j]
        out = np.zeros((len(values), len(knots)))
        rows = np.arange(len(values))
        out[rows, j] += left / h
        out[rows, j + 1] += right / h
        out += ((left**3 / h - h * left) / 6.0)[:, None] * self.curvatures[j]
        out += ((right**3 / h - h * right) / 6.0)[:, None] * self.curvatures[j + 1]
        beyond = values - inside
        if np.any(beyond):  # the ends are linear: go on with the slope there
            slope = np.zeros_like(out)
            slope[rows, j] -= 1.0 / h
            slope[rows, j + 1] += 1.0 / h
            slope += ((h - 3.0 * left**2 / h) / 6.0)[:, None] * self.curvatures[j]
            slope += ((3.0 * right**2 / h - h) / 6.0)[:, None] * self.curvatures[j + 1]
            out += beyond[:, None] * slope
        return out


class CubicRegression(Basis):
    """The penalty is the integral of the squared second derivative; knots at quantiles of the distinct values."""

    name = "cr"
    title = "cubic regression spline"
    in_values = True
    shrink: float | None = None

    def fit(self, x: Floats, options: BasisOptions) -> FittedCubic:
        if order(options, (2,), (2,)) != (2,):
            raise DataError("m= is fixed at 2 (the second derivative is penalised); for other orders use bs='ps'.")
        k = basis_size(options, 10, 3, self.title)
        knots = np.quantile(require_distinct(x, k)[:, 0], np.linspace(0.0, 1.0, k))
        D, B = _second_differences(knots)
        interior = np.linalg.solve(B, D)
        curvatures = np.vstack([np.zeros(k), interior, np.zeros(k)])
        penalty = D.T @ interior
        penalty = (penalty + penalty.T) / 2.0
        if self.shrink is None:
            return FittedCubic(knots, curvatures, (penalty,), ((0,), (1,)))
        return FittedCubic(knots, curvatures, (shrunk(penalty, 2, self.shrink, stepwise=True),), ())


class ShrunkenCubic(CubicRegression):
    """Like `cr`, but constants and lines are penalised too, a little: the whole smooth can shrink to nothing."""

    name = "cs"
    title = "cubic regression spline with shrinkage"
    shrink = 0.1


def _second_differences(knots: Floats) -> tuple[Floats, Floats]:
    """Return D (k-2, k) and B (k-2, k-2) with B gamma = D values for the second derivatives gamma inside."""
    h = np.diff(knots)
    k = len(knots)
    D, B = np.zeros((k - 2, k)), np.zeros((k - 2, k - 2))
    i = np.arange(k - 2)
    D[i, i] = 1.0 / h[:-1]
    D[i, i + 1] = -1.0 / h[:-1] - 1.0 / h[1:]
    D[i, i + 2] = 1.0 / h[1:]
    B[i, i] = (h[:-1] + h[1:]) / 3.0
    B[i[:-1], i[1:]] = B[i[1:], i[:-1]] = h[1:-1] / 6.0
    return D, B


BASES.register(CubicRegression())
BASES.register(ShrunkenCubic())
