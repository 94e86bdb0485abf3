"""Cyclic cubic regression splines: value, slope and curvature at the two ends are the same (Wood 2017, 5.3.2)."""

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
    ends_of,
    order,
    require_distinct,
)
from bayesglmm.errors import DataError


@dataclass(frozen=True, eq=False)
class FittedCyclic(FittedBasis):
    """A periodic cubic spline.

    Attributes
    ----------
    knots : ndarray, shape (k + 1,)
        The last one is the first one again, a period later.
    curvatures : ndarray, shape (k, k)
        Second derivatives at the knots as linear functions of the values there.
    """

    knots: Floats
    curvatures: Floats
    penalties: tuple[Floats, ...]
    null: tuple[Monomial, ...]

    def columns(self, x: Floats) -> Floats:
        knots, size = self.knots, len(self.knots) - 1
        period = knots[-1] - knots[0]
        values = x[:, 0]
        outside = (values < knots[0]) | (values > knots[-1])
        values = np.where(outside, knots[0] + np.mod(values - knots[0], period), values)
        j = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, size - 1)
        following = (j + 1) % size
        h = knots[j + 1] - knots[j]
        left, right = knots[j + 1] - values, values - knots[j]
        out = ((left**3 / h - h * left) / 6.0)[:, None] * self.curvatures[j]
        out += ((right**3 / h - h * right) / 6.0)[:, None] * self.curvatures[following]
        rows = np.arange(len(values))
        out[rows, j] += left / h
        out[rows, following] += right / h
        return out


class CyclicCubic(Basis):
    """The period is the range of the data, or from ``knots=c(0, 24)``; values outside are wrapped around."""

    name = "cc"
    title = "cyclic cubic regression spline"
    takes_knots = True
    in_values = True

    def fit(self, x: Floats, options: BasisOptions) -> FittedCyclic:
        if order(options, (2,), (2,)) != (2,):
            raise DataError("m= is fixed at 2: the second derivative is penalised.")
        k = basis_size(options, 10, 4, self.title)
        low, high = ends_of(x, options)
        distinct = np.unique(np.concatenate([np.ravel(require_distinct(x, k)), [low, high]]))
        knots = np.quantile(distinct, np.linspace(0.0, 1.0, k))
        D, B = _periodic_differences(np.diff(knots))
        curvatures = np.linalg.solve(B, D)
        penalty = D.T @ curvatures
        return FittedCyclic(knots, curvatures, ((penalty + penalty.T) / 2.0,), ((0,),))


def _periodic_differences(h: Floats) -> tuple[Floats, Floats]:
    """Return D and B, both (k, k), with B gamma = D values for the second derivatives gamma at the knots."""
    size = len(h)
    before = np.roll(h, 1)
    D, B = np.zeros((size, size)), np.zeros((size, size))
    i = np.arange(size)
    for offset, d, b in ((0, -1.0 / before - 1.0 / h, (before + h) / 3.0), (1, 1.0 / h, h / 6.0)):
        D[i, (i + offset) % size] += d
        B[i, (i + offset) % size] += b
    D[i, i - 1] += 1.0 / before
    B[i, i - 1] += before / 6.0
    return D, B


BASES.register(CyclicCubic())
