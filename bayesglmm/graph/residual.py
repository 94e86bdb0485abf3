"""Correlated residuals in the graph and beside it: rows are whitened within their groups, and then independent.

With T as in `bayesglmm.residuals` and standard deviations s_i of the rows, T~ = diag(s) T diag(1 / s) and

    eta* = y - T~ (y - eta):    y_i | earlier rows of its group ~ N(eta*_i, s_i / T_ii),

so that the likelihood of correlated rows at eta is that of independent ones at eta*, times |T|. Whoever knows eta as
offset + A x has eta* = (y - T~ (y - offset)) + (T~ A) x: another offset and other rows of A, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from scipy import sparse

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Ints
from bayesglmm.graph.problem import ResidualParts
from bayesglmm.residuals.base import ranks


def row_sds(sd: Any, weights: Any, xp: ArrayMath) -> Any:
    """Return the standard deviations of the rows up to a common factor; None where they are all the same.

    Parameters
    ----------
    sd : array of shape (..., n), or None
        Where it has a formula.
    weights : array of shape (n,), or None
        Precision weights.
    xp : ArrayMath
    """
    if weights is None:
        return sd
    return (1.0 if sd is None else sd) / xp.sqrt(weights)


def entries(part: ResidualParts, values: Mapping[str, Any], sds: Any, xp: ArrayMath) -> tuple[Any, Any]:
    """Return the diagonal of T~, shape (..., n), and its entries at the structure's links, shape (..., m).

    Parameters
    ----------
    part : ResidualParts
    values : mapping of str to array
        Parameters by class.
    sds : array of shape (..., n), or None
        From `row_sds`.
    xp : ArrayMath
    """
    diagonal, below = part.structure.entries(values, part.block, xp)
    if sds is None:
        return diagonal, below
    rows, earlier = part.structure.links(part.block)
    return diagonal, below * (sds[..., rows] / sds[..., earlier])


def conditional_predictor(
    part: ResidualParts, values: Mapping[str, Any], y: Any, eta: Any, sds: Any
) -> tuple[Any, Any]:
    """Return eta* and log |T| as tensors."""
    rows, earlier = part.structure.links(part.block)
    diagonal, below = entries(part, values, sds, pytensor_math())
    deviation = y - eta
    white = pt.inc_subtensor((diagonal * deviation)[rows], below * deviation[earlier])
    return y - white, pt.sum(pt.log(diagonal))


@dataclass(frozen=True, eq=False)
class Whitening:
    """T~ at one value of the hyperparameters.

    Attributes
    ----------
    matrix : sparse array, shape (n, n)
    log_det : float
    y : ndarray, shape (n,)
    rows, earlier : ndarray of int, shape (m,)
        Where the entries below the diagonal are.
    """

    matrix: Any
    log_det: float
    y: Floats
    rows: Ints
    earlier: Ints

    @classmethod
    def of(cls, part: ResidualParts, diagonal: Floats, below: Floats, y: Floats) -> Whitening:
        """Return it from its entries."""
        rows, earlier = part.structure.links(part.block)
        n = np.arange(len(y))
        places = np.concatenate([n, rows]), np.concatenate([n, earlier])
        matrix = sparse.csr_array((np.concatenate([diagonal, below]), places), shape=(len(y), len(y)))
        with np.errstate(divide="ignore", invalid="ignore"):
            return cls(matrix, float(np.sum(np.log(diagonal))), y, rows, earlier)

    def predictor(self, eta: Floats) -> Floats:
        """Return eta* from eta, or the offset of eta* from that of eta, shape (n,)."""
        return np.asarray(self.y - self.matrix @ (self.y - eta))

    def first(self, values: Floats) -> Floats:
        """Return T~ times the first of values of shape (P, n), the others as they are."""
        return np.concatenate([(self.matrix @ values[0])[None], values[1:]])

    def back(self, values: Floats) -> Floats:
        """Return the transpose of T~ times the first of values of shape (P, n), the others as they are."""
        return np.concatenate([(self.matrix.T @ values[0])[None], values[1:]])


def whitened(part: ResidualParts, values: Mapping[str, Any], sds: Any, deviations: Floats) -> tuple[Floats, Floats]:
    """Return T~ times many vectors, and log T_ii by rows, each of shape (S, n), for many draws of the parameters.

    Parameters
    ----------
    part, values, sds
        As of `entries`, with a leading axis of draws.
    deviations : ndarray, shape (S, n)
    """
    diagonal, below = entries(part, values, sds, NUMPY)
    rows, earlier = part.structure.links(part.block)
    out = diagonal * deviations
    if len(rows):
        distinct, first = np.unique(rows, return_index=True)
        out[:, distinct] += np.add.reduceat(below * deviations[:, earlier], first, axis=1)
    return out, np.broadcast_to(np.log(diagonal), out.shape)


def correlate(part: ResidualParts, values: Mapping[str, Any], sds: Any, z: Floats) -> Floats:
    """Return T~^-1 z, shape (S, n): correlated residuals from independent ones; arguments as of `whitened`."""
    diagonal, below = entries(part, values, sds, NUMPY)
    rows, earlier = part.structure.links(part.block)
    depth = ranks(part.block)  # rows that are as far along in their groups are solved for together
    out = z / diagonal
    by_depth = np.argsort(depth[rows], kind="stable")
    ends = np.cumsum(np.bincount(depth[rows], minlength=1))
    for one, two in zip(np.r_[0, ends[:-1]], ends, strict=True):
        at = by_depth[one:two]
        if len(at):
            at = at[np.argsort(rows[at], kind="stable")]
            distinct, first = np.unique(rows[at], return_index=True)
            sums = np.add.reduceat((below[..., at] * out[:, earlier[at]]), first, axis=1)
            out[:, distinct] -= sums / diagonal[..., distinct]
    return np.asarray(out)
