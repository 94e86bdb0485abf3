"""Blocks whose levels depend on each other, as relatives do: coordinates along the axes on which they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats
from bayesglmm.graph.coordinates import LevelBlock, Working
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.problem import BlockParts


@dataclass(frozen=True, eq=False)
class RelatedBlock:
    """A block whose levels depend on each other, with the axes along which they do not.

    Attributes
    ----------
    part : BlockParts
    rows : LevelBlock
        Its levels and columns by row.
    V : ndarray, shape (J, J)
        The axes.
    """

    part: BlockParts
    rows: LevelBlock
    V: Floats

    def effects(
        self, working: Working, z: Any, natural: Mapping[str, Any], segment_sum: Any, xp: ArrayMath
    ) -> tuple[Any, Any]:
        """Return b, shape (..., J, k), of innovations of that shape, and the log Jacobian.

        Along each axis b is conditioned on the working response without its population part, as if every level had
        the mean weight: then its precision is diagonal. That is exact for balanced data, and else as good a scale and
        centre as innovations need.
        """
        residual = working.weights * (working.response - working.beta @ working.X.T)
        weight = xp.stack([xp.sum(working.weights * column**2) / self.rows.levels for column in self.rows.Z], axis=-1)
        pull = xp.stack([segment_sum(residual * column, self.rows) for column in self.rows.Z], axis=-1)
        sds = self.part.covariance.axes_sds(self.part.values(natural), self.part.block, xp)
        scale = (weight + sds**-2.0) ** -0.5
        along = scale * (z + scale * (self.V.T @ pull))
        return self.V @ along, xp.sum(xp.sum(xp.log(scale), axis=-1), axis=-1)


@dataclass(frozen=True, eq=False)
class RelatedColumns:
    """A block whose levels depend on each other through a few columns; see `Covariance.loadings`.

    Attributes
    ----------
    part : BlockParts
        Whose coefficients have standard deviations and no correlations.
    terms : int
        Coefficients of a level, k.
    """

    part: BlockParts
    terms: int

    def effects(
        self, working: Working, z: Any, natural: Mapping[str, Any], segment_sum: Any, xp: ArrayMath
    ) -> tuple[Any, Any]:
        """Return u, shape (..., 1, r k), of innovations of that shape, and the log Jacobian.

        The effect of each column, sd u, is conditioned on the working response without its population part, as if
        the columns were orthogonal over the rows, as they are over the levels.
        """
        X = self.part.block.X
        residual = working.weights * (working.response - working.beta @ working.X.T)
        weight, pull = working.weights @ X**2, residual @ X
        sds = self.part.values(natural)["sd"][..., np.arange(X.shape[1]) % self.terms][..., None, :]
        scale = (weight + sds**-2.0) ** -0.5
        along = scale * (z + scale * pull)
        return along / sds, xp.sum(xp.sum(xp.log(scale / sds), axis=-1), axis=-1)


def related_blocks(view: LatentView) -> dict[str, RelatedBlock | RelatedColumns]:
    """Return the main predictor's blocks whose levels are related and whose axes are known, by free variable."""
    found: dict[str, RelatedBlock | RelatedColumns] = {}
    for part in view.problem.predictors[0].blocks:
        block = part.block
        G = part.covariance.loadings(block)
        if G is not None and not part.of_kind("correlation"):
            found[part.names.u] = RelatedColumns(part, len(block.terms) // G.shape[1])
            continue
        V = part.covariance.axes(block) if block.latent == "precision" else None
        if V is not None:
            columns = tuple(np.ascontiguousarray(column) for column in block.X.T)
            found[part.names.u] = RelatedBlock(
                part, LevelBlock(part.names.u, block.index, columns, len(block.levels)), V
            )
    return found
