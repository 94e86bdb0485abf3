"""Skewness of the conditional posterior, coefficient by coefficient, from the third derivatives of the likelihood.

A normal approximation has none. To first order in the third derivatives the third cumulant of coefficient x_j is
sum_i l'''_i cov(x_j, eta_i)^3 over all rows (Tierney and Kadane 1986); for a coefficient of a group only the rows of
its own level count, since the others' covariances are small and cubed.
"""

from __future__ import annotations

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import MarginalObjective

# Rows times population coefficients beyond which these are left out: with so many rows they are normal.
_WORK = 10_000_000


def conditional_skewness(objective: MarginalObjective, mode: ConditionalMode) -> Floats:
    """Return the skewness of every coefficient given theta, shape (view.size,).

    Parameters
    ----------
    objective : MarginalObjective
        Of kind ``"posterior"``.
    mode : ConditionalMode
    """
    structure, work, pattern = objective.structure, mode.work, objective.structure.pattern
    third = objective.view.elementwise(list(work.etas), work.phi, 2).d3
    assert third is not None
    cumulants = np.zeros(pattern.size)
    inverse = mode.factor.inverse()
    covariances = []  # by predictor q: cov(own coefficient, eta_q) in every row, for each group
    for q in range(pattern.predictors):
        chosen = np.zeros_like(work.d2)
        chosen[:, q] = 1.0
        covariances.append(work.rows.leverage(inverse, chosen).groups)
    for g, group in enumerate(pattern.groups):
        c = np.stack([own[g] for own in covariances])  # (P, width, n)
        cubes = np.einsum("pqrn,pjn,qjn,rjn->jn", third, c, c, c, optimize=True)
        for j in range(group.width):
            cumulants[group.columns[:, j]] += np.bincount(group.index, cubes[j], group.levels)
    dense = pattern.border[: pattern.dense_width]
    if pattern.n * len(dense) <= _WORK:
        for j in dense:
            unit = np.zeros(pattern.size)
            unit[j] = 1.0
            eta = work.rows.eta(mode.factor.solve(unit))
            cumulants[j] = np.einsum("pqrn,pn,qn,rn->", third, eta, eta, eta, optimize=True)
    sds = np.sqrt(np.maximum(mode.factor.inverse_diagonal(), 1e-300))
    out = np.zeros(objective.view.size)
    out[structure.inner] = cumulants / sds**3
    return out
