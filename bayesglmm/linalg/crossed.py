"""Crossed factors by sparse Cholesky: which entries H has, from rows to those entries, and the inverse's by rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.linalg.base import Floats, Ints, PriorPrecision
from bayesglmm.linalg.sparse import Elimination, SparseBlocks, SparseFactor, analyse

if TYPE_CHECKING:
    from bayesglmm.linalg.pattern import Pattern
    from bayesglmm.linalg.rows import Rows


@dataclass(frozen=True, eq=False)
class _Products:
    """Where the products of two groups go.

    Attributes
    ----------
    position : ndarray of int, shape (n,)
        Which of the distinct pairs of levels each row has.
    slots : mapping of (int, int) to ndarray of int, shape (pairs,)
        For an entry of the one and of the other: where the sum of each pair is kept.
    twice : mapping of (int, int) to ndarray of bool, shape (pairs,)
        Which of these are on the diagonal of H, of groups that are memberships of one factor.
    """

    position: Ints
    slots: dict[tuple[int, int], Ints]
    twice: dict[tuple[int, int], Any]


class Layout:
    """The entries of H for all groups of a pattern, and the analysis of its sparse Cholesky factor.

    Parameters
    ----------
    pattern : Pattern
    """

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        widths = [group.levels * group.width for group in pattern.groups]
        owners = [g for g, own in enumerate(pattern.owners) if g == own]
        first = dict(zip(owners, np.concatenate([[0], np.cumsum([widths[g] for g in owners])]), strict=False))
        self.first = np.array([first[own] for own in pattern.owners], dtype=np.intp)
        self.columns = np.concatenate([pattern.groups[g].columns.ravel() for g in owners])
        sets, node = pattern.index_sets, np.empty(len(self.columns), dtype=np.intp)
        levels = {sets[g]: pattern.groups[g].levels for g in owners}
        starts = dict(zip(levels, np.concatenate([[0], np.cumsum(list(levels.values()))]), strict=False))
        for g in owners:
            group = pattern.groups[g]
            own = self.first[g] + np.arange(widths[g])
            node[own] = starts[sets[g]] + np.repeat(np.arange(group.levels), group.width)
        rows, columns = zip(*self._off_diagonal(), strict=True)
        several = [g for g, own in enumerate(pattern.owners) if pattern.owners.count(own) > 1]
        free = {sets[g] for g in owners} - {sets[g] for g in (*pattern.couplings, *several)}
        finest = max(free, key=lambda g: sum(widths[h] for h in range(len(sets)) if sets[h] == g), default=None)
        leading = () if finest is None else starts[finest] + np.arange(levels[finest])
        self.elimination: Elimination = analyse(
            node, np.concatenate(rows), np.concatenate(columns), pattern.dense_width, leading
        )

    def _at(self, g: int, levels: Ints, a: int) -> Ints:
        """Return the columns, as counted here, of entry a of levels of group g."""
        return np.asarray(self.first[g] + levels * self.pattern.groups[g].width + a)

    def _pairs(self, g: int, h: int) -> tuple[Ints, Ints, Ints]:
        sets = self.pattern.index_sets
        return self.pattern.level_pairs(sets[g], sets[h])

    def _off_diagonal(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield the entries of H that may not be on its diagonal."""
        groups = self.pattern.groups
        for g, one in enumerate(groups):
            for h in range(g, len(groups)):
                left, right, _ = self._pairs(g, h)
                for a in range(one.width):
                    for b in range(groups[h].width if g != h else a + 1):
                        yield self._at(g, left, a), self._at(h, right, b)
        for g, (rows, columns) in self.pattern.couplings.items():
            yield self.first[g] + rows, self.first[g] + columns

    @cached_property
    def products(self) -> dict[tuple[int, int], _Products]:
        """For groups g <= h; a group with itself has only entries a >= b."""
        groups, found = self.pattern.groups, {}
        for g, one in enumerate(groups):
            for h in range(g, len(groups)):
                left, right, position = self._pairs(g, h)
                slots = {
                    (a, b): self.elimination.slots(self._at(g, left, a), self._at(h, right, b))
                    for a in range(one.width)
                    for b in range(groups[h].width if g != h else a + 1)
                }
                twice = {(a, b): self._at(g, left, a) == self._at(h, right, b) for a, b in slots}
                found[g, h] = _Products(position, slots, twice)
        return found

    @cached_property
    def diagonal(self) -> tuple[Ints, ...]:
        """For each group: where the diagonal is kept, shape (levels * width,)."""
        found = []
        for g, group in enumerate(self.pattern.groups):
            own = self.first[g] + np.arange(group.levels * group.width)
            found.append(self.elimination.slots(own, own))
        return tuple(found)

    @cached_property
    def coupled(self) -> dict[int, Ints]:
        """For each group that is not spherical: where the entries of its couplings are kept."""
        return {
            g: self.elimination.slots(self.first[g] + rows, self.first[g] + columns)
            for g, (rows, columns) in self.pattern.couplings.items()
        }

    def gram(self, rows: Rows, W: Floats, Q: PriorPrecision) -> SparseBlocks:
        """Return A' W A + Q; arguments as in `Rows.factor`."""
        own, pattern = self.elimination, self.pattern
        flat = np.zeros(own.entries + own.t**2)
        for (g, h), products in self.products.items():
            p, q = pattern.groups[g].predictor, pattern.groups[h].predictor
            for (a, b), slots in products.slots.items():
                weights = W[p, q] * rows.groups[g][a] * rows.groups[h][b]
                sums = np.bincount(products.position, weights, len(slots))
                if g != h and pattern.owners[g] == pattern.owners[h]:
                    # Two memberships: (l, m) and (m, l) are kept in one place, and (l, l) is met from both sides.
                    np.add.at(flat, slots, np.where(products.twice[a, b], 2.0, 1.0) * sums)
                else:
                    flat[slots] += sums
        for g, diagonal in enumerate(self.diagonal):
            if g in Q.groups:
                flat[self.coupled[g]] += Q.groups[g]
            elif pattern.owners[g] == g:
                flat[diagonal] += 1.0
        side = self._side(rows, W)
        H = SparseBlocks(own, flat, side[: own.s].copy())
        H.trailing[own.m - own.s :, : own.m - own.s] = side[own.s :].T
        H.trailing[own.m - own.s :, own.m - own.s :] = rows.dense_gram(W) + Q.dense
        return H

    def _side(self, rows: Rows, W: Floats) -> Floats:
        """Return the entries between sparse columns, in their order, and dense ones."""
        pattern = self.pattern
        side = np.zeros((self.elimination.m, pattern.dense_width))
        for g, group in enumerate(pattern.groups):
            levels = np.arange(group.levels)
            for a in range(group.width):
                at = self.elimination.place[self._at(g, levels, a)]
                for q, span in enumerate(pattern.dense_span):
                    if span.stop > span.start:
                        weighted = (W[group.predictor, q] * rows.groups[g][a])[:, None] * rows.dense[q]
                        side[at, span] += pattern.indicator(g) @ weighted
        return side


