"""Where the entries of H = A' W A + Q are, decided once per model from the grouping factors alone.

A row of A has a few dense columns (population coefficients, smooths) and, for each grouping factor, the columns of
one level. Levels of the finest factor meet only in rows of their own, so their part of H is block diagonal; a factor
in which it is nested stays block diagonal after the finer one was eliminated, and so on. These factors are the
corners of the arrow; everything else (dense columns, crossed factors) is its border, which is factored densely. This
is how MixedModels.jl orders its blocks (Bates et al.), with whole chains of nested factors kept sparse. Where crossed
factors make that border large, all levels go to a sparse Cholesky factorisation instead, if it is estimated to be
quicker or smaller.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from bayesglmm.linalg.base import Ints
from bayesglmm.linalg.chain import DenseColumns, GroupColumns, given_chain, index_sets, nested_chain
from bayesglmm.linalg.crossed import Layout
from bayesglmm.linalg.sparse import Elimination, seconds

# A corner costs Python overhead; below so many columns LAPACK on the whole is quicker.
SMALLEST_CORNER = 40
# Seconds of a factorisation as an arrow below which nothing else is considered: it needs no analysis.
QUICK = 0.02
# Seconds of an evaluation of likelihood and predictor: Python's overhead, and per row.
_EVALUATION = 1e-4, 1e-7
_MANY = 5.0
_FULL = 0.5  # share of the border that couplings fill, from which on it is dense whatever the order


class Pattern:
    """The structure of A and H.

    Parameters
    ----------
    n, size, predictors : int
        Rows, length of x, number of predictors.
    dense : sequence of DenseColumns
    groups : sequence of GroupColumns
    smallest : int
        A grouping factor with fewer columns goes to the border.
    couplings : mapping of int to (ndarray of int, ndarray of int), optional
        For groups that are not spherical: rows and columns of the entries of their prior precision, lower triangle
        with the diagonal, each once; column ``level * width + j`` of the group.
    chain : sequence of sequence of int, optional
        Groups that the corners are made of, finest first, whatever their size. The rest is then the border.

    Attributes
    ----------
    corners : tuple of Corner
        Finest first; each is nested in the ones after it.
    parents : mapping of (int, int) to ndarray of int, shape (levels of the finer,)
        Which level of the coarser corner a level of the finer one lies in.
    border : ndarray of int
        Columns in x of the border: dense columns by predictor, then crossed groups.
    index_sets : tuple of int
        For each group the first one with the same index.
    owners : tuple of int
        For each group the first one with the same columns: itself, unless rows belong to several of its levels.
    crossed : tuple of (int, int)
        Groups in the border, with their first position in it.
    dense_span : tuple of slice
        For each predictor where its dense columns lie in the border.
    reason : str
        Which factorisation was chosen and why, in words.
    """

    def __init__(
        self,
        n: int,
        size: int,
        predictors: int,
        dense: Sequence[DenseColumns],
        groups: Sequence[GroupColumns],
        smallest: int = SMALLEST_CORNER,
        couplings: Mapping[int, tuple[Ints, Ints]] | None = None,
        chain: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.n, self.size, self.predictors = n, size, predictors
        self.dense, self.groups = tuple(dense), tuple(groups)
        self.couplings = dict(couplings or {})
        self.index_sets = index_sets(self.groups)
        first: dict[int, int] = {}
        self.owners = tuple(first.setdefault(group.start, g) for g, group in enumerate(self.groups))
        # Levels that share rows are coupled by these.
        coupled = {*self.couplings, *(g for g, own in enumerate(self.owners) if self.owners.count(own) > 1)}
        self._given = chain is not None
        self.corners, self.parents = (
            nested_chain(self.groups, self.index_sets, coupled, smallest)
            if chain is None
            else given_chain(self.groups, chain)
        )
        self._indicators: dict[int, Any] = {}
        self._pairs: dict[tuple[int, int], tuple[Ints, Ints, Ints]] = {}
        columns: list[Ints] = []
        spans, start = [], 0
        for p in range(predictors):
            own = [part for part in self.dense if part.predictor == p]
            width = sum(part.width for part in own)
            spans.append(slice(start, start + width))
            columns += [np.arange(part.start, part.start + part.width) for part in own]
            start += width
        self.dense_span, self.dense_width = tuple(spans), start
        inside = {g for corner in self.corners for g in corner.groups}
        crossed: list[tuple[int, int]] = []
        for g, group in enumerate(self.groups):
            if g not in inside and self.owners[g] != g:
                crossed.append((g, dict(crossed)[self.owners[g]]))
            elif g not in inside:
                crossed.append((g, start))
                columns.append(group.columns.ravel())
                start += group.levels * group.width
        self.crossed = tuple(crossed)
        self.border = np.concatenate(columns) if columns else np.zeros(0, dtype=np.intp)

    @cached_property
    def links(self) -> dict[tuple[int, int], Any]:
        """Sparse matrices that sum levels of a finer corner by their parent in a coarser one."""
        return {key: _indicator(parent, self.corners[key[1]].levels) for key, parent in self.parents.items()}

    def indicator(self, g: int) -> Any:
        """Return the sparse (levels, n) matrix of ones that sums rows by the level of group g."""
        key = self.index_sets[g]
        if key not in self._indicators:
            self._indicators[key] = _indicator(self.groups[key].index, self.groups[key].levels)
        return self._indicators[key]

    def level_pairs(self, g: int, h: int) -> tuple[Ints, Ints, Ints]:
        """Return the distinct pairs of levels of two groups, and which of them each row has.

        Returns
        -------
        left, right : ndarray of int, shape (m,)
            Levels of g and of h.
        position : ndarray of int, shape (n,)
        """
        key = self.index_sets[g], self.index_sets[h]
        if key not in self._pairs:
            one, two = self.groups[key[0]], self.groups[key[1]]
            if key[0] == key[1]:
                levels = np.arange(one.levels)
                self._pairs[key] = levels, levels, one.index
            else:
                distinct, position = np.unique(one.index * two.levels + two.index, return_inverse=True)
                self._pairs[key] = distinct // two.levels, distinct % two.levels, position
        return self._pairs[key]

    @cached_property
    def places(self) -> dict[int, tuple[int, int]]:
        """For each group: its corner and first entry there, or -1 and its first position in the border."""
        found = {g: (-1, start) for g, start in self.crossed}
        for c, corner in enumerate(self.corners):
            at = 0
            for g in corner.groups:
                found[g] = (c, at)
                at += self.groups[g].width
        return found

    @cached_property
    def layout(self) -> Layout | None:
        """The sparse Cholesky factorisation, where it was chosen; None for the arrow."""
        if self._given or not self.crossed or (self._arrow_seconds < QUICK and self.arrow_gigabytes < 1.0):
            return None
        if 2.0 * sum(len(rows) for rows, _ in self.couplings.values()) > _FULL * len(self.border) ** 2:
            return None  # relations that fill the border leave nothing to eliminate
        found = Layout(self)
        cheaper = found.elimination.seconds < 0.5 * self._arrow_seconds
        smaller = self.arrow_gigabytes > 1.0 and found.elimination.gigabytes < 0.8 * self.arrow_gigabytes
        return found if cheaper or smaller else None

    @property
    def _arrow_seconds(self) -> float:
        """Rough estimate of the time of a factorisation and inverse as an arrow."""
        m = len(self.border)
        corners = sum(1.5 * c.levels * c.width * (c.width + m) ** 2 for c in self.corners)
        return float(seconds(0.0, corners + 0.5 * m**3))

    @cached_property
    def heavy(self) -> bool:
        """Whether a factorisation takes many times as long as an evaluation of the likelihood, by rough estimates."""
        own = self._arrow_seconds if self.layout is None else self.layout.elimination.seconds
        gram = float(seconds(0.0, 0.5 * self.n * self.dense_width**2))
        return own + gram > _MANY * (_EVALUATION[0] + _EVALUATION[1] * self.n)

    @property
    def arrow_gigabytes(self) -> float:
        """Estimate of the memory of an arrow and its inverse, in GB, chosen or not."""
        m = len(self.border)
        numbers = 4.0 * m * m
        for c, corner in enumerate(self.corners):
            wide = corner.width + m + sum(other.width for other in self.corners[c + 1 :])
            numbers += 4.0 * corner.levels * corner.width * wide
        return 8e-9 * numbers

    @property
    def gigabytes(self) -> float:
        """Estimate of the memory of one factorisation and its selected inverse, in GB."""
        own = self.arrow_gigabytes if self.layout is None else self.layout.elimination.gigabytes
        return own + 8e-9 * 6.0 * self.n * (1 + self.predictors**2)

    @property
    def reason(self) -> str:
        """Which factorisation was chosen and why, in words."""
        if self.layout is not None:
            return self._sparse_reason(self.layout.elimination)
        m = len(self.border)
        if not self.corners:
            return f"dense: {self.size} coefficients, no grouping factor with {SMALLEST_CORNER} columns or more"
        names = " in ".join(self._name(corner.groups[0], corner.width) for corner in self.corners)
        crossed = " and ".join(self._name(g, self.groups[g].width) for g, _ in self.crossed if self.owners[g] == g)
        crossed = f" ({crossed} crosses)" if crossed else ""
        return f"block arrow: {names} eliminated level by level, the other {m} coefficients{crossed} densely"

    def _name(self, g: int, width: int) -> str:
        group = self.groups[g]
        return f"{group.label or 'group'} ({group.levels} x {width})"

    def _sparse_reason(self, own: Elimination) -> str:
        own_columns = [g for g, first in enumerate(self.owners) if g == first]
        names = " and ".join(self._name(g, self.groups[g].width) for g in own_columns)
        dense = f", the other {own.t} as one dense block" if own.t else ""
        return (
            f"sparse Cholesky: {names} in order of minimum degree, {own.s} coefficients one by one "
            f"({own.entries} entries){dense}; a block arrow would have {len(self.border)} dense ones and take "
            f"{self._arrow_seconds / own.seconds:.0f} times as long"
        )

    def __repr__(self) -> str:
        return f"Pattern({self.n} rows, {self.size} coefficients; {self.reason})"

    def check_memory(self, limit: float | None = None) -> None:
        """Raise before anything is allocated that does not fit.

        Parameters
        ----------
        limit : float, optional
            In GB; what is free now if absent.

        Raises
        ------
        MemoryError
            With the estimate.
        """
        most = available() if limit is None else limit
        if self.gigabytes > most:
            raise MemoryError(
                f"Factorising the precision of {self.size:,} coefficients needs about {self.gigabytes:,.1f} GB; "
                f"{most:,.1f} GB are free ({self.reason})."
            )


def available() -> float:
    """Return the memory that is free now, in GB; infinity where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024e-9
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 1e-9
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _indicator(index: Ints, levels: int) -> Any:
    order = np.argsort(index, kind="stable")
    pointer = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=levels))])
    return sparse.csr_array((np.ones(len(index)), order, pointer), shape=(levels, len(index)))
