"""Unstructured: a correlation of its own for every two times."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Ints, ResidualBlock
from bayesglmm.covariances import CovarianceParameter
from bayesglmm.errors import DataError
from bayesglmm.residuals.base import RESIDUALS, Residual, all_pairs, in_order

MOST_TIMES = 30


class Unstructured(Residual):
    """Cor(e_s, e_t) = R_st for the distinct times s, t of the data; nlme's corSymm. Groups may lack some times.

    One standard deviation for all times; ``sigma ~ 0 + factor(time)`` gives each its own.
    """

    name = "us"
    aliases = ("un",)

    def check(self, block: ResidualBlock) -> None:
        k = len(block.times)
        if k > MOST_TIMES:
            raise DataError(
                f"`{block.label}` has {k} times and would have a correlation for each of {k * (k - 1) // 2:,} pairs "
                f"of them; at most {MOST_TIMES} times are allowed. `ar1` and `ou` have one parameter."
            )
        if k < 2:
            raise DataError(f"`{block.label}` has one time only: there is nothing to correlate.")

    def parameters(self, block: ResidualBlock) -> tuple[CovarianceParameter, ...]:
        return (CovarianceParameter("cor", "correlation", block.times, title="correlations of residuals"),)

    def links(self, block: ResidualBlock) -> tuple[Ints, Ints]:
        return all_pairs(block)

    def entries(self, values: Mapping[str, Any], block: ResidualBlock, xp: ArrayMath) -> tuple[Any, Any]:
        L = values["cor"]
        R = L @ L.swapaxes(-1, -2)
        n, (rows, earlier) = len(block.index), self.links(block)
        pieces, base = [], 0
        diagonal, below = np.zeros(n, dtype=np.intp), np.zeros(len(rows), dtype=np.intp)
        for m, patterns in _by_size(_patterns(block)).items():
            own = np.array(list(patterns))  # (q, m): matrices of one size are factored together
            own = own[0] if len(own) == 1 else own
            root = xp.tril_inverse(xp.cholesky(R[..., own[..., :, None], own[..., None, :]]))
            lead = root.shape[: root.ndim - own.ndim - 1]
            pieces.append(root.reshape((*lead, len(patterns) * m * m)))
            for members in patterns.values():
                place = np.full(n, -1)
                place[members] = np.arange(m)  # members have the shape (groups, m)
                diagonal[members] = base + (m + 1) * np.arange(m)
                at = np.flatnonzero(place[rows] >= 0)
                below[at] = base + m * place[rows[at]] + place[earlier[at]]
                base += m * m
        flat = xp.concatenate(pieces, axis=-1)
        return flat[..., diagonal], flat[..., below]

    def correlation(self, values: Mapping[str, Any], block: ResidualBlock, apart: Floats) -> Floats | None:
        return None


@lru_cache(maxsize=8)
def _patterns(block: ResidualBlock) -> dict[tuple[int, ...], Ints]:
    """Return for every set of times that a group has the rows of such groups, shape (groups, times)."""
    order = in_order(block)
    codes = np.unique(block.time, return_inverse=True)[1]
    sizes = np.bincount(block.index)
    ends = np.cumsum(sizes)
    found: dict[tuple[int, ...], list[Ints]] = {}
    for start, end in zip(ends - sizes, ends, strict=True):
        own = order[start:end]
        if len(own):
            found.setdefault(tuple(codes[own].tolist()), []).append(own)
    return {pattern: np.array(groups) for pattern, groups in found.items()}


def _by_size(patterns: dict[tuple[int, ...], Ints]) -> dict[int, dict[tuple[int, ...], Ints]]:
    found: dict[int, dict[tuple[int, ...], Ints]] = {}
    for pattern, members in patterns.items():
        found.setdefault(len(pattern), {})[pattern] = members
    return found


RESIDUALS.register(Unstructured())
