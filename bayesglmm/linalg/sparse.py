"""Sparse Cholesky factorisation of H for crossed factors: sparse columns first, a dense trailing block last.

Levels are ordered by approximate minimum degree (the finest factor first where that is cheaper), and columns are
eliminated one by one as long as that costs less than to treat all that are left as one dense matrix. What is left
goes to LAPACK. Where crossed factors fill up nothing but their own Schur complement is dense; where a factor is
mostly nested in another hardly anything is. The analysis is made once per model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from bayesglmm.linalg.base import Floats, Ints, NotPositiveDefiniteError
from bayesglmm.linalg.dense import DenseFactor

# Multiplications per second of one core, of numba's loops and of LAPACK: only their ratio matters.
RATES = 0.5e9, 12e9
# Seconds of a factorisation and inverse below which no other order is tried.
_QUICK = 0.05


def _kernels() -> Any:
    """Return the compiled loops; numba is loaded only by models that need it."""
    from bayesglmm.linalg import kernels

    return kernels


@dataclass(frozen=True, eq=False)
class Elimination:
    """An order of m columns, and the pattern of L.

    Attributes
    ----------
    place : ndarray of int, shape (m,)
        Position of every column in the order.
    start, rows : ndarray of int
        The s leading columns of L; see `bayesglmm.linalg.kernels`.
    m, dense : int
        Columns, and dense columns after them.
    multiplications : float
        Of one factorisation, sparse part and dense part.
    """

    place: Ints
    start: Ints
    rows: Any
    m: int
    dense: int
    multiplications: tuple[float, float]

    @property
    def s(self) -> int:
        """Columns that are eliminated sparsely."""
        return len(self.start) - 1

    @property
    def t(self) -> int:
        """Size of the trailing block."""
        return self.m - self.s + self.dense

    @property
    def entries(self) -> int:
        """Entries of the leading columns of L."""
        return len(self.rows)

    @property
    def gigabytes(self) -> float:
        """Estimate of the memory of H, L and the inverse."""
        return 1e-9 * (8 * 3 * (self.entries + self.s * self.dense) + 4 * self.entries + 8 * 4 * self.t**2)

    @property
    def seconds(self) -> float:
        """Rough estimate of the time of a factorisation and inverse."""
        return float(seconds(*self.multiplications))

    def slots(self, rows: Ints, columns: Ints) -> Ints:
        """Return where entries of the lower triangle of H are kept: in the leading columns, else in the block.

        Parameters
        ----------
        rows, columns : ndarray of int
            Columns of H, in any order.

        Returns
        -------
        ndarray of int
            Position among the leading entries, or their number plus that in the flat trailing block.
        """
        one, two = self.place[rows], self.place[columns]
        low, high = np.minimum(one, two), np.maximum(one, two)
        out = np.asarray(self.entries + (high - self.s) * self.t + (low - self.s))
        leading = np.flatnonzero(low < self.s)
        key = self._keys
        out[leading] = np.searchsorted(key, low[leading] * self.m + high[leading])
        return out

    @cached_property
    def _keys(self) -> Ints:
        """Column and row of every leading entry as one number, increasing; asked for by each pair of groups."""
        found: Ints = np.repeat(np.arange(self.s), np.diff(self.start)) * self.m + self.rows
        return found


def seconds(sparse_part: Any, dense_part: Any) -> Any:
    """Return roughly how long so many multiplications take, in numba's loops and in LAPACK."""
    return sparse_part / RATES[0] + dense_part / RATES[1]


def analyse(
    node: Ints, rows: Ints, columns: Ints, dense: int, first: Sequence[int] | Ints = (), kernels: Any = None
) -> Elimination:
    """Order the columns of a symmetric matrix and find the pattern of L.

    Parameters
    ----------
    node : ndarray of int, shape (m,)
        Level that every column belongs to; columns of a level stay together.
    rows, columns : ndarray of int
        Entries off the diagonal, of either triangle.
    dense : int
        Number of dense columns that follow.
    first : sequence of int
        Levels that do not meet each other, a candidate for the first to be eliminated.
    """
    kernels = _kernels() if kernels is None else kernels
    m, nodes = len(node), int(node.max(initial=-1)) + 1
    pointer, neighbours = _graph(node[rows], node[columns], nodes)
    forced = np.zeros(nodes, dtype=bool)
    forced[np.asarray(first, dtype=np.intp)] = True
    found = []
    for choice in (forced, np.zeros_like(forced)):
        order, chosen = kernels.minimum_degree(pointer, neighbours, choice)
        rank = np.empty(nodes, dtype=np.intp)
        rank[order] = np.arange(nodes)
        leading = int(np.count_nonzero(rank[node] < chosen))
        place = np.empty(m, dtype=np.intp)
        place[np.argsort(rank[node], kind="stable")] = np.arange(m)
        found.append(_split(kernels, place, rows, columns, leading, dense))
        if found[-1].seconds < _QUICK or not forced.any():
            break
    return min(found, key=lambda elimination: elimination.seconds)


def _graph(rows: Ints, columns: Ints, size: int) -> tuple[Ints, Ints]:
    """Return a symmetric graph without loops, by columns."""
    off = rows != columns
    pairs = np.concatenate([rows[off], columns[off]]), np.concatenate([columns[off], rows[off]])
    matrix = sparse.csc_array((np.ones(len(pairs[0]), dtype=np.int8), pairs), shape=(size, size))
    matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix.indptr.astype(np.intp), matrix.indices.astype(np.intp)


