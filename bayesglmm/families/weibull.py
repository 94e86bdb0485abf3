"""Weibull: positive responses, mostly times, whose hazard rises or falls as a power of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import Mixed, chain
from bayesglmm.families.checks import require_positive
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.dispersions import SHAPE
from bayesglmm.links import Link, Linked


class Weibull(Family):
    """y ~ Weibull(shape, scale = mu / Gamma(1 + 1 / shape)), y > 0; mean mu, as brms.

    Default link log; default prior: shape InverseGamma(0.4, 0.3).
    """

    name = "weibull"
    aliases = ("Weibull",)
    parameters = (FamilyParameter("mu", "positive", "log"), SHAPE)
    censorable = True
    support = (0.0, np.inf)

    def check(self, response: Response) -> None:
        require_positive(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        xp, mu, shape = pytensor_math(), parameters["mu"], parameters["shape"]
        log_scale = mu.log - xp.gammaln(1.0 + 1.0 / shape.value)

        def hazard(y: Any, log_scale: Any, k: Any) -> Any:
            """Cumulative hazard (y / scale)^k."""
            return xp.exp(k * (xp.log(y) - log_scale))

        def log_density(y: Any, log_scale: Any, k: Any, log_k: Any) -> Any:
            return log_k + k * (xp.log(y) - log_scale) - xp.log(y) - hazard(y, log_scale, k)

        return custom_dist(
            "Weibull",
            (log_scale, shape.value, shape.log),
            log_density,
            lambda log_scale, k, log_k, size: pm.Weibull.dist(alpha=k, beta=xp.exp(log_scale), size=size),
            lambda y, log_scale, k, log_k: xp.log1mexp(-hazard(y, log_scale, k)),
            lambda y, log_scale, k, log_k: -hazard(y, log_scale, k),
        )

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        log_mu = link.log_jet(eta)
        if log_mu is None:
            return None
        k, log_y = phi["shape"], np.log(y)
        ratio = log_y - log_mu.value + special.gammaln(1.0 + 1.0 / k)
        z = np.exp(k * ratio)
        value = np.log(k) - log_y + k * ratio - z
        if order == 0:
            return Derivatives(value)
        outer = (k * (z - 1.0), -(k**2) * z, k**3 * z)[: order + 1]
        if order == 1:
            return chain(value, outer, log_mu)
        change = ratio - special.digamma(1.0 + 1.0 / k) / k
        slope = z - 1.0 + k * z * change
        by_shape = Mixed(1.0 / k + (1.0 - z) * change, slope, -k * z * (2.0 + k * change))
        return chain(value, outer, log_mu, {"shape": by_shape})


FAMILIES.register(Weibull())
