"""Skewness of the conditional posterior, coefficient by coefficient, from the third derivatives of the likelihood.

A normal approximation has none. To first order in the third derivatives the third cumulant of coefficient x_j is
sum_i l'''_i cov(x_j, eta_i)^3 over all rows (Tierney and Kadane 1986); for a coefficient of a group only the rows of
its own level count, since the others' covariances are small and cubed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode, Work
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.linalg import SelectedInverse

if TYPE_CHECKING:
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
    structure, pattern = objective.structure, objective.structure.pattern
    dense, along = pattern.border[: pattern.dense_width], None
    if structure.n * len(dense) <= _WORK:
        units = np.zeros((pattern.size, len(dense)))
        units[dense, np.arange(len(dense))] = 1.0
        along = mode.factor.solve(units)
    cumulants = objective.third_cumulants(mode, along)
    sds = np.sqrt(np.maximum(mode.factor.inverse_diagonal(), 1e-300))
    out = np.zeros(objective.view.size)
    out[structure.inner] = cumulants / sds**3
    return out


def row_cumulants(
    structure: Structure, work: Work, third: Floats, inverse: SelectedInverse, along: Floats | None
) -> Floats:
    """Return the third cumulants of all coefficients, summed over rows, shape (size,).

    Parameters
    ----------
    structure : Structure
    work : Work
    third : ndarray, shape (P, P, P, n)
        Third derivatives.
    inverse : SelectedInverse
    along : ndarray, shape (size, d), or None
        Columns of H^-1 of the dense coefficients, whose cumulants are zero else.
    """
    pattern = structure.pattern
    cumulants = np.zeros(pattern.size)
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
    for column, j in enumerate(pattern.border[: pattern.dense_width] if along is not None else ()):
        assert along is not None
        eta = work.rows.eta(along[:, column])
        cumulants[j] = np.einsum("pqrn,pn,qn,rn->", third, eta, eta, eta, optimize=True)
    return cumulants
