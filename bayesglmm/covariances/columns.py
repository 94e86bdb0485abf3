"""Known covariances of low rank, K = G G' with few columns: engines see the columns, users the levels.

With G of shape (J, r) the effects of all levels are b = G W Lambda', where the r x k numbers of W are independent and
standard normal and Lambda is that of one level's k coefficients. So b ~ N(0, K (x) Lambda Lambda') exactly, with K
singular or not, and a row with columns z of level l adds sum_ij G[l, i] z_j (W Lambda')_ij: a spherical block with
one level and r k columns, as smooths have, at a cost that r decides (Lippert et al. 2011 use the same low rank).
Everything reported is b.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import linalg

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.covariances.base import COVARIANCES, Covariance, CovarianceParameter

_NULL = 1e-10
"""Singular values of G, relative to the largest, that are rounding errors: columns repeat each other."""


def independent_columns(G: Floats) -> Floats:
    """Return orthogonal columns with the same G G', as many as its rank, the longest first; shape (J, rank)."""
    left, values, _ = linalg.svd(G, full_matrices=False, check_finite=False)
    kept = values > _NULL * values[0] if len(values) else np.zeros(0, dtype=bool)
    found = left[:, kept] * values[kept]
    largest = np.abs(found).argmax(axis=0)
    signs = np.where(found[largest, np.arange(found.shape[1])] < 0.0, -1.0, 1.0)
    return np.ascontiguousarray(found * signs)


def in_columns(block: RandomBlock) -> RandomBlock:
    """Return the spherical block of one level whose columns are those of G times those of the block."""
    G, k = block.options["factor"], len(block.terms)
    known = block.index >= 0
    own = np.where(known[:, None], G[np.where(known, block.index, 0)], 0.0)
    X = own if k == 1 and np.all(block.X == 1.0) else (own[:, :, None] * block.X[:, None, :]).reshape(len(own), -1)
    names = tuple(f"axis {i + 1}" for i in range(G.shape[1]))
    return replace(
        block,
        terms=names if k == 1 else tuple(f"{name}, {term}" for name in names for term in block.terms),
        levels=(block.options["matrix"],),
        index=np.zeros(len(own), dtype=np.intp),
        X=X,
        covariance=KnownColumns.name,
        options={"factor": G, "matrix": block.options["matrix"], "of": block},
        column=None,
    )


def of_levels(u: Any, L: Any, G: Floats) -> Any:
    """Return the effects of levels, shape (..., J, k), of standard normal u, shape (..., 1, r k), in numpy.

    Parameters
    ----------
    u : ndarray
    L : ndarray, shape (..., k, k)
        Lambda of one level.
    G : ndarray, shape (J, r)
    """
    k = np.shape(L)[-1]
    inner = np.reshape(u, (*np.shape(u)[:-2], G.shape[1], k)) @ np.swapaxes(L, -1, -2)
    if inner.ndim == 2:
        return G @ inner
    flat = np.moveaxis(inner, -2, 0).reshape(G.shape[1], -1)  # one product for all draws
    return np.moveaxis((G @ flat).reshape(len(G), *inner.shape[:-2], k), 0, -2)


class KnownColumns(Covariance):
    """What engines see of a known covariance of low rank: r copies of the covariance of one level's coefficients."""

    name = "knowncolumns"
    in_formulas = False

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        whole = block.options["of"]
        return COVARIANCES.get(whole.covariance).parameters(whole)

    def loadings(self, block: RandomBlock) -> Floats:
        return np.asarray(block.options["factor"])

    def core(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        size = k // values["factor"].shape[1]
        return values["sd"][..., :, None] * values.get("cor", np.eye(size))

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        size = k // values["factor"].shape[1]
        if size == 1:
            return values["sd"][..., 0][..., None, None] * np.eye(k)
        copy, term = np.divmod(np.arange(k), size)
        return self.core(values, k, xp)[..., term[:, None], term] * (copy[:, None] == copy).astype(float)

    def apply(self, u: Any, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        if block.options["factor"].shape[1] == len(block.terms):
            return u * values["sd"][..., 0][..., None, None]
        return super().apply(u, values, block, xp)


COVARIANCES.register(KnownColumns())
