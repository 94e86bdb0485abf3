"""Toeplitz structures: the correlation depends on the lag alone, one free correlation per lag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.covariances.base import CORRELATION, COVARIANCES, CovarianceParameter, Setting
from bayesglmm.covariances.correlated import CORRELATION_PRIOR, Correlated
from bayesglmm.covariances.positions import lags, refuse_order_of_text


class Toeplitz(Correlated):
    """Cor(b_s, b_t) = rho_|s - t| over the levels of a factor, in their order.

    The parameters are partial autocorrelations, each free in (-1, 1): every choice of them is one positive definite
    Toeplitz matrix, and every such matrix has one (Barndorff-Nielsen and Schou 1973). The autocorrelations follow
    from them by the recursion of Durbin and Levinson.
    """

    name = "toep"
    homogeneous = "homtoep"
    heterogeneous = "toep"
    indexed = True

    def options(self, setting: Setting) -> dict[str, Any]:
        refuse_order_of_text(setting, self.name)
        return super().options(setting)

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        lags = tuple(f"lag {h}" for h in range(1, len(block.terms)))
        what = "partial autocorrelation"
        pacf = CovarianceParameter(
            "pacf", "vector", lags, bounds=(CORRELATION,), prior=CORRELATION_PRIOR, start=(0.1,), title=what
        )
        return self.sds(block), pacf

    def derived(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        lags = tuple(f"lag {h}" for h in range(1, len(block.terms)))
        return (CovarianceParameter("cor", "vector", lags, bounds=(CORRELATION,), title="autocorrelation"),)

    def derive(self, values: Mapping[str, Any], block: RandomBlock) -> dict[str, Any]:
        return {"cor": autocorrelations(values["pacf"], len(block.terms), NUMPY)[..., 1:]}

    def distances(self, block: RandomBlock) -> tuple[Floats, str]:
        return lags(len(block.terms)), "lag"

    def correlation(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return autocorrelations(values["pacf"], k, xp)[..., lag]


def autocorrelations(partial: Any, k: int, xp: ArrayMath) -> Any:
    """Return the autocorrelations at lags 0 to k - 1 of partial ones at lags 1 to k - 1.

    Parameters
    ----------
    partial : array, shape (..., k - 1)
    k : int
    xp : ArrayMath

    Returns
    -------
    array, shape (..., k)
    """
    found = [xp.ones_like(partial[..., 0])]
    coefficients: Any = None  # of the best linear prediction from the m - 1 last values, newest first
    left = 1.0  # the share of variance that it leaves
    for m in range(1, k):
        own = partial[..., m - 1]
        if coefficients is None:
            found.append(own)
            coefficients = own[..., None]
        else:
            past = xp.stack(found[1:][::-1], axis=-1)
            found.append(xp.sum(coefficients * past, axis=-1) + own * left)
            moved = coefficients - own[..., None] * coefficients[..., ::-1]
            coefficients = xp.concatenate([moved, own[..., None]], axis=-1)
        left = left * (1.0 - own * own)
    return xp.stack(found, axis=-1)


class HomogeneousToeplitz(Toeplitz):
    """A Toeplitz structure with one standard deviation: a stationary process."""

    name = "homtoep"


COVARIANCES.register(Toeplitz())
COVARIANCES.register(HomogeneousToeplitz())
