"""Rows with the same predictor, taken together: one site for the product of their likelihoods.

A site per cell instead of per row is exact where the rows of a cell say everything about their predictor, and never
less accurate: several factors of one variable are what expectation propagation approximates, one it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.families.base import TiltedMoments
from bayesglmm.graph.elementwise import Elementwise, RowDerivatives


class Cells:
    """The likelihood by cells, in the form of `Elementwise`.

    Parameters
    ----------
    elementwise : Elementwise
        Of the rows.
    index : ndarray of int, shape (n,)
        Cell of each row.

    Attributes
    ----------
    first : ndarray of int, shape (c,)
        A row of each cell.
    share : ndarray, shape (n,)
        One over the number of rows in the cell of each row.
    single : bool
        Whether the cells are the rows.
    """

    def __init__(self, elementwise: Elementwise, index: Ints) -> None:
        self.elementwise, self.index = elementwise, index
        _, self.first, count = np.unique(index, return_index=True, return_counts=True)
        self.count, self.share = len(count), 1.0 / count[index]
        self.single = self.count == len(index) and bool(np.array_equal(self.first, index))
        self._order = np.argsort(index, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(count)[:-1]])

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers in every dispersion."""
        return self.elementwise.sizes

    @property
    def together(self) -> int:
        """How many values of the predictors `many` should be given at once."""
        return self.elementwise.together

    def many(self, etas: Floats, phi: Mapping[str, Any], order: int = 0) -> RowDerivatives:
        """Evaluate value and derivatives in dispersions at several values of the predictors, shape (1, m, c)."""
        found = self.elementwise.many(etas if self.single else etas[:, :, self.index], phi, order)
        return RowDerivatives(
            value=self._by_cell(found.value),
            dphi=None if found.dphi is None else self._by_cell(found.dphi),
            d1phi=None if found.d1phi is None else self._by_cell(found.d1phi),
        )

    def _by_cell(self, values: Floats) -> Floats:
        """Return sums over the rows of each cell, shape (..., c)."""
        if self.single:
            return values
        return np.asarray(np.add.reduceat(values[..., self._order], self._starts, axis=-1))

    def rows(self, at: Ints) -> Cells:
        """Return some of the cells, given by their positions."""
        number = np.full(self.count, -1, dtype=np.intp)
        number[at] = np.arange(len(at))
        kept = np.flatnonzero(number[self.index] >= 0)
        return Cells(self.elementwise.rows(kept), number[self.index[kept]])

    def tilted(self, mean: Floats, variance: Floats, phi: Mapping[str, Any]) -> TiltedMoments | None:
        """Return closed forms where every cell is a row and the family has them."""
        if not self.single:
            return None
        return self.elementwise.tilted(mean, variance, phi)

    def by_row(self, values: Floats) -> Floats:
        """Return for each row its share of what its cell has, shape (..., n)."""
        return np.asarray(values[..., self.index] * self.share)


def cells_of(structure: Structure) -> Cells:
    """Return the cells of a model, made once.

    Parameters
    ----------
    structure : Structure
        With one predictor.
    """
    view = structure.view
    if "cells" not in view.kept:
        offset = view.problem.predictors[0].predictor.offset
        columns = [structure.X[0], *([] if offset is None else [offset[:, None]])]
        for block in structure.blocks:
            columns.append(block.Z.T)
            if block.group is not None:
                columns.append(structure.pattern.groups[block.group].index[:, None].astype(float))
        design = np.concatenate(columns, axis=1)
        index = np.unique(design, axis=0, return_inverse=True)[1].ravel()
        if index.max() + 1 == len(index):
            index = np.arange(len(index))
        view.kept["cells"] = Cells(view.elementwise, index)
    found: Cells = view.kept["cells"]
    return found
