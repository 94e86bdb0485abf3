"""The rows of A with their values: eta = A x, A' r, the precision A' W A, and the inverse's entries that rows need.

Nothing is stored per pair of coefficients: products over rows are summed by level with `bincount`, or with a sparse
matrix of ones where many columns share an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from bayesglmm.linalg.arrow import ArrowBlocks, ArrowFactor
from bayesglmm.linalg.base import Factor, Floats, Ints, PriorPrecision, SelectedInverse
from bayesglmm.linalg.crossed import CrossedFactor
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
            _beside(pattern.n, [v for part, v in zip(pattern.dense, dense, strict=True) if part.predictor == p])
            for p in range(pattern.predictors)
        )

    def mixed(self, matrix: sparse.csr_array, predictor: int = 0) -> Rows:
        """Return the same with the rows of one predictor multiplied by a matrix, shape (n, n).

        It may mix rows only that have the same level of every group of that predictor.
        """
        found = Rows.__new__(Rows)
        found.pattern = self.pattern
        found.groups = tuple(
            (matrix @ values.T).T if group.predictor == predictor else values
            for group, values in zip(self.pattern.groups, self.groups, strict=True)
        )
        found.dense = tuple(matrix @ values if p == predictor else values for p, values in enumerate(self.dense))
        return found

    def with_groups(self, groups: Sequence[Floats]) -> Rows:
        """Return the same with other values of the groups."""
        found = Rows.__new__(Rows)
        found.pattern, found.dense, found.groups = self.pattern, self.dense, tuple(groups)
        return found

    @cached_property
    def _corners(self) -> tuple[Floats, ...]:
        """Values of each corner, shape (width, n)."""
        return tuple(
            self.groups[c.groups[0]] if len(c.groups) == 1 else np.concatenate([self.groups[g] for g in c.groups])
            for c in self.pattern.corners
        )

    def etas(self, x: Floats, border: bool = True) -> Floats:
        """Return A x for several x, shape (P, m, n) for x of shape (size, m); without `border` the corners' part."""
        pattern, out = self.pattern, np.zeros((self.pattern.predictors, x.shape[1], self.pattern.n))
        for p, span in enumerate(pattern.dense_span if border else ()):
            if span.stop > span.start:
                out[p] += x[pattern.border[span]].T @ self.dense[p].T
        for g, (group, values) in enumerate(zip(pattern.groups, self.groups, strict=True)):
            for j in range(group.width if border or pattern.places[g][0] >= 0 else 0):
                out[group.predictor] += values[j] * x[group.columns[:, j]].T[:, group.index]
        return out

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
                out[group.columns[:, j]] += sums
        return out

    def factor(self, W: Floats, Q: PriorPrecision) -> Factor:
        """Factorise A' W A + Q by what the pattern has chosen.

        Parameters
        ----------
        W : ndarray, shape (P, P, n)
            Symmetric in its first two axes.
        Q : PriorPrecision

        Raises
        ------
        NotPositiveDefiniteError
        """
        layout = self.pattern.layout
        return ArrowFactor.of(self.gram(W, Q)) if layout is None else CrossedFactor(layout, self, W, Q)

    def gram(self, W: Floats, Q: PriorPrecision | None) -> ArrowBlocks:
        """Return A' W A + Q as an arrow; arguments as in `factor`. The border has no prior where Q is None."""
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
                        block[:, a, span] = pattern.indicator(own.groups[0]) @ weighted
            self._add_crossed(c, block, W)
            rim.append(block)
        return ArrowBlocks(pattern, corner, link, rim, self._border(W, Q))

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
        for g, start in pattern.crossed:
            group = pattern.groups[g]
            left, right, position = pattern.level_pairs(own.groups[0], g)
            for a in range(own.width):
                for b in range(group.width):
                    weights = W[own.predictors[a], group.predictor] * self._corners[c][a] * self.groups[g][b]
                    block[left, a, start + right * group.width + b] += np.bincount(position, weights, len(left))

    def _border(self, W: Floats, Q: PriorPrecision | None) -> Floats:
        pattern = self.pattern
        S = np.zeros((len(pattern.border), len(pattern.border))) if Q is None else border_prior(pattern, Q)
        S[: pattern.dense_width, : pattern.dense_width] += self.dense_gram(W)
        for q, (g, start) in enumerate(pattern.crossed):
            group = pattern.groups[g]
            for b in range(group.width):
                at = start + np.arange(group.levels) * group.width + b
                for p, span in enumerate(pattern.dense_span):
                    if span.stop > span.start:
                        weighted = (W[p, group.predictor] * self.groups[g][b])[:, None] * self.dense[p]
                        sums = pattern.indicator(g) @ weighted
                        S[at, span] += sums
                        S[span, at] += sums.T
            for r in range(q, len(pattern.crossed)):
                self._cross(S, q, r, W)
        return S

    def dense_gram(self, W: Floats) -> Floats:
        """Return A' W A between dense columns, in the order of the border."""
        pattern = self.pattern
        out = np.zeros((pattern.dense_width, pattern.dense_width))
        for p, rows in enumerate(pattern.dense_span):
            for q, columns in enumerate(pattern.dense_span):
                if rows.stop == rows.start or columns.stop == columns.start:
                    continue
                if p == q and W[p, p].min() >= 0.0:  # a matrix times its own transpose costs half of a product
                    half = np.sqrt(W[p, p])[:, None] * self.dense[p]
                    out[rows, rows] = half.T @ half
                else:
                    out[rows, columns] = self.dense[p].T @ (W[p, q][:, None] * self.dense[q])
        return out

    def _cross(self, S: Floats, q: int, r: int, W: Floats) -> None:
        """Add the products of crossed groups number q <= r to the border."""
        pattern = self.pattern
        (g, first), (h, second) = pattern.crossed[q], pattern.crossed[r]
        one, two = pattern.groups[g], pattern.groups[h]
        left, right, position = pattern.level_pairs(g, h)
        for a in range(one.width):
            for b in range(two.width):
                weights = W[one.predictor, two.predictor] * self.groups[g][a] * self.groups[h][b]
                sums = np.bincount(position, weights, len(left))
                rows, columns = first + left * one.width + a, second + right * two.width + b
                S[rows, columns] += sums
                if q != r:
                    S[columns, rows] += sums

    # the inverse's entries ------------------------------------------------------------------------------------------

    def leverage(self, Z: SelectedInverse, W: Floats) -> Leverage:
        """Return what the derivative of the log determinant needs.

        Parameters
        ----------
        Z : SelectedInverse
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

    def covariances(self, Z: SelectedInverse, border: bool = True) -> Floats:
        """Return a_ip' Z a_iq for every row, shape (P, P, n): the covariance of its predictors.

        Parameters
        ----------
        Z : SelectedInverse
        border : bool
            Whether Z has entries in the rows and columns of the dense columns.
        """
        P = self.pattern.predictors
        h = np.empty((P, P, self.pattern.n))
        for p in range(P):
            for q in range(p + 1):
                h[p, q] = h[q, p] = self._covariance(Z, p, q, border)
        return h

    def _covariance(self, Z: SelectedInverse, p: int, q: int, border: bool) -> Floats:
        pattern, out = self.pattern, np.zeros(self.pattern.n)
        own = [
            [(g, a) for g, group in enumerate(pattern.groups) if group.predictor == r for a in range(group.width)]
            for r in (p, q)
        ]
        if border:
            spans = pattern.dense_span[p], pattern.dense_span[q]
            if all(span.stop > span.start for span in spans):
                out += np.einsum("ij,ij->i", self.dense[p] @ Z.dense[spans[0], spans[1]], self.dense[q])
            for columns, r in ((own[0], q), (own[1], p)):
                span = pattern.dense_span[r]
                for g, a in columns if span.stop > span.start else ():
                    gathered = Z.beside(g, a)[:, span][pattern.groups[g].index]
                    out += np.einsum("ij,ij->i", gathered, self.dense[r]) * self.groups[g][a]
        for g, a in own[0]:
            for h, b in own[1]:
                if p == q and (g, a) > (h, b):  # symmetric: counted with its mirror image
                    continue
                twice = 2.0 if p == q and (g, a) < (h, b) else 1.0
                out += twice * Z.entries(g, a, h, b) * self.groups[g][a] * self.groups[h][b]
        return out

    def _times_inverse(self, Z: SelectedInverse, q: int) -> tuple[list[Floats], list[Floats]]:
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
                    total[a] += np.einsum("ij,ij->i", Z.beside(g, a)[:, span][group.index], self.dense[q])
                for other in own:
                    for b in range(pattern.groups[other].width):
                        total[a] += Z.entries(g, a, other, b) * self.groups[other][b]
            groups.append(total)
        dense = []
        for p_span in pattern.dense_span:
            found = self.dense[q] @ Z.dense[span, p_span]
            for other in own if p_span.stop > p_span.start else ():
                index = pattern.groups[other].index
                for b in range(pattern.groups[other].width):
                    found += Z.beside(other, b)[:, p_span][index] * self.groups[other][b][:, None]
            dense.append(found)
        return groups, dense


def border_prior(pattern: Pattern, Q: PriorPrecision) -> Floats:
    """Return the prior precision of the border, dense."""
    S = np.zeros((len(pattern.border), len(pattern.border)))
    S[: pattern.dense_width, : pattern.dense_width] = Q.dense
    for g, entries in Q.groups.items():
        rows, columns = pattern.couplings[g]
        start = pattern.places[g][1]
        S[start + rows, start + columns] = S[start + columns, start + rows] = entries
    for g, start in pattern.crossed:
        if g not in Q.groups and pattern.owners[g] == g:
            at = start + np.arange(pattern.groups[g].levels * pattern.groups[g].width)
            S[at, at] += 1.0
    return S


def _beside(n: int, parts: list[Floats]) -> Floats:
    """Return matrices of n rows side by side; a single one is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros((n, 0)), *parts], axis=1)


def unknown_to_zero(index: Ints, values: Floats) -> tuple[Ints, Floats]:
    """Return an index without -1 (a level that is not in the model) and values (width, n) that vanish there."""
    missing = index < 0
    if not missing.any():
        return index, values
    return np.where(missing, 0, index), np.where(missing, 0.0, values)
