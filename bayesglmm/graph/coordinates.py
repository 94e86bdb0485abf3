"""Coordinates for the sampler in which group effects are nearly independent whatever theta is.

A working response r with weights w (one step of iteratively weighted least squares) makes the likelihood of the rows
Gaussian. Under it, and given theta, the population coefficients are drawn first and then block after block, coarse
factors before fine ones, each from its conditional Gaussian given what was drawn before. For level j of a block with
columns Z and Lambda(theta),

    u_j | r, rest  ~  N(P^-1 Lambda' m, P^-1),   P = I + Lambda' M Lambda,   M = Z' w' Z,   m = Z' w' (r - rest),

where w' are the weights after the effects of every finer factor are integrated out: exactly where the factors are
nested and have intercepts. The standard normal innovations z of these draws are the coordinates. The map from z to u
is triangular, so its Jacobian is the product of the |P|^-1/2, and the target stays exact: a poor working response
costs speed, never correctness. Partially non-centred coordinates (Papaspiliopoulos, Roberts and Skold 2007) are the
case of one block.

The map is written once, for tensors (the sampler) and for arrays of draws (the way back): levels are an axis, and the
few columns of a block are loops in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Ints
from bayesglmm.graph.crossed import Axes

type SegmentSum = Callable[[Any, "LevelBlock"], Any]


@dataclass(frozen=True, eq=False)
class LevelBlock:
    """A random block with a few columns.

    Attributes
    ----------
    name : str
        Its free variable.
    index : ndarray of int, shape (n,)
    Z : tuple of ndarray, each (n,)
        Its columns.
    levels : int
    """

    name: str
    index: Ints
    Z: tuple[Floats, ...]
    levels: int

    @property
    def k(self) -> int:
        """Number of columns."""
        return len(self.Z)


@dataclass(frozen=True, eq=False)
class Working:
    """What the coordinates are conditioned on; constants.

    Attributes
    ----------
    response, weights : ndarray, shape (n,)
        Working response without the offset, and its weights.
    X : ndarray, shape (n, p)
        Columns of the population coefficients that take part.
    beta, beta_root : ndarray, shapes (p,) and (p, p)
        beta = beta-hat + beta_root z.
    blocks : tuple of LevelBlock
        Coarse before fine.
    axes : Axes or None
        Of the first block, where it crosses others.
    """

    response: Floats
    weights: Floats
    X: Floats
    beta: Floats
    beta_root: Floats
    blocks: tuple[LevelBlock, ...]
    axes: Axes | None = None


@dataclass(frozen=True, eq=False)
class _Conditional:
    """One block's conditional precision given theta.

    Attributes
    ----------
    weights : array, shape (..., n)
        w'.
    factor : list of list of array, each (..., J)
        Lambda, entry by entry.
    root : list of list of array, each (..., J)
        Lower Cholesky factor of P, entry by entry.
    """

    weights: Any
    factor: list[list[Any]]
    root: list[list[Any]]


def latent_from_innovations(
    working: Working,
    z_beta: Any,
    z: Mapping[str, Any],
    factors: Mapping[str, Any],
    known: Any,
    segment_sum: SegmentSum,
    xp: ArrayMath,
) -> tuple[Any, dict[str, Any], Any]:
    """Map innovations to coefficients.

    Parameters
    ----------
    working : Working
    z_beta : array, shape (..., p)
    z : mapping of str to array, shape (..., J, k)
        By block name.
    factors : mapping of str to array, shape (..., k, k)
        Lambda by block name.
    known : array, shape (..., n), or 0
        Contributions to the predictor of what is not in these coordinates.
    segment_sum : callable
        ``segment_sum(rows, block)`` sums rows (..., n) by level to (..., J).
    xp : ArrayMath

    Returns
    -------
    beta : array, shape (..., p)
    u : dict of str to array, shape (..., J, k)
    log_jacobian : array, shape (...)
        Of (beta, u) with respect to (z_beta, z), up to a constant.
    """
    conditionals, weights, axes = {}, working.weights, working.axes
    for block in reversed(working.blocks[axes is not None :]):
        conditionals[block.name] = _condition(block, factors[block.name], weights, segment_sum, xp)
        weights = _integrate_out(block, conditionals[block.name], segment_sum)
    beta = working.beta + z_beta @ working.beta_root.T
    residual = working.response - known - beta @ working.X.T
    u, log_jacobian = {}, 0.0
    if axes is not None:
        block = working.blocks[0]
        sd = factors[block.name][..., 0, 0][..., None]
        effect, log_jacobian = axes.effects(z[block.name][..., 0], beta - working.beta, sd, xp)
        residual = residual - (sd * effect)[..., block.index] * block.Z[0]
        u[block.name] = effect[..., None]
    for block in working.blocks[axes is not None :]:
        own = conditionals[block.name]
        pull = [segment_sum(own.weights * residual * column, block) for column in block.Z]
        rotated = [sum(own.factor[i][j] * pull[i] for i in range(j, block.k)) for j in range(block.k)]
        innovation = [z[block.name][..., j] for j in range(block.k)]
        forward = [a + b for a, b in zip(_forward(own.root, rotated), innovation, strict=True)]
        values = _backward(own.root, forward)
        log_jacobian = log_jacobian - sum(xp.sum(xp.log(own.root[j][j]), axis=-1) for j in range(block.k))
        for i, column in enumerate(block.Z):
            b = sum(own.factor[i][j] * values[j] for j in range(i + 1))
            residual = residual - b[..., block.index] * column
        u[block.name] = xp.stack(values, axis=-1)
    return beta, u, log_jacobian


def _condition(block: LevelBlock, factor: Any, weights: Any, segment_sum: SegmentSum, xp: ArrayMath) -> _Conditional:
    k = block.k
    entries = [[factor[..., i, j][..., None] for j in range(i + 1)] for i in range(k)]
    moments = {
        (i, j): segment_sum(weights * (block.Z[i] * block.Z[j]), block) for i in range(k) for j in range(i + 1)
    }

    def moment(i: int, j: int) -> Any:
        return moments[max(i, j), min(i, j)]

    half = [[sum(moment(i, m) * entries[m][j] for m in range(j, k)) for j in range(k)] for i in range(k)]
    precision = [
        [sum(entries[m][i] * half[m][j] for m in range(i, k)) + float(i == j) for j in range(i + 1)] for i in range(k)
    ]
    return _Conditional(weights, entries, _cholesky(precision, xp))


def _integrate_out(block: LevelBlock, own: _Conditional, segment_sum: SegmentSum) -> Any:
    """Return the weights that the rows keep for a constant once this block's effects are integrated out."""
    total = segment_sum(own.weights * np.ones(len(block.index)), block)
    cross = [segment_sum(own.weights * column, block) for column in block.Z]
    rotated = [sum(own.factor[i][j] * cross[i] for i in range(j, block.k)) for j in range(block.k)]
    lost = sum(part**2 for part in _forward(own.root, rotated))
    share = 1.0 - lost / (total + 1e-300)
    return own.weights * share[..., block.index]


