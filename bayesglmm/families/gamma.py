"""Gamma: positive responses with a constant coefficient of variation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import Mixed, chain
from bayesglmm.families.checks import require_positive
from bayesglmm.families.components import gamma
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import gamma_log_density
from bayesglmm.families.dispersions import SHAPE
from bayesglmm.links import Link, Linked


class Gamma(Family):
    """y ~ Gamma(shape, rate = shape / mu): y > 0, mean mu, variance mu^2 / shape.

    Default link log, as brms (R's `Gamma()` has the inverse). Default prior: shape InverseGamma(0.4, 0.3), as brms.
    """

    name = "gamma"
    aliases = ("Gamma",)
    parameters = (FamilyParameter("mu", "positive", "log"), SHAPE)
    censorable = True
    support = (0.0, np.inf)

    def check(self, response: Response) -> None:
        require_positive(response, "Where zeros are real, use the hurdle_gamma family.")

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        part = gamma(parameters)
        return custom_dist("Gamma", part.inputs, part.log_density, part.draw, part.log_cdf, part.log_ccdf)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def row_density(self, link: Link) -> str | None:
        return "gamma-log" if link.name == "log" else None

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        log_mu = link.log_jet(eta)
        if log_mu is None:
            return None
        a = phi["shape"]
        value = gamma_log_density(y, log_mu.value, a, np.log(a), NUMPY)
        if order == 0:
            return Derivatives(value)
        ratio = y * np.exp(-log_mu.value)
        if order == 1:
            return chain(value, (a * (ratio - 1.0), -a * ratio), log_mu)
        first = np.log(a) + 1.0 - special.digamma(a) + np.log(y) - log_mu.value - ratio
        mixed = {"shape": Mixed(first, ratio - 1.0, -ratio)}
        return chain(value, (a * (ratio - 1.0), -a * ratio, a * ratio), log_mu, mixed)


FAMILIES.register(Gamma())
