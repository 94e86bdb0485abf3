"""The rows of A with their values: eta = A x, A' r, the precision A' W A, and the inverse's entries that rows need.

Nothing is stored per pair of coefficients: products over rows are summed by level with `bincount`, or with a sparse
matrix of ones where many columns share an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesglmm.linalg.arrow import ArrowBlocks
from bayesglmm.linalg.base import Floats, Ints
from bayesglmm.linalg.pattern import Pattern


@dataclass(frozen=True, eq=False)
class Leverage:
    """What the derivative of log |A' W A + Q| needs of the inverse.

    Attributes
    ----------
    h : ndarray, shape (P, P, n)
        a_ip' H^-1 a_iq, with a_ip row i of the design of predictor p.
    groups : tuple of ndarray, each (width, n)
        For each group: sum_q W_pq (H^-1 a_iq), at the group's own columns in row i.
    dense : tuple of ndarray, each (n, width)
        The same for the dense columns of each predictor.
    """

    h: Floats
    groups: tuple[Floats, ...]
    dense: tuple[Floats, ...]


class Rows:
    """A(theta) on a pattern.

    Parameters
    ----------
    pattern : Pattern
    dense : sequence of ndarray, each (n, width)
        Values of `pattern.dense`.
    groups : sequence of ndarray, each (width, n)
        Values of `pattern.groups`: in row i those of the columns of its level.
    """

    def __init__(self, pattern: Pattern, dense: Sequence[Floats], groups: Sequence[Floats]) -> None:
        self.pattern = pattern
        self.groups = tuple(groups)
        self.dense = tuple(
            np.concatenate(
                [np.zeros((pattern.n, 0))]
                + [values for part, values in zip(pattern.dense, dense, strict=True) if part.predictor == p],
                axis=1,
            )
            for p in range(pattern.predictors)
        )

    @cached_property
    def _corners(self) -> tuple[Floats, ...]:
        """Values of each corner, shape (width, n)."""
        return tuple(
            self.groups[c.groups[0]] if len(c.groups) == 1 else np.concatenate([self.groups[g] for g in c.groups])
            for c in self.pattern.corners
        )

    def eta(self, x: Floats) -> Floats:
        """Return A x for every predictor, shape (P, n)."""
        pattern, out = self.pattern, np.zeros((self.pattern.predictors, self.pattern.n))
        border = x[pattern.border]
        for p, span in enumerate(pattern.dense_span):
            if span.stop > span.start:
                out[p] += self.dense[p] @ border[span]
        for group, values in zip(pattern.groups, self.groups, strict=True):
            own = x[group.columns]
            for j in range(group.width):
                out[group.predictor] += values[j] * own[:, j][group.index]
        return out

    def transpose(self, r: Floats) -> Floats:
        """Return A' r, shape (size,), for r of shape (P, n)."""
        pattern, out = self.pattern, np.zeros(self.pattern.size)
        for p, span in enumerate(pattern.dense_span):
            out[pattern.border[span]] = self.dense[p].T @ r[p]
        for group, values in zip(pattern.groups, self.groups, strict=True):
            for j in range(group.width):
                sums = np.bincount(group.index, values[j] * r[group.predictor], group.levels)
                out[group.columns[:, j]] = sums
        return out

    def gram(self, W: Floats, Q: Floats) -> ArrowBlocks:
        """Return A' W A + Q.

        Parameters
        ----------
        W : ndarray, shape (P, P, n)
            Symmetric in its first two axes.
        Q : ndarray, shape (d, d)
            Precision of the dense columns, in the order of the border; groups are spherical.
        """
        pattern = self.pattern
        corner, link, rim = [], {}, []
        for c, own in enumerate(pattern.corners):
            corner.append(self._corner_block(c, W))
            for d in range(c + 1, len(pattern.corners)):
                link[c, d] = self._link(c, d, W)
            block = np.zeros((own.levels, own.width, len(pattern.border)))
            for a in range(own.width):
                for q, span in enumerate(pattern.dense_span):
                    weighted = (W[own.predictors[a], q] * self._corners[c][a])[:, None] * self.dense[q]
                    if weighted.shape[1]:
                        block[:, a, span] = own.indicator @ weighted
            self._add_crossed(c, block, W)
            rim.append(block)
        return ArrowBlocks(corner, link, rim, self._border(W, Q))

    def _corner_block(self, c: int, W: Floats) -> Floats:
        own, values = self.pattern.corners[c], self._corners[c]
        block = np.empty((own.levels, own.width, own.width))
        for a in range(own.width):
            for b in range(a + 1):
                weights = W[own.predictors[a], own.predictors[b]] * values[a] * values[b]
                block[:, a, b] = block[:, b, a] = np.bincount(own.index, weights, own.levels) + (a == b)
        return block

    def _link(self, c: int, d: int, W: Floats) -> Floats:
        own, other = self.pattern.corners[c], self.pattern.corners[d]
        block = np.empty((own.levels, own.width, other.width))
        for a in range(own.width):
            for b in range(other.width):
                weights = W[own.predictors[a], other.predictors[b]] * self._corners[c][a] * self._corners[d][b]
                block[:, a, b] = np.bincount(own.index, weights, own.levels)
        return block

    def _add_crossed(self, c: int, block: Floats, W: Floats) -> None:
        """Fill the columns of crossed groups into the rim of corner c."""
        pattern, own = self.pattern, self.pattern.corners[c]
        for q, (g, start) in enumerate(pattern.crossed):
            group = pattern.groups[g]
            left, right, position = pattern.corner_pairs[c, q]
            for a in range(own.width):
                for b in range(group.width):
                    weights = W[own.predictors[a], group.predictor] * self._corners[c][a] * self.groups[g][b]
                    block[left, a, start + right * group.width + b] = np.bincount(position, weights, len(left))

    def _border(self, W: Floats, Q: Floats) -> Floats:
        pattern = self.pattern
        S = np.zeros((len(pattern.border), len(pattern.border)))
        S[: len(Q), : len(Q)] = Q
        for p, rows in enumerate(pattern.dense_span):
            for q, columns in enumerate(pattern.dense_span):
                if rows.stop > rows.start and columns.stop > columns.start:
                    S[rows, columns] += self.dense[p].T @ (W[p, q][:, None] * self.dense[q])
        for q, (g, start) in enumerate(pattern.crossed):
            group = pattern.groups[g]
            for b in range(group.width):
                at = start + np.arange(group.levels) * group.width + b
                S[at, at] += 1.0
                for p, span in enumerate(pattern.dense_span):
                    if span.stop > span.start:
                        weighted = (W[p, group.predictor] * self.groups[g][b])[:, None] * self.dense[p]
                        sums = pattern.crossed_indicators[q] @ weighted
                        S[at, span] = sums
                        S[span, at] = sums.T
            for r in range(q, len(pattern.crossed)):
                self._cross(S, q, r, W)
        return S

    def _cross(self, S: Floats, q: int, r: int, W: Floats) -> None:
        """Add the products of crossed groups number q <= r to the border."""
        pattern = self.pattern
        (g, first), (h, second) = pattern.crossed[q], pattern.crossed[r]
        one, two = pattern.groups[g], pattern.groups[h]
        left, right, position = pattern.crossed_pairs[q, r]
        for a in range(one.width):
            for b in range(two.width):
                weights = W[one.predictor, two.predictor] * self.groups[g][a] * self.groups[h][b]
                sums = np.bincount(position, weights, len(left))
                rows, columns = first + left * one.width + a, second + right * two.width + b
                S[rows, columns] += sums
                if q != r:
                    S[columns, rows] += sums

    # the inverse's entries ------------------------------------------------------------------------------------------

    def leverage(self, Z: ArrowBlocks, W: Floats) -> Leverage:
        """Return what the derivative of the log determinant needs.

        Parameters
        ----------
        Z : ArrowBlocks
            The inverse on the pattern.
        W : ndarray, shape (P, P, n)
        """
        pattern, P = self.pattern, self.pattern.predictors
        h = np.zeros((P, P, pattern.n))
        groups = [np.zeros((group.width, pattern.n)) for group in pattern.groups]
        dense = [np.zeros_like(values) for values in self.dense]
        for q in range(P):
            own_groups, own_dense = self._times_inverse(Z, q)
            for p in range(P):
                h[p, q] += np.einsum("ij,ij->i", self.dense[p], own_dense[p])
                dense[p] += W[p, q][:, None] * own_dense[p]
            for g, group in enumerate(pattern.groups):
                p = group.predictor
                h[p, q] += np.einsum("ji,ji->i", self.groups[g], own_groups[g])
                groups[g] += W[p, q] * own_groups[g]
        return Leverage(h, tuple(groups), tuple(dense))

    def _times_inverse(self, Z: ArrowBlocks, q: int) -> tuple[list[Floats], list[Floats]]:
        """Return H^-1 a_iq at the columns of every group (width, n) and of the dense columns (n, width)."""
        pattern = self.pattern
        span = pattern.dense_span[q]
        own = [g for g, group in enumerate(pattern.groups) if group.predictor == q]
        groups = []
        for g, group in enumerate(pattern.groups):
            total = np.zeros((group.width, pattern.n))
            for a in range(group.width):
                if span.stop > span.start:
                    # Gathered whole rows times the dense values of the row.
                    total[a] += np.einsum("ij,ij->i", self._rim(Z, g, a)[:, span][group.index], self.dense[q])
                for other in own:
                    for b in range(pattern.groups[other].width):
                        total[a] += self._entries(Z, g, a, other, b) * self.groups[other][b]
            groups.append(total)
        dense = []
        for p_span in pattern.dense_span:
            found = self.dense[q] @ Z.border[span, p_span]
            for other in own if p_span.stop > p_span.start else ():
                index = pattern.groups[other].index
                for b in range(pattern.groups[other].width):
                    found += self._rim(Z, other, b)[:, p_span][index] * self.groups[other][b][:, None]
            dense.append(found)
        return groups, dense

    @cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """For each group: its corner and first entry there, or -1 and its first position in the border."""
        found = {g: (-1, start) for g, start in self.pattern.crossed}
        for c, corner in enumerate(self.pattern.corners):
            at = 0
            for g in corner.groups:
                found[g] = (c, at)
                at += self.pattern.groups[g].width
        return found

    def _rim(self, Z: ArrowBlocks, g: int, a: int) -> Floats:
        """Return the inverse's rows of entry a of every level of group g, at the border; shape (levels, m)."""
        c, at = self._places[g]
        if c >= 0:
            return Z.rim[c][:, at + a]
        group = self.pattern.groups[g]
        return Z.border[at + a : at + group.levels * group.width : group.width]

    def _entries(self, Z: ArrowBlocks, g: int, a: int, h: int, b: int) -> Floats:
        """Return for each row the inverse's entry between entry a of its level in g and entry b of that in h."""
        one, two = self.pattern.groups[g], self.pattern.groups[h]
        (c, at), (d, to) = self._places[g], self._places[h]
        if c < 0 and d < 0:
            return np.asarray(Z.border[at + one.index * one.width + a, to + two.index * two.width + b])
        if c < 0 or d < 0:
            if c < 0:
                one, two, c, at, to, a, b = two, one, d, to, at, b, a
            return np.asarray(Z.rim[c][one.index, at + a, to + two.index * two.width + b])
        if c == d:
            return np.asarray(Z.corner[c][:, at + a, to + b][one.index])
        if c < d:
            return np.asarray(Z.link[c, d][:, at + a, to + b][one.index])
        return np.asarray(Z.link[d, c][:, to + b, at + a][two.index])


def unknown_to_zero(index: Ints, values: Floats) -> tuple[Ints, Floats]:
    """Return an index without -1 (a level that is not in the model) and values (width, n) that vanish there."""
    missing = index < 0
    if not missing.any():
        return index, values
    return np.where(missing, 0, index), np.where(missing, 0.0, values)
