"""Compound symmetry: any two residuals of a group have the same correlation, which may be negative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Ints, ResidualBlock
from bayesglmm.covariances import CovarianceParameter
from bayesglmm.covariances.correlated import CORRELATION_PRIOR
from bayesglmm.residuals.base import RESIDUALS, Residual, all_pairs, ranks


class CompoundSymmetry(Residual):
    """Cor(e_s, e_t) = rho; nlme's corCompSymm.

    A group of m rows has a positive definite matrix for rho above -1 / (m - 1). Where rho is positive the model is
    the one with an intercept per group.
    """

    name = "cs"
    timed = False

    def parameters(self, block: ResidualBlock) -> tuple[CovarianceParameter, ...]:
        largest = max(2, int(np.bincount(block.index).max()))
        bounds = ((-1.0 / (largest - 1), 1.0),)
        title = "correlation of any two residuals of a group"
        return (
            CovarianceParameter(
                "cor", "vector", (self.name,), None, bounds, CORRELATION_PRIOR, start=(0.3,), title=title
            ),
        )

    def links(self, block: ResidualBlock) -> tuple[Ints, Ints]:
        return all_pairs(block)

    def entries(self, values: Mapping[str, Any], block: ResidualBlock, xp: ArrayMath) -> tuple[Any, Any]:
        before = ranks(block).astype(float)
        rho = values["cor"][..., 0][..., None] * np.ones(len(before))
        # Given k others the mean is rho / (1 + (k - 1) rho) times their sum.
        scale = 1.0 + (before - 1.0) * rho
        left = (1.0 - rho) * (1.0 + before * rho) / scale
        diagonal = 1.0 / xp.sqrt(left)
        return diagonal, -(rho / scale * diagonal)[..., self.links(block)[0]]

    def correlation(self, values: Mapping[str, Any], block: ResidualBlock, apart: Floats) -> Floats | None:
        return np.where(apart > 0, np.asarray(values["cor"])[..., :1], 1.0)


RESIDUALS.register(CompoundSymmetry())
