"""Truncated lines (x - kappa)_+: the classical mixed-model smoother (Ruppert, Wand and Carroll 2003, section 4.9)."""

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


@dataclass(frozen=True, eq=False)
class FittedTruncated(FittedBasis):
    """Powers of x, and of what x exceeds each knot by.

    Attributes
    ----------
    knots : ndarray, shape (k - degree - 1,)
        On the scale of x without centre and scale.
    degree : int
    centre, scale : float
        x enters as (x - centre) / scale, so that powers stay of comparable size.
    """

    knots: Floats
    degree: int
    centre: float
    scale: float
    penalties: tuple[Floats, ...]
    null: tuple[Monomial, ...]

    def columns(self, x: Floats) -> Floats:
        values = (x - self.centre) / self.scale
        return np.hstack([values ** np.arange(self.degree + 1), np.maximum(values - self.knots, 0.0) ** self.degree])


class TruncatedLines(Basis):
    """The penalty is the sum of squares of the changes of slope at the knots; ``m=2`` is for quadratics."""

    name = "tl"
    title = "truncated line basis"

    def fit(self, x: Floats, options: BasisOptions) -> FittedTruncated:
        degree = order(options, (1,), (1,))[0]
        distinct = np.unique(x)
        default = max(min(len(distinct) // 4, 35), 1) + degree + 1  # fewer values than that: `require_distinct`
        k = basis_size(options, default, degree + 2, f"a {self.title} of degree {degree}")
        require_distinct(x, k)
        centre, scale = float(distinct.mean()), float(np.ptp(distinct)) / 2.0
        knots = np.quantile(distinct, np.linspace(0.0, 1.0, k - degree + 1))[1:-1]
        penalty = np.diag([0.0] * (degree + 1) + [1.0] * len(knots))
        null = tuple((power,) for power in range(degree + 1))
        return FittedTruncated((knots - centre) / scale, degree, centre, scale, (penalty,), null)


BASES.register(TruncatedLines())
