"""Families with extra zeros: zero inflation adds zeros to a count distribution, a hurdle replaces its zeros.

Written once for any base family; a concrete family says which base it has. The functions that carry derivatives over
take `Derivatives` whose fields are there for the order asked for (typed Any, as the fields may also be None).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats
from bayesglmm.families import densities
from bayesglmm.families.base import Derivatives, Family, ResponseData
from bayesglmm.families.components import Component
from bayesglmm.families.custom import custom_dist, with_zeros
from bayesglmm.links import Link, Linked


class ZeroInflated(Family):
    """With probability zi a zero, else a draw of the base family (which may be zero as well).

    Attributes
    ----------
    base : Family
        The count family; its hand-written derivatives are carried over.
    """

    base: ClassVar[Family]
    discrete = True

    @abstractmethod
    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        """Return the base distribution in PyTensor."""

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pytensor.tensor as pt

        part, zi, xp = self.component(parameters, data), parameters["zi"], pytensor_math()
        assert part.log_zero is not None
        log_zero = part.log_zero

        def log_density(y: Any, log_zi: Any, log1m_zi: Any, *inputs: Any) -> Any:
            base, base_zero = part.log_density(y, *inputs), log_zero(*inputs)
            return densities.zero_inflated(y, log_zi, log1m_zi, base, base_zero, xp)

        def draw(log_zi: Any, log1m_zi: Any, *inputs: Any) -> Any:
            *inner, size = inputs
            return with_zeros(log_zi, part.draw(*inner, size), size)

        def log_cdf(y: Any, log_zi: Any, log1m_zi: Any, *inputs: Any) -> Any:
            base = part.log_cdf(pt.maximum(y, 0), *inputs)
            return pt.switch(pt.lt(y, 0), -np.inf, densities.log_add(log_zi, log1m_zi + base, xp))

        name = "".join(word.title() for word in self.name.split("_"))
        return custom_dist(name, (zi.log, zi.log1m, *part.inputs), log_density, draw, log_cdf)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return xp.exp(parameters["zi"].log1m) * self.base.mean(parameters, data, xp)

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        base = self.base.derivatives(y, eta, phi, data, link, order)
        return None if base is None else inflate(y, base, phi["zi"], order)


def inflate(y: Floats, base: Any, zi: Any, order: int) -> Derivatives:
    """Add extra zeros with probability `zi` to a likelihood given with its derivatives.

    At y = 0 the likelihood is zi + (1 - zi) exp(l); w is the probability that such a zero comes from the base.
    """
    zero = y == 0
    log1m = np.log1p(-zi)
    mixture = densities.log_add(np.log(zi), log1m + base.value, NUMPY)
    value = np.where(zero, mixture, log1m + base.value)
    if order == 0:
        return Derivatives(value)
    w = np.where(zero, np.exp(log1m + base.value - mixture), 1.0)
    v = w * (1.0 - w)
    l1, l2 = base.d1, base.d2
    d1, d2 = w * l1, w * l2 + v * l1**2
    if order == 1:
        return Derivatives(value, d1, d2)
    u = v * (1.0 - 2.0 * w)
    d3 = w * base.d3 + 3.0 * v * l1 * l2 + u * l1**3
    first, slope, curvature = {}, {}, {}
    for name, change in base.dphi.items():
        mixed = base.d1phi[name]
        first[name] = w * change
        slope[name] = w * mixed + v * l1 * change
        curvature[name] = w * base.d2phi[name] + v * (l2 * change + 2.0 * l1 * mixed) + u * l1**2 * change
    # dw / dzi = -exp(l) / mixture^2, and no dependence where y > 0
    turn = np.where(zero, -np.exp(base.value - 2.0 * mixture), 0.0)
    first["zi"] = np.where(zero, -np.expm1(base.value) * np.exp(-mixture), -1.0 / (1.0 - zi))
    slope["zi"] = turn * l1
    curvature["zi"] = turn * (l2 + (1.0 - 2.0 * w) * l1**2)
    return Derivatives(value, d1, d2, d3, first, slope, curvature)


class Hurdle(Family):
    """With probability hu a zero, else a draw of the base family given that it is positive.

    Attributes
    ----------
    base : Family
    """

    base: ClassVar[Family]

    @abstractmethod
    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        """Return the base distribution in PyTensor, with `draw_positive`."""

    @abstractmethod
    def log_base_zero(self, parameters: Mapping[str, Linked], xp: ArrayMath) -> Any:
        """Return the base's log probability of zero; None where it is continuous."""

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        part, hu, xp = self.component(parameters, data), parameters["hu"], pytensor_math()
        assert part.draw_positive is not None
        draw_positive = part.draw_positive

        def log_density(y: Any, log_hu: Any, log1m_hu: Any, *inputs: Any) -> Any:
            safe = xp.where(y > 0, y, 1)
            positive = part.log_density(safe, *inputs)
            if part.log_zero is not None:
                positive = positive - xp.log1mexp(part.log_zero(*inputs))
            return densities.hurdle(y, log_hu, log1m_hu, positive, xp)

        def draw(log_hu: Any, log1m_hu: Any, *inputs: Any) -> Any:
            *inner, size = inputs
            return with_zeros(log_hu, draw_positive(*inner, size), size)

        name = "".join(word.title() for word in self.name.split("_"))
        return custom_dist(name, (hu.log, hu.log1m, *part.inputs), log_density, draw)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        log_mean = parameters["hu"].log1m + parameters["mu"].log
        log_zero = self.log_base_zero(parameters, xp)
        return xp.exp(log_mean if log_zero is None else log_mean - xp.log1mexp(log_zero))

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        zero = y == 0
        base = self.base.derivatives(np.where(zero, 1.0, y), eta, phi, data, link, order)
        if base is None:
            return None
        if self.base.discrete:
            none = self.base.derivatives(np.zeros_like(y), eta, phi, data, link, order)
            assert none is not None
            base = truncate(base, none, order)
        return above_hurdle(zero, base, phi["hu"], order)


