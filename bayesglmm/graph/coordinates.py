"""Coordinates for the sampler in which scalar group effects are nearly independent whatever theta is.

A working response r with weights w (one step of iteratively weighted least squares) makes the likelihood of the rows
Gaussian. Under it, and given theta, the population coefficients are drawn first and then block after block, coarse
factors before fine ones, each from its conditional Gaussian given what was drawn before:

    u_b | r, s_b, rest  ~  N(s_b m / p, 1 / p),    p = 1 + s_b^2 W,    W = sum w',    m = sum w' (r - rest),

where w' = w / (1 + s_f^2 W_f) for every finer factor f has that factor's effects integrated out, exactly where the
factors are nested. Its standard normal innovations z are the coordinates. The map from z to u is triangular, so its
Jacobian is the product of the 1/sqrt(p), and the target stays exact: a poor working response costs speed, never
correctness. Partially non-centred coordinates (Papaspiliopoulos, Roberts and Skold 2007) are the case of one block.

The map is written once, for tensors (the sampler) and for arrays of draws (the way back).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Ints


@dataclass(frozen=True, eq=False)
class ScalarBlock:
    """A random block with one column.

    Attributes
    ----------
    name : str
        Its free variable.
    index : ndarray of int, shape (n,)
    Z : ndarray, shape (n,), or None
        None for an intercept.
    levels : int
    """

    name: str
    index: Ints
    Z: Floats | None
    levels: int

    def rows(self, b: Any) -> Any:
        """Return the rows' contributions from coefficients b, shape (..., J) -> (..., n)."""
        gathered = b[..., self.index]
        return gathered if self.Z is None else gathered * self.Z


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
    blocks : tuple of ScalarBlock
        Coarse before fine.
    """

    response: Floats
    weights: Floats
    X: Floats
    beta: Floats
    beta_root: Floats
    blocks: tuple[ScalarBlock, ...]


def working_coefficients(
    response: Floats,
    weights: Floats,
    X: Floats,
    precision: Floats,
    mean: Floats,
    blocks: Sequence[ScalarBlock],
    scales: Mapping[str, float],
) -> Working:
    """Fit the population coefficients to the working response by generalised least squares.

    Parameters
    ----------
    response, weights : ndarray, shape (n,)
    X : ndarray, shape (n, p)
    precision, mean : ndarray, shapes (p, p) and (p,)
        Of the prior.
    blocks : sequence of ScalarBlock
    scales : mapping of str to float
        Rough standard deviations by block name; they decide the weights here, nothing else.

    Returns
    -------
    Working
    """
    ordered = tuple(sorted(blocks, key=lambda block: block.levels))
    outer = weights
    for block in reversed(ordered):
        inside = np.bincount(block.index, outer * _squares(block), block.levels)
        outer = outer / (1.0 + scales[block.name] ** 2 * inside[block.index])
    gram = X.T @ (outer[:, None] * X) + precision
    unit = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
    values, vectors = np.linalg.eigh(gram * unit[:, None] * unit)
    values = np.maximum(values, 1e-14)  # of a matrix with unit diagonal
    root = unit[:, None] * vectors / np.sqrt(values)
    beta = root @ (root.T @ (X.T @ (outer * response) + precision @ mean))
    return Working(response, weights, X, beta, root, ordered)


def _squares(block: ScalarBlock) -> Any:
    return 1.0 if block.Z is None else block.Z**2


def latent_from_innovations(
    working: Working,
    z_beta: Any,
    z: Mapping[str, Any],
    scales: Mapping[str, Any],
    known: Any,
    segment_sum: Callable[[Any, ScalarBlock], Any],
    xp: ArrayMath,
) -> tuple[Any, dict[str, Any], Any]:
    """Map innovations to coefficients.

    Parameters
    ----------
    working : Working
    z_beta : array, shape (..., p)
    z : mapping of str to array, shape (..., J)
        By block name.
    scales : mapping of str to array, shape (...)
        Standard deviations by block name.
    known : array, shape (..., n), or 0
        Contributions to the predictor of what is not in these coordinates.
    segment_sum : callable
        ``segment_sum(rows, block)`` sums rows (..., n) by level to (..., J).
    xp : ArrayMath

    Returns
    -------
    beta : array, shape (..., p)
    u : dict of str to array, shape (..., J)
    log_jacobian : array, shape (...)
        Of (beta, u) with respect to (z_beta, z), up to a constant.
    """
    information, weights = {}, working.weights
    for block in reversed(working.blocks):
        total = segment_sum(weights * _squares(block), block)
        information[block.name] = (weights, total)
        weights = weights / (1.0 + scales[block.name][..., None] ** 2 * total)[..., block.index]
    beta = working.beta + z_beta @ working.beta_root.T
    residual = working.response - known - beta @ working.X.T
    u, log_jacobian = {}, 0.0
    for block in working.blocks:
        own, total = information[block.name]
        scale = scales[block.name][..., None]
        precision = 1.0 + scale**2 * total
        pull = segment_sum(own * residual if block.Z is None else own * residual * block.Z, block)
        u[block.name] = scale * pull / precision + z[block.name] / xp.sqrt(precision)
        log_jacobian = log_jacobian - 0.5 * xp.sum(xp.log(precision), axis=-1)
        residual = residual - block.rows(scale * u[block.name])
    return beta, u, log_jacobian


def numpy_segment_sum(rows: Any, block: ScalarBlock) -> Any:
    """Sum rows by level, with leading axes of draws: a product with a sparse indicator, made for the occasion."""
    rows = np.asarray(rows)
    n = len(block.index)
    gather = sparse.csr_array((np.ones(n), block.index, np.arange(n + 1)), shape=(n, block.levels))
    return np.asarray(gather.T @ rows if rows.ndim == 1 else (gather.T @ rows.reshape(-1, n).T).T)


def pytensor_segment_sum(rows: Any, block: ScalarBlock) -> Any:
    """Sum rows (n,) by level as a graph."""
    import pytensor.tensor as pt

    return pt.zeros(block.levels)[block.index].inc(rows)
