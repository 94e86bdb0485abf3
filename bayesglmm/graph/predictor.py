"""The linear predictor, written once: the graph calls it with tensors, predictions with arrays of draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from bayesglmm.blocks import Predictor, RandomBlock


@dataclass(frozen=True)
class Gather:
    """How the coefficients of one random block reach the rows.

    Attributes
    ----------
    index : array of int, shape (n,) or (n, M), or None
        Level of each row, or levels; None if there is one level for all rows, as in a smooth.
    Z : array, shape (n, k) or (n, k, M), or None
        Varying columns; None for an intercept alone, which needs no product.
    k : int
        Number of columns.
    column : array of int, shape (n,), or None
        The one column of each row, where it has one; then `Z` is None, or a column of ones and of zeros where the
        level is unknown.
    """

    index: Any
    Z: Any
    k: int
    column: Any = None


@dataclass(frozen=True)
class PredictorArrays:
    """The numbers of one predictor, numpy or PyTensor.

    Attributes
    ----------
    X : array, shape (n, p), or None
    offset : array, shape (n,), or None
    gathers : tuple of Gather
    n : int
        Rows.
    """

    X: Any
    offset: Any
    gathers: tuple[Gather, ...]
    n: int


def gather_arrays(block: RandomBlock) -> Gather:
    """Return index and columns of a block; rows of unknown levels (a negative index) get zero columns."""
    unknown = block.index < 0
    if block.shares is not None:
        return Gather(np.maximum(block.index, 0), np.where(unknown[:, None], 0.0, block.shares), len(block.terms))
    Z, index = block.X, block.index
    if unknown.any():
        Z, index = np.where(unknown[:, None], 0.0, Z), np.maximum(index, 0)
    single = len(block.levels) == 1
    if block.column is not None:
        known = np.where(unknown, 0.0, 1.0)[:, None] if unknown.any() else None
        return Gather(None if single else index, known, Z.shape[1], block.column)
    plain = Z.shape[1] == 1 and bool(np.all(Z == 1.0))
    return Gather(None if single else index, None if plain else Z, Z.shape[1])


def level_columns(block: RandomBlock, mixing: Any) -> Any:
    """Return Z Lambda as a sparse matrix, shape (n, J k); column ``level * k + j``.

    Parameters
    ----------
    block : RandomBlock
        Whose levels are all known.
    mixing : ndarray, shape (k, k)
        Lambda.
    """
    n, k = block.X.shape
    shape, pointer = (n, len(block.levels) * k), np.arange(0, n * k + 1, k)
    parts = [
        sparse.csr_array(((Z @ mixing).ravel(), (index[:, None] * k + np.arange(k)).ravel(), pointer), shape=shape)
        for index, Z in block.memberships
    ]
    return sum(parts[1:], parts[0])


def predictor_arrays(predictor: Predictor) -> PredictorArrays:
    """Return the numpy arrays of a predictor."""
    X = predictor.X
    return PredictorArrays(
        X if X.shape[1] else None,
        predictor.offset,
        tuple(gather_arrays(block) for block in predictor.random),
        predictor.n,
    )


def linear_predictor(arrays: PredictorArrays, beta: Any, effects: Sequence[Any]) -> Any:
    """Return eta = offset + X beta + sum_b Z_b b_b.

    Parameters
    ----------
    arrays : PredictorArrays
    beta : array, shape (..., p), or None
        Population coefficients; leading axes are draws.
    effects : sequence of array, each (..., J, k)
        Group coefficients of each random block.

    Returns
    -------
    array, shape (..., n), or (n,) of zeros when the predictor is empty
    """
    eta = 0.0 if arrays.offset is None else arrays.offset
    if arrays.X is not None:
        eta = eta + beta @ arrays.X.T
    for gather, b in zip(arrays.gathers, effects, strict=True):
        eta = eta + _group_part(gather, b)
    return np.zeros(arrays.n) if isinstance(eta, float) else eta


def _group_part(gather: Gather, b: Any) -> Any:
    if gather.column is not None:
        own = b[..., 0, :][..., gather.column] if gather.index is None else b[..., gather.index, gather.column]
        return own if gather.Z is None else own * gather.Z[:, 0]
    if gather.index is None:
        row = b[..., 0, :]
        return row[..., :1] if gather.Z is None else row @ gather.Z.T
    if gather.Z is None:
        return b[..., 0][..., gather.index]
    if gather.index.ndim == 2:
        return sum((b[..., j][..., gather.index] * gather.Z[:, j]).sum(axis=-1) for j in range(gather.k))
    return sum(b[..., j][..., gather.index] * gather.Z[:, j] for j in range(gather.k))
