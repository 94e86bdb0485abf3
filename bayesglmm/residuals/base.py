"""What a residual structure is: its parameters, and the distribution of a row's residual given the earlier ones.

Residuals e of unit variance have within each group a correlation matrix R. Whoever knows the distribution of every
residual given the earlier ones of its group,

    e_i | earlier ~ N(sum_j c_ij e_j, s_i^2),

knows a lower triangular T = diag(1 / s) (I - C) with T R T' = I and log |R| = -2 sum log T_ii: rows times T are
independent again. A Markov process needs one earlier residual only, so that T has two entries per row. Entries are
written once, with operators that numpy and PyTensor share, and broadcast over leading axes of draws. A new structure
is one file in this folder that ends with ``RESIDUALS.register(...)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Ints, ResidualBlock
from bayesglmm.covariances import CovarianceParameter
from bayesglmm.errors import DataError
from bayesglmm.registry import Registry

MOST_LINKS = 1_000_000  # pairs of rows of a structure without a Markov property: 8 MB per array of them


class Residual(ABC):
    """A correlation structure for the residuals of a group.

    Attributes
    ----------
    name : str
        Registered name; also the word of ``residual="ar1(time | g)"``.
    timed : bool
        Whether the rows of a group have to be at different times. Where there is no time (``1``), the order of the
        rows counts.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = True

    def check(self, block: ResidualBlock) -> None:
        """Refuse times that the structure cannot work with.

        Raises
        ------
        DataError
        """
        return

    @abstractmethod
    def parameters(self, block: ResidualBlock) -> tuple[CovarianceParameter, ...]:
        """Return the parameters of the correlation."""

    @abstractmethod
    def links(self, block: ResidualBlock) -> tuple[Ints, Ints]:
        """Return the pairs (row, earlier row) where T may have entries below its diagonal, sorted by row."""

    @abstractmethod
    def entries(self, values: Mapping[str, Any], block: ResidualBlock, xp: ArrayMath) -> tuple[Any, Any]:
        """Return the diagonal of T, shape (..., n), and its entries at `links`, shape (..., m).

        Parameters
        ----------
        values : mapping of str to array
            Parameters by class; of a correlation matrix its Cholesky factor.
        block : ResidualBlock
        xp : ArrayMath
        """

    @abstractmethod
    def correlation(self, values: Mapping[str, Any], block: ResidualBlock, apart: Floats) -> Floats | None:
        """Return the correlation of two residuals so far apart in time, shape (S, d) for `apart` of shape (d,).

        None where it is no function of that distance.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (S, ...)
        block : ResidualBlock
        apart : ndarray, shape (d,)
        """


RESIDUALS: Registry[Residual] = Registry("residual structure", "bayesglmm.residuals")


@lru_cache(maxsize=8)
def in_order(block: ResidualBlock) -> Ints:
    """Return the rows sorted by group, then by time (as given, where there is none)."""
    return np.lexsort((block.time, block.index))


@lru_cache(maxsize=8)
def predecessors(block: ResidualBlock) -> Ints:
    """Return the row before each one in its group, -1 for the first, shape (n,)."""
    order = in_order(block)
    found = np.full(len(order), -1)
    same = block.index[order[1:]] == block.index[order[:-1]]
    found[order[1:][same]] = order[:-1][same]
    return found


@lru_cache(maxsize=8)
def ranks(block: ResidualBlock) -> Ints:
    """Return the place of each row in its group, from 0, shape (n,)."""
    order = in_order(block)
    index = block.index[order]
    first = np.r_[True, index[1:] != index[:-1]] if len(index) else np.zeros(0, dtype=bool)
    start = np.maximum.accumulate(np.where(first, np.arange(len(index)), 0))
    found = np.empty(len(order), dtype=np.intp)
    found[order] = np.arange(len(order)) - start
    return found


@lru_cache(maxsize=8)
def all_pairs(block: ResidualBlock) -> tuple[Ints, Ints]:
    """Return every pair (row, earlier row of its group), sorted by row and then by time.

    Raises
    ------
    DataError
        If there are too many.
    """
    sizes = np.bincount(block.index)
    count = int(np.sum(sizes * (sizes - 1) // 2))
    if count > MOST_LINKS:
        largest = int(np.argmax(sizes))
        raise DataError(
            f"`{block.label}` relates every two rows of a group, which makes {count:,} pairs here; at most "
            f"{MOST_LINKS:,} are allowed (the largest group, {block.group} {block.levels[largest]}, has "
            f"{sizes[largest]:,} rows). `ar1` and `ou` relate neighbours in time only."
        )
    order = in_order(block)
    ends = np.cumsum(sizes)
    rows, earlier = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
    for start, end in zip(ends - sizes, ends, strict=True):
        own = order[start:end]
        later, before = np.tril_indices(len(own), -1)
        rows.append(own[later])
        earlier.append(own[before])
    one, two = np.concatenate(rows), np.concatenate(earlier)
    by_row = np.argsort(one, kind="stable")
    return one[by_row], two[by_row]
