"""O'Sullivan penalised splines (Wand and Ormerod 2008, Australian and New Zealand Journal of Statistics 50)."""

from __future__ import annotations

import numpy as np

from bayesglmm.bases.base import BASES, Basis, BasisOptions, Floats, basis_size, order, require_distinct
from bayesglmm.bases.bspline import FittedBSpline, derivative_penalty


class OSullivan(Basis):
    """Smoothing splines of low rank: B-splines with the integral of a squared derivative as the penalty.

    Interior knots are at quantiles of the distinct values, the ends 5 percent outside of the data. ``m=2`` is the
    derivative that is penalised, with splines of degree 2m - 1.
    """

    name = "os"
    title = "O'Sullivan penalised spline"

    def fit(self, x: Floats, options: BasisOptions) -> FittedBSpline:
        m = order(options, (2,), (1,))[0]
        degree = 2 * m - 1
        distinct = np.unique(x)
        default = min(len(distinct) // 4, 35) + degree + 1
        k = basis_size(options, default, degree + 1, f"an {self.title} of degree {degree}")
        require_distinct(x, min(k, degree + 2))
        low, high = distinct[0], distinct[-1]
        margin = 0.05 * (high - low)
        interior = np.quantile(distinct, np.linspace(0.0, 1.0, k - degree + 1))[1:-1]
        ends = np.repeat([low - margin, high + margin], degree + 1)
        knots = np.concatenate([ends[: degree + 1], interior, ends[degree + 1 :]])
        penalty = derivative_penalty(knots, degree, m)
        return FittedBSpline(knots, degree, (penalty,), tuple((power,) for power in range(m)))


BASES.register(OSullivan())
