"""What structures share that are standard deviations times a correlation matrix with few parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.covariances.base import Covariance, CovarianceParameter
from bayesglmm.priors import Prior

CORRELATION_PRIOR = Prior("Beta", alpha=2.0, beta=2.0)
"""Stretched over where a correlation may lie: on (-1, 1) what LKJ(2) says of a single one."""


def common_sd(word: str) -> CovarianceParameter:
    """Return one standard deviation for all coefficients; tables show it under the structure's word."""
    return CovarianceParameter("sd", "scale", (word,))


def own_sds(block: RandomBlock) -> CovarianceParameter:
    """Return one standard deviation per coefficient."""
    return CovarianceParameter("sd", "scale", block.terms, tuple(range(len(block.terms))))


def single(values: Mapping[str, Any], name: str) -> Any:
    """Return a parameter with one entry as shape (..., 1), so that PyTensor knows that it broadcasts."""
    return values[name][..., 0][..., None]


class Correlated(Covariance):
    """Lambda = diag(sd) L with L L' the correlation matrix."""

    def sds(self, block: RandomBlock) -> CovarianceParameter:
        """Return the standard deviations: one, or one per coefficient."""
        return own_sds(block) if self.name == self.heterogeneous else common_sd(self.name)

    def scales(self, values: Mapping[str, Any], k: int) -> Any:
        """Return the standard deviation of every coefficient, shape (..., k)."""
        return values["sd"] if self.name == self.heterogeneous else single(values, "sd") * np.ones(k)

    def variances(self, values: Mapping[str, Any], k: int) -> Floats:
        return np.asarray(np.square(self.scales(values, k)))

    @abstractmethod
    def correlation(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        """Return the correlation matrix of a level's coefficients, shape (..., k, k)."""

    def root(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        """Return its lower Cholesky factor."""
        return xp.cholesky(self.correlation(values, k, xp))

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        return self.scales(values, k)[..., :, None] * self.root(values, k, xp)