class CrossedFactor(SparseFactor):
    """Sparse Cholesky factor of A' W A + Q.

    Parameters
    ----------
    layout : Layout
    rows : Rows
    W : ndarray, shape (P, P, n)
    Q : PriorPrecision
    """

    def __init__(self, layout: Layout, rows: Rows, W: Floats, Q: PriorPrecision) -> None:
        pattern = layout.pattern
        super().__init__(layout.gram(rows, W, Q), layout.columns, pattern.border[: pattern.dense_width])
        self.layout = layout

    def inverse(self) -> CrossedInverse:
        """Return the entries of H^-1 on the pattern of H."""
        return CrossedInverse(self.layout, self.selected())


@dataclass(frozen=True, eq=False)
class CrossedInverse:
    """A `SelectedInverse` on the pattern of a sparse Cholesky factor."""

    layout: Layout
    blocks: SparseBlocks

    @property
    def dense(self) -> Floats:
        """Between dense columns."""
        first = self.layout.elimination.m - self.layout.elimination.s
        return self.blocks.trailing[first:, first:]

    def beside(self, g: int, a: int) -> Floats:
        """Return the entries between entry a of every level of group g and the dense columns."""
        own, group = self.layout.elimination, self.layout.pattern.groups[g]
        at = own.place[self.layout.first[g] + np.arange(group.levels) * group.width + a]
        out, leading = np.empty((group.levels, own.dense)), at < own.s
        out[leading] = self.blocks.rim[at[leading]]
        out[~leading] = self.blocks.trailing[own.m - own.s :, at[~leading] - own.s].T
        return out

    def entries(self, g: int, a: int, h: int, b: int) -> Floats:
        """Return for each row the entry between entry a of its level in g and entry b of its level in h."""
        if g > h or (g == h and a < b):
            g, a, h, b = h, b, g, a
        products = self.layout.products[g, h]
        return np.asarray(self.blocks.flat[products.slots[a, b]][products.position])

    def levels(self, g: int) -> Floats:
        """Return the blocks of every level of group g."""
        width, slots = self.layout.pattern.groups[g].width, self.layout.products[g, g].slots
        found = [[self.blocks.flat[slots[max(a, b), min(a, b)]] for b in range(width)] for a in range(width)]
        return np.moveaxis(np.array(found), -1, 0)

    def coupled(self, g: int) -> Floats:
        """Return the entries at the couplings of group g."""
        return np.asarray(self.blocks.flat[self.layout.coupled[g]])


def conditional_blocks(pattern: Pattern, inverse: Any, start: int, given: Ints) -> Floats:
    """Return blocks of H^-1 conditional on dense columns, for the levels of a group or for a dense part.

    Parameters
    ----------
    pattern : Pattern
    inverse : SelectedInverse
    start : int
        Where the group or the dense part begins in x.
    given : ndarray of int
        Dense columns, as positions in x.

    Returns
    -------
    ndarray, shape (levels, width, width)
    """
    where = np.full(pattern.size, -1)
    where[pattern.border] = np.arange(len(pattern.border))
    at = where[given]
    group = next((g for g, group in enumerate(pattern.groups) if group.start == start), None)
    if group is None:
        width = next(part.width for part in pattern.dense if part.start == start)
        span = where[start : start + width]
        own, beside = inverse.dense[np.ix_(span, span)][None], inverse.dense[np.ix_(span, at)][None]
    else:
        own = inverse.levels(group)
        beside = np.stack([inverse.beside(group, a)[:, at] for a in range(own.shape[1])], axis=1)
    if not len(at):
        return np.asarray(own)
    known = inverse.dense[np.ix_(at, at)]
    return np.asarray(own - beside @ np.linalg.solve(known, beside.swapaxes(1, 2)))
