"""The structure of x and H over all parts of the rows: what it has of each part, and who asks the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels import part_work
from bayesglmm.engines.kernels.part_work import Operation, PartInverse, PartWork, Point
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.errors import SettingsError
from bayesglmm.graph.parted import PartedView
from bayesglmm.linalg import ArrowBlocks, ArrowFactor, NotPositiveDefiniteError, PriorPrecision
from bayesglmm.linalg.arrow import Eliminated
from bayesglmm.linalg.rows import border_prior
from bayesglmm.parallel import Shipped, parallel_map


class PartedStructure(Structure):
    """The structure of x and H over all parts, without rows; and who asks the parts.

    Parameters
    ----------
    view : PartedView
    outer, flat : bool
        As for `Structure`.

    Attributes
    ----------
    n : int
        Rows of all parts; those of the pattern are none.
    places : tuple of ndarray of int
        For each part: where its x lies in that of all.

    Raises
    ------
    SettingsError
        If the coefficients that all parts share are too many.
    """

    def __init__(self, view: PartedView, outer: bool = False, flat: bool = False) -> None:
        try:
            super().__init__(view, outer, flat, chain=view.row_parts.factors)
        except MemoryError as error:
            raise SettingsError(
                f"The effects that all parts of the rows share are too many for a dense matrix. {error} Fit a sample "
                "of the levels, or, where the rows fit into memory, without parts: a sparse factorisation may do."
            ) from None
        self.parts, self.n = view.row_parts, view.row_parts.rows
        self._work = Shipped(PartWork(view.problem, view.row_parts, outer, flat), threadsafe=True)
        count = len(self.parts.parts)
        self.places = tuple(self._places(p) for p in range(count))
        # By part and corner: which levels are the part's, a slice where they follow each other.
        self.levels = tuple(
            tuple(_selection(self.parts.parts[p].levels[members[0]]) for members in self.parts.factors)
            for p in range(count)
        )
        if len(self.pattern.corners) > 1:
            self.pattern.parents = self._parents()

    def _places(self, p: int) -> Ints:
        levels, blocks = self.parts.parts[p].levels, {block.dense for block in self.blocks}
        pieces = [
            (part.start, np.arange(part.start, part.start + part.width))
            for d, part in enumerate(self.pattern.dense)
            if d not in blocks
        ]
        for own, block in zip(levels, self.blocks, strict=True):
            count, k = block.latent.shape
            inside = np.arange(count) if own is None else np.asarray(own, dtype=np.intp)
            pieces.append((block.start, (block.start + inside[:, None] * k + np.arange(k)).ravel()))
        pieces.sort(key=lambda piece: piece[0])
        return np.concatenate([np.zeros(0, dtype=np.intp), *(piece for _, piece in pieces)])

    def _parents(self) -> dict[tuple[int, int], Ints]:
        corners = self.pattern.corners
        out = {(c, d): np.zeros(corners[c].levels, dtype=np.intp) for c, d in self.pattern.parents}
        for levels, found in zip(self.levels, self.each(part_work.nesting), strict=True):
            for (c, d), parent in found.items():
                out[c, d][levels[c]] = np.arange(corners[d].levels)[levels[d]][parent]
        return out

    def each(self, operation: Operation, arguments: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """Return what an operation finds in every part, in their order; each with arguments of its own."""
        given = [()] * len(self.places) if arguments is None else arguments
        return list(parallel_map(self._work, [(operation, p, own) for p, own in enumerate(given)]))

    def points(self, natural: Mapping[str, Any], coefficients: Floats, x: Floats) -> list[Point]:
        """Return where each part is evaluated."""
        return [Point(natural, coefficients, x[own]) for own in self.places]

    def summed(self, pieces: Sequence[Floats]) -> Floats:
        """Return sums of vectors in the layouts of the parts in the layout of all, in the order of the parts."""
        out = np.zeros((self.pattern.size, *pieces[0].shape[1:]))
        for own, piece in zip(self.places, pieces, strict=True):
            out[own] += piece
        return out

    def together(self, b: int, pieces: Sequence[Floats]) -> Floats:
        """Return what parts found by level of a block, for all levels; sums over the parts of a common block."""
        c = self._corner_of(b)
        if c is None:
            return np.asarray(sum(pieces[1:], pieces[0]))
        out = np.empty((self.blocks[b].latent.shape[0], *pieces[0].shape[1:]))
        for levels, piece in zip(self.levels, pieces, strict=True):
            out[levels[c]] = piece
        return out

    def own_levels(self, values: Mapping[int, Floats], p: int) -> dict[int, Floats]:
        """Return values by level, given by where a block starts in x, for the levels of a part, by block."""
        found = {}
        for b, block in enumerate(self.blocks):
            if block.start in values:
                c = self._corner_of(b)
                found[b] = values[block.start] if c is None else values[block.start][self.levels[p][c]]
        return found

    def _corner_of(self, b: int) -> int | None:
        return next((c for c, members in enumerate(self.parts.factors) if b in members), None)

    def factor(self, pieces: Sequence[Eliminated | None], Q: PriorPrecision) -> ArrowFactor:
        """Return the factor of H.

        Raises
        ------
        NotPositiveDefiniteError
        """
        found = [piece for piece in pieces if piece is not None]
        if len(found) < len(pieces):
            raise NotPositiveDefiniteError("The precision of a part's levels is not positive definite.")
        pattern, border = self.pattern, border_prior(self.pattern, Q)
        m, corners = len(pattern.border), pattern.corners
        inverse_L = [np.empty((own.levels, own.width, own.width)) for own in corners]
        rim = [np.empty((own.levels, own.width, m)) for own in corners]
        link = {(c, d): np.empty((corners[c].levels, corners[c].width, corners[d].width)) for c, d in pattern.parents}
        logdet = 0.0
        for levels, piece in zip(self.levels, found, strict=True):
            for c, own in enumerate(levels):
                inverse_L[c][own], rim[c][own] = piece.inverse_L[c], piece.rim[c]
            for (c, d), between in piece.link.items():
                link[c, d][levels[c]] = between
            border += piece.border
            logdet += piece.logdet
        return ArrowFactor(pattern, Eliminated(inverse_L, link, rim, border, logdet))

    def inverses(self, found: ArrowBlocks) -> list[PartInverse]:
        """Return those entries of H^-1, or of another matrix on the pattern of H, that each part needs."""
        return [
            PartInverse(
                [block[own] for block, own in zip(found.corner, levels, strict=True)],
                {(c, d): block[levels[c]] for (c, d), block in found.link.items()},
                [block[own] for block, own in zip(found.rim, levels, strict=True)],
                found.border,
            )
            for levels in self.levels
        ]


def _selection(levels: Sequence[int] | None) -> Any:
    """Return levels as an index: a slice where they follow each other."""
    found = np.asarray(levels, dtype=np.intp)
    if len(found) and found[-1] - found[0] == len(found) - 1:
        return slice(int(found[0]), int(found[-1]) + 1)
    return found