def _split(kernels: Any, place: Ints, rows: Ints, columns: Ints, limit: int, dense: int) -> Elimination:
    """Choose how many of the first `limit` columns to eliminate sparsely, by the multiplications that it takes."""
    m = len(place)
    pointer, neighbours = _graph(place[rows], place[columns], m)
    parent = kernels.elimination_tree(pointer, neighbours)
    counts = kernels.column_counts(pointer, neighbours, parent, limit)[:limit].astype(float)
    work = np.concatenate([[0.0], np.cumsum(1.5 * counts * (counts + dense))])
    trailing = 0.5 * (m - np.arange(limit + 1) + dense) ** 3.0
    s = int(np.argmin(seconds(work, trailing)))
    start = np.concatenate([[0], np.cumsum(counts[:s])]).astype(np.intp)
    found = kernels.symbolic(pointer, neighbours, parent, start, s)
    return Elimination(place, start, found, m, dense, (float(work[s]), float(trailing[s])))


@dataclass(frozen=True, eq=False)
class SparseBlocks:
    """The entries of a symmetric matrix on the pattern of L: H itself, or its inverse there.

    Attributes
    ----------
    flat : ndarray
        Entries of the leading columns, then the trailing block by rows (of H its lower half).
    rim : ndarray, shape (s, d)
        Between leading and dense columns.
    """

    elimination: Elimination
    flat: Floats
    rim: Floats

    @property
    def leading(self) -> Floats:
        """Entries of the leading columns."""
        return self.flat[: self.elimination.entries]

    @property
    def trailing(self) -> Floats:
        """The trailing block, shape (t, t)."""
        return self.flat[self.elimination.entries :].reshape(self.elimination.t, self.elimination.t)


class SparseFactor:
    """Cholesky factor of H.

    Parameters
    ----------
    H : SparseBlocks
        Overwritten.
    columns : ndarray of int, shape (m,)
        Where the sparse columns lie in x.
    dense : ndarray of int, shape (d,)
        Where the dense ones do.

    Raises
    ------
    NotPositiveDefiniteError
        If H is not positive definite.
    """

    def __init__(self, H: SparseBlocks, columns: Ints, dense: Ints) -> None:
        self.elimination, self.kernels = H.elimination, _kernels()
        own = self.elimination
        self.order = np.empty(own.m, dtype=np.intp)
        self.order[own.place] = columns
        self.order = np.concatenate([self.order, dense])
        self.leading, self.rim, trailing = H.leading.copy(), H.rim, H.trailing
        pivot = self.kernels.factorise(own.start, own.rows, self.leading, self.rim, own.m)
        if pivot >= 0:
            raise NotPositiveDefiniteError("A pivot of the sparse Cholesky factorisation is not positive.")
        self.kernels.schur(own.start, own.rows, self.leading, self.rim, trailing, own.m)
        trailing[own.m - own.s :, own.m - own.s :] -= self.rim.T @ self.rim
        self.schur = DenseFactor(trailing)

    def logdet(self) -> float:
        """Return log |H|."""
        return 2.0 * float(np.log(self.leading[self.elimination.start[:-1]]).sum()) + self.schur.logdet()

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right, shape (size,) or (size, k)."""
        own = self.elimination
        x = (right if right.ndim > 1 else right[:, None])[self.order]
        self.kernels.forward(own.start, own.rows, self.leading, x)
        x[own.m :] -= self.rim.T @ x[: own.s]
        x[own.s :] = self.schur.solve(x[own.s :])
        return self._back(x).reshape(right.shape)

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z, shape (size,) or (size, k)."""
        own = self.elimination
        x = (z if z.ndim > 1 else z[:, None])[self.order]
        x[own.s :] = self.schur.half_solve(x[own.s :])
        return self._back(x).reshape(z.shape)

    def half_product(self, x: Floats) -> Floats:
        """Return L' x, shape (size,) or (size, k)."""
        own, out = self.elimination, np.empty((len(self.order), x.shape[1] if x.ndim > 1 else 1))
        ordered = (x if x.ndim > 1 else x[:, None])[self.order]
        z = np.empty_like(out)
        if own.s:  # every column of L has its diagonal, so none is empty
            z[: own.s] = np.add.reduceat(self.leading[:, None] * ordered[own.rows], own.start[:-1])
            z[: own.s] += self.rim @ ordered[own.m :]
        z[own.s :] = self.schur.half_product(ordered[own.s :])
        out[self.order] = z
        return out.reshape(x.shape)

    def _back(self, x: Floats) -> Floats:
        own = self.elimination
        x[: own.s] -= self.rim @ x[own.m :]
        self.kernels.backward(own.start, own.rows, self.leading, x)
        out = np.empty_like(x)
        out[self.order] = x
        return out

    def selected(self) -> SparseBlocks:
        """Return the entries of H^-1 on the pattern of L."""
        own = self.elimination
        trailing = np.ascontiguousarray(self.schur.inverse())
        leading, rim = self.kernels.selected_inverse(own.start, own.rows, self.leading, self.rim, trailing, own.m)
        return SparseBlocks(own, np.concatenate([leading, trailing.ravel()]), rim)

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of H^-1."""
        own, found = self.elimination, self.selected()
        out = np.empty(len(self.order))
        out[self.order] = np.concatenate([found.leading[own.start[:-1]], np.diag(found.trailing)])
        return out
