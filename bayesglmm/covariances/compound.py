"""Compound symmetry: every two coefficients of a level have the same correlation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import RandomBlock
from bayesglmm.covariances.base import COVARIANCES, CovarianceParameter, Setting
from bayesglmm.covariances.correlated import CORRELATION_PRIOR, Correlated, single


class CompoundSymmetry(Correlated):
    """Cor(b_i, b_j) = rho for i != j, with a standard deviation for each coefficient.

    rho lies between -1 / (k - 1) and 1: below, the matrix would not be positive definite.
    """

    name = "cs"
    homogeneous = "homcs"
    heterogeneous = "cs"

    def options(self, setting: Setting) -> dict[str, Any]:
        if len(setting.terms) < 2:
            setting.fail(
                f"`{self.name}` is the correlation of two or more coefficients; `{setting.text}` has one: write "
                f"(... | {setting.group})."
            )
        return super().options(setting)

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        lower = -1.0 / (len(block.terms) - 1)
        return (
            self.sds(block),
            CovarianceParameter(
                "cor",
                "vector",
                (self.name,),
                bounds=((lower, 1.0),),
                prior=CORRELATION_PRIOR,
                start=(max(0.0, 0.5 * (1.0 + lower)),),
                title="correlation of any two coefficients of a level",
            ),
        )

    def correlation(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        rho = values["cor"][..., 0][..., None, None]
        return rho + (1.0 - rho) * np.eye(k)

    def root(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        # In closed form: a column has the same entry everywhere below its diagonal.
        rho, j = single(values, "cor"), np.arange(1.0, k)
        before, here = 1.0 + (j - 1.0) * rho, 1.0 + j * rho
        diagonal = xp.concatenate([xp.ones_like(rho), xp.sqrt((1.0 - rho) * here / before)], axis=-1)
        # The last column has nothing below, and at the lower end of rho no number either.
        before, here = before[..., :-1], here[..., :-1]
        below = xp.concatenate([rho, rho * xp.sqrt((1.0 - rho) / (before * here)), 0.0 * rho], axis=-1)
        return np.eye(k) * diagonal[..., None, :] + np.tri(k, k, -1) * below[..., None, :]


class HomogeneousCompoundSymmetry(CompoundSymmetry):
    """Compound symmetry with one standard deviation."""

    name = "homcs"


COVARIANCES.register(CompoundSymmetry())
COVARIANCES.register(HomogeneousCompoundSymmetry())
