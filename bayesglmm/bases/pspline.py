"""P-splines: B-splines on even knots with a penalty on differences of coefficients (Eilers and Marx 1996)."""

from __future__ import annotations

import numpy as np

from bayesglmm.bases.base import BASES, Basis, BasisOptions, Floats, basis_size, ends_of, order, require_distinct
from bayesglmm.bases.bspline import FittedBSpline


class PSpline(Basis):
    """``m=c(2, 2)``: the first number plus one is the degree (3: cubic), the second the order of the differences."""

    name = "ps"
    title = "P-spline"
    takes_knots = True

    def fit(self, x: Floats, options: BasisOptions) -> FittedBSpline:
        m, differences = order(options, (2, 2), (0, 0))
        k = basis_size(options, max(10, m + 1), max(m + 2, differences + 1), f"a {self.title} with these orders")
        require_distinct(x, min(k, 3))
        degree, spans = m + 1, k - m - 1
        low, high = ends_of(x, options)
        margin = 0.001 * (high - low)
        low, high = low - margin, high + margin
        step = (high - low) / spans
        knots = np.linspace(low - step * degree, high + step * degree, spans + 1 + 2 * degree)
        D = np.diff(np.eye(k), n=differences, axis=0)
        return FittedBSpline(knots, degree, (D.T @ D,), tuple((power,) for power in range(differences)))


BASES.register(PSpline())
