"""Cholesky factorisation of an arrow matrix: chains of block-diagonal corners and a dense border.

Corners are eliminated one after another with batched small Cholesky factors; what they leave on the border is
factored by LAPACK. The inverse is computed on the pattern of H alone, from the border back to the finest corner, by
the recursion of Takahashi, Fagan and Chin (1973), which needs no more work than the factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.linalg.base import Floats, Ints, NotPositiveDefiniteError
from bayesglmm.linalg.dense import DenseFactor
from bayesglmm.linalg.pattern import Pattern


@dataclass(frozen=True, eq=False)
class ArrowBlocks:
    """The entries of a symmetric matrix on an arrow pattern: H itself, or its inverse there (a `SelectedInverse`).

    Attributes
    ----------
    pattern : Pattern
    corner : list of ndarray, each (levels, k, k)
        Diagonal blocks.
    link : mapping of (int, int) to ndarray, shape (levels of the finer, k, k')
        Between a level and the one it lies in.
    rim : list of ndarray, each (levels, k, m)
        Between corners and border.
    border : ndarray, shape (m, m)
    """

    pattern: Pattern
    corner: list[Floats]
    link: dict[tuple[int, int], Floats]
    rim: list[Floats]
    border: Floats

    @property
    def dense(self) -> Floats:
        """Between dense columns."""
        return self.border[: self.pattern.dense_width, : self.pattern.dense_width]

    def beside(self, g: int, a: int) -> Floats:
        """Return the entries between entry a of every level of group g and the dense columns."""
        c, at = self.pattern.places[g]
        d = self.pattern.dense_width
        if c >= 0:
            return self.rim[c][:, at + a, :d]
        group = self.pattern.groups[g]
        return self.border[at + a : at + group.levels * group.width : group.width, :d]

    def entries(self, g: int, a: int, h: int, b: int) -> Floats:
        """Return for each row the entry between entry a of its level in g and entry b of its level in h."""
        one, two = self.pattern.groups[g], self.pattern.groups[h]
        (c, at), (d, to) = self.pattern.places[g], self.pattern.places[h]
        if c < 0 and d < 0:
            return np.asarray(self.border[at + one.index * one.width + a, to + two.index * two.width + b])
        if c < 0 or d < 0:
            if c < 0:
                one, two, c, at, to, a, b = two, one, d, to, at, b, a
            return np.asarray(self.rim[c][one.index, at + a, to + two.index * two.width + b])
        if c == d:
            return np.asarray(self.corner[c][:, at + a, to + b][one.index])
        if c < d:
            return np.asarray(self.link[c, d][:, at + a, to + b][one.index])
        return np.asarray(self.link[d, c][:, to + b, at + a][two.index])

    def levels(self, g: int) -> Floats:
        """Return the blocks of every level of group g."""
        (c, at), group = self.pattern.places[g], self.pattern.groups[g]
        if c >= 0:
            return self.corner[c][:, at : at + group.width, at : at + group.width]
        own = at + np.arange(group.levels * group.width).reshape(group.levels, group.width)
        return np.asarray(self.border[own[:, :, None], own[:, None, :]])

    def coupled(self, g: int) -> Floats:
        """Return the entries at the couplings of group g, which lies in the border."""
        rows, columns = self.pattern.couplings[g]
        at = self.pattern.places[g][1]
        return np.asarray(self.border[at + rows, at + columns])


def dense_matrix(blocks: ArrowBlocks) -> Floats:
    """Return the whole matrix in the order of x, zero off the pattern; for tests and small models."""
    pattern = blocks.pattern
    full = np.zeros((pattern.size, pattern.size))
    full[np.ix_(pattern.border, pattern.border)] = blocks.border
    for c, corner in enumerate(pattern.corners):
        for level, own in enumerate(corner.columns):
            full[np.ix_(own, own)] = blocks.corner[c][level]
            full[np.ix_(own, pattern.border)] = blocks.rim[c][level]
            full[np.ix_(pattern.border, own)] = blocks.rim[c][level].T
            for d in range(c + 1, len(pattern.corners)):
                above = pattern.corners[d].columns[pattern.parents[c, d][level]]
                full[np.ix_(own, above)] = blocks.link[c, d][level]
                full[np.ix_(above, own)] = blocks.link[c, d][level].T
    return full


@dataclass(frozen=True, eq=False)
class Eliminated:
    """What is left of H, and kept, when its corners have been eliminated.

    Attributes
    ----------
    inverse_L : list of ndarray, each (levels, k, k)
        Inverses of the lower Cholesky factors of the corners' diagonal blocks.
    link : mapping of (int, int) to ndarray
        Rows of L' between corners.
    rim : list of ndarray, each (levels, k, m)
        Rows of L' between corners and border.
    border : ndarray, shape (m, m)
        The Schur complement of the corners.
    logdet : float
        Of the corners.
    """

    inverse_L: list[Floats]
    link: dict[tuple[int, int], Floats]
    rim: list[Floats]
    border: Floats
    logdet: float


def eliminate(H: ArrowBlocks) -> Eliminated:
    """Eliminate the corners, the finest first.

    Raises
    ------
    NotPositiveDefiniteError
        If one is not positive definite.
    """
    pattern, total = H.pattern, 0.0
    count = len(pattern.corners)
    corner, link, rim, border = list(H.corner), dict(H.link), list(H.rim), H.border
    inverse_L: list[Floats] = []
    for c in range(count):
        inverse, logdet = _invert_factor(corner[c])
        inverse_L.append(inverse)
        total += logdet
        rim[c] = multiply(inverse, rim[c])
        for d in range(c + 1, count):
            link[c, d] = multiply(inverse, link[c, d])
        for d in range(c + 1, count):
            left = link[c, d].swapaxes(1, 2)
            corner[d] = corner[d] - _sum(pattern, c, d, multiply(left, link[c, d]))
            rim[d] = rim[d] - _sum(pattern, c, d, multiply(left, rim[c]))
            for e in range(d + 1, count):
                link[d, e] = link[d, e] - _sum(pattern, c, d, multiply(left, link[c, e]))
        flat = _flat(rim[c])
        border = border - flat.T @ flat
    return Eliminated(inverse_L, link, rim, border, total)


def _sum(pattern: Pattern, c: int, d: int, blocks: Floats) -> Floats:
    """Sum blocks of the levels of corner c by the level of corner d that they lie in."""
    levels, columns = pattern.corners[d].levels, blocks.shape[1] * blocks.shape[2]
    if columns == 0:
        return np.zeros((levels, *blocks.shape[1:]))
    if columns == 1:
        return np.bincount(pattern.parents[c, d], blocks.ravel(), levels).reshape(levels, 1, 1)
    total = pattern.links[c, d] @ np.ascontiguousarray(blocks).reshape(len(blocks), columns)
    return np.asarray(total).reshape(levels, *blocks.shape[1:])


class ArrowFactor:
    """Cholesky factor of H.

    Parameters
    ----------
    pattern : Pattern
    found : Eliminated
        Its corners, eliminated.

    Raises
    ------
    NotPositiveDefiniteError
        If H is not positive definite.
    """

    def __init__(self, pattern: Pattern, found: Eliminated) -> None:
        self.pattern = pattern
        self.inverse_L, self.link, self.rim = found.inverse_L, found.link, found.rim
        self.schur = DenseFactor(found.border)
        self._logdet = found.logdet + self.schur.logdet()

    @classmethod
    def of(cls, H: ArrowBlocks) -> ArrowFactor:
        """Factorise H."""
        return cls(H.pattern, eliminate(H))

    def logdet(self) -> float:
        """Return log |H|."""
        return self._logdet

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right, shape (size,) or (size, m)."""
        pattern = self.pattern
        count, columns = len(pattern.corners), (right if right.ndim > 1 else right[:, None])
        border = columns[pattern.border]
        parts = [columns[corner.columns] for corner in pattern.corners]
        for c in range(count):
            parts[c] = multiply(self.inverse_L[c], parts[c])
            for d in range(c + 1, count):
                parts[d] = parts[d] - _sum(pattern, c, d, multiply(self.link[c, d].swapaxes(1, 2), parts[c]))
            border = border - _flat(self.rim[c]).T @ _flat(parts[c])
        return self._back(parts, self.schur.solve(border)).reshape(right.shape)

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z, shape (size,) or (size, m)."""
        columns = z if z.ndim > 1 else z[:, None]
        parts = [columns[corner.columns] for corner in self.pattern.corners]
        return self._back(parts, self.schur.half_solve(columns[self.pattern.border])).reshape(z.shape)

    def half_product(self, x: Floats) -> Floats:
        """Return L' x, shape (size,) or (size, m)."""
        pattern, columns = self.pattern, x if x.ndim > 1 else x[:, None]
        out, border = np.empty_like(columns), columns[self.pattern.border]
        out[pattern.border] = self.schur.half_product(border)
        own = [columns[corner.columns] for corner in pattern.corners]
        for c, corner in enumerate(pattern.corners):
            z = np.linalg.solve(self.inverse_L[c].swapaxes(1, 2), own[c])
            z += (_flat(self.rim[c]) @ border).reshape(own[c].shape)
            for d in range(c + 1, len(own)):
                z += multiply(self.link[c, d], own[d][pattern.parents[c, d]])
            out[corner.columns] = z
        return out.reshape(x.shape)

    def _back(self, parts: list[Floats], border: Floats) -> Floats:
        """Substitute backwards, from the border to the finest corner."""
        pattern = self.pattern
        out = np.empty((pattern.size, border.shape[1]))
        out[pattern.border] = border
        found: dict[int, Floats] = {}
        for c in reversed(range(len(parts))):
            rest = parts[c] - (_flat(self.rim[c]) @ border).reshape(parts[c].shape)
            for d in range(c + 1, len(parts)):
                rest = rest - multiply(self.link[c, d], found[d][pattern.parents[c, d]])
            found[c] = multiply(self.inverse_L[c].swapaxes(1, 2), rest)
            out[pattern.corners[c].columns] = found[c]
        return out

    def inverse(self) -> ArrowBlocks:
        """Return the entries of H^-1 on the pattern of H."""
        return self._inverse(self.rim, self.schur.inverse())

    def inverse_given_border(self) -> ArrowBlocks:
        """Return the covariances of the corners given the border, on the pattern of H; zero in the border."""
        found = self._inverse([rim[:, :, :0] for rim in self.rim], np.zeros((0, 0)))
        m = len(self.pattern.border)
        rim = [np.broadcast_to(0.0, own.shape) for own in self.rim]
        return ArrowBlocks(self.pattern, found.corner, found.link, rim, np.broadcast_to(0.0, (m, m)))

    def _inverse(self, rims: list[Floats], border: Floats) -> ArrowBlocks:
        """Return the inverse's entries from those in the border, by rows of L^-1 between corners and border."""
        pattern = self.pattern
        count = len(pattern.corners)
        corner: list[Floats] = [np.zeros(0)] * count
        rim: list[Floats] = [np.zeros(0)] * count
        link: dict[tuple[int, int], Floats] = {}
        for c in reversed(range(count)):
            upper = self.inverse_L[c].swapaxes(1, 2)
            to_rim = multiply(upper, rims[c])
            to_link = {d: multiply(upper, self.link[c, d]) for d in range(c + 1, count)}
            parent = {d: pattern.parents[c, d] for d in to_link}
            rim[c] = -(_flat(to_rim) @ border).reshape(to_rim.shape)
            for d, own in to_link.items():
                rim[c] -= multiply(own, rim[d][parent[d]])
            for d in to_link:
                total = multiply(to_rim, rim[d][parent[d]].swapaxes(1, 2))
                for e, other in to_link.items():
                    total = total + multiply(other, _between(corner, link, e, d, parent))
                link[c, d] = -total
            block = multiply(upper, self.inverse_L[c]) - multiply(to_rim, rim[c].swapaxes(1, 2))
            for d, own in to_link.items():
                block = block - multiply(own, link[c, d].swapaxes(1, 2))
            corner[c] = 0.5 * (block + block.swapaxes(1, 2))
        return ArrowBlocks(pattern, corner, link, rim, border)

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of H^-1."""
        blocks = self.inverse()
        out = np.empty(self.pattern.size)
        out[self.pattern.border] = np.diag(blocks.border)
        for own, block in zip(self.pattern.corners, blocks.corner, strict=True):
            out[own.columns] = np.einsum("lkk->lk", block)
        return out


def _between(
    corner: list[Floats], link: dict[tuple[int, int], Floats], e: int, d: int, parent: dict[int, Ints]
) -> Floats:
    """Return the inverse's blocks between the levels of corners e and d that levels of a finer one lie in."""
    if e == d:
        found = corner[d][parent[d]]
    else:
        found = link[e, d][parent[e]] if e < d else link[d, e][parent[d]].swapaxes(1, 2)
    return np.asarray(found)


def multiply(left: Floats, right: Floats) -> Floats:
    """Return batched products; an inner dimension of one is a plain product, which matmul does not know."""
    if left.shape[-1] == 1:
        return left * right
    return np.asarray(left @ right)


def _invert_factor(blocks: Floats) -> tuple[Floats, float]:
    """Return the inverse lower Cholesky factors of small blocks, shape (levels, k, k), and their log determinant."""
    k = blocks.shape[1]
    diagonal = blocks if k == 1 else np.einsum("lkk->lk", blocks)
    if not diagonal.min(initial=1.0) > 0 or not np.isfinite(blocks.sum()):
        raise NotPositiveDefiniteError("A level's block of the precision has a non-positive diagonal.")
    if k == 1:
        return 1.0 / np.sqrt(blocks), float(np.log(blocks).sum())
    try:
        L = np.linalg.cholesky(blocks)
    except np.linalg.LinAlgError as error:
        raise NotPositiveDefiniteError(str(error)) from None
    return np.linalg.inv(L), 2.0 * float(np.log(np.einsum("lkk->lk", L)).sum())


def _flat(blocks: Floats) -> Floats:
    """Return blocks (levels, k, m) as one matrix (levels * k, m); m may be zero."""
    return blocks.reshape(blocks.shape[0] * blocks.shape[1], blocks.shape[2])