def truncate(base: Any, zero: Any, order: int) -> Derivatives:
    """Condition a likelihood on y > 0, given also the derivatives `zero` of b, its value at y = 0.

    The normaliser N = log(1 - exp(b)) has N' = -r, N'' = -r (1 + r), N''' = -r (1 + r) (1 + 2 r) in b,
    with r = 1 / (exp(-b) - 1).
    """
    value = base.value - NUMPY.log1mexp(zero.value)
    if order == 0:
        return Derivatives(value)
    with np.errstate(over="ignore"):  # r is then 0
        r = 1.0 / np.expm1(-np.asarray(zero.value))
    s = r * (1.0 + r)
    b1, b2 = zero.d1, zero.d2
    d1, d2 = base.d1 + r * b1, base.d2 + r * b2 + s * b1**2
    if order == 1:
        return Derivatives(value, d1, d2)
    t = s * (1.0 + 2.0 * r)
    d3 = base.d3 + r * zero.d3 + 3.0 * s * b1 * b2 + t * b1**3
    first, slope, curvature = {}, {}, {}
    for name, change in zero.dphi.items():
        mixed = zero.d1phi[name]
        first[name] = base.dphi[name] + r * change
        slope[name] = base.d1phi[name] + r * mixed + s * b1 * change
        extra = r * zero.d2phi[name] + s * (b2 * change + 2.0 * b1 * mixed) + t * b1**2 * change
        curvature[name] = base.d2phi[name] + extra
    return Derivatives(value, d1, d2, d3, first, slope, curvature)


def above_hurdle(zero: Any, positive: Any, hu: Any, order: int) -> Derivatives:
    """Join the likelihood of positive values with a probability `hu` of zero, which does not depend on eta."""
    value = np.where(zero, np.log(hu), np.log1p(-hu) + positive.value)
    if order == 0:
        return Derivatives(value)

    def keep(x: Any) -> Floats:
        return np.where(zero, 0.0, x)

    if order == 1:
        return Derivatives(value, keep(positive.d1), keep(positive.d2))
    first, slope, curvature = (
        {name: keep(x) for name, x in part.items()} for part in (positive.dphi, positive.d1phi, positive.d2phi)
    )
    first["hu"] = np.where(zero, 1.0 / hu, -1.0 / (1.0 - hu))
    slope["hu"] = curvature["hu"] = np.zeros_like(value)
    d1, d2, d3 = (keep(x) for x in (positive.d1, positive.d2, positive.d3))
    return Derivatives(value, d1, d2, d3, first, slope, curvature)
