"""First-order autoregressions: processes whose next value depends on the past through the last one alone.

Their precision is tridiagonal, which engines use: a level with thousands of times costs no more per time than one
with ten. Between neighbours t - 1 and t the correlation is rho_t; further apart it is the product over the steps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Ints, RandomBlock
from bayesglmm.covariances.base import CORRELATION, COVARIANCES, CovarianceParameter, Setting
from bayesglmm.covariances.correlated import CORRELATION_PRIOR, Correlated, single
from bayesglmm.covariances.positions import lags, positions, refuse_order_of_text
from bayesglmm.covariances.spans import extent, fading_doubts, range_parameter


class Chain(Correlated):
    """A Markov process over the levels of one factor, in the order of `order`."""

    latent = "precision"
    indexed = True

    @abstractmethod
    def steps(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> tuple[Any, Any]:
        """Return rho_t and 1 - rho_t^2 of the k - 1 steps along the chain, each of shape (..., k - 1)."""

    def order(self, values: Mapping[str, Any], k: int) -> Ints:
        """Return the coefficients in the order of the chain."""
        return np.arange(k)

    def couplings(self, block: RandomBlock) -> tuple[Ints, Ints]:
        k = len(block.terms)
        order = self.order(block.constants, k)
        first = k * np.arange(len(block.levels))[:, None]
        one, two = first + order[1:], first + order[:-1]
        rows = np.concatenate([(first + order).ravel(), np.maximum(one, two).ravel()])
        return rows, np.concatenate([(first + order).ravel(), np.minimum(one, two).ravel()])

    def precision(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> tuple[Any, Any]:
        J, k = len(block.levels), len(block.terms)
        rho, left = self.steps(values, k, xp)
        end = np.zeros(1)
        # One step on both sides of an interior point, one at the ends: 1 + rho^2 / (1 - rho^2) of each.
        squares = rho * rho / left
        diagonal = 1.0 + xp.concatenate([end, squares]) + xp.concatenate([squares, end])
        inverse = 1.0 / self.scales(values, k)[self.order(values, k)]
        diagonal, beside = diagonal * inverse * inverse, -rho / left * inverse[1:] * inverse[:-1]
        log_det = J * (2.0 * xp.sum(xp.log(inverse)) - xp.sum(xp.log(left)))
        entries = [diagonal[np.tile(np.arange(k), J)], beside[np.tile(np.arange(k - 1), J)]]
        return xp.concatenate(entries), log_det


class FirstOrder(Chain):
    """Cor(b_s, b_t) = rho^|s - t| over the levels of a factor, taken for equally spaced in their order.

    As in glmmTMB the levels count, not what they are called: a time that no row has is no level, unless an ordered
    column lists it. For times with gaps there is `ou`.
    """

    name = "ar1"
    homogeneous = "ar1"
    heterogeneous = "hetar1"

    def options(self, setting: Setting) -> dict[str, Any]:
        refuse_order_of_text(setting, self.name)
        return super().options(setting)

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        what = "correlation of neighbouring levels"
        prior, start = CORRELATION_PRIOR, (0.3,)
        cor = CovarianceParameter(
            "cor", "vector", (self.name,), bounds=(CORRELATION,), prior=prior, start=start, title=what
        )
        return self.sds(block), cor

    def distances(self, block: RandomBlock) -> tuple[Floats, str]:
        return lags(len(block.terms)), "lag"

    def steps(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> tuple[Any, Any]:
        rho = single(values, "cor") * np.ones(k - 1)
        return rho, 1.0 - rho * rho

    def correlation(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        # A power of zero apart: its derivative at rho = 0 would be 0 * inf.
        return np.eye(k) + (lag > 0) * values["cor"][..., 0][..., None, None] ** np.maximum(lag, 1)


class HeterogeneousFirstOrder(FirstOrder):
    """A first-order autoregression with a standard deviation for each level."""

    name = "hetar1"


class OrnsteinUhlenbeck(Chain):
    """Cor(b_s, b_t) = exp(-|s - t| / range) at the times that the levels of a factor spell, however spaced."""

    name = "ou"

    def options(self, setting: Setting) -> dict[str, Any]:
        times = positions(setting, self.name)
        if times.shape[1] != 1:
            setting.fail(f"`{self.name}` runs along one time; `{setting.text}` has coordinates: `exp` takes these.")
        return super().options(setting) | {"times": times[:, 0]}

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return self.sds(block), range_parameter(self.name, block.options["times"][:, None], "time")

    def distances(self, block: RandomBlock) -> tuple[Floats, str]:
        times = block.options["times"]
        return np.abs(np.subtract.outer(times, times)), "time apart"

    def at_distance(self, values: Mapping[str, Any], distance: Floats) -> Any:
        return np.exp(-distance / values["range"])

    def doubts(self, values: Mapping[str, Any], block: RandomBlock) -> str:
        times = block.options["times"][:, None]
        near, far = self.at_distance(values, np.array(extent(times)))
        return fading_doubts(float(near), float(far), times, "time")

    def order(self, values: Mapping[str, Any], k: int) -> Ints:
        return np.argsort(values["times"])

    def steps(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> tuple[Any, Any]:
        gaps: Floats = np.diff(np.sort(values["times"]))
        reach = gaps / single(values, "range")
        return xp.exp(-reach), -xp.expm1(-2.0 * reach)

    def correlation(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        apart = np.abs(np.subtract.outer(values["times"], values["times"]))
        return xp.exp(-apart / values["range"][..., 0][..., None, None])


COVARIANCES.register(FirstOrder())
COVARIANCES.register(HeterogeneousFirstOrder())
COVARIANCES.register(OrnsteinUhlenbeck())
