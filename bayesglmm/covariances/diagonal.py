"""Independent coefficients: one standard deviation per column, or one for all columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import RandomBlock
from bayesglmm.covariances.base import COVARIANCES, Covariance, CovarianceParameter
from bayesglmm.covariances.correlated import common_sd


class Diagonal(Covariance):
    """Lambda = diag(sd): the coefficients of a level are independent, each with its own standard deviation."""

    name = "diag"
    scaled_root = True
    homogeneous = "homdiag"
    heterogeneous = "diag"

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return (CovarianceParameter("sd", "scale", block.terms, tuple(range(len(block.terms)))),)

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        return values["sd"][..., :, None] * np.eye(k)

    def apply(self, u: Any, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        return u * values["sd"][..., None, :]


class Common(Diagonal):
    """Lambda = sd * I: one standard deviation for every coefficient, as a smooth needs."""

    name = "iid"

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return (CovarianceParameter("sd", "scale", (block.label,)),)

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        return values["sd"][..., 0][..., None, None] * np.eye(k)

    def apply(self, u: Any, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        return u * values["sd"][..., 0][..., None, None]


class HomogeneousDiagonal(Common):
    """Lambda = sd * I for the coefficients of a group: independent, with one standard deviation."""

    name = "homdiag"

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return (common_sd(self.name),)


COVARIANCES.register(Diagonal())
COVARIANCES.register(Common())
COVARIANCES.register(HomogeneousDiagonal())