def _cholesky(matrix: list[list[Any]], xp: ArrayMath) -> list[list[Any]]:
    """Return the lower Cholesky factor of a small matrix whose entries are arrays."""
    root: list[list[Any]] = []
    for i, row in enumerate(matrix):
        root.append([])
        for j in range(i):
            inner = sum(root[i][m] * root[j][m] for m in range(j))
            root[i].append((row[j] - inner) / root[j][j])
        root[i].append(xp.sqrt(row[i] - sum(value**2 for value in root[i])))
    return root


def _forward(root: list[list[Any]], right: list[Any]) -> list[Any]:
    """Return L^-1 right."""
    solved: list[Any] = []
    for i, value in enumerate(right):
        solved.append((value - sum(root[i][j] * solved[j] for j in range(i))) / root[i][i])
    return solved


def _backward(root: list[list[Any]], right: list[Any]) -> list[Any]:
    """Return L^-T right."""
    k = len(right)
    solved: list[Any] = [None] * k
    for i in reversed(range(k)):
        solved[i] = (right[i] - sum(root[j][i] * solved[j] for j in range(i + 1, k))) / root[i][i]
    return solved


def numpy_segment_sum(rows: Any, block: LevelBlock) -> Any:
    """Sum rows by level, with leading axes of draws: a product with a sparse indicator, made for the occasion."""
    rows = np.asarray(rows)
    n = len(block.index)
    gather = sparse.csr_array((np.ones(n), block.index, np.arange(n + 1)), shape=(n, block.levels))
    return np.asarray(gather.T @ rows if rows.ndim == 1 else (gather.T @ rows.reshape(-1, n).T).T)


def pytensor_segment_sum(rows: Any, block: LevelBlock) -> Any:
    """Sum rows (n,) by level as a graph."""
    import pytensor.tensor as pt

    return pt.zeros(block.levels)[block.index].inc(rows)
