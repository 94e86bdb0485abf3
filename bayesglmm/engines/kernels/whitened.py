"""Derivatives of a marginal density in the matrix T~ that makes the rows of correlated residuals independent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode, Work
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import Rows
from bayesglmm.linalg.rows import Leverage


def unwhitened(structure: Structure, mode: ConditionalMode) -> tuple[Rows, Floats] | None:
    """Return the rows of A before they were whitened, and y - eta of the first predictor there, shape (n,).

    None where residuals are independent.
    """
    work = mode.work
    if work.whitening is None:
        return None
    rows = structure.rows(work.factors)
    offset = structure.offset(structure.view.natural(mode.theta), mode.x[structure.coefficients])
    return rows, work.whitening.y - offset[0] - rows.eta(work.inner)[0]


def whitening_slope(view: LatentView, up: Mapping[str, Any], down: Mapping[str, Any], width: float) -> Any:
    """Return the difference quotient of T~ between two natural values of theta; None where rows are independent."""
    one, two = view.whitening(up), view.whitening(down)
    return None if one is None or two is None else (one.matrix - two.matrix) / width


def whitening_pull(
    structure: Structure,
    raw: tuple[Rows, Floats],
    leverage: Leverage,
    t: Floats,
    d1: Floats,
    v: Floats,
    work: Work,
) -> tuple[Floats, Floats]:
    """Return the derivatives of L - log |T~| in the entries of T~: on the diagonal, and below.

    T~_ij takes row j of A, of the offset and of y to row i, so that it has what these have at i times row j.

    Parameters
    ----------
    structure : Structure
    raw : (Rows, ndarray)
        As from `unwhitened`.
    leverage : Leverage
    t, d1 : ndarray, shape (P, n)
        Derivatives of L at fixed x, and of the log-likelihood, in the whitened predictors.
    v : ndarray, shape (size,)
        As in `adjoint`.
    work : Work
    """
    whitening = work.whitening
    assert whitening is not None
    rows, left = raw
    along = rows.eta(v)[0]
    groups = [
        (own, values)
        for group, own, values in zip(structure.pattern.groups, leverage.groups, rows.groups, strict=True)
        if group.predictor == 0
    ]

    def at(i: Any, j: Any) -> Floats:
        found = d1[0][i] * along[j] - t[0][i] * left[j] - np.sum(leverage.dense[0][i] * rows.dense[0][j], axis=1)
        for own, values in groups:
            found -= np.sum(own[:, i] * values[:, j], axis=0)
        return np.asarray(found)

    every = np.arange(len(left))
    return at(every, every), at(whitening.rows, whitening.earlier)
